//! The requests that both stores get, made of what has been before and of what never was.

use serde_json::json;
use stagewright_engine::effect::EffectClass;
use stagewright_engine::identity::{Epoch, InstanceId, JobId, RunId, TaskKey};
use stagewright_engine::instance::Instance;
use stagewright_engine::job::JobState;
use stagewright_engine::lease::{Evidence, Lease, LockProbe, ProcessProbe, ProofOfDeath};
use stagewright_engine::ledger::{Ledger, ModelUsage};
use stagewright_engine::name::{BranchName, ProducerName, StageName};
use stagewright_engine::outcome::{Cause, Outcome};
use stagewright_engine::time::Span;
use stagewright_store::Store;
use stagewright_store::request::conclusion::{Attempts, Becomes, Conclusion, Ownership, StageChange};
use stagewright_store::request::effect::{EffectEnding, EffectId, IntendAgain, NewEffect, SettleEffect};
use stagewright_store::request::event::NewEvent;
use stagewright_store::request::job::{Claim, ClaimNext, Deference, Due, Lane, Limits, NewJob};
use stagewright_store::request::lease::{Fence, ForceRelease, LeaveRegion, Leaving, TakeLease};
use stagewright_store::request::model::{ModelCall, SpendingOf};
use stagewright_store::request::queue::{LiveFilter, LiveState};
use stagewright_store::request::repo::NewRepo;
use stagewright_store::request::run::{EndRun, RunEnding};
use stagewright_store::request::task::{NewTask, ObserveHead, TaskFilter, TaskStateKind};

use super::Asker;

impl Asker {
    pub(super) async fn register(&mut self, id: InstanceId) {
        let instance = Instance {
            id,
            host: "host".into(),
            boot: "boot".into(),
            pid_namespace: "pid:[1]".into(),
            pid: 1,
            process_start: 1,
            version: "0".into(),
            started: self.now(),
        };
        both!(self, register_instance(instance)).unwrap();
    }

    pub(super) async fn little(&mut self) {
        if self.one_in(2) {
            let source = self.of(&["/srv", "/home"]).into();
            let repo = NewRepo { name: self.repo(), source, now: self.now() };
            let _ = both!(self, put_repo(repo));
            return;
        }
        if self.one_in(2) && !self.runs.is_empty() {
            return self.model().await;
        }
        let (instance, now) = (self.instance(), self.now());
        if both!(self, retire_instance(instance, now)).is_ok() {
            let new = InstanceId::new(self.id());
            self.instances.push(new);
            self.register(new).await;
        }
    }

    async fn model(&mut self) {
        let runs = self.runs.clone();
        let (_, run, _) = self.of(&runs);
        let call = ModelCall {
            run,
            task: self.key(),
            stage: self.stage(),
            producer: ProducerName::new("llm-fallback").unwrap(),
            role: self.of(&["tester", "analyst"]).to_owned(),
            answer: self.of(&["ok", "llm-timed-out"]).to_owned(),
            usage: ModelUsage { cost_micro_usd: self.of(&[None, Some(7)]), ..ModelUsage::default() },
            duration: Span::from_millis(3),
            at: self.now(),
        };
        let _ = both!(self, write_model_call(call));
        let of =
            SpendingOf { task: self.of(&[None, Some(call.task)]), since: self.of(&[None, Some(call.at)]) };
        let _ = both!(self, spending(of));
        let _ = both!(self, spending_by_role());
    }

    pub(super) async fn add_task(&mut self) {
        let branch = BranchName::new(self.of(&["main", "x"])).unwrap();
        let task = NewTask { key: self.key(), stage: self.stage(), branch, now: self.now() };
        let _ = both!(self, add_task(task));
    }

    pub(super) async fn new_job(&mut self, key: &TaskKey) -> NewJob {
        let (stage, _) = self.seen(key).await;
        let old = self.jobs.last().copied().filter(|_| self.step.is_multiple_of(11));
        let id = old.unwrap_or(JobId::new(self.id()));
        NewJob { id, task: key.clone(), stage, commit: self.commit(), now: self.now() }
    }

    pub(super) async fn enqueue(&mut self) {
        let key = self.key();
        let job = self.new_job(&key).await;
        self.jobs.push(job.id);
        let _ = both!(self, enqueue(job));
    }

