//! Completes the transition of a finished job: lease, effects, stage (O2, O9, J6).
//!
//! ```text
//! look       the task is at the job's stage, the branch is what was examined
//! lease      stage and epoch are compared, the epoch is raised; a race is lost here, before anything is done
//! effects    for each: intent in the journal, a last look at the lease, the act, its end in the journal
//! stage      one transaction: the lease still ours, stage and epoch as expected
//! ```
//!
//! Whoever finds a finished job may do this, again and again: what is done is in the journal, and what is open there is
//! for the class of the effect to say. What must never happen: an act without an intent before it; an act after the lease
//! is lost; a stage without all of its effects; a second act where the first may have taken place and its class does not
//! allow it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use stagewright_capability::Cancel;
use stagewright_engine::budget::DeferralBudget;
use stagewright_engine::effect::{self, Acted, EffectEnding, NextStep, Standing, Then};
use stagewright_engine::identity::{Epoch, InstanceId, TaskKey};
use stagewright_engine::job::{Job, JobState};
use stagewright_engine::lease::{Lease, Liveness};
use stagewright_engine::name::{CommitId, WorkItem};
use stagewright_engine::outcome::{Cause, Fault};
use stagewright_engine::task::{Hold, Task};
use stagewright_engine::time::{Span, Timestamp};
use stagewright_engine::transition::{self, Move};
use stagewright_repository::{Bare, Repositories};
use stagewright_store::request::conclusion::{ConcludeRefused, Ownership};
use stagewright_store::request::effect::{
    EffectId, EffectRecord, IntendAgain, IntendRefused, Intended, NewEffect, SettleEffect, SettleRefused,
};
use stagewright_store::request::lease::{
    LeaseRefused, LeaveRefused, LeaveRegion, Leaving, ReleaseRefused, TakeLease,
};
use stagewright_store::request::task::TaskFilter;

use crate::effect::{Edge, Effect, Intent, ReadBack, Tools, key};
use crate::worker::Worker;
use crate::{clock, crash, recovery};

/// How often the owner of a region looks whether it still has it.
const LOOK: Duration = Duration::from_secs(1);

/// What became of a finished job.
#[derive(Clone, Debug, PartialEq)]
pub enum Completed {
    /// The stage was written.
    Moved {
        /// The task afterwards.
        task: Box<Task>,
        /// Where its verdict has led.
        to: Box<Move>,
    },
    /// Its transition is tried again later.
    PutOff(Fault),
    /// Its task is held for a person.
    Held(Fault),
    /// Somebody else is at it, or in another region with effects of the repository. Nothing was done.
    Busy,
    /// The task has moved on, or its branch has: there is nothing to complete.
    Stale,
    /// The lease was lost in the midst of it: nothing more was done.
    Overtaken,
}

/// The store failed, so that something could not be written down. The job is found again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] stagewright_store::Error),
    /// A write was refused that should not have been.
    #[error("{0}")]
    Refused(String),
}

/// Why a region is left before its stage is written.
enum Left {
    /// It is tried again.
    PutOff {
        /// Not before this time.
        until: Timestamp,
        /// Why.
        fault: Fault,
    },
    /// A person has to look.
    Held(Fault),
    /// The host stops, or the branch has moved: nothing is said about the transition.
    Released,
    /// The lease is gone.
    Overtaken,
}

impl Worker {
    /// Completes the transition of a finished job, or finds out why that can't be now.
    pub async fn complete(
        &self,
        job: &Job,
        repositories: &Repositories,
        cancel: &Cancel,
    ) -> Result<Completed, Error> {
        let span = tracing::error_span!("transition", task = %job.task, job = %job.id);
        // Boxed, as what it does is long, and whoever asks for it should not carry all of that.
        let work = Box::pin(self.complete_in_span(job, repositories, cancel));
        tracing::Instrument::instrument(work, span).await
    }

