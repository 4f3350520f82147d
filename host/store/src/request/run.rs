//! Runs: single attempts at a job, and how they end when no stage is written with it.

use serde_json::{Value, json};
use stagewright_engine::identity::{Epoch, JobId, RunId};
use stagewright_engine::ledger::{Ledger, Stream};
use stagewright_engine::outcome::{Cause, Fault, Outcome};
use stagewright_engine::task::{Hold, StageVerdict};
use stagewright_engine::time::Timestamp;

use super::artifact::Artifact;
use super::event::NewEvent;
use crate::error::Error;

/// A run has ended, and this is what becomes of its job. The stage is not touched.
///
/// It takes effect only if the job is still running under this run and the task still has this epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct EndRun {
    /// The job.
    pub job: JobId,
    /// The run.
    pub run: RunId,
    /// The epoch of the claim.
    pub epoch: Epoch,
    /// What the run came to. Kept as it is.
    pub outcome: Outcome,
    /// What becomes of the job.
    pub ending: RunEnding,
    /// What the host saw the run do.
    pub ledger: Ledger,
    /// What it attached.
    pub attachments: Vec<Attachment>,
    /// Further events.
    pub events: Vec<NewEvent>,
    /// The time.
    pub now: Timestamp,
}

/// What becomes of a job whose run has ended without writing a stage.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEnding {
    /// The job waits and is tried again; one deferral is spent.
    Deferred {
        /// Not before this time.
        until: Timestamp,
        /// Why.
        fault: Fault,
    },
    /// Job and task are held for a person.
    Held(Hold),
    /// The job is over because somebody wanted it to be.
    Cancelled(Cause),
    /// The job is over because it had become stale.
    Superseded,
    /// The job is due again at once; no deferral is spent (the host is stopping).
    Requeued,
    /// The work has a verdict, and a transition with sub-gates or effects follows. Until that is concluded
    /// the job is finished but still the task's live one, and whoever finds it completes the transition. From then on it
    /// is about the commit of its verdict, which is another one than before where the run has made it.
    Finished {
        /// The artifact.
        artifact: Artifact,
        /// What the stage's gate read in it.
        verdict: StageVerdict,
    },
}

impl RunEnding {
    /// Whether the job is given up. That claims nothing about the task, so the run's own id is condition enough: else
    /// a job whose task somebody else had for a moment would stay running for ever. All else needs the epoch.
    pub(crate) const fn gives_up(&self) -> bool {
        matches!(self, Self::Cancelled(_) | Self::Superseded | Self::Requeued)
    }

    /// What the log says of it.
    pub(crate) fn event(&self) -> (&'static str, Value) {
        match self {
            Self::Deferred { until, fault } => {
                ("job-deferred", json!({ "fault": fault.code, "until": until }))
            }
            Self::Held(hold) => ("job-held", json!({ "fault": hold.fault.code })),
            Self::Cancelled(cause) => ("job-cancelled", json!({ "cause": cause })),
            Self::Superseded => ("job-superseded", json!({})),
            Self::Requeued => ("job-requeued", json!({})),
            Self::Finished { artifact, verdict } => {
                ("job-finished", json!({ "judgement": verdict.judgement, "artifact": artifact.sha256 }))
            }
        }
    }
}

/// A file that a run left beside its artifact. The bytes are in the log folder, not in the store.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attachment {
    /// Its plain name.
    pub name: String,
    /// Its size and digest.
    pub content: Stream,
}

/// Why a run's end was not written. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndRefused {
    /// The task has another epoch or the job another run: somebody else has taken over. What this run came
    /// to no longer matters.
    #[error("the run was overtaken: the task has epoch {actual}, the run has {held}")]
    Fenced {
        /// The epoch that the caller holds.
        held: Epoch,
        /// The epoch that the task has.
        actual: Epoch,
    },
    /// The job is not running under this run.
    #[error("run {0} is not running")]
    NotRunning(RunId),
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] Error),
}
