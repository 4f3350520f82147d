//! One effect by the journal: how its entry stands, what its class allows, the act between its intent and its end (O9).
//!
//! The engine decides before the act and behind it; here is only carried out what it says, and found out what it asks for:
//! whether an owner lives, and whether a request can still be under way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use stagewright_engine::effect::{self, Acted, Before, EffectEnding, NextStep, Standing, Then};
use stagewright_engine::identity::{Epoch, InstanceId};
use stagewright_engine::lease::{Lease, Liveness};
use stagewright_engine::outcome::Fault;
use stagewright_engine::time::Span;
use stagewright_store::request::effect::{
    EffectId, EffectRecord, IntendAgain, IntendRefused, Intended, NewEffect, SettleEffect, SettleRefused,
};

use super::Error;
use super::region::{Left, Region};
use crate::effect::{Edge, Effect, Intent, ReadBack, Tools, key};
use crate::worker::{NextJob, Worker};
use crate::{clock, crash, recovery};

/// How long it may take to clear up after a dead instance.
const CLEARED_UP: Duration = Duration::from_secs(3);

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

impl Region<'_> {
    /// One effect: what the journal and its class allow.
    pub(super) async fn one(&self, effect: &Effect, edge: &Edge<'_>) -> Result<Result<(), Left>, Error> {
        let key = key(edge, &effect.name, self.job.id);
        let (record, standing) = match self.intend(effect, &key).await? {
            Ok(intended) => intended,
            Err(left) => return Ok(Err(left)),
        };
        crash::point("intended");
        match effect::next_step(effect.class, standing) {
            NextStep::GoOn => Ok(Ok(())),
            NextStep::Act => self.act(effect, edge, &record, standing.before()).await,
            NextStep::ActAgain => self.act_again(effect, edge, &record, standing.before()).await,
            // A daemon comes back to it. Each `run` is a process of its own and would begin to count anew, so it stays.
            NextStep::Wait if self.worker.next_job == NextJob::Leave => {
                tokio::select! {
                    _ = self.ended.cancelled() => Ok(Err(Left::Released)),
                    () = tokio::time::sleep(self.still_to_wait(effect, &record)) => {
                        Box::pin(self.one(effect, edge)).await
                    }
                }
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

    /// Writes the intent down, or finds how the effect stands.
    async fn intend(
        &self,
        effect: &Effect,
        key: &str,
    ) -> Result<Result<(EffectRecord, Standing), Left>, Error> {
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
        let record = match or_left(self.worker.store.intend(new).await)? {
            Err(left) => return Ok(Err(left)),
            Ok(Intended::New(record)) => return Ok(Ok((record, Standing::New))),
            Ok(Intended::Known(record)) => record,
        };
        let standing = match &record.ended {
            Some((EffectEnding::Done(_), _)) => Standing::Done,
            Some((EffectEnding::Failed(_), _)) => Standing::Failed,
            Some((EffectEnding::Unresolved(_), _)) => Standing::Unresolved,
            None => Standing::Open {
                owner: self.liveness_of(record.owner).await?,
                request_over: self.still_to_wait(effect, &record).is_zero(),
            },
        };
        Ok(Ok((record, standing)))
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
        match or_left(self.worker.store.intend_again(again).await)? {
            Ok(record) => self.act(effect, edge, &record, before).await,
            Err(left) => Ok(Err(left)),
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
        let (spent, budget) = (self.job.deferrals, self.worker.config.deferrals());
        let after = effect::after_act(effect.class, before, acted, spent, &budget, clock::now());
        if let Some(ending) = after.settle
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

    /// Whether whoever intended an effect may still be at it. An act of this process's own has ended by the time that
    /// it comes here again.
    async fn liveness_of(&self, owner: InstanceId) -> Result<Liveness, Error> {
        if owner == self.worker.instance {
            return Ok(Liveness::Dead);
        }
        let begun = Instant::now();
        loop {
            let known = self.worker.store.instances().await?;
            // One that is retired has ended, in order or by proof.
            let found = known.into_iter().find(|instance| instance.id == owner);
            let liveness =
                found.map_or(Liveness::Dead, |instance| recovery::liveness_of(&self.worker.state, &instance));
            // Its lock may be in the hands of whoever clears up after it: for a moment that looks like life.
            if liveness == Liveness::Dead || begun.elapsed() >= CLEARED_UP {
                return Ok(liveness);
            }
            tokio::time::sleep(CLEARED_UP / 20).await;
        }
    }

    fn tools(&self) -> Tools<'_> {
        let Worker { config, shepherd, state, .. } = self.worker;
        Tools { config, shepherd, state, cancel: &self.ended }
    }

    fn grace(&self) -> Span {
        Span::from_secs(self.worker.config.jobs.grace_s.0)
    }
}

/// What an intent came to, or how the region is left: the lease is lost, or a person has held the task.
fn or_left<T>(answer: Result<T, IntendRefused>) -> Result<Result<T, Left>, Error> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(IntendRefused::LeaseLost) => Ok(Err(Left::Overtaken)),
        Err(IntendRefused::NotActive) => Ok(Err(Left::Released)),
        Err(IntendRefused::Store(error)) => Err(error.into()),
        Err(refused) => Err(Error::Refused(refused.to_string())),
    }
}

fn intent<'a>(record: &'a EffectRecord, lease: &Lease) -> Intent<'a> {
    Intent { id: record.id, key: &record.idempotency_key, epoch: lease.epoch }
}

pub(super) fn unresolved_fault(record: &EffectRecord) -> Fault {
    let id = record.id.uuid();
    Fault::new("effect-unresolved", format!("nobody can say whether `{}` was done", record.name)).with_remedy(format!(
        "look at its target, then `stagewright effect settle {id} done` or `… not-done`, then `stagewright task resume`"
    ))
}
