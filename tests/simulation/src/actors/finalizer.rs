//! The finalizer: completes the transition of a finished job. Lease, effects one by one, stage (O2, O9, J6).
//!
//! It makes no difference between a job that was finished just now and one whose owner died in the midst of its effects
//! (daemon: `actor/finalizer.rs`, `transition/`).

use serde_json::json;
use stagewright_engine::effect::{
    Acted, Before, EffectClass, NextStep, Standing, Then, after_act, next_step,
};
use stagewright_engine::identity::JobId;
use stagewright_engine::job::Job;
use stagewright_engine::lease::{Lease, Liveness, liveness};
use stagewright_engine::name::EffectName;
use stagewright_engine::outcome::Fault;
use stagewright_engine::task::Task;
use stagewright_engine::time::Span;
use stagewright_engine::transition::after_finish;
use stagewright_store::request::conclusion::Ownership;
use stagewright_store::request::effect::{
    EffectEnding, EffectId, EffectRecord, IntendAgain, Intended, NewEffect, SettleEffect,
};
use stagewright_store::request::job::Deference;
use stagewright_store::request::lease::{LeaveRegion, Leaving, TakeLease};

use super::{Host, budget, hold_of, worker};
use crate::outside::{self, Act, InHand, Reply, Request, TIME_OUT};

/// How soon it looks without being told, in milliseconds.
const LOOK: u64 = 6_000;

pub(crate) async fn run(host: Host) {
    while !host.sim.stopping() {
        let Ok(finished) = host.store.finished_jobs(host.now(), 100).await else { return };
        for job in finished {
            host.sim.saw("a finished job was found");
            complete(&host, job.id).await;
        }
        host.sim.sleep(LOOK).await;
    }
}

async fn complete(host: &Host, job: JobId) {
    let Ok(Some(found)) = host.store.job(job).await else { return };
    let Ok(Some(task)) = host.store.task(&found.task).await else { return };
    // The job once more, after the task: if it is still finished now, whatever supersedes it raises the epoch that was
    // just seen, and the lease is refused. A job that was read before the task may be stale under a newer epoch.
    let Ok(Some(job)) = host.store.job(job).await else { return };
    let Some(to) = after_finish(&host.pipeline, &task, &job, host.now()) else { return };
    // Effects need the branch's head to be the examined commit (E5). If it is not, the reconciler sends the task back.
    host.sim.step().await;
    if !to.effects.is_empty() && host.sim.world().heads.get(&job.task) != Some(&job.commit) {
        return;
    }
    let take = TakeLease {
        task: job.task.clone(),
        expected_stage: to.expected.clone(),
        epoch: task.epoch,
        owner: host.instance,
        exclusive: !to.effects.is_empty(),
        deference: Deference::ToOwner,
        now: host.now(),
    };
    let lease = match host.store.take_lease(take).await {
        Ok(lease) => lease,
        Err(_) => return host.sim.saw("a lease was refused"),
    };
    let region = Region { host, task: &task, job: &job, lease: &lease };
    // Of an earlier transition, and nobody knows whether it was done: not again before a person has said so.
    let Ok(before) = host.store.effects(&job.task).await else { return };
    let in_doubt = before.iter().find(|record| {
        let closes = matches!(record.class, EffectClass::Conditional | EffectClass::Keyed);
        let again = to.effects.iter().any(|name| name.as_str() == record.name) && !closes;
        again && matches!(record.ended, Some((EffectEnding::Unresolved(_), _)))
    });
    if in_doubt.is_some() {
        return region.leave(Leaving::Held(hold_of(&task, fault("effect-unresolved"), host.now()))).await;
    }
    for name in &to.effects {
        match region.effect(name).await {
            Some(Then::GoOn) => {}
            Some(Then::Defer { until, fault }) => {
                return region.leave(Leaving::Deferred { until, fault }).await;
            }
            Some(Then::Hold(fault)) => {
                return region.leave(Leaving::Held(hold_of(&task, fault, host.now()))).await;
            }
            None => {
                host.sim.saw("a finalizer was overtaken");
                // Or the task was held: then nothing new is begun, and the lease goes back.
                let _ = host.store.release_lease(&lease, host.now()).await;
                return;
            }
        }
    }
    let mut change = worker::change_of(host, &job, &to, host.now());
    (change.completes, change.ownership) = (Some(job.id), Ownership::Lease(lease.clone()));
    if host.store.move_stage(change).await.is_err() {
        host.sim.saw("a stage was not written after its effects");
        // Held meanwhile, or the lease is gone. Either way nothing more is done; a lease that is still there goes back.
        let _ = host.store.release_lease(&lease, host.now()).await;
    }
}

struct Region<'a> {
    host: &'a Host,
    task: &'a Task,
    job: &'a Job,
    lease: &'a Lease,
}

