//! A store that has lost one of its protections, to show that the simulation would notice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use stagewright_engine::identity::{Epoch, InstanceId, JobId, RunId, TaskKey};
use stagewright_engine::instance::Instance;
use stagewright_engine::job::{Job, Run};
use stagewright_engine::lease::{Lease, ProofOfDeath};
use stagewright_engine::ledger::Ledger;
use stagewright_engine::name::{BranchName, RepoName, StageName};
use stagewright_engine::task::{Hold, Task};
use stagewright_engine::time::Timestamp;
use stagewright_store::request::artifact::StoredArtifact;
use stagewright_store::request::conclusion::{ConcludeRefused, Conclusion, Ownership, StageChange};
use stagewright_store::request::effect::{
    EffectId, EffectRecord, IntendAgain, IntendRefused, Intended, NewEffect, SettleEffect, SettleRefused,
};
use stagewright_store::request::event::Event;
use stagewright_store::request::instance::{Recovered, RetireRefused};
use stagewright_store::request::job::{
    Claim, ClaimNext, ClaimRefused, Claimed, Deference, EnqueueRefused, NewJob,
};
use stagewright_store::request::lease::{
    Fence, FenceRefused, ForceRelease, LeaseRefused, LeaveRefused, LeaveRegion, ReleaseRefused, Released,
    TakeLease,
};
use stagewright_store::request::model::{ModelCall, RoleSpending, Spending, SpendingOf};
use stagewright_store::request::queue::{EventCounts, LiveFilter, LiveJob, Overview};
use stagewright_store::request::repo::{NewRepo, Repo};
use stagewright_store::request::run::{Attachment, EndRefused, EndRun};
use stagewright_store::request::task::{NewTask, ObserveHead, TaskFilter, TaskRefused};
use stagewright_store::{Error, MemoryStore, Store};

use crate::forward::store_around;
use crate::world::{at_once, well};

/// What can be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// O1: a stage is written, and a lease given, only at the stage and the epoch that the writer has seen.
    Expectation,
    /// O4: a number that grows with every owner, so that a former one writes nothing.
    Epoch,
    /// O2, X3: one actor in a transition, and one task of a repository in a region with effects.
    Lease,
    /// O9: what is about to be done is written down before, under a key.
    Journal,
}

/// A store that takes every request as if one of its conditions held.
pub(crate) struct Without {
    inner: MemoryStore,
    protection: Protection,
    forgotten: AtomicU64,
}

impl Without {
    pub(crate) fn new(inner: MemoryStore, protection: Protection) -> Self {
        Self { inner, protection, forgotten: AtomicU64::new(0) }
    }

    async fn before(&self, asked: String) -> String {
        asked
    }

    fn asked(&self, _: impl FnOnce() -> String) -> String {
        String::new()
    }

