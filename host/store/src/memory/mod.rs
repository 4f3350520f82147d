//! The store in memory: for simulations and tests, where a disk would only cost time.
//!
//! ```text
//! state    the maps, and the few changes that everything else is made of
//! task job stage lease effect model queue
//!          the conditions of each change
//! ```
//!
//! Every method holds one lock from its first look to its last write, and compares everything before it changes
//! anything, so that a refusal leaves nothing behind. It passes the suite that every store must pass, events
//! included.
//!
//! It refuses to keep anything: what is in it ends with its last handle.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::json;
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

mod effect;
mod job;
mod lease;
mod model;
mod queue;
mod stage;
mod state;
mod task;

use state::{Known, State, Subject};

/// A store in memory. Cloning gives another handle of the same one.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

impl MemoryStore {
    /// A new and empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing is changed before everything is compared, so what a panic leaves behind is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn register_instance(&self, instance: Instance) -> Result<(), Error> {
        let mut state = self.state();
        if !state.instances.contains_key(&instance.id) {
            let (id, started) = (instance.id, instance.started);
            state.instances.insert(id, Known { instance, retired: false });
            state.write_event(&Subject::nothing(started), "instance-registered", json!({ "instance": id }));
        }
        Ok(())
    }

    async fn instances(&self) -> Result<Vec<Instance>, Error> {
        let state = self.state();
        let known = state.instances.values().filter(|known| !known.retired);
        let mut instances: Vec<Instance> = known.map(|known| known.instance.clone()).collect();
        instances.sort_by_key(|instance| (instance.started, instance.id));
        Ok(instances)
    }

    async fn retire_instance(&self, instance: InstanceId, now: Timestamp) -> Result<(), RetireRefused> {
        self.state().retire_instance(instance, now)
    }

    async fn put_repo(&self, repo: NewRepo) -> Result<Repo, Error> {
        Ok(self.state().put_repo(repo))
    }

    async fn repo(&self, name: &RepoName) -> Result<Option<Repo>, Error> {
        Ok(self.state().repos.get(name).cloned())
    }

    async fn repos(&self) -> Result<Vec<Repo>, Error> {
        Ok(self.state().repos.values().cloned().collect())
    }

    async fn add_task(&self, task: NewTask) -> Result<Task, TaskRefused> {
        self.state().add_task(task)
    }

    async fn task(&self, key: &TaskKey) -> Result<Option<Task>, Error> {
        Ok(self.state().tasks.get(key).cloned())
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<Task>, Error> {
        Ok(self.state().list_tasks(&filter))
    }

    async fn observe_head(&self, observed: ObserveHead) -> Result<Task, TaskRefused> {
        self.state().observe_head(observed)
    }

    async fn hold_task(&self, key: &TaskKey, hold: Hold, now: Timestamp) -> Result<Task, TaskRefused> {
        self.state().hold_task(key, hold, now)
    }

    async fn resume_task(&self, key: &TaskKey, now: Timestamp) -> Result<Task, TaskRefused> {
        self.state().resume_task(key, now)
    }

    async fn enqueue(&self, job: NewJob) -> Result<Job, EnqueueRefused> {
        self.state().enqueue(&job)
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, ClaimRefused> {
        self.state().claim(&claim)
    }

    async fn claim_next(&self, claim: ClaimNext) -> Result<Option<Claimed>, Error> {
        self.state().claim_next(&claim)
    }

    async fn end_run(&self, end: EndRun) -> Result<(), EndRefused> {
        self.state().end_run(&end)
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, Error> {
        Ok(self.state().jobs.get(&id).map(|kept| kept.job.clone()))
    }

    async fn live_job(&self, task: &TaskKey) -> Result<Option<Job>, Error> {
        Ok(self.state().live_job(task).cloned())
    }

    async fn run(&self, id: RunId) -> Result<Option<Run>, Error> {
        Ok(self.state().runs.get(&id).map(|attempt| attempt.run.clone()))
    }

    async fn runs(&self, job: JobId) -> Result<Vec<Run>, Error> {
        let state = self.state();
        let of_it = state.runs.values().filter(|attempt| attempt.run.job == job);
        let mut runs: Vec<Run> = of_it.map(|attempt| attempt.run.clone()).collect();
        runs.sort_by_key(|run| (run.started, run.id));
        Ok(runs)
    }

    async fn last_run(&self, task: &TaskKey, stage: &StageName) -> Result<Option<Run>, Error> {
        let state = self.state();
        let of_it = state.runs.values().map(|attempt| &attempt.run).filter(|run| {
            let job = state.jobs.get(&run.job).map(|kept| &kept.job);
            job.is_some_and(|job| job.task == *task && job.stage == *stage)
        });
        Ok(of_it.max_by_key(|run| (run.started, run.id)).cloned())
    }

    async fn ledger(&self, run: RunId) -> Result<Option<Ledger>, Error> {
        Ok(self.state().runs.get(&run).and_then(|attempt| attempt.ledger.clone()))
    }

    async fn attachments(&self, run: RunId) -> Result<Vec<Attachment>, Error> {
        Ok(self.state().runs.get(&run).map(|attempt| attempt.attachments.clone()).unwrap_or_default())
    }

    async fn artifact(&self, task: &TaskKey, stage: &StageName) -> Result<Option<StoredArtifact>, Error> {
        Ok(self.state().newest_artifact(|stored| stored.task == *task && stored.stage == *stage))
    }

    async fn artifact_of_run(&self, run: RunId) -> Result<Option<StoredArtifact>, Error> {
        Ok(self.state().artifacts.get(&run).cloned())
    }

    async fn artifact_on_branch(
        &self,
        repo: &RepoName,
        branch: &BranchName,
        stage: &StageName,
    ) -> Result<Option<StoredArtifact>, Error> {
        let state = self.state();
        Ok(state.newest_artifact(|stored| {
            let task = state.tasks.get(&stored.task);
            stored.stage == *stage
                && task.is_some_and(|task| task.key.repo == *repo && task.branch == *branch)
        }))
    }

    async fn write_model_call(&self, call: ModelCall) -> Result<(), Error> {
        self.state().write_model_call(call)
    }

    async fn spending(&self, of: SpendingOf) -> Result<Spending, Error> {
        Ok(self.state().spending(&of))
    }

    async fn spending_by_role(&self) -> Result<Vec<RoleSpending>, Error> {
        Ok(self.state().spending_by_role())
    }

    async fn conclude(&self, conclusion: Conclusion) -> Result<Task, ConcludeRefused> {
        self.state().conclude(&conclusion)
    }

    async fn move_stage(&self, change: StageChange) -> Result<Task, ConcludeRefused> {
        self.state().move_stage(&change)
    }

    async fn take_lease(&self, take: TakeLease) -> Result<Lease, LeaseRefused> {
        self.state().take_lease(take)
    }

    async fn release_lease(&self, lease: &Lease, now: Timestamp) -> Result<(), ReleaseRefused> {
        self.state().release_lease(lease, now)
    }

    async fn leave_region(&self, leave: LeaveRegion) -> Result<(), LeaveRefused> {
        self.state().leave_region(&leave)
    }

    async fn fence(&self, fence: Fence) -> Result<Epoch, FenceRefused> {
        self.state().fence(&fence)
    }

    async fn leases(&self) -> Result<Vec<Lease>, Error> {
        Ok(self.state().all_leases())
    }

    async fn lease(&self, task: &TaskKey) -> Result<Option<Lease>, Error> {
        Ok(self.state().leases.get(task).cloned())
    }

    async fn force_release(&self, force: ForceRelease) -> Result<Released, ReleaseRefused> {
        self.state().force_release(&force)
    }

    async fn intend(&self, effect: NewEffect) -> Result<Intended, IntendRefused> {
        self.state().intend(effect)
    }

    async fn intend_again(&self, again: IntendAgain) -> Result<EffectRecord, IntendRefused> {
        self.state().intend_again(&again)
    }

    async fn settle(&self, settle: SettleEffect) -> Result<EffectRecord, SettleRefused> {
        self.state().settle(settle)
    }

    async fn effect(&self, id: EffectId) -> Result<Option<EffectRecord>, Error> {
        Ok(self.state().effects.get(&id).cloned())
    }

    async fn effects(&self, task: &TaskKey) -> Result<Vec<EffectRecord>, Error> {
        Ok(self.state().effects_of(task))
    }

    async fn unresolved_effects(&self, limit: u32) -> Result<Vec<EffectRecord>, Error> {
        Ok(self.state().unresolved_effects(limit))
    }

    async fn running_jobs(&self, instance: Option<InstanceId>) -> Result<Vec<Job>, Error> {
        Ok(self.state().running_jobs(instance))
    }

    async fn finished_jobs(&self, now: Timestamp, limit: u32) -> Result<Vec<Job>, Error> {
        Ok(self.state().to_complete(now, limit))
    }

    async fn reclaim(
        &self,
        task: &TaskKey,
        proof: &ProofOfDeath,
        now: Timestamp,
    ) -> Result<Epoch, ReleaseRefused> {
        self.state().reclaim(task, proof.instance(), now)
    }

    async fn requeue_from_dead(&self, proof: &ProofOfDeath, now: Timestamp) -> Result<Recovered, Error> {
        self.state().requeue_from_dead(proof.instance(), now)
    }

    async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>, Error> {
        let state = self.state();
        let later = state.events.iter().skip(usize::try_from(after).unwrap_or(usize::MAX));
        Ok(later.take(limit as usize).cloned().collect())
    }

    async fn last_event(&self) -> Result<u64, Error> {
        Ok(self.state().events.last().map_or(0, |event| event.seq))
    }

    async fn event_counts(&self, after: u64) -> Result<EventCounts, Error> {
        Ok(self.state().event_counts(after))
    }

    async fn overview(&self) -> Result<Overview, Error> {
        Ok(self.state().overview())
    }

    async fn live_jobs(&self, filter: LiveFilter) -> Result<Vec<LiveJob>, Error> {
        Ok(self.state().live_jobs(&filter))
    }

    async fn jobs_of(&self, task: &TaskKey, limit: u32) -> Result<Vec<Job>, Error> {
        Ok(self.state().jobs_of(task, limit))
    }

    async fn held_by_fault(&self) -> Result<BTreeMap<String, u64>, Error> {
        Ok(self.state().held_by_fault())
    }

    /// Nothing: there is no disk to write to.
    fn metrics(&self) -> Metrics {
        Metrics::default()
    }
}
