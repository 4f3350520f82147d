//! Runs a program of the operator's as an edge effect, under a shepherd and confined as suites are.
//!
//! Its exit code says what happened; a code that the operator has not explained, a signal, or a time that is over says
//! nothing: the act may have taken place.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use stagewright_capability::process::{self, Command, Completed, Confinement, Exit, Process};
use stagewright_capability::{Failure, FailureKind, Place};
use stagewright_engine::effect::Acted;
use stagewright_engine::outcome::Fault;

use super::{Edge, Effect, Intent, ReadBack, Tools, place};
use crate::config::sections::{self, Require};
use crate::config::{Program, Secrets};
use crate::programs;

/// The longest answer that the journal keeps, in bytes.
const ANSWER: usize = 500;

/// What an exit code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It was done.
    Done,
    /// It was certainly not done, and may be later.
    Later,
    /// It was certainly not done, and a person has to look.
    Held,
    /// Nobody can say.
    Unclear,
}

impl Meaning {
    /// The meaning that this word of the configuration has.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "done" => Some(Self::Done),
            "later" => Some(Self::Later),
            "held" => Some(Self::Held),
            "unclear" => Some(Self::Unclear),
            _ => None,
        }
    }
}

/// What is run.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    program: Program,
    args: Vec<String>,
    codes: BTreeMap<i32, Meaning>,
    read_back: Option<(Program, Vec<String>)>,
    variables: Secrets,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
}

impl Spec {
    pub(super) fn of(effect: &sections::Effect) -> Option<Self> {
        let codes = match &effect.exit_codes {
            None => BTreeMap::from([(0, Meaning::Done)]),
            Some(codes) => codes
                .iter()
                .filter_map(|(code, word)| Some((code.parse().ok()?, Meaning::of(word)?)))
                .collect(),
        };
        Some(Self {
            program: effect.program.clone()?,
            args: effect.args.clone(),
            codes,
            read_back: effect.read_back.clone().map(|program| (program, effect.read_back_args.clone())),
            variables: effect.variables.clone(),
            read: effect.read.clone(),
            write: effect.write.clone(),
        })
    }
}

pub(super) async fn act(
    spec: &Spec,
    effect: &Effect,
    edge: &Edge<'_>,
    intent: Intent<'_>,
    tools: Tools<'_>,
) -> Acted {
    let completed = match run(spec, (&spec.program, &spec.args), effect, edge, intent, tools).await {
        Ok(completed) => completed,
        Err(NotStarted::Later(fault)) => return Acted::NotNow(fault),
        Err(NotStarted::Held(fault)) => return Acted::NotThis(fault),
    };
    let said = said(&completed, spec);
    let fault = |code: &str, what: String| Fault::new(code, what).with_evidence(said.clone());
    match &completed.exit {
        Exit::Code(code) => match spec.codes.get(code).copied().unwrap_or(Meaning::Unclear) {
            Meaning::Done => Acted::Done(if said.is_empty() { format!("exit code {code}") } else { said }),
            Meaning::Later => {
                Acted::NotNow(fault("effect-not-done", format!("`{}` exited with {code}", effect.name)))
            }
            Meaning::Held => Acted::NotThis(
                fault("effect-refused", format!("`{}` exited with {code}", effect.name))
                    .with_remedy("see to what it says, then `stagewright task resume`"),
            ),
            Meaning::Unclear => Acted::Unclear(fault(
                "effect-unclear",
                format!("`{}` exited with {code}, which says nothing about what it did", effect.name),
            )),
        },
        other => Acted::Unclear(fault(
            "effect-unclear",
            format!("`{}` did not end by itself ({})", effect.name, other.tell()),
        )),
    }
}

pub(super) async fn read_back(
    spec: &Spec,
    effect: &Effect,
    edge: &Edge<'_>,
    intent: Intent<'_>,
    tools: Tools<'_>,
) -> ReadBack {
    let unknown = |what: String| ReadBack::Unknown(Fault::new("effect-not-readable", what));
    let Some((program, args)) = &spec.read_back else {
        return unknown(format!("`{}` has no read_back", effect.name));
    };
    match run(spec, (program, args), effect, edge, intent, tools).await {
        Ok(completed) => match completed.exit {
            Exit::Code(0) => ReadBack::Happened("read back: it has happened".to_owned()),
            Exit::Code(1) => ReadBack::Absent,
            exit => unknown(format!("the read_back of `{}` could not tell ({})", effect.name, exit.tell())),
        },
        Err(NotStarted::Later(fault) | NotStarted::Held(fault)) => ReadBack::Unknown(fault),
    }
}

/// Nothing was started.
enum NotStarted {
    Later(Fault),
    Held(Fault),
}