    async fn complete_in_span(
        &self,
        job: &Job,
        repositories: &Repositories,
        cancel: &Cancel,
    ) -> Result<Completed, Error> {
        let Some(task) = self.store.task(&job.task).await? else { return Ok(Completed::Stale) };
        // The task first, then the job once more: what still is finished now can only be superseded by raising the epoch that
        // was just seen, and then no lease is given. The job as it was listed may be stale under a newer epoch.
        let Some(job) = self.store.job(job.id).await? else { return Ok(Completed::Stale) };
        let job = &job;
        let Some(to) = transition::after_finish(&self.pipeline, &task, job, clock::now()) else {
            return Ok(Completed::Stale);
        };
        let bare = self.copy_for(&task.key, repositories).await?;
        if let Ok(bare) = &bare
            && !self.is_as_examined(bare, &task, &job.commit).await?
        {
            return Ok(Completed::Stale);
        }
        let lease = match self.enter(&task, !to.effects.is_empty()).await? {
            Ok(lease) => lease,
            Err(completed) => return Ok(completed),
        };
        crash::point("lease-taken");
        let region = Region { worker: self, job, task: &task, to: &to, lease: &lease, ended: Cancel::new() };
        let (bare, effects) = match (bare, self.effects(job, &to).await?) {
            (Ok(bare), Ok(effects)) => (bare, effects),
            (Err(fault), _) => return region.leave(region.put_off(fault)).await,
            (_, Err(fault)) => return region.leave(Left::Held(fault)).await,
        };
        let done = tokio::select! {
            done = region.through(&bare, &effects) => done?,
            never = region.end_when_told(cancel) => match never {},
        };
        match done {
            Ok(()) => region.write_stage(&bare).await,
            Err(left) => region.leave(left).await,
        }
    }

    /// The host's copy, up to date; or why there is none.
    async fn copy_for(
        &self,
        key: &TaskKey,
        repositories: &Repositories,
    ) -> Result<Result<Bare, Fault>, Error> {
        let unreachable = |why: String| {
            Fault::new("repository-unreachable", why)
                .with_remedy("look whether the repository is still where the host knows it")
        };
        let Some(repo) = self.store.repo(&key.repo).await? else {
            return Ok(Err(unreachable(format!("the store does not know {}", key.repo))));
        };
        let opened = repositories.open(&key.repo, &repo.source).await;
        Ok(opened.map_err(|error| unreachable(error.to_string())))
    }

    /// Whether the branch's head is the examined commit, or that and reports of the host's (E5).
    pub(crate) async fn is_as_examined(
        &self,
        bare: &Bare,
        task: &Task,
        examined: &CommitId,
    ) -> Result<bool, Error> {
        let Ok(head) = bare.head(&task.branch).await else { return Ok(false) };
        let items = self.work_items_on(task).await?;
        Ok(bare.only_artifacts_between(examined, &head, &items).await.unwrap_or(false))
    }

    /// The work items whose tasks stand on the task's branch, its own among them.
    pub(crate) async fn work_items_on(&self, task: &Task) -> Result<Vec<WorkItem>, stagewright_store::Error> {
        let filter = TaskFilter {
            repo: Some(task.key.repo.clone()),
            branch: Some(task.branch.clone()),
            limit: MOST_ON_A_BRANCH,
            ..TaskFilter::default()
        };
        Ok(self.store.tasks(filter).await?.into_iter().map(|task| task.key.work_item).collect())
    }

    async fn enter(&self, task: &Task, exclusive: bool) -> Result<Result<Lease, Completed>, Error> {
        let take = TakeLease {
            task: task.key.clone(),
            expected_stage: task.stage.clone(),
            epoch: task.epoch,
            owner: self.instance,
            exclusive,
            deference: self.deference(&task.key.repo),
            now: clock::now(),
        };
        match self.store.take_lease(take).await {
            Ok(lease) => Ok(Ok(lease)),
            Err(LeaseRefused::Owned { .. } | LeaseRefused::RegionBusy { .. }) => Ok(Err(Completed::Busy)),
            Err(
                LeaseRefused::NotActive
                | LeaseRefused::StageMoved { .. }
                | LeaseRefused::EpochMoved { .. }
                | LeaseRefused::NoSuchTask(_),
            ) => Ok(Err(Completed::Stale)),
            Err(LeaseRefused::Store(error)) => Err(error.into()),
            Err(refused @ LeaseRefused::NoSuchInstance(_)) => Err(Error::Refused(refused.to_string())),
        }
    }

