//! The append-only event log: the audit trail of every change.
//!
//! Each change writes its own event in the same transaction. A caller may add events of its own to a
//! request; they are written only if the change takes place.

use serde_json::Value;
use stagewright_engine::identity::{Epoch, JobId, RunId, TaskKey};
use stagewright_engine::time::Timestamp;

/// An event that a caller adds to its change. Task, job, run, epoch and time come from the change itself.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Stable, kebab-case, such as `advisory-written`.
    pub kind: String,
    /// Further facts; never a secret.
    pub detail: Value,
}

/// An event in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place in the log: higher is later, without promise of being gapless.
    pub seq: u64,
    /// When the change was made, by the clock of whoever asked for it.
    pub at: Timestamp,
    /// What kind of change it was, such as `job-claimed`.
    pub kind: String,
    /// The task, if it belongs to one.
    pub task: Option<TaskKey>,
    /// The job, if it belongs to one.
    pub job: Option<JobId>,
    /// The run, if it belongs to one.
    pub run: Option<RunId>,
    /// The task's epoch after the change.
    pub epoch: Option<Epoch>,
    /// Further facts.
    pub detail: Value,
}
