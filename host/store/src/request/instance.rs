//! Instances: who has used this store, and what the dead have left.

use stagewright_engine::identity::{InstanceId, TaskKey};
use stagewright_engine::job::Job;
use stagewright_engine::lease::Lease;

use crate::error::Error;

/// Why an instance can't be retired.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetireRefused {
    /// It still owns something; give that up first.
    #[error("instance {instance} still owns {jobs} running jobs and {leases} leases")]
    StillOwns {
        /// The instance.
        instance: InstanceId,
        /// Running jobs.
        jobs: u32,
        /// Leases.
        leases: u32,
    },
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] Error),
}

/// What was taken from a dead instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Its running jobs, now queued.
    pub requeued: Vec<Job>,
    /// Its leases, now released.
    pub leases: Vec<Lease>,
    /// Tasks that have effects whose end nobody has recorded; the rule of effects decides about them.
    pub open_effects: Vec<TaskKey>,
}