async fn run(
    spec: &Spec,
    (program, args): (&Program, &[String]),
    effect: &Effect,
    edge: &Edge<'_>,
    intent: Intent<'_>,
    tools: Tools<'_>,
) -> Result<Completed, NotStarted> {
    let later = |what: String| NotStarted::Later(Fault::new("effect-not-begun", what));
    let place =
        place(&intent, &tools).map_err(|error| later(format!("its folders could not be made: {error}")))?;
    let ran = async {
        let head = &edge.branch.head;
        let cloned = edge.bare.clone_at(head, Some(&edge.task.branch), &place.clone).await;
        cloned.map_err(|error| later(format!("the clone could not be made: {error}")))?;
        let process = Process::new(
            grant(spec, program, effect.time, edge, &tools),
            place.clone(),
            tools.shepherd.clone(),
            tools.cancel.clone(),
        );
        let command = Command {
            program: PROGRAM.to_owned(),
            args: args.to_vec(),
            env: environment(effect, edge, intent, head.as_str()),
            timeout: Some(effect.time),
            ..Command::default()
        };
        process.run(command).await.map_err(|failure| not_started(&failure))
    };
    let ran = ran.await;
    clear_away(&place).await;
    ran
}

/// The name under which the grant knows the one program.
const PROGRAM: &str = "effect";

fn grant(
    spec: &Spec,
    program: &Program,
    time: Duration,
    edge: &Edge<'_>,
    tools: &Tools<'_>,
) -> process::Grant {
    let file = programs::find(program.as_path(), std::env::var_os("PATH").as_deref());
    // One that is nowhere keeps its name, so that the fault says what is missing.
    let file = file.unwrap_or_else(|| program.as_path().to_owned());
    let config = tools.config;
    let mut read = spec.read.clone();
    read.extend(config.isolation.read_roots.iter().cloned());
    read.push(edge.bare.path().join("objects"));
    process::Grant {
        programs: BTreeMap::from([(PROGRAM.to_owned(), process::Program::new(file))]),
        env: spec.variables.reveal().clone(),
        confinement: match config.isolation.require {
            Require::BestEffort => Confinement::BestEffort,
            Require::Landlock => Confinement::Required,
        },
        read,
        write: spec.write.clone(),
        hidden: config.secret_files(),
        // It is meant to reach the outside; a guard that it meets must not take it for a test.
        test_run: false,
        max_time: time,
        ..process::Grant::default()
    }
}

fn environment(effect: &Effect, edge: &Edge<'_>, intent: Intent<'_>, head: &str) -> Vec<(String, String)> {
    let key = &edge.task.key;
    let facts = [
        ("REPO", key.repo.to_string()),
        ("WORK_ITEM", key.work_item.to_string()),
        ("STAGE", edge.stage.to_string()),
        ("TO", edge.to.to_string()),
        ("BRANCH", edge.task.branch.to_string()),
        ("COMMIT", edge.examined.to_string()),
        ("HEAD", head.to_owned()),
        ("EFFECT", effect.name.clone()),
        ("KEY", intent.key.to_owned()),
        ("EPOCH", intent.epoch.to_string()),
    ];
    facts.into_iter().map(|(name, value)| (format!("STAGEWRIGHT_{name}"), value)).collect()
}

/// Nothing ran. Where a person has to mend something the task waits for that.
fn not_started(failure: &Failure) -> NotStarted {
    let fault = Fault::new(failure.code, failure.message.clone());
    match failure.kind {
        FailureKind::NotFound | FailureKind::Denied | FailureKind::Permanent => NotStarted::Held(
            fault.with_remedy("mend the effect's configuration, then `stagewright task resume`"),
        ),
        _ => NotStarted::Later(fault),
    }
}

/// The last line that it printed, without what the operator has marked as secret.
fn said(completed: &Completed, spec: &Spec) -> String {
    let tail = [&completed.stdout.tail, &completed.stderr.tail]
        .into_iter()
        .find(|tail| !tail.trim_ascii().is_empty());
    let text = String::from_utf8_lossy(tail.map_or(&[][..], Vec::as_slice)).into_owned();
    let mut line = text.trim_end().lines().next_back().unwrap_or_default().to_owned();
    for secret in spec.variables.reveal().values().filter(|secret| !secret.is_empty()) {
        line = line.replace(secret.as_str(), "…");
    }
    let end = line.char_indices().map(|(at, _)| at).take_while(|at| *at <= ANSWER).last().unwrap_or(0);
    if line.len() > ANSWER { line[..end].to_owned() } else { line }
}

async fn clear_away(place: &Place) {
    let root = place.clone.parent().map(std::path::Path::to_owned);
    for folder in root.into_iter().chain([place.tmp.clone()]) {
        if let Err(error) = stagewright_repository::removal::remove(&folder).await {
            tracing::warn!(folder = %folder.display(), %error, "a folder of an effect could not be removed");
        }
    }
}
