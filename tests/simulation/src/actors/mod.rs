//! The actors, as the daemon has them: the same order of store calls around the same decisions of the engine.
//!
//! ```text
//! pool, worker   daemon: actor/pool.rs, worker/mod.rs
//! finalizer      daemon: actor/finalizer.rs, transition/
//! reconciler     daemon: actor/reconciler.rs
//! reaper         daemon: actor/reaper.rs, recovery.rs
//! operator       daemon: operator.rs; a forced release, and what a person finds about an unresolved effect
//! ```
//!
//! What is left out is what touches neither the store nor another actor: clones, sandboxes, files.

pub(crate) mod finalizer;
pub(crate) mod operator;
pub(crate) mod pool;
pub(crate) mod reaper;
pub(crate) mod reconciler;
pub(crate) mod worker;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stagewright_engine::budget::DeferralBudget;
use stagewright_engine::identity::{Epoch, InstanceId};
use stagewright_engine::instance::Instance;
use stagewright_engine::outcome::Fault;
use stagewright_engine::pipeline::Pipeline;
use stagewright_engine::task::{Hold, Task};
use stagewright_engine::time::Timestamp;
use stagewright_store::Store;
use stagewright_store::request::effect::EffectId;

use crate::world::{Role, Sim};

/// What every actor of a process stands on.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) sim: Sim,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) instance: InstanceId,
    /// When this process first saw an act that a dead owner has left open, by the clock that only goes on (daemon:
    /// `transition::FirstSeen`).
    pub(crate) first_seen: Arc<Mutex<BTreeMap<(EffectId, Epoch), u64>>>,
}

impl Host {
    pub(crate) fn now(&self) -> Timestamp {
        self.sim.now()
    }

    pub(crate) async fn register(&self) {
        let instance = Instance {
            id: self.instance,
            host: "host".to_owned(),
            boot: "boot".to_owned(),
            pid_namespace: "pid:[1]".to_owned(),
            pid: 1,
            process_start: 1,
            version: "0".to_owned(),
            started: self.now(),
        };
        let _ = self.store.register_instance(instance).await;
    }

    /// A start of the daemon: it registers, takes stock of the dead, and begins its actors.
    pub(crate) async fn serve(self) {
        self.register().await;
        reaper::take_stock(&self).await;
        let host = self.clone();
        self.sim.spawn(Role::Pool, pool::run(host.clone()));
        self.sim.spawn(Role::Finalizer, finalizer::run(host.clone()));
        self.sim.spawn(Role::Reconciler, reconciler::run(host.clone()));
        self.sim.spawn(Role::Reaper, reaper::run(host));
    }
}

/// How often something is tried before a person has to look.
pub(crate) fn budget() -> DeferralBudget {
    DeferralBudget::default()
}

pub(crate) fn hold_of(task: &Task, fault: Fault, now: Timestamp) -> Hold {
    Hold { fault, stage: task.stage.clone(), job: None, since: now }
}