    /// What has to be done before the stage is written, in order; or why that can't be.
    async fn effects(&self, job: &Job, to: &Move) -> Result<Result<Vec<Effect>, Fault>, Error> {
        let mut effects = Vec::new();
        if self.commits_reports
            && let JobState::Finished { run, .. } = job.state
            && let Some(stored) = self.store.artifact_of_run(run).await?
        {
            effects.push(Effect::artifact(stored));
        }
        for name in &to.effects {
            match Effect::configured(&self.config, name) {
                Ok(effect) => effects.push(effect),
                Err(fault) => return Ok(Err(fault)),
            }
        }
        let before = self.store.effects(&job.task).await?;
        let unresolved = before.iter().find(|record| {
            let again = effects.iter().any(|effect| effect.name == record.name && !effect.may_repeat());
            again && matches!(record.ended, Some((EffectEnding::Unresolved(_), _)))
        });
        Ok(match unresolved {
            Some(record) => Err(unresolved_fault(record)),
            None => Ok(effects),
        })
    }

    /// Whether whoever intended an effect may still be at it. An act of this process's own has ended by the time that
    /// it comes here again.
    async fn liveness_of(&self, owner: InstanceId) -> Result<Liveness, Error> {
        if owner == self.instance {
            return Ok(Liveness::Dead);
        }
        let begun = Instant::now();
        loop {
            let known = self.store.instances().await?;
            // One that is retired has ended, in order or by proof.
            let found = known.into_iter().find(|instance| instance.id == owner);
            let liveness =
                found.map_or(Liveness::Dead, |instance| recovery::liveness_of(&self.state, &instance));
            // Its lock may be in the hands of whoever clears up after it: for a moment that looks like life.
            if liveness == Liveness::Dead || begun.elapsed() >= CLEARED_UP {
                return Ok(liveness);
            }
            tokio::time::sleep(CLEARED_UP / 20).await;
        }
    }
}

/// How long it may take to clear up after a dead instance.
const CLEARED_UP: Duration = Duration::from_secs(3);

/// How many tasks on one branch are looked at.
const MOST_ON_A_BRANCH: u32 = 10_000;

/// What is known of earlier tries of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// There was none, or it certainly did nothing.
    Nothing,
    /// There was one, and nobody knows whether it did anything.
    InDoubt,
}

/// When this process first saw acts that an owner who is gone has left open.
///
/// The time-out of a request counts from here, and by a clock that is never set. Not from its intent: the owner may have been
/// stopped between that and the request. Who is gone asks for nothing any more, so a request that is not over by then does not
/// exist. Forgotten with the process: then it is waited for once more.
#[derive(Clone, Debug, Default)]
pub struct FirstSeen(Arc<Mutex<BTreeMap<(EffectId, Epoch), Instant>>>);

impl FirstSeen {
    /// For how long the act has been known here to be open. Each try has an epoch of its own.
    fn for_so_long(&self, record: &EffectRecord) -> Duration {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry((record.id, record.epoch)).or_insert_with(Instant::now).elapsed()
    }
}

/// The side-effectful region of one task, entered.
struct Region<'a> {
    worker: &'a Worker,
    job: &'a Job,
    task: &'a Task,
    to: &'a Move,
    lease: &'a Lease,
    /// Ends the acts that run.
    ended: Cancel,
}

