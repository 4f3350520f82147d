//! The trait behind which a store stands.
//!
//! Every method is one atomic transaction: it takes effect whole and durably before it answers, or not at
//! all. A method whose future is dropped may have taken effect all the same; its condition (epoch, stage,
//! lease, key) makes it harmless to ask again.
//!
//! The trait asks for nothing that only an embedded store can do: no method spans another, none hands out a
//! transaction or a lock, and who is alive is never decided in here. Times are the caller's.

use std::collections::BTreeMap;

use async_trait::async_trait;
use stagewright_engine::identity::{Epoch, InstanceId, JobId, RunId, TaskKey};
use stagewright_engine::instance::Instance;
use stagewright_engine::job::{Job, Run};
use stagewright_engine::lease::{Lease, ProofOfDeath};
use stagewright_engine::ledger::Ledger;
use stagewright_engine::name::{BranchName, RepoName, StageName};
use stagewright_engine::task::{Hold, Task};
use stagewright_engine::time::Timestamp;

use crate::error::Error;
use crate::request::artifact::StoredArtifact;
use crate::request::conclusion::{ConcludeRefused, Conclusion, StageChange};
use crate::request::effect::{
    EffectId, EffectRecord, IntendAgain, IntendRefused, Intended, NewEffect, SettleEffect, SettleRefused,
};
use crate::request::event::Event;
use crate::request::instance::{Recovered, RetireRefused};
use crate::request::job::{Claim, ClaimNext, ClaimRefused, Claimed, EnqueueRefused, NewJob};
use crate::request::lease::{
    Fence, FenceRefused, ForceRelease, LeaseRefused, LeaveRefused, LeaveRegion, ReleaseRefused, Released,
    TakeLease,
};
use crate::request::model::{ModelCall, RoleSpending, Spending, SpendingOf};
use crate::request::queue::{EventCounts, LiveFilter, LiveJob, Overview};
use crate::request::repo::{NewRepo, Repo};
use crate::request::run::{Attachment, EndRefused, EndRun};
use crate::request::task::{NewTask, ObserveHead, TaskFilter, TaskRefused};

/// How much a handle of a store has written since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Transactions that were committed.
    pub commits: u64,
    /// Commands that those transactions answered, refusals included.
    pub commands: u64,
}

