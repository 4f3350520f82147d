//! Clears away ended processes that were left to the daemon: it adopts what its descendants leave, and as the first process
//! of a container everything that anybody leaves. It ends nobody; ending what a run left is the work of whoever ended the
//! run.

use std::time::Duration;

use stagewright_capability::survivors;
use tokio::signal::unix::{SignalKind, signal};

use super::stop::{Phase, Stop};

/// How long it waits after a child's end before it looks: children end in crowds, and a look goes through all processes.
const GATHER: Duration = Duration::from_secs(2);

/// Clears away until the daemon ends. With nothing ending, it does nothing.
pub async fn run(stop: Stop) {
    let mut ended = match signal(SignalKind::child()) {
        Ok(ended) => ended,
        Err(error) => {
            tracing::warn!(%error, "the end of children can't be heard; ended processes of others may stay listed");
            return;
        }
    };
    // Looks once at the start: some may have been there before.
    loop {
        tokio::select! {
            () = stop.reached(Phase::Ending) => return,
            () = tokio::time::sleep(GATHER) => {}
        }
        let cleared = tokio::task::spawn_blocking(survivors::clear_ended).await.unwrap_or(0);
        if cleared > 0 {
            tracing::debug!(cleared, "cleared away ended processes of others");
        }
        tokio::select! {
            () = stop.reached(Phase::Ending) => return,
            _ = ended.recv() => {}
        }
    }
}