    fn after<T>(&self, _: &'static str, _: String, _: &T) {}

    fn is(&self, protection: Protection) -> bool {
        self.protection == protection
    }

    /// Where the task really is.
    fn truth(&self, key: &TaskKey) -> Option<(StageName, Epoch)> {
        well(at_once(self.inner.task(key))).map(|task| (task.stage, task.epoch))
    }

    fn changed(&self, mut change: StageChange) -> StageChange {
        let Some((stage, now)) = self.truth(&change.task) else { return change };
        if self.is(Protection::Expectation) {
            change.expected_stage = stage;
        }
        change.ownership = match change.ownership {
            Ownership::TakeNow { owner, epoch } if self.is(Protection::Lease) => {
                Ownership::Unleased { owner, epoch }
            }
            Ownership::TakeNow { owner, .. }
                if self.is(Protection::Expectation) || self.is(Protection::Epoch) =>
            {
                Ownership::TakeNow { owner, epoch: now }
            }
            Ownership::Lease(lease) => Ownership::Lease(self.renewed(lease)),
            other => other,
        };
        change
    }

    /// Without epochs, any lease of the same owner is as good as another.
    fn renewed(&self, lease: Lease) -> Lease {
        if !self.is(Protection::Epoch) {
            return lease;
        }
        let held = well(at_once(self.inner.lease(&lease.task)));
        held.filter(|held| held.owner == lease.owner).unwrap_or(lease)
    }

    fn epoch_of_job(&self, job: JobId) -> Option<Epoch> {
        let job = well(at_once(self.inner.job(job)))?;
        self.truth(&job.task).map(|(_, epoch)| epoch)
    }
}

store_around! {
    impl Store for Without {
        async fn conclude(&self, mut conclusion: Conclusion) -> Result<Task, ConcludeRefused> {
            conclusion.change = self.changed(conclusion.change);
            self.inner.conclude(conclusion).await
        }

        async fn move_stage(&self, change: StageChange) -> Result<Task, ConcludeRefused> {
            self.inner.move_stage(self.changed(change)).await
        }

        async fn end_run(&self, mut end: EndRun) -> Result<(), EndRefused> {
            if self.is(Protection::Epoch) {
                end.epoch = self.epoch_of_job(end.job).unwrap_or(end.epoch);
            }
            self.inner.end_run(end).await
        }

        async fn take_lease(&self, mut take: TakeLease) -> Result<Lease, LeaseRefused> {
            if let Some((stage, epoch)) = self.truth(&take.task) {
                match self.protection {
                    Protection::Expectation => (take.expected_stage, take.epoch) = (stage, epoch),
                    Protection::Epoch => take.epoch = epoch,
                    Protection::Lease => take.deference = Deference::ToNobody,
                    Protection::Journal => {}
                }
            }
            self.inner.take_lease(take).await
        }

        async fn leave_region(&self, mut leave: LeaveRegion) -> Result<(), LeaveRefused> {
            leave.lease = self.renewed(leave.lease);
            self.inner.leave_region(leave).await
        }

        async fn intend(&self, mut effect: NewEffect) -> Result<Intended, IntendRefused> {
            effect.lease = self.renewed(effect.lease);
            if self.is(Protection::Journal) {
                let number = self.forgotten.fetch_add(1, Ordering::Relaxed);
                effect.idempotency_key = format!("{} forgotten {number}", effect.idempotency_key);
            }
            self.inner.intend(effect).await
        }

        async fn intend_again(&self, mut again: IntendAgain) -> Result<EffectRecord, IntendRefused> {
            again.lease = self.renewed(again.lease);
            self.inner.intend_again(again).await
        }

        async fn settle(&self, mut settle: SettleEffect) -> Result<EffectRecord, SettleRefused> {
            if self.is(Protection::Epoch)
                && let Some(record) = well(at_once(self.inner.effect(settle.id)))
                && let Some((_, epoch)) = self.truth(&record.task)
            {
                settle.epoch = epoch;
            }
            self.inner.settle(settle).await
        }
    }
    forward {
        register_instance(instance: Instance) -> Result<(), Error>;
        instances() -> Result<Vec<Instance>, Error>;
        retire_instance(instance: InstanceId, now: Timestamp) -> Result<(), RetireRefused>;
        put_repo(repo: NewRepo) -> Result<Repo, Error>;
        repo(name: &RepoName) -> Result<Option<Repo>, Error>;
        repos() -> Result<Vec<Repo>, Error>;
        add_task(task: NewTask) -> Result<Task, TaskRefused>;
        task(key: &TaskKey) -> Result<Option<Task>, Error>;
        tasks(filter: TaskFilter) -> Result<Vec<Task>, Error>;
        observe_head(observed: ObserveHead) -> Result<Task, TaskRefused>;
        hold_task(key: &TaskKey, hold: Hold, now: Timestamp) -> Result<Task, TaskRefused>;
        resume_task(key: &TaskKey, now: Timestamp) -> Result<Task, TaskRefused>;
        enqueue(job: NewJob) -> Result<Job, EnqueueRefused>;
        claim(claim: Claim) -> Result<Claimed, ClaimRefused>;
        claim_next(claim: ClaimNext) -> Result<Option<Claimed>, Error>;
        job(id: JobId) -> Result<Option<Job>, Error>;
        live_job(task: &TaskKey) -> Result<Option<Job>, Error>;
        run(id: RunId) -> Result<Option<Run>, Error>;
        runs(job: JobId) -> Result<Vec<Run>, Error>;
        last_run(task: &TaskKey, stage: &StageName) -> Result<Option<Run>, Error>;
        ledger(run: RunId) -> Result<Option<Ledger>, Error>;
        attachments(run: RunId) -> Result<Vec<Attachment>, Error>;
        artifact(task: &TaskKey, stage: &StageName) -> Result<Option<StoredArtifact>, Error>;
        artifact_of_run(run: RunId) -> Result<Option<StoredArtifact>, Error>;
        write_model_call(call: ModelCall) -> Result<(), Error>;
        spending(of: SpendingOf) -> Result<Spending, Error>;
        spending_by_role() -> Result<Vec<RoleSpending>, Error>;
        artifact_on_branch(
            repo: &RepoName,
            branch: &BranchName,
            stage: &StageName
        ) -> Result<Option<StoredArtifact>, Error>;
        release_lease(lease: &Lease, now: Timestamp) -> Result<(), ReleaseRefused>;
        fence(fence: Fence) -> Result<Epoch, FenceRefused>;
        leases() -> Result<Vec<Lease>, Error>;
        lease(task: &TaskKey) -> Result<Option<Lease>, Error>;
        force_release(force: ForceRelease) -> Result<Released, ReleaseRefused>;
        effect(id: EffectId) -> Result<Option<EffectRecord>, Error>;
        effects(task: &TaskKey) -> Result<Vec<EffectRecord>, Error>;
        unresolved_effects(limit: u32) -> Result<Vec<EffectRecord>, Error>;
        running_jobs(instance: Option<InstanceId>) -> Result<Vec<Job>, Error>;
        finished_jobs(now: Timestamp, limit: u32) -> Result<Vec<Job>, Error>;
        reclaim(task: &TaskKey, proof: &ProofOfDeath, now: Timestamp) -> Result<Epoch, ReleaseRefused>;
        requeue_from_dead(proof: &ProofOfDeath, now: Timestamp) -> Result<Recovered, Error>;
        last_event() -> Result<u64, Error>;
        event_counts(after: u64) -> Result<EventCounts, Error>;
        overview() -> Result<Overview, Error>;
        live_jobs(filter: LiveFilter) -> Result<Vec<LiveJob>, Error>;
        jobs_of(task: &TaskKey, limit: u32) -> Result<Vec<Job>, Error>;
        held_by_fault() -> Result<BTreeMap<String, u64>, Error>;
        events(after: u64, limit: u32) -> Result<Vec<Event>, Error>;
    }
}
