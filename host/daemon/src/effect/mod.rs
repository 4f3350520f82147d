//! Edge effects: outside acts between a verdict and the stage that follows from it (O9, X1).
//!
//! ```text
//! work       puts what the run has made onto the task's branch   conditional
//! artifact   commits the stage's report to the task's branch    conditional
//! merge      merges the branch into another one                 conditional
//! command    runs a program of the operator's                   as the operator says
//! ```
//!
//! Here is only *how* something is done and what can be said of its end. Whether it may be done, and what follows, is the
//! engine's to say, and the journal is written by [`transition`](crate::transition), around each act. An act that may have
//! taken place is never called undone: what is not known is [`Acted::Unclear`].

mod artifact;
mod command;
mod merge;
mod work;

use std::time::Duration;

use stagewright_capability::process::Shepherd;
use stagewright_capability::{Cancel, Place};
use stagewright_engine::effect::{Acted, EffectClass};
use stagewright_engine::identity::{Epoch, TaskKey};
use stagewright_engine::name::{BranchName, CommitId, EffectName, StageName};
use stagewright_engine::outcome::Fault;
use stagewright_engine::task::Task;
use stagewright_repository::{Author, Bare, Delivery, Error, Refusal};
use stagewright_store::request::artifact::StoredArtifact;
use stagewright_store::request::effect::EffectId;

use crate::branch::ExaminedBranch;
use crate::config::Config;
use crate::config::sections::{EffectIs, EffectKind};

pub(crate) use artifact::commit_report;
pub use command::Meaning;

/// How long an act of git may take before its end is not waited for any more.
const GIT_TIME: Duration = Duration::from_secs(300);

/// The name of the effect that commits a stage's report. The pipeline does not name it.
pub const ARTIFACT: &str = "artifact";
/// The name of the effect that puts what a run has made onto the branch. The pipeline does not name it.
pub const WORK: &str = "work";

/// An effect that is to be done.
#[derive(Clone, Debug)]
pub struct Effect {
    /// Its name in the journal.
    pub name: String,
    /// What may be done about it when its end is not known.
    pub class: EffectClass,
    /// How long the act may take.
    pub time: Duration,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Work(CommitId),
    Artifact(Box<StoredArtifact>),
    Merge { into: BranchName },
    Command(Box<command::Spec>),
}

/// What was found by asking the target whether an act has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadBack {
    /// It has.
    Happened(String),
    /// It has not.
    Absent,
    /// The target can't say.
    Unknown(Fault),
}

/// The edge on which effects are done.
#[derive(Clone, Copy, Debug)]
pub struct Edge<'a> {
    /// The task.
    pub task: &'a Task,
    /// The stage that was judged.
    pub stage: &'a StageName,
    /// The stage that follows.
    pub to: &'a StageName,
    /// The commit that was examined.
    pub examined: &'a CommitId,
    /// Where the task's branch is: at the examined commit, or at that and reports on top; before a run's work is placed, at
    /// what it was made from. Seen right before the effect; one that finds the branch elsewhere does nothing, since what is
    /// there was not examined.
    pub branch: &'a ExaminedBranch,
    /// The host's copy.
    pub bare: &'a Bare,
}

/// One effect in the journal, about to be done.
#[derive(Clone, Copy, Debug)]
pub struct Intent<'a> {
    /// Its id.
    pub id: EffectId,
    /// Its key.
    pub key: &'a str,
    /// The epoch of the lease under which it is done.
    pub epoch: Epoch,
}

/// What acts stand on.
#[derive(Clone, Copy, Debug)]
pub struct Tools<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Starts processes.
    pub shepherd: &'a Shepherd,
    /// The state folder.
    pub state: &'a crate::state::StateDir,
    /// Ends them.
    pub cancel: &'a Cancel,
}

impl Effect {
    /// The placing of what a run has made.
    pub fn work(commit: CommitId) -> Self {
        let kind = Kind::Work(commit);
        Self { name: WORK.to_owned(), class: EffectClass::Conditional, time: GIT_TIME, kind }
    }

    /// The commit of a stage's report.
    pub fn artifact(stored: StoredArtifact) -> Self {
        let kind = Kind::Artifact(Box::new(stored));
        Self { name: ARTIFACT.to_owned(), class: EffectClass::Conditional, time: GIT_TIME, kind }
    }

    /// The effect that a pipeline names.
    ///
    /// # Errors
    /// A fault for a person: the configuration has no such effect.
    pub fn configured(config: &Config, name: &EffectName) -> Result<Self, Fault> {
        let missing = || {
            Fault::new(
                "effect-not-configured",
                format!("the pipeline has the effect `{name}`, the configuration has not"),
            )
            .with_remedy(format!("add [effects.{name}], then `stagewright task resume`"))
        };
        let effect = config.effects.get(name).ok_or_else(missing)?;
        let time = Duration::from_secs(effect.timeout_s.0);
        let into = || BranchName::new(effect.into.as_deref().unwrap_or("main")).ok();
        let (class, kind) = match effect.does.ok_or_else(missing)? {
            EffectKind::Merge => {
                let into = into().ok_or_else(missing)?;
                (EffectClass::Conditional, Kind::Merge { into })
            }
            EffectKind::Command => {
                let class = match effect.class.ok_or_else(missing)? {
                    EffectIs::Conditional => EffectClass::Conditional,
                    EffectIs::Keyed => EffectClass::Keyed,
                    EffectIs::Observable => EffectClass::Observable,
                    EffectIs::Blind => EffectClass::Blind,
                };
                let spec = command::Spec::of(effect).ok_or_else(missing)?;
                (class, Kind::Command(Box::new(spec)))
            }
        };
        Ok(Self { name: name.to_string(), class, time, kind })
    }

