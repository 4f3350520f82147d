//! What happens beside a run: progress is shown, and a signal ends it in order.

use std::sync::Arc;

use stagewright_capability::Cancel;
use stagewright_engine::outcome::Cause;
use stagewright_sandbox::{Level, Observer};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::progress::Progress;

/// Shows what a component says.
pub(super) struct Shown {
    progress: Arc<Progress>,
}

impl Shown {
    pub(super) fn new(progress: Arc<Progress>) -> Self {
        Self { progress }
    }
}

impl Observer for Shown {
    fn log(&self, level: Level, message: &str) {
        match level {
            Level::Info | Level::Warn | Level::Error => self.progress.step(&format!("  {message}")),
            Level::Debug | Level::Trace => tracing::debug!("{message}"),
        }
    }

    fn progress(&self, done: u64, total: u64, message: &str) {
        self.progress.advance(done, total, message);
    }
}

/// Waits for a signal that asks for the end, and passes the wish on. The run then ends in order.
pub(super) async fn cancel_on_signal(cancel: Cancel) {
    let listen = |kind| signal(kind).ok();
    let (mut interrupt, mut terminate, mut hangup) =
        (listen(SignalKind::interrupt()), listen(SignalKind::terminate()), listen(SignalKind::hangup()));
    tokio::select! {
        () = heard(&mut interrupt) => {}
        () = heard(&mut terminate) => {}
        () = heard(&mut hangup) => {}
    }
    cancel.cancel(Cause::Operator);
}

async fn heard(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
