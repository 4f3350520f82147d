//! What the daemon tells the service manager that started it (systemd's `Type=notify`): that it serves, that it stops,
//! and a line for people.
//!
//! Without a service manager (no `NOTIFY_SOCKET`) it says nothing. A manager that can't be told is no reason not to
//! serve: it is logged, and the manager's own time-out decides.
//!
//! There is no watchdog. A sign of life on a timer would prove that the timer lives, and one that waits for the store
//! would have the daemon killed, with all that runs, because a disk is slow. Whether an instance lives is decided by
//! its lock (O3), and a silence proves nothing there either.

use std::time::Duration;

use sd_notify::NotifyState;

/// What a stop takes beyond the time that running jobs are given: ending what still runs, and the last writes.
const AFTER_DRAIN: Duration = Duration::from_secs(30);

/// It serves: recovery is done and the actors begin. `status` is a short line for people.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// It begins to stop, and running jobs have at most `drain`. The manager is asked for that long, so that its own
/// limit for a stop need not follow `jobs.drain_s`.
pub(crate) fn stopping(drain: Duration) {
    let longest = drain.saturating_add(AFTER_DRAIN).as_micros();
    let status = format!("stopping: what runs has {} s", drain.as_secs());
    tell(&[
        NotifyState::Stopping,
        // Longer than the 71 minutes that the crate's own type for it can say.
        NotifyState::Custom(&format!("EXTEND_TIMEOUT_USEC={longest}")),
        NotifyState::Status(&status),
    ]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told how the daemon stands");
    }
}
