//! Transition leases: who may be in the side-effectful region of a task (O2).

use serde_json::{Value, json};
use stagewright_engine::identity::{Epoch, InstanceId, JobId, TaskKey};
use stagewright_engine::lease::Lease;
use stagewright_engine::name::StageName;
use stagewright_engine::outcome::Fault;
use stagewright_engine::task::Hold;
use stagewright_engine::time::Timestamp;

use super::effect::EffectId;
use super::event::NewEvent;
use super::job::Deference;
use crate::error::Error;

/// An actor wants to enter the region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeLease {
    /// The task.
    pub task: TaskKey,
    /// The stage at which the actor believes it to be.
    pub expected_stage: StageName,
    /// The epoch that the actor has seen.
    pub epoch: Epoch,
    /// Who will own the lease. Must be registered and not retired.
    pub owner: InstanceId,
    /// Whether edge effects are to be done under it: then nobody else in the task's repository may hold such a lease
    /// (X3).
    pub exclusive: bool,
    /// Whether it waits for whoever is in the region. To nobody: a lease that is there is taken over, and its owner is
    /// fenced by the epoch (O8).
    pub deference: Deference,
    /// The time.
    pub now: Timestamp,
}

/// Why no lease was given. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseRefused {
    /// Somebody has it.
    #[error("instance {by} holds the lease since {}", since.as_millis())]
    Owned {
        /// Who.
        by: InstanceId,
        /// Since when.
        since: Timestamp,
    },
    /// A person has the task, or it has ended: nothing is done for it.
    #[error("the task is not active")]
    NotActive,
    /// Somebody does effects of another task of the repository.
    #[error("instance {by} does effects of {task} since {}", since.as_millis())]
    RegionBusy {
        /// Of which task.
        task: TaskKey,
        /// Who.
        by: InstanceId,
        /// Since when.
        since: Timestamp,
    },
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

/// The region is left before the stage could be written. The finished job stays the task's live one, and whoever
/// finds it due goes on with its transition.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaveRegion {
    /// The lease; it is released.
    pub lease: Lease,
    /// The finished job whose transition it was for.
    pub job: JobId,
    /// Why, and what becomes of it.
    pub leaving: Leaving,
    /// Further events.
    pub events: Vec<NewEvent>,
    /// The time.
    pub now: Timestamp,
}

/// What becomes of a transition that was not completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It is tried again; one deferral of the job is spent.
    Deferred {
        /// Not before this time.
        until: Timestamp,
        /// Why.
        fault: Fault,
    },
    /// The task is held for a person.
    Held(Hold),
}

impl Leaving {
    /// What the log says of it.
    pub(crate) fn event(&self) -> (&'static str, Value) {
        match self {
            Self::Deferred { until, fault } => {
                ("transition-deferred", json!({ "fault": fault.code, "until": until }))
            }
            Self::Held(hold) => ("transition-held", json!({ "fault": hold.fault.code })),
        }
    }
}

/// A task's epoch is raised, so that whoever owns its job or its transition can write nothing any more (O5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The task.
    pub task: TaskKey,
    /// The epoch that the caller has seen.
    pub epoch: Epoch,
    /// Why, for the event log.
    pub reason: String,
    /// The time.
    pub now: Timestamp,
}

/// Why a task was not fenced. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FenceRefused {
    /// Somebody has owned the task in the meantime.
    #[error("the task has epoch {actual}")]
    EpochMoved {
        /// The epoch that it has.
        actual: Epoch,
    },
    /// There is no such task.
    #[error("there is no task {0}")]
    NoSuchTask(TaskKey),
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Why the region was not left in this way. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaveRefused {
    /// The lease that the caller relies on is gone.
    #[error("the lease is no longer there")]
    LeaseLost,
    /// The job is not a finished one of this task.
    #[error("job {0} is not the one whose transition this is")]
    NotFinished(JobId),
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Why a lease was not given back or taken away. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseRefused {
    /// The lease is not there, or is another one by now.
    #[error("the lease is no longer there")]
    Gone,
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] Error),
}

/// A person takes a lease away from an owner that may be alive (O7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForceRelease {
    /// The task.
    pub task: TaskKey,
    /// The epoch of the lease that was seen: one that was taken since is not meant.
    pub epoch: Epoch,
    /// Who wants it, for the event log.
    pub by: String,
    /// The time.
    pub now: Timestamp,
}

impl ForceRelease {
    /// Why the effects that were begun under the lease are unresolved.
    pub(crate) fn reason(&self) -> String {
        format!("its lease was released by force, by {}", self.by)
    }
}

/// A lease that was taken away by force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// Whose it was. Their work has yet to be ended.
    pub owner: InstanceId,
    /// The task's new epoch.
    pub epoch: Epoch,
    /// Effects that had been begun and not settled; now unresolved.
    pub unresolved: Vec<EffectId>,
}
