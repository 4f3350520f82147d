//! The queue as it is watched: counts, live jobs, how far the log has come.
//!
//! Everything here only reads, and is asked often: each question is answered from an index whose size is that of what is
//! live, or of the tasks, never of everything that has ever ended.

use std::collections::BTreeMap;

use stagewright_engine::identity::JobId;
use stagewright_engine::job::{Job, JobState};
use stagewright_engine::name::ProducerName;
use stagewright_engine::task::Hold;

use super::task::TaskStateKind;

/// How many there are of each kind, all read in one state of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Tasks by their state. A state without tasks is left out.
    pub tasks: BTreeMap<TaskStateKind, u64>,
    /// Live jobs by their state. A state without jobs is left out.
    pub jobs: BTreeMap<LiveState, u64>,
    /// Running jobs by the producer that they run on; `None` for those that were claimed without naming one.
    pub running: BTreeMap<Option<ProducerName>, u64>,
    /// Effects that were begun and whose end nobody has written.
    pub open_effects: u64,
    /// Effects of which nobody can say whether they were done: a person has to look.
    pub unresolved_effects: u64,
}

/// The states of live jobs without what belongs to them, in the order in which a person wants to see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LiveState {
    /// Owned by one worker.
    Running,
    /// Has a verdict, and its transition is not yet completed.
    Finished,
    /// Waits for a person.
    Held,
    /// Tried again later.
    Deferred,
    /// Due, and nobody is at it.
    Queued,
}

impl LiveState {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Running, Self::Finished, Self::Held, Self::Deferred, Self::Queued];

    /// The state of a job, if it is a live one.
    pub const fn of(state: &JobState) -> Option<Self> {
        match state {
            JobState::Running { .. } => Some(Self::Running),
            JobState::Finished { .. } => Some(Self::Finished),
            JobState::Held => Some(Self::Held),
            JobState::Deferred { .. } => Some(Self::Deferred),
            JobState::Queued => Some(Self::Queued),
            JobState::Done { .. } | JobState::Failed | JobState::Cancelled | JobState::Superseded => None,
        }
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Held => "held",
            Self::Deferred => "deferred",
            Self::Queued => "queued",
        }
    }
}

/// Which live jobs are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveFilter {
    /// Only those in this state; else all, state by state in the order of [`LiveState`].
    pub state: Option<LiveState>,
    /// Only those behind this one: the last one of a page. Within a state the order is that of the ids, which is that in
    /// which the jobs were made.
    pub after: Option<(LiveState, JobId)>,
    /// At most so many.
    pub limit: u32,
}

/// A live job and what a person wants to see beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveJob {
    /// The job.
    pub job: Job,
    /// What it runs on, while it runs.
    pub producer: Option<ProducerName>,
    /// Why its task is held, if it is.
    pub hold: Option<Hold>,
}

/// How many events of each kind there are in a part of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// The place of the newest event that was counted; the `after` that was asked for if there was none.
    pub last: u64,
    /// The counts by kind.
    pub kinds: BTreeMap<String, u64>,
}
