//! The store as an actor meets it: each call is a step, before which anything may happen, and is looked at by the watch.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use stagewright_engine::identity::{Epoch, InstanceId, JobId, RunId, TaskKey};
use stagewright_engine::instance::Instance;
use stagewright_engine::job::{Job, Run};
use stagewright_engine::lease::{Lease, ProofOfDeath};
use stagewright_engine::ledger::Ledger;
use stagewright_engine::name::{BranchName, RepoName, StageName};
use stagewright_engine::task::{Hold, Task};
use stagewright_engine::time::Timestamp;
use stagewright_store::request::artifact::StoredArtifact;
use stagewright_store::request::conclusion::{ConcludeRefused, Conclusion, StageChange};
use stagewright_store::request::effect::{
    EffectId, EffectRecord, IntendAgain, IntendRefused, Intended, NewEffect, SettleEffect, SettleRefused,
};
use stagewright_store::request::event::Event;
use stagewright_store::request::instance::{Recovered, RetireRefused};
use stagewright_store::request::job::{Claim, ClaimNext, ClaimRefused, Claimed, EnqueueRefused, NewJob};
use stagewright_store::request::lease::{
    Fence, FenceRefused, ForceRelease, LeaseRefused, LeaveRefused, LeaveRegion, ReleaseRefused, Released,
    TakeLease,
};
use stagewright_store::request::model::{ModelCall, RoleSpending, Spending, SpendingOf};
use stagewright_store::request::queue::{EventCounts, LiveFilter, LiveJob, Overview};
use stagewright_store::request::repo::{NewRepo, Repo};
use stagewright_store::request::run::{Attachment, EndRefused, EndRun};
use stagewright_store::request::task::{NewTask, ObserveHead, TaskFilter, TaskRefused};
use stagewright_store::{Error, Store};

use crate::forward::store_around;
use crate::watch;
use crate::world::{Sim, at_once, well};

/// A store each of whose calls is a step.
pub(crate) struct Stepped {
    sim: Sim,
    inner: Arc<dyn Store>,
}

impl Stepped {
    pub(crate) fn new(sim: Sim, inner: Arc<dyn Store>) -> Self {
        Self { sim, inner }
    }

    async fn before(&self, asked: String) -> String {
        self.sim.step().await;
        asked
    }

    fn asked(&self, asked: impl FnOnce() -> String) -> String {
        if self.sim.world().is_telling() { asked() } else { String::new() }
    }

    fn after(&self, name: &'static str, asked: String, answer: &impl Debug) {
        if !self.sim.world().is_telling() {
            return;
        }
        // Looking at what is not there is half of what happens, and no part of a story.
        let answer = format!("{answer:?}");
        if !matches!(answer.as_str(), "Ok(None)" | "Ok([])") {
            self.sim.say(|| format!("{name}{asked} -> {answer}"));
        }
    }

    /// The task as it is, before a change.
    fn task_now(&self, key: &TaskKey) -> Option<Task> {
        let store = self.sim.world().store.clone();
        well(at_once(store.task(key)))
    }
}

store_around! {
    impl Store for Stepped {
        async fn conclude(&self, conclusion: Conclusion) -> Result<Task, ConcludeRefused> {
            let asked = self.asked(|| format!(" {:?}", conclusion.change));
            let asked = self.before(asked).await;
            let before = self.task_now(&conclusion.change.task);
            let answer = self.inner.conclude(conclusion.clone()).await;
            self.after("conclude", asked, &answer);
            if let (Some(before), Ok(after)) = (before, &answer) {
                let world = &mut self.sim.world();
                watch::stage_written(world, &before, &conclusion.change, Some(&conclusion.verdict), after);
            }
            answer
        }

        async fn move_stage(&self, change: StageChange) -> Result<Task, ConcludeRefused> {
            let asked = self.asked(|| format!(" {change:?}"));
            let asked = self.before(asked).await;
            let before = self.task_now(&change.task);
            let answer = self.inner.move_stage(change.clone()).await;
            self.after("move_stage", asked, &answer);
            if let (Some(before), Ok(after)) = (before, &answer) {
                watch::stage_written(&mut self.sim.world(), &before, &change, None, after);
            }
            answer
        }

        async fn end_run(&self, end: EndRun) -> Result<(), EndRefused> {
            let asked = self.asked(|| format!(" {:?} {:?} at {}", end.job, end.ending, end.epoch));
            let asked = self.before(asked).await;
            let before = {
                let store = self.sim.world().store.clone();
                well(at_once(store.job(end.job))).and_then(|job| self.task_now(&job.task))
            };
            let answer = self.inner.end_run(end.clone()).await;
            self.after("end_run", asked, &answer);
            if let (Some(before), Ok(())) = (before, &answer) {
                watch::run_ended(&mut self.sim.world(), &before, &end);
            }
            answer
        }

        async fn take_lease(&self, take: TakeLease) -> Result<Lease, LeaseRefused> {
            let asked = self.asked(|| format!(" {take:?}"));
            let asked = self.before(asked).await;
            let before = self.task_now(&take.task);
            let answer = self.inner.take_lease(take.clone()).await;
            self.after("take_lease", asked, &answer);
            if let (Some(before), Ok(_)) = (before, &answer) {
                watch::lease_taken(&mut self.sim.world(), &before, &take);
            }
            answer
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
        leave_region(leave: LeaveRegion) -> Result<(), LeaveRefused>;
        fence(fence: Fence) -> Result<Epoch, FenceRefused>;
        leases() -> Result<Vec<Lease>, Error>;
        lease(task: &TaskKey) -> Result<Option<Lease>, Error>;
        force_release(force: ForceRelease) -> Result<Released, ReleaseRefused>;
        intend(effect: NewEffect) -> Result<Intended, IntendRefused>;
        intend_again(again: IntendAgain) -> Result<EffectRecord, IntendRefused>;
        settle(settle: SettleEffect) -> Result<EffectRecord, SettleRefused>;
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