/// Durable state: tasks, jobs, runs, leases, effects, artifacts and the event log.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    // Instances: who uses the store.

    /// Makes an instance known. Must come before it claims or takes anything. Again: changes nothing.
    async fn register_instance(&self, instance: Instance) -> Result<(), Error>;

    /// The instances that are not retired, oldest first: the living, and the dead that nobody has cleared.
    async fn instances(&self) -> Result<Vec<Instance>, Error>;

    /// Notes that an instance has ended in order, or that everything of a dead one was taken over.
    /// Refused while it owns something.
    async fn retire_instance(&self, instance: InstanceId, now: Timestamp) -> Result<(), RetireRefused>;

    // Repositories and tasks.

    /// Makes a repository known, or known under another path.
    async fn put_repo(&self, repo: NewRepo) -> Result<Repo, Error>;

    /// The repository of this name.
    async fn repo(&self, name: &RepoName) -> Result<Option<Repo>, Error>;

    /// Every repository, by name.
    async fn repos(&self) -> Result<Vec<Repo>, Error>;

    /// Begins a task. One that exists is answered as it is.
    async fn add_task(&self, task: NewTask) -> Result<Task, TaskRefused>;

    /// The task of this key.
    async fn task(&self, key: &TaskKey) -> Result<Option<Task>, Error>;

    /// Tasks in the order of repository and work item.
    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<Task>, Error>;

    /// Keeps the branch's head. Decides nothing: what follows from it is the engine's to say.
    async fn observe_head(&self, observed: ObserveHead) -> Result<Task, TaskRefused>;

    /// Holds a task for a person, with its waiting job if it has one. A running job is left to its run's end, a finished
    /// one stays finished: its transition goes on when the hold is taken off. Refused unless the task is active: it may
    /// have arrived since somebody looked.
    async fn hold_task(&self, key: &TaskKey, hold: Hold, now: Timestamp) -> Result<Task, TaskRefused>;

    /// Takes the hold off a task and puts its held job back into the queue, its deferrals forgotten (J4).
    async fn resume_task(&self, key: &TaskKey, now: Timestamp) -> Result<Task, TaskRefused>;

    // Jobs and runs.

    /// Queues a job. If the task has a live one, that is answered instead of a second (J1), except that one
    /// which only waits (queued or deferred) for another stage or commit is superseded by the new one.
    async fn enqueue(&self, job: NewJob) -> Result<Job, EnqueueRefused>;

    /// Makes the caller the owner of a job and raises the task's epoch.
    async fn claim(&self, claim: Claim) -> Result<Claimed, ClaimRefused>;

    /// Claims the oldest due job that the limits allow. `None` if there is none. Jobs of a task in whose
    /// side-effectful region somebody is are passed over.
    async fn claim_next(&self, claim: ClaimNext) -> Result<Option<Claimed>, Error>;

    /// Ends a run without writing a stage.
    async fn end_run(&self, end: EndRun) -> Result<(), EndRefused>;

    /// The job of this id.
    async fn job(&self, id: JobId) -> Result<Option<Job>, Error>;

    /// The task's live job: queued, running, deferred, held or finished.
    async fn live_job(&self, task: &TaskKey) -> Result<Option<Job>, Error>;

    /// The run of this id.
    async fn run(&self, id: RunId) -> Result<Option<Run>, Error>;

    /// The runs of a job, oldest first.
    async fn runs(&self, job: JobId) -> Result<Vec<Run>, Error>;

    /// The newest run for a stage of a task.
    async fn last_run(&self, task: &TaskKey, stage: &StageName) -> Result<Option<Run>, Error>;

    /// What the host saw a run do. `None` while it runs, and for a run whose owner died.
    async fn ledger(&self, run: RunId) -> Result<Option<Ledger>, Error>;

    /// What a run attached.
    async fn attachments(&self, run: RunId) -> Result<Vec<Attachment>, Error>;

    // Artifacts.

    /// The newest artifact of a stage of a task.
    async fn artifact(&self, task: &TaskKey, stage: &StageName) -> Result<Option<StoredArtifact>, Error>;

    /// The artifact of a run.
    async fn artifact_of_run(&self, run: RunId) -> Result<Option<StoredArtifact>, Error>;

    /// The newest artifact of a stage among the tasks of a branch, whichever work item it is of.
    async fn artifact_on_branch(
        &self,
        repo: &RepoName,
        branch: &BranchName,
        stage: &StageName,
    ) -> Result<Option<StoredArtifact>, Error>;

    // Language models.

    /// Keeps a call that has ended. Refused for a task that is not there.
    async fn write_model_call(&self, call: ModelCall) -> Result<(), Error>;

    /// What calls have cost.
    async fn spending(&self, of: SpendingOf) -> Result<Spending, Error>;

    /// What calls have cost by role, stage and producer, in this order.
    async fn spending_by_role(&self) -> Result<Vec<RoleSpending>, Error>;

    // Transitions. Only these two write a stage.

    /// A run's verdict and the stage that follows from it.
    async fn conclude(&self, conclusion: Conclusion) -> Result<Task, ConcludeRefused>;

    /// A stage without a run's end: a rollback, a person's move, or the transition of a finished job.
    async fn move_stage(&self, change: StageChange) -> Result<Task, ConcludeRefused>;

    /// Enters the side-effectful region of a task, if it is at the expected stage and nobody else is in it, or in one
    /// with effects of its repository where this one has some (X3). Raises the epoch.
    async fn take_lease(&self, take: TakeLease) -> Result<Lease, LeaseRefused>;

    /// Leaves the region without having written a stage.
    async fn release_lease(&self, lease: &Lease, now: Timestamp) -> Result<(), ReleaseRefused>;

    /// Leaves the region without having written a stage, and says what becomes of the finished job whose transition
    /// this was.
    async fn leave_region(&self, leave: LeaveRegion) -> Result<(), LeaveRefused>;

    /// Raises the epoch of a task, so that whoever owns its job or its transition can write nothing any more.
    async fn fence(&self, fence: Fence) -> Result<Epoch, FenceRefused>;

    /// All leases that are held.
    async fn leases(&self) -> Result<Vec<Lease>, Error>;

    /// The task's lease.
    async fn lease(&self, task: &TaskKey) -> Result<Option<Lease>, Error>;

    /// Takes a lease away from an owner that may be alive, raises the epoch, and marks what was begun under
    /// it unresolved. A person's act.
    async fn force_release(&self, force: ForceRelease) -> Result<Released, ReleaseRefused>;

    // Effects.

    /// Writes down that an outside act is about to be done, before it is done. Refused unless the lease holds.
    async fn intend(&self, effect: NewEffect) -> Result<Intended, IntendRefused>;

    /// Writes down that an act which the journal knows is about to be done again. Refused for one that was done or that
    /// nobody can say of.
    async fn intend_again(&self, again: IntendAgain) -> Result<EffectRecord, IntendRefused>;

    /// Writes down how an act ended, or that nobody can say.
    async fn settle(&self, settle: SettleEffect) -> Result<EffectRecord, SettleRefused>;

    /// The effect of this id.
    async fn effect(&self, id: EffectId) -> Result<Option<EffectRecord>, Error>;

    /// The effects of a task, oldest first.
    async fn effects(&self, task: &TaskKey) -> Result<Vec<EffectRecord>, Error>;

    /// Effects of all tasks that a person has to look at, oldest first.
    async fn unresolved_effects(&self, limit: u32) -> Result<Vec<EffectRecord>, Error>;

    // Recovery.

    /// Running jobs, those that run the longest first: of one instance, or all.
    async fn running_jobs(&self, instance: Option<InstanceId>) -> Result<Vec<Job>, Error>;

    /// Finished jobs whose transition can be completed now, oldest first (J6, second tier): those whose task is active,
    /// in whose region nobody is, and that are not put off to a later time.
    async fn finished_jobs(&self, now: Timestamp, limit: u32) -> Result<Vec<Job>, Error>;

    /// Takes the lease of a dead owner away and raises the epoch. Refused if the lease is not the dead one's.
    async fn reclaim(
        &self,
        task: &TaskKey,
        proof: &ProofOfDeath,
        now: Timestamp,
    ) -> Result<Epoch, ReleaseRefused>;

    /// Requeues every running job of a dead instance and releases its leases, raising the epoch of each task.
    async fn requeue_from_dead(&self, proof: &ProofOfDeath, now: Timestamp) -> Result<Recovered, Error>;

    // The log.

    /// Events behind `after` (0: from the beginning), oldest first.
    async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>, Error>;

    /// The place of the newest event; 0 if there is none.
    async fn last_event(&self) -> Result<u64, Error>;

    /// How many events of each kind there are behind `after`.
    async fn event_counts(&self, after: u64) -> Result<EventCounts, Error>;

    // What is watched. Only read, and asked often.

    /// How many there are of each kind.
    async fn overview(&self) -> Result<Overview, Error>;

    /// Live jobs, page by page.
    async fn live_jobs(&self, filter: LiveFilter) -> Result<Vec<LiveJob>, Error>;

    /// The newest jobs of a task, the newest first: live and ended ones.
    async fn jobs_of(&self, task: &TaskKey, limit: u32) -> Result<Vec<Job>, Error>;

    /// How many tasks are held, by the code of the fault that holds them.
    async fn held_by_fault(&self) -> Result<BTreeMap<String, u64>, Error>;

    /// How much was written by this handle since it was opened.
    fn metrics(&self) -> Metrics;
}
