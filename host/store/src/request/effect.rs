//! The journal of edge effects (O9): intent first, then the act, then its result.

use serde_json::Value;
use stagewright_engine::effect::EffectClass;
pub use stagewright_engine::effect::EffectEnding;
use stagewright_engine::identity::{Epoch, InstanceId, JobId, TaskKey};
use stagewright_engine::lease::Lease;
use stagewright_engine::time::Timestamp;
use uuid::Uuid;

use crate::error::Error;

/// Names one entry of the journal. Made by the caller (UUID version 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct EffectId(Uuid);

impl EffectId {
    /// Takes an id that was made outside.
    pub const fn new(id: Uuid) -> Self {
        Self(id)
    }

    /// The bare id.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

/// An outside act that is about to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEffect {
    /// Its id.
    pub id: EffectId,
    /// The lease under which it is done.
    pub lease: Lease,
    /// The finished job whose transition it belongs to.
    pub job: JobId,
    /// What is done, such as `merge`.
    pub name: String,
    /// What may be done about it after a crash.
    pub class: EffectClass,
    /// The same for the same act on the same edge and commit, and for no other.
    pub idempotency_key: String,
    /// What the act needs to be repeated or read back: its target, its time-out; never a secret.
    pub detail: Value,
    /// The time.
    pub now: Timestamp,
}

/// Whether the act may begin.
#[derive(Clone, Debug, PartialEq)]
pub enum Intended {
    /// The intent is written; act now.
    New(EffectRecord),
    /// The journal has this key already: done, or begun by somebody before. The rule of effects decides.
    Known(EffectRecord),
}

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectRecord {
    /// Its id.
    pub id: EffectId,
    /// The task.
    pub task: TaskKey,
    /// The finished job whose transition it belongs to.
    pub job: JobId,
    /// Who intended it last.
    pub owner: InstanceId,
    /// The epoch of the lease under which it was intended last.
    pub epoch: Epoch,
    /// What is done.
    pub name: String,
    /// What may be done about it after a crash.
    pub class: EffectClass,
    /// Its key.
    pub idempotency_key: String,
    /// What the act needs to be repeated or read back.
    pub detail: Value,
    /// When it was intended last.
    pub intended: Timestamp,
    /// How it ended and when that was written. `None`: intended, and whether it was done is not known here.
    pub ended: Option<(EffectEnding, Timestamp)>,
}

impl EffectRecord {
    /// What becomes of it when its job is stale before its transition was complete: what was done or begun can't be taken
    /// back, and is a person's to look at.
    pub(crate) fn cut_off(&self) -> Option<EffectEnding> {
        let why = match &self.ended {
            Some((EffectEnding::Done(answer), _)) => {
                format!("it was done ({answer}), but the task went elsewhere before its stage was written")
            }
            None => "the task went elsewhere before anybody knew whether it was done".to_owned(),
            Some((EffectEnding::Failed(_) | EffectEnding::Unresolved(_), _)) => return None,
        };
        Some(EffectEnding::Unresolved(why))
    }
}

/// An act that the journal knows, and that was not done as far as its class tells, is about to be done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntendAgain {
    /// The effect.
    pub id: EffectId,
    /// The lease under which it is done now.
    pub lease: Lease,
    /// The time.
    pub now: Timestamp,
}

/// An effect's end is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettleEffect {
    /// The effect.
    pub id: EffectId,
    /// The task's epoch as the caller knows it.
    pub epoch: Epoch,
    /// How it ended.
    pub ending: EffectEnding,
    /// The time.
    pub now: Timestamp,
}

/// Why an intent was not written. The act must not be done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum IntendRefused {
    /// The lease that the caller relies on is gone.
    #[error("the lease is no longer there")]
    LeaseLost,
    /// Its task is held, or has ended: nothing new is begun.
    #[error("the task is not active")]
    NotActive,
    /// It was done, or nobody can say: it must not be done again by itself.
    #[error("the effect is already settled")]
    Settled(Box<EffectRecord>),
    /// There is no such effect of this task.
    #[error("there is no such effect")]
    NoSuchEffect,
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Why an effect was not settled. Nothing was changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettleRefused {
    /// The task has another epoch: somebody else decides about this effect now.
    #[error("the task has epoch {actual}")]
    Fenced {
        /// The epoch that it has.
        actual: Epoch,
    },
    /// It was settled before, and otherwise.
    #[error("the effect is already settled")]
    Settled(Box<EffectRecord>),
    /// There is no such effect.
    #[error("there is no such effect")]
    NoSuchEffect,
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] Error),
}
