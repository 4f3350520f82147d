//! The journal of edge effects.

use serde_json::json;
use stagewright_engine::identity::{JobId, TaskKey};
use stagewright_engine::lease::Lease;
use stagewright_engine::task::TaskState;
use stagewright_engine::time::Timestamp;

use super::state::{State, Subject, taken};
use crate::error::Error;
use crate::request::effect::{
    EffectEnding, EffectRecord, IntendAgain, IntendRefused, Intended, NewEffect, SettleEffect, SettleRefused,
};

impl State {
    pub(super) fn intend(&mut self, new: NewEffect) -> Result<Intended, IntendRefused> {
        if !self.holds(&new.lease) {
            return Err(IntendRefused::LeaseLost);
        }
        let known = self.effects.values().find(|record| record.idempotency_key == new.idempotency_key);
        if let Some(known) = known {
            return Ok(Intended::Known(known.clone()));
        }
        if self.task_of(&new.lease.task)?.state != TaskState::Active {
            return Err(IntendRefused::NotActive);
        }
        if self.effects.contains_key(&new.id) {
            return Err(taken("effect").into());
        }
        if !self.jobs.contains_key(&new.job) {
            return Err(missing_job(new.job).into());
        }
        let subject = Subject::task(self.task_of(&new.lease.task)?, new.now).job(new.job);
        let detail = json!({ "effect": new.id, "name": new.name, "class": new.class });
        self.write_event(&subject, "effect-intended", detail);
        let record = EffectRecord {
            id: new.id,
            task: new.lease.task,
            job: new.job,
            owner: new.lease.owner,
            epoch: new.lease.epoch,
            name: new.name,
            class: new.class,
            idempotency_key: new.idempotency_key,
            detail: new.detail,
            intended: new.now,
            ended: None,
        };
        self.effects.insert(record.id, record.clone());
        Ok(Intended::New(record))
    }

    pub(super) fn intend_again(&mut self, again: &IntendAgain) -> Result<EffectRecord, IntendRefused> {
        let Lease { task, owner, epoch, .. } = &again.lease;
        if !self.holds(&again.lease) {
            return Err(IntendRefused::LeaseLost);
        }
        let Some(record) = self.effects.get(&again.id).filter(|record| record.task == *task).cloned() else {
            return Err(IntendRefused::NoSuchEffect);
        };
        if matches!(record.ended, Some((EffectEnding::Done(_) | EffectEnding::Unresolved(_), _))) {
            return Err(IntendRefused::Settled(Box::new(record)));
        }
        if self.task_of(task)?.state != TaskState::Active {
            return Err(IntendRefused::NotActive);
        }
        let subject = Subject::task(self.task_of(task)?, again.now).job(record.job);
        let detail = json!({ "effect": again.id, "name": record.name, "class": record.class });
        self.write_event(&subject, "effect-intended-again", detail);
        let record =
            EffectRecord { owner: *owner, epoch: *epoch, intended: again.now, ended: None, ..record };
        self.effects.insert(record.id, record.clone());
        Ok(record)
    }

    pub(super) fn settle(&mut self, settle: SettleEffect) -> Result<EffectRecord, SettleRefused> {
        let Some(record) = self.effects.get(&settle.id).cloned() else {
            return Err(SettleRefused::NoSuchEffect);
        };
        // Asked again after a lost answer.
        if record.ended.as_ref().is_some_and(|(ending, _)| *ending == settle.ending) {
            return Ok(record);
        }
        let task = self.task_of(&record.task)?;
        if task.epoch != settle.epoch {
            return Err(SettleRefused::Fenced { actual: task.epoch });
        }
        // What nobody could say may be found out later; what is known does not change any more.
        if matches!(record.ended, Some((EffectEnding::Done(_) | EffectEnding::Failed(_), _))) {
            return Err(SettleRefused::Settled(Box::new(record)));
        }
        let subject = Subject::task(task, settle.now).job(record.job);
        let detail = json!({ "effect": settle.id, "name": record.name, "state": settle.ending.name() });
        self.write_event(&subject, "effect-settled", detail);
        let record = EffectRecord { ended: Some((settle.ending, settle.now)), ..record };
        self.effects.insert(record.id, record.clone());
        Ok(record)
    }

    /// Gives up what was done or begun for a finished job that is stale before its transition was complete.
    pub(super) fn cut_off(&mut self, job: JobId, subject: &Subject, now: Timestamp) {
        let mut told = Vec::new();
        for record in self.effects.values_mut().filter(|record| record.job == job) {
            if let Some(ending) = record.cut_off() {
                told.push(json!({ "effect": record.id, "name": record.name, "state": ending.name() }));
                record.ended = Some((ending, now));
            }
        }
        for detail in told {
            self.write_event(subject, "effect-settled", detail);
        }
    }

    /// Effects that a person has to look at, oldest first.
    pub(super) fn unresolved_effects(&self, limit: u32) -> Vec<EffectRecord> {
        let unresolved =
            |record: &&EffectRecord| matches!(record.ended, Some((EffectEnding::Unresolved(_), _)));
        let mut effects: Vec<_> = self.effects.values().filter(unresolved).cloned().collect();
        effects.sort_by_key(|record| (record.intended, record.id));
        effects.truncate(limit as usize);
        effects
    }

    /// The effects of a task, oldest first.
    pub(super) fn effects_of(&self, task: &TaskKey) -> Vec<EffectRecord> {
        let mut effects: Vec<_> =
            self.effects.values().filter(|record| record.task == *task).cloned().collect();
        effects.sort_by_key(|record| (record.intended, record.id));
        effects
    }
}

fn missing_job(job: JobId) -> Error {
    Error::Rejected { detail: format!("there is no job {job} whose effect this could be") }
}