impl Region<'_> {
    /// All effects, one after the other.
    async fn through(&self, bare: &Bare, effects: &[Effect]) -> Result<Result<(), Left>, Error> {
        let edge = Edge {
            task: self.task,
            stage: &self.to.expected,
            to: &self.to.to,
            examined: &self.job.commit,
            bare,
        };
        for effect in effects {
            match self.ended.cause() {
                None => {}
                Some(Cause::Superseded) => return Ok(Err(Left::Overtaken)),
                Some(_) => return Ok(Err(Left::Released)),
            }
            if let Err(left) = self.one(effect, &edge).await? {
                return Ok(Err(left));
            }
        }
        Ok(Ok(()))
    }

    /// One effect: what the journal and its class allow.
    async fn one(&self, effect: &Effect, edge: &Edge<'_>) -> Result<Result<(), Left>, Error> {
        let key = key(edge, &effect.name, self.job.id);
        let Some((record, standing)) = self.intend(effect, &key).await? else {
            return Ok(Err(Left::Overtaken));
        };
        crash::point("intended");
        match effect::next_step(effect.class, standing) {
            NextStep::GoOn => Ok(Ok(())),
            NextStep::Act => self.act(effect, edge, &record, Before::Nothing).await,
            NextStep::ActAgain => {
                let before = match standing {
                    Standing::Open { .. } => Before::InDoubt,
                    _ => Before::Nothing,
                };
                self.act_again(effect, edge, &record, before).await
            }
            NextStep::Wait => {
                let until = clock::now().plus(Span::from(self.still_to_wait(effect, &record)));
                let fault = Fault::new(
                    "effect-under-way",
                    format!("`{}` was begun by an owner that died; its time is not over yet", effect.name),
                );
                Ok(Err(Left::PutOff { until, fault }))
            }
            NextStep::ReadBack => {
                let (intent, tools) = (intent(&record, self.lease), self.tools());
                match effect.read_back(edge, intent, tools).await {
                    ReadBack::Happened(answer) => {
                        Ok(self.settle(record.id, EffectEnding::Done(answer)).await?.ok_or(Left::Overtaken))
                    }
                    ReadBack::Absent => self.act_again(effect, edge, &record, Before::Nothing).await,
                    ReadBack::Unknown(fault) => {
                        tracing::warn!(
                            effect = effect.name,
                            fault = fault.code,
                            "an effect can't be read back"
                        );
                        self.ask_a_person(&record, fault.message).await
                    }
                }
            }
            NextStep::AskAPerson => {
                let why = "it was begun, and nobody can say whether it was done".to_owned();
                self.ask_a_person(&record, why).await
            }
        }
    }

    /// Writes the intent down, or finds how the effect stands. `None`: the lease is lost.
    async fn intend(&self, effect: &Effect, key: &str) -> Result<Option<(EffectRecord, Standing)>, Error> {
        let new = NewEffect {
            id: EffectId::new(clock::new_id()),
            lease: self.lease.clone(),
            job: self.job.id,
            name: effect.name.clone(),
            class: effect.class,
            idempotency_key: key.to_owned(),
            detail: json!({ "from": self.to.expected, "to": self.to.to, "time_ms": effect.time.as_millis() as u64 }),
            now: clock::now(),
        };
        let record = match self.worker.store.intend(new).await {
            Ok(Intended::New(record)) => return Ok(Some((record, Standing::New))),
            Ok(Intended::Known(record)) => record,
            Err(IntendRefused::LeaseLost) => return Ok(None),
            Err(IntendRefused::Store(error)) => return Err(error.into()),
            Err(refused) => return Err(Error::Refused(refused.to_string())),
        };
        let standing = match &record.ended {
            Some((EffectEnding::Done(_), _)) => Standing::Done,
            Some((EffectEnding::Failed(_), _)) => Standing::Failed,
            Some((EffectEnding::Unresolved(_), _)) => Standing::Unresolved,
            None => Standing::Open {
                owner: self.worker.liveness_of(record.owner).await?,
                request_over: self.still_to_wait(effect, &record).is_zero(),
            },
        };
        Ok(Some((record, standing)))
    }

    /// How long a request may still be under way that an owner who is gone has left behind.
    fn still_to_wait(&self, effect: &Effect, record: &EffectRecord) -> Duration {
        let longest = effect.time.saturating_add(Duration::from(self.grace()));
        longest.saturating_sub(self.worker.first_seen.for_so_long(record))
    }

    async fn act_again(
        &self,
        effect: &Effect,
        edge: &Edge<'_>,
        record: &EffectRecord,
        before: Before,
    ) -> Result<Result<(), Left>, Error> {
        let again = IntendAgain { id: record.id, lease: self.lease.clone(), now: clock::now() };
        match self.worker.store.intend_again(again).await {
            Ok(record) => self.act(effect, edge, &record, before).await,
            Err(IntendRefused::LeaseLost) => Ok(Err(Left::Overtaken)),
            Err(IntendRefused::Store(error)) => Err(error.into()),
            Err(refused) => Err(Error::Refused(refused.to_string())),
        }
    }

    /// The act itself, right after a last look at the lease, and its end in the journal.
    async fn act(
        &self,
        effect: &Effect,
        edge: &Edge<'_>,
        record: &EffectRecord,
        before: Before,
    ) -> Result<Result<(), Left>, Error> {
        if self.worker.store.lease(&self.task.key).await?.as_ref() != Some(self.lease) {
            return Ok(Err(Left::Overtaken));
        }
        crash::point("before-act");
        // Boxed: a command waits in many places, and nobody above should carry all of them.
        let acted = Box::pin(effect.act(edge, intent(record, self.lease), self.tools())).await;
        crash::point("after-act");
        match &acted {
            Acted::Done(answer) => tracing::info!(effect = effect.name, answer, "done"),
            Acted::NotNow(fault) | Acted::NotThis(fault) | Acted::Unclear(fault) => {
                tracing::warn!(effect = effect.name, fault = fault.code, message = fault.message, "not done");
            }
        }
        let after = effect::after_act(effect.class, acted, self.job.deferrals, &self.budget(), clock::now());
        // That this try did nothing says nothing of the one before, whose end nobody knows: then the intent stays open.
        let settle = after
            .settle
            .filter(|ending| before == Before::Nothing || !matches!(ending, EffectEnding::Failed(_)));
        if let Some(ending) = settle
            && self.settle(record.id, ending).await?.is_none()
        {
            return Ok(Err(Left::Overtaken));
        }
        crash::point("settled");
        Ok(match after.then {
            Then::GoOn => Ok(()),
            Then::Defer { until, fault } => Err(Left::PutOff { until, fault }),
            Then::Hold(fault) => Err(Left::Held(self.with_way_out(record, fault).await?)),
        })
    }

    async fn ask_a_person(&self, record: &EffectRecord, why: String) -> Result<Result<(), Left>, Error> {
        let known = matches!(record.ended, Some((EffectEnding::Unresolved(_), _)));
        if !known && self.settle(record.id, EffectEnding::Unresolved(why)).await?.is_none() {
            return Ok(Err(Left::Overtaken));
        }
        Ok(Err(Left::Held(unresolved_fault(record))))
    }

    /// A hold for an effect whose end nobody knows says how a person tells it.
    async fn with_way_out(&self, record: &EffectRecord, fault: Fault) -> Result<Fault, Error> {
        let now = self.worker.store.effect(record.id).await?;
        let unresolved = now.is_some_and(|now| matches!(now.ended, Some((EffectEnding::Unresolved(_), _))));
        Ok(if unresolved { unresolved_fault(record).with_evidence(fault.message) } else { fault })
    }

    /// Writes the end of an act. `None`: somebody else decides about it now.
    async fn settle(&self, id: EffectId, ending: EffectEnding) -> Result<Option<()>, Error> {
        let settle = SettleEffect { id, epoch: self.lease.epoch, ending, now: clock::now() };
        match self.worker.store.settle(settle).await {
            Ok(_) => Ok(Some(())),
            Err(SettleRefused::Fenced { .. } | SettleRefused::Settled(_)) => Ok(None),
            Err(SettleRefused::Store(error)) => Err(error.into()),
            Err(refused @ SettleRefused::NoSuchEffect) => Err(Error::Refused(refused.to_string())),
        }
    }

    async fn write_stage(&self, bare: &Bare) -> Result<Completed, Error> {
        let worker = self.worker;
        // The next stage sees the reports that are on the branch now; the code is the examined one, as was compared.
        let commit = match worker.is_as_examined(bare, self.task, &self.job.commit).await? {
            true => bare.head(&self.task.branch).await.unwrap_or_else(|_| self.job.commit.clone()),
            false => self.job.commit.clone(),
        };
        let now = clock::now();
        let ownership = Ownership::Lease(self.lease.clone());
        let mut change = worker.stage_change(&self.task.key, self.to, ownership, &commit, now);
        change.completes = Some(self.job.id);
        crash::point("before-stage");
        match worker.store.move_stage(change).await {
            Ok(task) => Ok(Completed::Moved { task: Box::new(task), to: Box::new(self.to.clone()) }),
            // A person holds it since: what was done is in the journal, and resuming goes on from there.
            Err(ConcludeRefused::NotActive(_)) => self.leave(Left::Released).await,
            Err(ConcludeRefused::Store(error)) => Err(error.into()),
            Err(refused) => {
                tracing::error!(%refused, "a transition was overtaken; what it has done is in the journal");
                Ok(Completed::Overtaken)
            }
        }
    }

    async fn leave(&self, left: Left) -> Result<Completed, Error> {
        let now = clock::now();
        let (leaving, completed) = match left {
            Left::Overtaken => {
                tracing::error!("a transition has lost its lease; nothing more is done");
                return Ok(Completed::Overtaken);
            }
            Left::Released => {
                return match self.worker.store.release_lease(self.lease, now).await {
                    Ok(()) => Ok(Completed::Stale),
                    Err(ReleaseRefused::Gone) => Ok(Completed::Overtaken),
                    Err(ReleaseRefused::Store(error)) => Err(error.into()),
                };
            }
            Left::PutOff { until, fault } => {
                (Leaving::Deferred { until, fault: fault.clone() }, Completed::PutOff(fault))
            }
            Left::Held(fault) => {
                let stage = self.task.stage.clone();
                let hold = Hold { fault: fault.clone(), stage, job: Some(self.job.id), since: now };
                (Leaving::Held(hold), Completed::Held(fault))
            }
        };
        let leave =
            LeaveRegion { lease: self.lease.clone(), job: self.job.id, leaving, events: Vec::new(), now };
        match self.worker.store.leave_region(leave).await {
            Ok(()) => Ok(completed),
            Err(LeaveRefused::LeaseLost | LeaveRefused::NotFinished(_)) => Ok(Completed::Overtaken),
            Err(LeaveRefused::Store(error)) => Err(error.into()),
        }
    }

    fn put_off(&self, fault: Fault) -> Left {
        match effect::put_off(fault, self.job.deferrals, &self.budget(), clock::now()) {
            Then::Defer { until, fault } => Left::PutOff { until, fault },
            Then::Hold(fault) => Left::Held(fault),
            Then::GoOn => Left::Released,
        }
    }

    /// Ends the acts that run when the host stops, or when the region is no longer ours.
    async fn end_when_told(&self, cancel: &Cancel) -> Infallible {
        tokio::select! {
            cause = cancel.cancelled() => self.ended.cancel(cause),
            () = self.lost() => self.ended.cancel(Cause::Superseded),
        }
        std::future::pending().await
    }

    /// Waits until the lease is no longer ours.
    async fn lost(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            // A store in trouble proves nothing.
            let Ok(held) = self.worker.store.lease(&self.task.key).await else { continue };
            if held.as_ref() != Some(self.lease) {
                return;
            }
        }
    }

    fn tools(&self) -> Tools<'_> {
        let Worker { config, shepherd, state, .. } = self.worker;
        Tools { config, shepherd, state, cancel: &self.ended }
    }

    fn budget(&self) -> DeferralBudget {
        let jobs = &self.worker.config.jobs;
        DeferralBudget {
            max: jobs.deferral_budget,
            first: Span::from_secs(jobs.deferral_backoff_s.0),
            longest: Span::from_secs(jobs.deferral_backoff_max_s.0.max(jobs.deferral_backoff_s.0)),
        }
    }

    fn grace(&self) -> Span {
        Span::from_secs(self.worker.config.jobs.grace_s.0)
    }
}

fn intent<'a>(record: &'a EffectRecord, lease: &Lease) -> Intent<'a> {
    Intent { id: record.id, key: &record.idempotency_key, epoch: lease.epoch }
}

fn unresolved_fault(record: &EffectRecord) -> Fault {
    let id = record.id.uuid();
    Fault::new("effect-unresolved", format!("nobody can say whether `{}` was done", record.name)).with_remedy(format!(
        "look at its target, then `stagewright effect settle {id} done` or `… not-done`, then `stagewright task resume`"
    ))
}