    pub(super) async fn claim(&mut self) {
        let run = RunId::new(self.id());
        let now = if self.one_in(3) { self.now().plus(Span::from_secs(600)) } else { self.now() };
        let producer = ProducerName::new("runner").unwrap();
        let limit = self.of(&[1, 2, 9]);
        let claimed = if self.one_in(2) {
            let (mut lanes, repos) = (Vec::new(), [None, None, Some(vec![self.repo()])]);
            for stage in ["testing", "deploy"] {
                let stage = StageName::new(stage).unwrap();
                lanes.push(Lane { stage, repos: self.of(&repos), producer: producer.clone(), limit });
            }
            let claim = ClaimNext { instance: self.instance(), run, now, host_limit: 3, lanes };
            both!(self, claim_next(claim)).ok().flatten()
        } else {
            let key = self.key();
            let live = self.memory.live_job(&key).await.unwrap().map(|job| job.id);
            let any = self.jobs.clone();
            let Some(job) = live.or_else(|| any.last().copied()) else { return };
            let claim = Claim {
                job,
                expected_stage: self.seen(&key).await.0,
                instance: self.instance(),
                run,
                due: self.of(&[Due::InTime, Due::AtOnce]),
                deference: self.of(&[Deference::ToOwner, Deference::ToOwner, Deference::ToNobody]),
                now,
                limits: Limits { host: 3, producer: self.of(&[None, Some((producer, limit))]) },
            };
            both!(self, claim(claim)).ok()
        };
        if let Some(claimed) = claimed {
            self.runs.push((claimed.job.id, run, claimed.epoch));
        }
    }

    pub(super) fn some_run(&mut self) -> Option<(JobId, RunId, Epoch)> {
        let recent: Vec<_> = self.runs.iter().rev().take(4).copied().collect();
        if recent.is_empty() { None } else { Some(self.of(&recent)) }
    }

    pub(super) async fn end_run(&mut self) {
        let Some((job, run, epoch)) = self.some_run() else { return };
        let artifact = self.artifact();
        let verdict = self.verdict(run, &artifact);
        let endings = [
            RunEnding::Deferred { until: self.now().plus(Span::from_secs(300)), fault: self.fault() },
            RunEnding::Held(self.hold()),
            RunEnding::Cancelled(Cause::Operator),
            RunEnding::Superseded,
            RunEnding::Requeued,
            RunEnding::Finished { artifact: artifact.clone(), verdict: verdict.clone() },
            RunEnding::Finished { artifact, verdict },
        ];
        let end = EndRun {
            job,
            run,
            epoch,
            outcome: Outcome::Deferred(self.fault()),
            ending: self.of(&endings),
            ledger: Ledger::default(),
            attachments: Vec::new(),
            events: vec![NewEvent { kind: "extra".into(), detail: json!({ "step": self.step }) }],
            now: self.now(),
        };
        let _ = both!(self, end_run(end));
    }

    pub(super) async fn change(&mut self, key: &TaskKey) -> StageChange {
        let (expected_stage, epoch) = self.seen(key).await;
        let owner = self.instance();
        let mut ownership = vec![
            Ownership::TakeNow { owner, epoch },
            Ownership::TakeNow { owner, epoch },
            Ownership::Unleased { owner, epoch },
        ];
        let of_task = self.leases.iter().rev().filter(|lease| lease.task == *key);
        ownership.extend(of_task.take(2).cloned().map(Ownership::Lease));
        let to = self.stage();
        let mut next_job = if self.one_in(2) { None } else { Some(self.new_job(key).await) };
        if let Some(next) = &mut next_job
            && !self.one_in(10)
        {
            next.stage = to.clone();
        }
        let becomes =
            [Becomes::Active { next_job }, Becomes::Held(self.hold()), Becomes::Done, Becomes::Cancelled];
        let likely = if self.one_in(5) { self.below(4) } else { 0 };
        StageChange {
            task: key.clone(),
            expected_stage,
            to,
            ownership: self.of(&ownership),
            completes: None,
            past_a_hold: self.one_in(2),
            attempts: self.of(&[Attempts::Keep, Attempts::Spend, Attempts::Reset]),
            becomes: becomes[likely].clone(),
            reason: "because".into(),
            events: vec![NewEvent { kind: "extra".into(), detail: json!({}) }],
            now: self.now(),
        }
    }

