//! Jobs: queued, claimed by one worker, and limited in how many run at once.

use stagewright_engine::identity::{Epoch, InstanceId, JobId, RunId, TaskKey};
use stagewright_engine::job::{Job, JobState};
use stagewright_engine::name::{CommitId, ProducerName, RepoName, StageName};
use stagewright_engine::task::Task;
use stagewright_engine::time::Timestamp;

use crate::error::Error;

/// A job to be queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Its id, made by the caller.
    pub id: JobId,
    /// The task.
    pub task: TaskKey,
    /// The stage whose artifact is wanted. The task must be at it.
    pub stage: StageName,
    /// The commit to be examined.
    pub commit: CommitId,
    /// The time; the job is due from now on.
    pub now: Timestamp,
}

impl NewJob {
    /// The job that it becomes, as every store writes it, after so many attempts of its task.
    pub(crate) fn queued(&self, attempts_spent: u32) -> Job {
        Job {
            id: self.id,
            task: self.task.clone(),
            stage: self.stage.clone(),
            commit: self.commit.clone(),
            state: JobState::Queued,
            deferrals: 0,
            attempt: attempts_spent.saturating_add(1),
            created: self.now,
            updated: self.now,
        }
    }
}

/// Why nothing was queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnqueueRefused {
    /// There is no such task.
    #[error("there is no task {0}")]
    NoSuchTask(TaskKey),
    /// The task is at another stage.
    #[error("the task is at `{actual}`")]
    StageMoved {
        /// Where it is.
        actual: StageName,
    },
    /// The task is held, done or cancelled.
    #[error("the task is not active")]
    NotActive(Box<Task>),
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] Error),
}

/// How many jobs may run at once. Counted in the store, so two processes on one store agree (J2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// On the whole store.
    pub host: u32,
    /// Of one producer: the one that this job would run on, and its limit.
    pub producer: Option<(ProducerName, u32)>,
}

/// A worker wants to run a certain job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub job: JobId,
    /// The stage at which the worker believes the task to be.
    pub expected_stage: StageName,
    /// Who will own the job. Must be registered and not retired.
    pub instance: InstanceId,
    /// The new run's id, made by the caller.
    pub run: RunId,
    /// Whether a deferred job is taken before its time.
    pub due: Due,
    /// Whether it waits for whoever is in the task's transition.
    pub deference: Deference,
    /// The time.
    pub now: Timestamp,
    /// The limits.
    pub limits: Limits,
}

/// When a deferred job may be claimed. Its deferrals stay counted either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Due {
    /// Not before its time.
    InTime,
    /// At once: a person asks for it.
    AtOnce,
}

/// Whether an actor defers to the owner of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deference {
    /// While somebody holds the task's lease, its job is not claimed.
    ToOwner,
    /// To nobody: the operator has switched it off (O8). The claim's epoch fences whoever holds the lease.
    ToNobody,
}

/// A worker wants the oldest due job that it may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNext {
    /// Who will own the job.
    pub instance: InstanceId,
    /// The new run's id, made by the caller. Not used up if nothing is claimed.
    pub run: RunId,
    /// The time.
    pub now: Timestamp,
    /// How many jobs may run at once on the whole store.
    pub host_limit: u32,
    /// The stages whose jobs the worker takes, and what each would run on. Others are left alone.
    pub lanes: Vec<Lane>,
}

/// The jobs of one stage in some repositories, and the limit that they are under. Which producer a stage has can
/// differ from one repository to the next: by their pipelines, and by the scope of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// The stage.
    pub stage: StageName,
    /// The repositories; `None` for all.
    pub repos: Option<Vec<RepoName>>,
    /// The producer that its jobs run on.
    pub producer: ProducerName,
    /// How many jobs of this producer may run at once.
    pub limit: u32,
}

/// A job that is now owned by the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The job, running.
    pub job: Job,
    /// The task with its new epoch.
    pub task: Task,
    /// The epoch of this claim: what the worker writes is conditional on it.
    pub epoch: Epoch,
}

/// Why a job was not claimed. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefused {
    /// Somebody is at the task: its job runs, or a transition is under way.
    #[error("instance {owner} is at it since {}", since.as_millis())]
    Busy {
        /// Who it is.
        owner: InstanceId,
        /// The run; `None` if it is a transition.
        run: Option<RunId>,
        /// Since when.
        since: Timestamp,
    },
    /// The task, or the job, is for another stage than the caller believes.
    #[error("the task is at `{actual}`")]
    StageMoved {
        /// Where the task is.
        actual: StageName,
    },
    /// The job waits for a later time.
    #[error("the job is not due before {}", until.as_millis())]
    NotDue {
        /// When it is due.
        until: Timestamp,
    },
    /// So many jobs run already as may run at once.
    #[error("{running} of at most {limit} jobs are running")]
    LimitReached {
        /// The producer whose limit it is; `None` for the host's.
        producer: Option<ProducerName>,
        /// How many run.
        running: u32,
        /// How many may.
        limit: u32,
    },
    /// The task or the job is held for a person.
    #[error("the task is held")]
    Held,
    /// The job has ended, or its work has.
    #[error("the job has ended")]
    Ended,
    /// There is no such job.
    #[error("there is no job {0}")]
    NoSuchJob(JobId),
    /// The instance is not registered, or is retired.
    #[error("instance {0} is not registered")]
    NoSuchInstance(InstanceId),
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] Error),
}
