//! The store in one SQLite file on a local disk (D1).
//!
//! ```text
//! open         every check before the first change, the lock on the schema, migrations
//! filesystem   is it a network file system?
//! writer       the one writing thread, group commit
//! readers      a pool of connections that cannot write
//! stage        the one statement that writes a stage
//! task job run lease effect artifact model repo instance event recovery queue
//!              the rows, and the conditions of each change
//! ```
//!
//! Several processes may use one file: each write is an immediate transaction that waits for its turn, and
//! every limit and claim is a row. Nothing that matters is kept in memory.

use std::collections::BTreeMap;
use std::path::Path;

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
use crate::store::{Metrics, Store};

mod artifact;
mod columns;
mod effect;
mod event;
mod failure;
mod filesystem;
mod instance;
mod job;
mod lease;
mod model;
mod open;
mod queue;
mod readers;
mod recovery;
mod repo;
mod run;
mod stage;
mod task;
mod writer;

pub use open::{Commit, OpenError, Options};

use readers::Readers;
use writer::Writer;

/// A store in one file. Cloning gives another handle of the same one.
///
/// When the last handle is dropped, what waits is still written, then the file is closed.
#[derive(Clone)]
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
}

impl SqliteStore {
    /// Opens the store in the file at `path`, making it if it is missing. Its folder must exist.
    ///
    /// Blocks for as long as another process is making or migrating the schema, at most
    /// [`Options::migration_wait`]. Whatever error it gives, nothing on the disk was changed.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let opened = open::open(path, &options)?;
        let readers = Readers::new(opened.path.clone(), options.readers, options.busy);
        let (again, busy) = (opened.path.clone(), options.busy);
        let reopen = Box::new(move || open::connect(&again, busy));
        let writer = Writer::start(opened.conn, reopen, busy, opened.lock, options.at_commit)
            .map_err(|source| OpenError::Inaccessible { path: opened.path, source })?;
        Ok(Self { writer, readers })
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn register_instance(&self, instance: Instance) -> Result<(), Error> {
        self.writer.write(move |batch| instance::register(batch, &instance)).await
    }

    async fn instances(&self) -> Result<Vec<Instance>, Error> {
        self.readers.read(instance::all).await
    }

    async fn retire_instance(&self, instance: InstanceId, now: Timestamp) -> Result<(), RetireRefused> {
        self.writer.write(move |batch| instance::retire(batch, instance, now)).await
    }

    async fn put_repo(&self, repo: NewRepo) -> Result<Repo, Error> {
        self.writer.write(move |batch| repo::put(batch, &repo)).await
    }

    async fn repo(&self, name: &RepoName) -> Result<Option<Repo>, Error> {
        let name = name.clone();
        self.readers.read(move |conn| Ok(repo::get(conn, &name)?)).await
    }

    async fn repos(&self) -> Result<Vec<Repo>, Error> {
        self.readers.read(|conn| Ok(repo::all(conn)?)).await
    }

    async fn add_task(&self, task: NewTask) -> Result<Task, TaskRefused> {
        self.writer.write(move |batch| task::add(batch, &task)).await
    }

