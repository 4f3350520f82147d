//! The pool: claims the oldest due job and works on it in an actor of its own (daemon: `actor/pool.rs`).

use stagewright_engine::identity::RunId;
use stagewright_engine::name::ProducerName;
use stagewright_store::request::job::{ClaimNext, Lane};

use super::{Host, worker};
use crate::HOST_LIMIT;
use crate::world::Role;

/// How soon it looks into the queue without being told, in milliseconds.
const LOOK: u64 = 8_000;

pub(crate) async fn run(host: Host) {
    while !host.sim.stopping() {
        let claim = ClaimNext {
            instance: host.instance,
            run: RunId::new(host.sim.id()),
            now: host.now(),
            host_limit: HOST_LIMIT,
            lanes: lanes(&host),
        };
        // A store that refuses: this instance was retired by who took it for ended. The pool ends with it.
        let Ok(claimed) = host.store.claim_next(claim).await else { return };
        match claimed {
            Some(claimed) => {
                let worker = host.clone();
                host.sim.spawn(Role::Worker, async move { worker::work(worker, claimed).await });
            }
            None => host.sim.sleep(LOOK).await,
        }
    }
    leave(host).await;
}

/// An end in order: when nothing is owned any more, the instance retires (daemon: `host::leave`).
async fn leave(host: Host) {
    host.sim.saw("a host ended in order");
    while host.store.retire_instance(host.instance, host.now()).await.is_err() {
        host.sim.sleep(2_000).await;
    }
}

fn lanes(host: &Host) -> Vec<Lane> {
    let stages = host.pipeline.stages().iter().filter(|stage| !stage.is_end());
    let lane = |stage: &stagewright_engine::pipeline::Stage| Lane {
        stage: stage.name.clone(),
        repos: None,
        producer: ProducerName::new("producer").unwrap(),
        limit: HOST_LIMIT,
    };
    stages.map(lane).collect()
}