    pub(super) async fn conclude(&mut self) {
        let Some((job, run, epoch)) = self.some_run() else { return };
        let key = match self.memory.job(job).await.unwrap() {
            Some(job) if !self.one_in(10) => job.task,
            _ => self.key(),
        };
        let artifact = self.artifact();
        let mut change = self.change(&key).await;
        if self.one_in(2) {
            change.ownership = Ownership::TakeNow { owner: self.instance(), epoch };
        }
        let conclusion = Conclusion {
            job,
            run,
            outcome: Outcome::Held(self.fault()),
            verdict: self.verdict(run, &artifact),
            artifact,
            ledger: Ledger::default(),
            attachments: Vec::new(),
            change,
        };
        let _ = both!(self, conclude(conclusion));
    }

    pub(super) async fn move_stage(&mut self) {
        let key = self.key();
        let mut change = self.change(&key).await;
        let live = self.memory.live_job(&key).await.unwrap();
        if let Some(live) = live
            && (matches!(live.state, JobState::Finished { .. }) || self.one_in(5))
        {
            change.completes = Some(live.id);
        }
        let _ = both!(self, move_stage(change));
    }

    pub(super) async fn take_lease(&mut self) {
        let task = self.key();
        let (expected_stage, epoch) = self.seen(&task).await;
        let take = TakeLease {
            task,
            expected_stage,
            epoch,
            owner: self.instance(),
            exclusive: self.one_in(2),
            deference: self.of(&[Deference::ToOwner, Deference::ToOwner, Deference::ToNobody]),
            now: self.now(),
        };
        if let Ok(lease) = both!(self, take_lease(take)) {
            self.leases.push(lease);
        }
    }

    pub(super) fn some_lease(&mut self) -> Option<Lease> {
        let recent: Vec<_> = self.leases.iter().rev().take(3).cloned().collect();
        if recent.is_empty() { None } else { Some(self.of(&recent)) }
    }

    pub(super) async fn release(&mut self) {
        let Some(lease) = self.some_lease() else { return };
        let now = self.now();
        if self.one_in(2) {
            let live = self.memory.live_job(&lease.task).await.unwrap();
            let job = live.map_or(JobId::new(self.id()), |job| job.id);
            let until = now.plus(Span::from_secs(300));
            let deferred = Leaving::Deferred { until, fault: self.fault() };
            let held = Leaving::Held(self.hold());
            let leaving = self.of(&[deferred.clone(), deferred, held]);
            let leave = LeaveRegion { lease, job, leaving, events: Vec::new(), now };
            let _ = both!(self, leave_region(leave));
        } else if self.one_in(3) {
            let (task, reason) = (lease.task, "because".into());
            let (_, epoch) = self.seen(&task).await;
            let fence = Fence { task, epoch, reason, now };
            let _ = both!(self, fence(fence));
        } else if self.one_in(2) {
            let force = ForceRelease { task: lease.task, epoch: lease.epoch, by: "anna".into(), now };
            let _ = both!(self, force_release(force));
        } else {
            let (memory, sqlite) =
                (self.memory.release_lease(&lease, now).await, self.sqlite.release_lease(&lease, now).await);
            self.compare("release_lease", &memory, &sqlite);
        }
    }

    pub(super) async fn intend(&mut self) {
        let Some(lease) = self.some_lease() else { return };
        if self.one_in(3)
            && let Some(&(id, _)) = self.effects.last()
        {
            self.effects.push((id, lease.epoch));
            let again = IntendAgain { id, lease, now: self.now() };
            let _ = both!(self, intend_again(again));
            return;
        }
        let live = self.memory.live_job(&lease.task).await.unwrap();
        let job = live.map_or(JobId::new(self.id()), |job| job.id);
        let id = EffectId::new(self.id());
        self.effects.push((id, lease.epoch));
        let effect = NewEffect {
            id,
            lease,
            job,
            name: "merge".into(),
            class: self.of(&[EffectClass::Conditional, EffectClass::Blind]),
            idempotency_key: format!("key-{}", self.below(12)),
            detail: json!({ "step": self.step }),
            now: self.now(),
        };
        let _ = both!(self, intend(effect));
    }

    pub(super) async fn settle(&mut self) {
        let recent: Vec<_> = self.effects.iter().rev().take(4).copied().collect();
        if recent.is_empty() {
            return;
        }
        let (id, epoch) = self.of(&recent);
        let endings = [EffectEnding::Done("d".into()), EffectEnding::Failed("f".into())];
        let doubt = EffectEnding::Unresolved("u".into());
        let ending = if self.one_in(2) { doubt } else { self.of(&endings) };
        let settle = SettleEffect { id, epoch, ending, now: self.now() };
        let _ = both!(self, settle(settle));
    }

