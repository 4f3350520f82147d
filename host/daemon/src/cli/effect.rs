//! `effect list|settle`: looks at the journal of edge effects, and writes down what a person has found out about one
//! whose end nobody knew (O9).

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use stagewright_engine::effect::EffectEnding;
use stagewright_engine::name::{RepoName, WorkItem};
use stagewright_store::Store;
use stagewright_store::request::effect::{EffectId, EffectRecord, SettleEffect, SettleRefused};

use super::output::{print, print_json};
use super::progress::printable;
use super::task::{OneArgs, one, open};
use super::{Failure, Global};
use crate::clock::{self, rfc3339};
use crate::exit::Exit;

/// How many unresolved effects are shown.
const MOST: u32 = 1_000;

/// What can be asked of effects.
#[derive(Debug, Subcommand)]
pub(crate) enum EffectCommand {
    /// List the effects that a person has to look at, or all of one task
    #[command(after_help = "Examples:\n  stagewright effect list\n  stagewright effect list SHOP-12")]
    List(ListArgs),
    /// Say whether an effect was done, after a look at its target
    #[command(
        after_help = "Example:\n  stagewright effect settle 01a211e4-d4e8-7774-93a1-27c008db7c45 done --note \"seen in the release list\"\n\nThen `stagewright task resume` lets the task go on: what is done is not done again, what is not done is."
    )]
    Settle(SettleArgs),
}

/// Whose effects.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The work item's key; all its effects are shown
    #[arg(value_name = "KEY")]
    work_item: Option<WorkItem>,
    /// The repository's name, if the key is in use in several
    #[arg(long, value_name = "NAME", requires = "work_item")]
    repo: Option<RepoName>,
}

/// Which effect, and what was found.
#[derive(Debug, Args)]
pub(crate) struct SettleArgs {
    /// The effect's id, as `effect list` shows it
    #[arg(value_name = "ID")]
    id: uuid::Uuid,
    /// What is true at the target
    #[arg(value_name = "WHAT", value_enum)]
    found: Found,
    /// How that was found out, for the journal
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Found {
    /// It was done
    Done,
    /// It was not done
    NotDone,
}

pub(crate) async fn effect(global: &Global, command: &EffectCommand) -> Result<Exit, Failure> {
    let store = open(global).await?;
    match command {
        EffectCommand::List(args) => list(&*store, args, global.json).await,
        EffectCommand::Settle(args) => settle(&*store, args, global.json).await,
    }
}

async fn list(store: &dyn Store, args: &ListArgs, json: bool) -> Result<Exit, Failure> {
    let effects = match &args.work_item {
        None => store.unresolved_effects(MOST).await?,
        Some(work_item) => {
            let args = OneArgs { work_item: work_item.clone(), repo: args.repo.clone() };
            store.effects(&one(store, &args).await?.key).await?
        }
    };
    if json {
        print_json(&Value::Array(effects.iter().map(object).collect()));
        return Ok(Exit::Success);
    }
    let mut text = String::new();
    for effect in &effects {
        let (state, words) = ending(effect);
        let _ = writeln!(
            text,
            "{}  {:10}  {}  {}  {}{}",
            effect.id.uuid(),
            state,
            effect.task,
            effect.name,
            rfc3339(effect.intended),
            if words.is_empty() { String::new() } else { format!("  {}", printable(words)) },
        );
    }
    if effects.is_empty() {
        text.push_str(if args.work_item.is_some() { "no effects\n" } else { "no effects to look at\n" });
    }
    print(&text);
    Ok(Exit::Success)
}

async fn settle(store: &dyn Store, args: &SettleArgs, json: bool) -> Result<Exit, Failure> {
    let unknown =
        || Failure::usage(format!("there is no effect {}; `stagewright effect list` shows them", args.id));
    let known = store.effect(EffectId::new(args.id)).await?.ok_or_else(unknown)?;
    if known.ended.is_none() {
        let message = format!(
            "`{}` of {} is under way; only one whose end nobody knows can be settled",
            known.name, known.task
        );
        return Err(Failure::later(message));
    }
    let note = args.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    let ending = match args.found {
        Found::Done => EffectEnding::Done(format!("a person says that it was done{note}")),
        Found::NotDone => EffectEnding::Failed(format!("a person says that it was not done{note}")),
    };
    let task = store.task(&known.task).await?.ok_or_else(unknown)?;
    let settle = SettleEffect { id: known.id, epoch: task.epoch, ending, now: clock::now() };
    let settled = match store.settle(settle).await {
        Ok(settled) => settled,
        Err(SettleRefused::Settled(record)) => {
            let (state, words) = self::ending(&record);
            return Err(Failure::usage(format!(
                "`{}` of {} is {state} already: {words}",
                record.name, record.task
            )));
        }
        Err(SettleRefused::Fenced { .. }) => {
            return Err(Failure::later(format!("somebody is at {} just now; try again", known.task)));
        }
        Err(SettleRefused::NoSuchEffect) => return Err(unknown()),
        Err(SettleRefused::Store(error)) => return Err(error.into()),
    };
    if json {
        print_json(&object(&settled));
    } else {
        let (state, _) = self::ending(&settled);
        let key = &settled.task.work_item;
        print(&format!(
            "`{}` of {key} is {state}; `stagewright task resume {key}` lets it go on\n",
            settled.name
        ));
    }
    Ok(Exit::Success)
}

/// How an effect stands, and the words that belong to it.
fn ending(effect: &EffectRecord) -> (&'static str, &str) {
    match &effect.ended {
        None => ("begun", ""),
        Some((EffectEnding::Done(answer), _)) => ("done", answer),
        Some((EffectEnding::Failed(why), _)) => ("not-done", why),
        Some((EffectEnding::Unresolved(why), _)) => ("unresolved", why),
    }
}

fn object(effect: &EffectRecord) -> Value {
    let (state, words) = ending(effect);
    json!({
        "id": effect.id,
        "repo": effect.task.repo,
        "work_item": effect.task.work_item,
        "job": effect.job,
        "name": effect.name,
        "class": effect.class,
        "state": state,
        "answer": words,
        "intended": rfc3339(effect.intended),
        "ended": effect.ended.as_ref().map(|(_, at)| rfc3339(*at)),
    })
}
