//! Tasks: work items on their way.

use stagewright_engine::identity::TaskKey;
use stagewright_engine::name::{BranchName, CommitId, RepoName, StageName, WorkItem};
use stagewright_engine::task::{Task, TaskState};
use stagewright_engine::time::Timestamp;

use crate::error::Error;

/// A work item that begins its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// Which work item in which repository.
    pub key: TaskKey,
    /// The stage at which it begins.
    pub stage: StageName,
    /// Its branch.
    pub branch: BranchName,
    /// The time.
    pub now: Timestamp,
}

/// Which tasks are wanted. The default wants all of them, a hundred at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only those in this state.
    pub state: Option<TaskStateKind>,
    /// Only those of this repository.
    pub repo: Option<RepoName>,
    /// Only those of this work item.
    pub work_item: Option<WorkItem>,
    /// Only those on this branch.
    pub branch: Option<BranchName>,
    /// At most so many.
    pub limit: u32,
    /// Only those behind this one, in the order of repository and work item: the last one of a page.
    pub after: Option<TaskKey>,
}

impl Default for TaskFilter {
    fn default() -> Self {
        Self { state: None, repo: None, work_item: None, branch: None, limit: 100, after: None }
    }
}

/// The states of tasks without what belongs to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskStateKind {
    /// On its way.
    Active,
    /// Waits for a person.
    Held,
    /// Has reached the end of its pipeline.
    Done,
    /// Was given up.
    Cancelled,
}

impl TaskStateKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Held, Self::Done, Self::Cancelled];

    /// The kind of a state.
    pub const fn of(state: &TaskState) -> Self {
        match state {
            TaskState::Active => Self::Active,
            TaskState::Held(_) => Self::Held,
            TaskState::Done => Self::Done,
            TaskState::Cancelled => Self::Cancelled,
        }
    }

    /// Its name, in the log and wherever else it is kept.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Held => "held",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The branch's head was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObserveHead {
    /// The task.
    pub task: TaskKey,
    /// The branch's head now.
    pub head: CommitId,
    /// Stages whose report on the branch is not the one that its gate has read: for the event log.
    pub changed_reports: Vec<StageName>,
    /// The time.
    pub now: Timestamp,
}

/// Why a task was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskRefused {
    /// There is no such repository; put it first.
    #[error("there is no repository `{0}` in the store")]
    NoSuchRepo(RepoName),
    /// There is no such task.
    #[error("there is no task {0}")]
    NoSuchTask(TaskKey),
    /// It is not held, so there is nothing to resume.
    #[error("{0} is not held")]
    NotHeld(TaskKey),
    /// It is held already, done or cancelled, so there is nothing to hold.
    #[error("{} is not active", .0.key)]
    NotActive(Box<Task>),
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] Error),
}