    async fn task(&self, key: &TaskKey) -> Result<Option<Task>, Error> {
        let key = key.clone();
        self.readers.read(move |conn| Ok(task::find(conn, &key)?.map(|found| found.task))).await
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<Task>, Error> {
        self.readers.read(move |conn| task::list(conn, &filter)).await
    }

    async fn observe_head(&self, observed: ObserveHead) -> Result<Task, TaskRefused> {
        self.writer.write(move |batch| task::observe_head(batch, &observed)).await
    }

    async fn hold_task(&self, key: &TaskKey, hold: Hold, now: Timestamp) -> Result<Task, TaskRefused> {
        let key = key.clone();
        self.writer.write(move |batch| task::hold(batch, &key, &hold, now)).await
    }

    async fn resume_task(&self, key: &TaskKey, now: Timestamp) -> Result<Task, TaskRefused> {
        let key = key.clone();
        self.writer.write(move |batch| task::resume(batch, &key, now)).await
    }

    async fn enqueue(&self, job: NewJob) -> Result<Job, EnqueueRefused> {
        self.writer.write(move |batch| job::enqueue(batch, &job)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, ClaimRefused> {
        self.writer.write(move |batch| job::claim(batch, &claim)).await
    }

    async fn claim_next(&self, claim: ClaimNext) -> Result<Option<Claimed>, Error> {
        self.writer.write(move |batch| job::claim_next(batch, &claim)).await
    }

    async fn end_run(&self, end: EndRun) -> Result<(), EndRefused> {
        self.writer.write(move |batch| run::end(batch, &end)).await
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, Error> {
        self.readers.read(move |conn| Ok(job::find(conn, id)?.map(|found| found.job))).await
    }

    async fn live_job(&self, task: &TaskKey) -> Result<Option<Job>, Error> {
        let key = task.clone();
        self.readers.read(move |conn| job::live_of(conn, &key)).await
    }

    async fn run(&self, id: RunId) -> Result<Option<Run>, Error> {
        self.readers.read(move |conn| run::find(conn, id)).await
    }

    async fn runs(&self, job: JobId) -> Result<Vec<Run>, Error> {
        self.readers.read(move |conn| run::of_job(conn, job)).await
    }

    async fn last_run(&self, task: &TaskKey, stage: &StageName) -> Result<Option<Run>, Error> {
        let (key, stage) = (task.clone(), stage.clone());
        self.readers.read(move |conn| run::last(conn, &key, &stage)).await
    }

    async fn ledger(&self, run: RunId) -> Result<Option<Ledger>, Error> {
        self.readers.read(move |conn| run::ledger(conn, run)).await
    }

    async fn attachments(&self, run: RunId) -> Result<Vec<Attachment>, Error> {
        self.readers.read(move |conn| run::attachments(conn, run)).await
    }

    async fn artifact(&self, task: &TaskKey, stage: &StageName) -> Result<Option<StoredArtifact>, Error> {
        let (key, stage) = (task.clone(), stage.clone());
        self.readers.read(move |conn| artifact::newest(conn, &key, &stage)).await
    }

    async fn artifact_on_branch(
        &self,
        repo: &RepoName,
        branch: &BranchName,
        stage: &StageName,
    ) -> Result<Option<StoredArtifact>, Error> {
        let (repo, branch, stage) = (repo.clone(), branch.clone(), stage.clone());
        self.readers.read(move |conn| artifact::on_branch(conn, &repo, &branch, &stage)).await
    }

    async fn artifact_of_run(&self, run: RunId) -> Result<Option<StoredArtifact>, Error> {
        self.readers.read(move |conn| artifact::of_run(conn, run)).await
    }

    async fn write_model_call(&self, call: ModelCall) -> Result<(), Error> {
        self.writer.write(move |batch| model::write(batch, &call)).await
    }

    async fn spending(&self, of: SpendingOf) -> Result<Spending, Error> {
        self.readers.read(move |conn| model::spending(conn, &of)).await
    }

    async fn spending_by_role(&self) -> Result<Vec<RoleSpending>, Error> {
        self.readers.read(model::by_role).await
    }

    async fn conclude(&self, conclusion: Conclusion) -> Result<Task, ConcludeRefused> {
        self.writer.write(move |batch| stage::conclude(batch, &conclusion)).await
    }

    async fn move_stage(&self, change: StageChange) -> Result<Task, ConcludeRefused> {
        self.writer.write(move |batch| stage::move_stage(batch, &change)).await
    }

    async fn take_lease(&self, take: TakeLease) -> Result<Lease, LeaseRefused> {
        self.writer.write(move |batch| lease::take(batch, &take)).await
    }

    async fn release_lease(&self, lease: &Lease, now: Timestamp) -> Result<(), ReleaseRefused> {
        let lease = lease.clone();
        self.writer.write(move |batch| lease::release(batch, &lease, now)).await
    }

    async fn leave_region(&self, leave: LeaveRegion) -> Result<(), LeaveRefused> {
        self.writer.write(move |batch| lease::leave(batch, &leave)).await
    }

    async fn fence(&self, fence: Fence) -> Result<Epoch, FenceRefused> {
        self.writer.write(move |batch| lease::fence(batch, &fence)).await
    }

    async fn leases(&self) -> Result<Vec<Lease>, Error> {
        self.readers.read(lease::all).await
    }

    async fn lease(&self, task: &TaskKey) -> Result<Option<Lease>, Error> {
        let key = task.clone();
        self.readers.read(move |conn| lease::of_key(conn, &key)).await
    }

    async fn force_release(&self, force: ForceRelease) -> Result<Released, ReleaseRefused> {
        self.writer.write(move |batch| lease::force_release(batch, &force)).await
    }

    async fn intend(&self, effect: NewEffect) -> Result<Intended, IntendRefused> {
        self.writer.write(move |batch| effect::intend(batch, &effect)).await
    }

    async fn intend_again(&self, again: IntendAgain) -> Result<EffectRecord, IntendRefused> {
        self.writer.write(move |batch| effect::intend_again(batch, &again)).await
    }

    async fn settle(&self, settle: SettleEffect) -> Result<EffectRecord, SettleRefused> {
        self.writer.write(move |batch| effect::settle(batch, &settle)).await
    }

    async fn effect(&self, id: EffectId) -> Result<Option<EffectRecord>, Error> {
        self.readers.read(move |conn| effect::find(conn, id)).await
    }

    async fn effects(&self, task: &TaskKey) -> Result<Vec<EffectRecord>, Error> {
        let key = task.clone();
        self.readers.read(move |conn| effect::of_task(conn, &key)).await
    }

    async fn unresolved_effects(&self, limit: u32) -> Result<Vec<EffectRecord>, Error> {
        self.readers.read(move |conn| effect::unresolved(conn, limit)).await
    }

    async fn running_jobs(&self, instance: Option<InstanceId>) -> Result<Vec<Job>, Error> {
        self.readers.read(move |conn| job::running(conn, instance)).await
    }

    async fn finished_jobs(&self, now: Timestamp, limit: u32) -> Result<Vec<Job>, Error> {
        self.readers.read(move |conn| job::finished(conn, now, limit)).await
    }

    async fn reclaim(
        &self,
        task: &TaskKey,
        proof: &ProofOfDeath,
        now: Timestamp,
    ) -> Result<Epoch, ReleaseRefused> {
        let (key, dead) = (task.clone(), proof.instance());
        self.writer.write(move |batch| lease::reclaim(batch, &key, dead, now)).await
    }

    async fn requeue_from_dead(&self, proof: &ProofOfDeath, now: Timestamp) -> Result<Recovered, Error> {
        let dead = proof.instance();
        self.writer.write(move |batch| recovery::requeue_from_dead(batch, dead, now)).await
    }

    async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>, Error> {
        self.readers.read(move |conn| event::after(conn, after, limit)).await
    }

    async fn last_event(&self) -> Result<u64, Error> {
        self.readers.read(queue::last_event).await
    }

    async fn event_counts(&self, after: u64) -> Result<EventCounts, Error> {
        self.readers.read(move |conn| queue::event_counts(conn, after)).await
    }

    async fn overview(&self) -> Result<Overview, Error> {
        self.readers.read(queue::overview).await
    }

    async fn live_jobs(&self, filter: LiveFilter) -> Result<Vec<LiveJob>, Error> {
        self.readers.read(move |conn| queue::live(conn, &filter)).await
    }

    async fn jobs_of(&self, task: &TaskKey, limit: u32) -> Result<Vec<Job>, Error> {
        let key = task.clone();
        self.readers.read(move |conn| queue::jobs_of(conn, &key, limit)).await
    }

    async fn held_by_fault(&self) -> Result<BTreeMap<String, u64>, Error> {
        self.readers.read(queue::held_by_fault).await
    }

    fn metrics(&self) -> Metrics {
        self.writer.metrics()
    }
}
