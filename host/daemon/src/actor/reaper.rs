//! The reaper: takes over from the dead (J6).
//!
//! Its first tier stands here: a running job whose owner is proven dead is put back into the queue, after its processes
//! were ended. It never takes doubt for death.

use std::time::Duration;

use super::stop::{Phase, Stop};
use crate::worker::Worker;
use crate::{clock, recovery};

/// How often it looks.
const ROUND: Duration = Duration::from_secs(30);

/// Looks until the daemon ends.
pub async fn run(worker: Worker, stop: Stop) {
    loop {
        tokio::select! {
            () = stop.reached(Phase::Draining) => return,
            () = tokio::time::sleep(ROUND) => {}
        }
        let looked = async {
            recovery::take_stock(&worker.store, &worker.state, clock::now()).await?;
            recovery::sweep(&worker.store, &worker.state).await
        };
        if let Err(error) = looked.await {
            tracing::warn!(%error, "the reaper could not look for the dead; it looks again soon");
        }
    }
}