    pub(super) async fn person(&mut self) {
        let (key, now, hold) = (self.key(), self.now(), self.hold());
        match self.below(3) {
            0 => {
                let (one, other) = (
                    self.memory.hold_task(&key, hold.clone(), now).await,
                    self.sqlite.hold_task(&key, hold, now).await,
                );
                self.compare("hold_task", &one, &other);
            }
            1 => {
                let (one, other) =
                    (self.memory.resume_task(&key, now).await, self.sqlite.resume_task(&key, now).await);
                self.compare("resume_task", &one, &other);
            }
            _ => {
                let head = ObserveHead { task: key, head: self.commit(), changed_reports: Vec::new(), now };
                let _ = both!(self, observe_head(head));
            }
        }
    }

    pub(super) async fn dead(&mut self) {
        let evidence = Evidence { lock: LockProbe::Free, process: ProcessProbe::Gone, earlier_boot: false };
        let proof = ProofOfDeath::from_evidence(self.instance(), evidence).unwrap();
        let (key, now) = (self.key(), self.now());
        if self.one_in(2) {
            let (one, other) =
                (self.memory.reclaim(&key, &proof, now).await, self.sqlite.reclaim(&key, &proof, now).await);
            self.compare("reclaim", &one, &other);
        } else {
            let (one, other) = (
                self.memory.requeue_from_dead(&proof, now).await,
                self.sqlite.requeue_from_dead(&proof, now).await,
            );
            self.compare("requeue_from_dead", &one, &other);
        }
    }

    /// Everything that can be read.
    pub(super) async fn look(&mut self) {
        let key = self.key();
        let filter = TaskFilter {
            state: self.of(&[None, Some(TaskStateKind::Active), Some(TaskStateKind::Held)]),
            repo: self.of(&[None, Some(key.repo.clone())]),
            branch: self.of(&[None, None, Some(BranchName::new("main").unwrap())]),
            limit: 3,
            after: self.of(&[None, Some(key.clone())]),
            ..TaskFilter::default()
        };
        let _ = both!(self, tasks(filter));
        let _ = both!(self, overview());
        let _ = both!(self, held_by_fault());
        let behind = LiveState::ALL[self.below(5)];
        let live = LiveFilter {
            state: self.of(&[None, None, Some(behind)]),
            after: self.of(&[None, self.jobs.last().map(|job| (behind, *job))]),
            limit: self.of(&[2, 9]),
        };
        let _ = both!(self, live_jobs(live));
        let _ = both!(self, instances());
        let _ = both!(self, repos());
        let _ = both!(self, leases());
        let _ = both!(self, unresolved_effects(9));
        let later = self.now().plus(Span::from_secs(self.step as u64 % 2 * 400));
        let _ = both!(self, finished_jobs(later, 9));
        let instance = self.of(&[None, Some(self.instances[0])]);
        let _ = both!(self, running_jobs(instance));
        let (memory, sqlite) = (&self.memory, &self.sqlite);
        let (one, other) = (memory.live_job(&key).await, sqlite.live_job(&key).await);
        self.compare("live_job", &one, &other);
        let (one, other) = (memory.effects(&key).await, sqlite.effects(&key).await);
        self.compare("effects", &one, &other);
        let (one, other) = (memory.jobs_of(&key, 3).await, sqlite.jobs_of(&key, 3).await);
        self.compare("jobs_of", &one, &other);
        let stage = StageName::new("testing").unwrap();
        let (one, other) = (memory.last_run(&key, &stage).await, sqlite.last_run(&key, &stage).await);
        self.compare("last_run", &one, &other);
        let (one, other) = (memory.artifact(&key, &stage).await, sqlite.artifact(&key, &stage).await);
        self.compare("artifact", &one, &other);
        let branch = BranchName::new("main").unwrap();
        let (one, other) = (
            memory.artifact_on_branch(&key.repo, &branch, &stage).await,
            sqlite.artifact_on_branch(&key.repo, &branch, &stage).await,
        );
        self.compare("artifact_on_branch", &one, &other);
        if let Some(&job) = self.jobs.last() {
            let _ = both!(self, job(job));
            let _ = both!(self, runs(job));
        }
        // The numbers of events may have gaps where a change was undone.
        let mut logs = [memory.events(0, 9_999).await.unwrap(), sqlite.events(0, 9_999).await.unwrap()];
        logs.iter_mut().for_each(|log| log.iter_mut().for_each(|event| event.seq = 0));
        self.compare("events", &logs[0], &logs[1]);
    }
}
