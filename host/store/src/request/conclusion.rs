//! The only requests that write a stage: the end of a run, and a move without one.

use stagewright_engine::identity::{Epoch, InstanceId, JobId, RunId, TaskKey};
use stagewright_engine::lease::Lease;
use stagewright_engine::ledger::Ledger;
use stagewright_engine::name::StageName;
use stagewright_engine::outcome::Outcome;
use stagewright_engine::task::{Hold, StageVerdict, Task, TaskState};
use stagewright_engine::time::Timestamp;

use super::artifact::Artifact;
use super::event::NewEvent;
use super::job::NewJob;
use super::run::Attachment;
use super::task::TaskStateKind;
use crate::error::Error;

/// A stage to be written: from which one, to which one, and by what right.
///
/// It takes effect only if the task is at `expected_stage`, has the epoch that `ownership` carries, and the
/// lease is the caller's (or is nobody's, where it is taken in the same transaction). A rollback and a
/// person's move are such a change too. `expected_stage` and `to` may be the same: a stage that repeats
/// itself, or that stops there.
///
/// With it the epoch is raised, the lease released, and whatever live job the task still had is superseded.
#[derive(Clone, Debug, PartialEq)]
pub struct StageChange {
    /// The task.
    pub task: TaskKey,
    /// The stage at which it must be.
    pub expected_stage: StageName,
    /// The stage at which it is afterwards.
    pub to: StageName,
    /// By what right.
    pub ownership: Ownership,
    /// The finished job whose transition this is, if its run was ended before
    /// ([`RunEnding::Finished`](super::run::RunEnding::Finished)).
    pub completes: Option<JobId>,
    /// Whether it is a person's, who moves a task also out of a hold and back from its end. Nobody else's takes effect
    /// unless the task is active (J4): a hold raises no epoch, so that who runs its job can still write down how that ended.
    pub past_a_hold: bool,
    /// What becomes of the count of spent attempts.
    pub attempts: Attempts,
    /// What the task is afterwards.
    pub becomes: Becomes,
    /// Why, for the event log.
    pub reason: String,
    /// Further events.
    pub events: Vec<NewEvent>,
    /// The time.
    pub now: Timestamp,
}

/// The right to write a stage.
#[derive(Clone, Debug, PartialEq)]
pub enum Ownership {
    /// A lease that was taken earlier. It is released with the write.
    Lease(Lease),
    /// The lease is taken and released within the same transaction: for an edge without sub-gates and
    /// effects, where nothing happens in between.
    TakeNow {
        /// Who writes.
        owner: InstanceId,
        /// The epoch that the owner has seen or been given.
        epoch: Epoch,
    },
    /// No lease is looked at: the operator has switched deference off (O8). Stage and epoch still have to be the
    /// expected ones. Whoever holds the lease loses it with this write, as it loses its epoch.
    Unleased {
        /// Who writes.
        owner: InstanceId,
        /// The epoch that the owner has seen or been given.
        epoch: Epoch,
    },
}

impl Ownership {
    /// Who writes.
    pub(crate) const fn owner(&self) -> InstanceId {
        match self {
            Self::Lease(lease) => lease.owner,
            Self::TakeNow { owner, .. } | Self::Unleased { owner, .. } => *owner,
        }
    }

    /// The epoch that the task must have.
    pub(crate) const fn epoch(&self) -> Epoch {
        match self {
            Self::Lease(lease) => lease.epoch,
            Self::TakeNow { epoch, .. } | Self::Unleased { epoch, .. } => *epoch,
        }
    }
}

impl StageChange {
    /// The next job must be for the stage to which this leads.
    pub(crate) fn must_lead_to(&self, next: &NewJob) -> Result<(), Error> {
        if next.task == self.task && next.stage == self.to {
            return Ok(());
        }
        let detail = format!("the next job is for `{}`, the task goes to `{}`", next.stage, self.to);
        Err(Error::Rejected { detail })
    }

    /// Makes of the task that was compared what the task is afterwards, as every store writes it.
    pub(crate) fn apply_to(&self, task: &mut Task) {
        task.stage = self.to.clone();
        task.epoch = task.epoch.next();
        task.state = match &self.becomes {
            Becomes::Active { .. } => TaskState::Active,
            Becomes::Held(hold) => TaskState::Held(hold.clone()),
            Becomes::Done => TaskState::Done,
            Becomes::Cancelled => TaskState::Cancelled,
        };
        task.attempts_spent = self.attempts.applied_to(task.attempts_spent);
        task.updated = self.now;
    }
}

/// What becomes of the count of spent attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempts {
    /// It stays.
    Keep,
    /// One more is spent.
    Spend,
    /// It begins anew.
    Reset,
}

impl Attempts {
    /// The count afterwards.
    pub(crate) const fn applied_to(self, spent: u32) -> u32 {
        match self {
            Self::Keep => spent,
            Self::Spend => spent.saturating_add(1),
            Self::Reset => 0,
        }
    }
}

/// What a task is after a change of its stage.
#[derive(Clone, Debug, PartialEq)]
pub enum Becomes {
    /// On its way, with the next job queued if there is one.
    Active {
        /// The next job; of this task and for the new stage.
        next_job: Option<NewJob>,
    },
    /// Held for a person.
    Held(Hold),
    /// At the end of its pipeline.
    Done,
    /// Given up.
    Cancelled,
}

impl Becomes {
    /// The kind of state that it leads to.
    pub(crate) const fn kind(&self) -> TaskStateKind {
        match self {
            Self::Active { .. } => TaskStateKind::Active,
            Self::Held(_) => TaskStateKind::Held,
            Self::Done => TaskStateKind::Done,
            Self::Cancelled => TaskStateKind::Cancelled,
        }
    }
}

/// A run's verdict, and the stage that follows from it, in one transaction.
///
/// Beside the conditions of its [`StageChange`], the job must still be running under the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Conclusion {
    /// The job.
    pub job: JobId,
    /// The run.
    pub run: RunId,
    /// What the run came to.
    pub outcome: Outcome,
    /// The artifact.
    pub artifact: Artifact,
    /// What the stage's gate read in it.
    pub verdict: StageVerdict,
    /// What the host saw the run do.
    pub ledger: Ledger,
    /// What it attached.
    pub attachments: Vec<Attachment>,
    /// The stage that follows.
    pub change: StageChange,
}

/// Why a stage was not written. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConcludeRefused {
    /// The task is at another stage.
    #[error("the task is at `{actual}`")]
    StageMoved {
        /// Where it is.
        actual: StageName,
    },
    /// Somebody has owned the task in the meantime.
    #[error("the task has epoch {actual}")]
    EpochMoved {
        /// The epoch that it has.
        actual: Epoch,
    },
    /// Somebody else holds the lease.
    #[error("instance {by} holds the lease since {}", since.as_millis())]
    Owned {
        /// Who.
        by: InstanceId,
        /// Since when.
        since: Timestamp,
    },
    /// The lease that the caller relies on is gone.
    #[error("the lease is no longer there")]
    LeaseLost,
    /// The job is not running under this run, or not finished.
    #[error("job {0} is not the one that runs")]
    NotRunning(JobId),
    /// The task is held, done or cancelled. Everybody stops at that but a person.
    #[error("the task is not active")]
    NotActive(Box<Task>),
    /// There is no such task.
    #[error("there is no task {0}")]
    NoSuchTask(TaskKey),
    /// The instance is not registered, or is retired.
    #[error("instance {0} is not registered")]
    NoSuchInstance(InstanceId),
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] Error),
}
