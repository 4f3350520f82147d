//! `lease list|release`: who is in a task's transition, and taking it away from them (O7). Works on the store, so that it
//! needs no daemon.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use stagewright_engine::lease::Lease;
use stagewright_engine::name::{RepoName, WorkItem};
use stagewright_store::Store;

use super::config_command::load;
use super::output::{print, print_json};
use super::queue::lease_line;
use super::{Failure, Global};
use crate::clock;
use crate::exit::Exit;
use crate::host;
use crate::release::{self, Freed, NotFreed};
use crate::state::StateDir;
use crate::view::LeaseView;

/// What can be asked of leases.
#[derive(Debug, Subcommand)]
pub(crate) enum LeaseCommand {
    /// List the transition leases that are held
    #[command(after_help = "Example:\n  stagewright lease list --json")]
    List,
    /// Take a lease away: from a dead owner at once, from a living one by force
    #[command(
        after_help = "Examples:\n  stagewright lease release SHOP-12\n  stagewright lease release SHOP-12 --force\n\nForced, the owner can write nothing any more, its work is ended, and effects that it had begun are unresolved; then the task is\nheld until a person has looked. Exit code: 0 when nothing of the work runs any more, 75 if the owner lives or something still runs."
    )]
    Release(ReleaseArgs),
}

/// Whose lease, and how.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The work item's key
    #[arg(value_name = "KEY")]
    work_item: WorkItem,
    /// The repository's name, if leases of several are held for the key
    #[arg(long, value_name = "NAME")]
    repo: Option<RepoName>,
    /// Take it from an owner that lives too
    #[arg(long)]
    force: bool,
}

pub(crate) async fn lease(global: &Global, command: &LeaseCommand) -> Result<Exit, Failure> {
    let config = load(global)?;
    let state = StateDir::open(&host::state_location(&config)?)?;
    let store = host::open_store(state.store()).await?;
    match command {
        LeaseCommand::List => list(&*store, global.json).await,
        LeaseCommand::Release(args) => {
            state.make_parts()?;
            let patience = Duration::from_secs(config.jobs.grace_s.0.max(5));
            release(&store, &state, args, patience, global.json).await
        }
    }
}

async fn list(store: &dyn Store, json: bool) -> Result<Exit, Failure> {
    let (leases, instances, now) = (store.leases().await?, store.instances().await?, clock::now());
    if json {
        let leases: Vec<_> = leases.iter().map(|lease| LeaseView::of(lease, &instances, now)).collect();
        print_json(&json!({"leases": leases}));
        return Ok(Exit::Success);
    }
    if leases.is_empty() {
        print("nobody holds a lease\n");
    }
    for lease in &leases {
        print(&format!("{}\n", lease_line(lease, &instances, now)));
    }
    Ok(Exit::Success)
}

async fn release(
    store: &Arc<dyn Store>,
    state: &StateDir,
    args: &ReleaseArgs,
    patience: Duration,
    json: bool,
) -> Result<Exit, Failure> {
    let lease = one(&**store, args).await?;
    let by = "`stagewright lease release`";
    let freed = release::release(store, state, &lease.task, args.force, by, patience).await;
    let Freed { lease, forced, epoch, unresolved, left } = freed?;
    if json {
        let view = LeaseView::of(&lease, &store.instances().await?, clock::now());
        print_json(&json!({
            "lease": view,
            "forced": forced,
            "epoch": epoch,
            "unresolved": unresolved,
            "work": if left == 0 { "ended" } else { "running" },
            "processes_left": left,
        }));
    } else {
        let key = &lease.task.work_item;
        print(&match (forced, left) {
            (false, _) => {
                format!("the lease of {key} is free: its owner is dead, and what it left was taken over\n")
            }
            (true, 0) => format!("the lease of {key} was taken away; its work has ended\n"),
            (true, left) => format!(
                "the lease of {key} was taken away; {left} processes of its work could not be ended, and can write nothing\n"
            ),
        });
        if unresolved > 0 {
            print(&format!(
                "{unresolved} effects are unresolved; {key} is held until somebody has looked (`stagewright task show {key}`)\n"
            ));
        }
    }
    Ok(if left == 0 { Exit::Success } else { Exit::Later })
}

async fn one(store: &dyn Store, args: &ReleaseArgs) -> Result<Lease, Failure> {
    let mut leases = store.leases().await?;
    leases.retain(|lease| {
        lease.task.work_item == args.work_item
            && args.repo.as_ref().is_none_or(|repo| *repo == lease.task.repo)
    });
    match leases.len() {
        0 => Err(Failure::usage(format!(
            "nobody holds a lease of {}; `stagewright lease list` shows all",
            args.work_item
        ))),
        1 => Ok(leases.remove(0)),
        _ => {
            let repos: Vec<&str> = leases.iter().map(|lease| lease.task.repo.as_str()).collect();
            let message = format!(
                "{} has leases in several repositories; name one with --repo: {}",
                args.work_item,
                repos.join(", ")
            );
            Err(Failure::usage(message))
        }
    }
}

impl From<NotFreed> for Failure {
    fn from(error: NotFreed) -> Self {
        match error {
            NotFreed::Store(error) => error.into(),
            NotFreed::NoLease(_) => Self::usage(error.to_string()),
            NotFreed::OwnerAlive { .. } => Self::later(format!(
                "{error}; wait for it, or take it away with --force, which ends its work"
            )),
        }
    }
}