impl Region<'_> {
    async fn leave(&self, leaving: Leaving) {
        let leave = LeaveRegion {
            lease: self.lease.clone(),
            job: self.job.id,
            leaving,
            events: Vec::new(),
            now: self.host.now(),
        };
        let _ = self.host.store.leave_region(leave).await;
    }

    /// One effect. `None`: somebody else has the task now.
    async fn effect(&self, name: &EffectName) -> Option<Then> {
        let host = self.host;
        let class = outside::class_of(name);
        let act = Act {
            task: self.task.key.clone(),
            from: self.job.stage.clone(),
            name: name.clone(),
            commit: self.job.commit.clone(),
            job: self.job.id,
        };
        let _in_hand = InHand::take(&host.sim, &act);
        let new = NewEffect {
            id: EffectId::new(host.sim.id()),
            lease: self.lease.clone(),
            job: self.job.id,
            name: name.to_string(),
            class,
            idempotency_key: act.key(),
            detail: json!({ "from": act.from, "commit": act.commit }),
            now: host.now(),
        };
        let (record, standing) = match host.store.intend(new).await.ok()? {
            Intended::New(record) => (record, Standing::New),
            Intended::Known(record) => {
                let standing = self.standing(&record);
                (record, standing)
            }
        };
        let next = next_step(class, standing);
        match next {
            NextStep::GoOn => {
                host.sim.saw("an effect was known as done");
                return Some(Then::GoOn);
            }
            NextStep::Act => {}
            NextStep::ActAgain => self.again(&record).await?,
            NextStep::ReadBack => match outside::read_back(&host.sim, &act).await {
                Some(true) => {
                    self.settle(&record, EffectEnding::Done("it was there".to_owned())).await?;
                    return Some(Then::GoOn);
                }
                Some(false) => self.again(&record).await?,
                None => return self.ask_a_person(&record).await,
            },
            NextStep::Wait => {
                host.sim.saw("an effect waited for its request");
                let until = host.now().plus(Span::from_millis(TIME_OUT));
                return Some(Then::Defer { until, fault: fault("under-way") });
            }
            NextStep::AskAPerson => return self.ask_a_person(&record).await,
        }
        // Once more right before the act; what is left of the race with a stopped owner, the class closes (O9).
        let held = host.store.lease(&self.task.key).await.ok()?;
        if held.as_ref() != Some(self.lease) {
            return None;
        }
        host.sim.step().await;
        let request = Request { effect: record.id, act: act.clone(), lease: self.lease.clone() };
        let acted = match outside::ask(&host.sim, request).await {
            Some(Reply::Done) => Acted::Done("done".to_owned()),
            Some(Reply::NotNow) => Acted::NotNow(fault("not-now")),
            // The branch has moved; the reconciler will send the task back.
            Some(Reply::Refused) => Acted::NotNow(fault("head-moved")),
            None => Acted::Unclear(fault("no-answer")),
        };
        let before = if next == NextStep::ReadBack { Before::Nothing } else { standing.before() };
        if before == Before::InDoubt && matches!(acted, Acted::NotNow(_)) {
            host.sim.saw("a try after a doubtful one did nothing");
        }
        let after = after_act(class, before, acted, self.job.deferrals, &budget(), host.now());
        if let Some(ending) = after.settle {
            self.settle(&record, ending).await?;
        }
        Some(after.then)
    }

    fn standing(&self, record: &EffectRecord) -> Standing {
        match &record.ended {
            Some((EffectEnding::Done(_), _)) => Standing::Done,
            Some((EffectEnding::Failed(_), _)) => Standing::Failed,
            Some((EffectEnding::Unresolved(_), _)) => Standing::Unresolved,
            None => {
                let owner = match record.owner == self.host.instance {
                    true => Liveness::Dead,
                    false => liveness(self.host.sim.probe(record.owner).0),
                };
                // Not since the intent: its owner may have been stopped before it asked. And not by the wall clock, which
                // may have been set. A dead owner asks for nothing, so its last request is over by then.
                let elapsed = self.host.sim.world().elapsed;
                let mut first_seen = self.host.first_seen.lock().unwrap();
                let request_over =
                    elapsed - *first_seen.entry((record.id, record.epoch)).or_insert(elapsed) > TIME_OUT;
                Standing::Open { owner, request_over }
            }
        }
    }

    async fn again(&self, record: &EffectRecord) -> Option<()> {
        let again = IntendAgain { id: record.id, lease: self.lease.clone(), now: self.host.now() };
        self.host.store.intend_again(again).await.ok().map(drop)
    }

    async fn settle(&self, record: &EffectRecord, ending: EffectEnding) -> Option<()> {
        let settle = SettleEffect { id: record.id, epoch: self.lease.epoch, ending, now: self.host.now() };
        self.host.store.settle(settle).await.ok().map(drop)
    }

    async fn ask_a_person(&self, record: &EffectRecord) -> Option<Then> {
        if record.ended.is_none() {
            self.settle(record, EffectEnding::Unresolved("nobody can say".to_owned())).await?;
        }
        Some(Then::Hold(fault("effect-unresolved")))
    }
}

fn fault(code: &str) -> Fault {
    Fault::new(code, "an effect is not done")
}
