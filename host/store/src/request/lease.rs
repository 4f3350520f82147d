//! Transition leases: who may be in the side-effectful region of a task (O2).

use stagewright_engine::identity::{Epoch, InstanceId, TaskKey};
use stagewright_engine::name::StageName;
use stagewright_engine::time::Timestamp;

use super::effect::EffectId;
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
    /// Who wants it, for the event log.
    pub by: String,
    /// The time.
    pub now: Timestamp,
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