    /// Whether it is an edge effect of the pipeline, during which nothing else of the repository has effects (X3). What is
    /// put onto the task's own branch is none.
    pub fn is_exclusive(&self) -> bool {
        !matches!(self.kind, Kind::Artifact(_) | Kind::Work(_))
    }

    /// Whether it may be done again though nobody knows whether it was done.
    pub fn may_repeat(&self) -> bool {
        matches!(self.class, EffectClass::Conditional | EffectClass::Keyed)
    }

    /// Does it. Whatever goes wrong is told as what is known of the act.
    pub async fn act(&self, edge: &Edge<'_>, intent: Intent<'_>, tools: Tools<'_>) -> Acted {
        match &self.kind {
            Kind::Work(commit) => within(work::place(edge, commit)).await,
            Kind::Artifact(stored) => within(artifact::commit(edge, stored)).await,
            Kind::Merge { into } => within(merge::merge(edge, into)).await,
            Kind::Command(spec) => command::act(spec, self, edge, intent, tools).await,
        }
    }

    /// Asks the target whether the act has happened.
    pub async fn read_back(&self, edge: &Edge<'_>, intent: Intent<'_>, tools: Tools<'_>) -> ReadBack {
        match &self.kind {
            Kind::Command(spec) => command::read_back(spec, self, edge, intent, tools).await,
            // They are conditional, so nobody has to ask.
            Kind::Work(_) | Kind::Artifact(_) | Kind::Merge { .. } => ReadBack::Unknown(Fault::new(
                "effect-not-observable",
                format!("whether `{}` has happened can't be read back", self.name),
            )),
        }
    }
}

/// The key of an effect: the same for the same act on the same edge, commit and job, and for no other. A job that is done
/// again by a person's wish has acts of its own.
pub fn key(edge: &Edge<'_>, name: &str, job: stagewright_engine::identity::JobId) -> String {
    let TaskKey { repo, work_item } = &edge.task.key;
    format!("{repo}/{work_item}/{}>{}/{name}@{}#{job}", edge.stage, edge.to, edge.examined)
}

/// In whose name the host commits.
pub(crate) fn author() -> Author {
    Author { name: "stagewright".to_owned(), email: "stagewright@localhost".to_owned() }
}

async fn within(act: impl Future<Output = Acted>) -> Acted {
    match tokio::time::timeout(GIT_TIME, act).await {
        Ok(acted) => acted,
        Err(_) => Acted::Unclear(Fault::new("effect-overran", "git did not answer in its time")),
    }
}

/// What commits that were made in the host's copy, and brought to the user's branch or not, are for the journal.
fn delivered(branch: &BranchName, made: Result<(CommitId, Delivery), Error>) -> Acted {
    match made {
        Ok((made, Delivery::Delivered | Delivery::AlreadyThere)) => {
            Acted::Done(format!("{branch} is at {made}"))
        }
        Ok((made, Delivery::Refused(Refusal::CheckedOut { folder, command }))) => Acted::Done(format!(
            "{made} is in the host's copy; {branch} is checked out in {}, to take it: {command}",
            folder.display()
        )),
        Ok((_, Delivery::Refused(Refusal::Moved { .. } | Refusal::NotTheHosts)))
        | Err(Error::HeadMoved { .. } | Error::NoSuchRevision { .. }) => Acted::NotNow(
            Fault::new("branch-moved", format!("{branch} has moved meanwhile"))
                .with_remedy("none is needed: what is on the branch now is judged anew"),
        ),
        Err(error) => trouble(&error),
    }
}

/// A repository's trouble: it may pass, and whether something was written before is for the next try to find out.
fn trouble(error: &Error) -> Acted {
    Acted::Unclear(
        Fault::new("repository-trouble", error.to_string())
            .with_remedy("look at the repository, then `stagewright task resume`"),
    )
}

/// The folders of an effect's processes. Its id marks them, so that they can be found and ended after a crash.
fn place(intent: &Intent<'_>, tools: &Tools<'_>) -> std::io::Result<Place> {
    let run = place_id(intent.id);
    Place::make(run, &tools.state.run(run), tools.state.log(run))
}

/// The id under which the processes and folders of an effect are known.
pub fn place_id(effect: EffectId) -> stagewright_engine::identity::RunId {
    stagewright_engine::identity::RunId::new(effect.uuid())
}
