//! A job: the producing of one stage's artifact for one commit; and its runs, the attempts at it.

use serde::{Deserialize, Serialize};

use crate::identity::{Epoch, InstanceId, JobId, RunId, TaskKey};
use crate::name::{CommitId, StageName};
use crate::outcome::{Fault, Outcome};
use crate::time::Timestamp;

/// The producing of one stage's artifact for one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id; the same for every run of it.
    pub id: JobId,
    /// The task that it is for.
    pub task: TaskKey,
    /// The stage whose artifact is wanted.
    pub stage: StageName,
    /// The commit to be examined.
    pub commit: CommitId,
    /// Where it is in its life.
    pub state: JobState,
    /// How many of its runs ended without having worked.
    pub deferrals: u32,
    /// Which attempt of the task this is, from 1.
    pub attempt: u32,
    /// When it was queued.
    pub created: Timestamp,
    /// When anything of it last changed.
    pub updated: Timestamp,
}

/// Where a job is in its life (J1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Due, and nobody is at it.
    Queued,
    /// Owned by one worker.
    Running {
        /// The attempt.
        run: RunId,
        /// Whose.
        instance: InstanceId,
        /// The epoch of the claim.
        epoch: Epoch,
        /// Since when.
        since: Timestamp,
    },
    /// Tried again later.
    Deferred {
        /// Not before this time.
        until: Timestamp,
        /// Why the last run did not work.
        fault: Fault,
    },
    /// Waits for a person; the task carries the hold.
    Held,
    /// The work has a verdict, and its transition is not yet completed (J6, second tier).
    Finished {
        /// The run with the verdict.
        run: RunId,
        /// If its transition was tried and put off: until when, and why.
        put_off: Option<PutOff>,
    },
    /// The work has a verdict, and the stage was written.
    Done {
        /// The run with the verdict.
        run: RunId,
    },
    /// Given up by the host.
    Failed,
    /// Somebody wanted it to end.
    Cancelled,
    /// Stale: another commit, another stage, or another job took its place.
    Superseded,
}

/// Until when a transition is put off, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutOff {
    /// Not before this time.
    pub until: Timestamp,
    /// Why the last try did not get to its end.
    pub fault: Fault,
}

impl JobState {
    /// Whether the job still has something before it. A task has at most one such job.
    pub const fn is_live(&self) -> bool {
        match self {
            Self::Queued
            | Self::Running { .. }
            | Self::Deferred { .. }
            | Self::Held
            | Self::Finished { .. } => true,
            Self::Done { .. } | Self::Failed | Self::Cancelled | Self::Superseded => false,
        }
    }
}

/// One attempt at a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its own id.
    pub id: RunId,
    /// The job.
    pub job: JobId,
    /// Who did it.
    pub instance: InstanceId,
    /// The epoch of the claim.
    pub epoch: Epoch,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; `None` while it runs, and for one whose owner died.
    pub ended: Option<Timestamp>,
    /// What it came to.
    pub outcome: Option<Outcome>,
}
