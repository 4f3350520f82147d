//! A running command, as whoever started it sees it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::output::Stream;

/// How a command ended. Its whole process tree is gone by the time that this is known, except for `Lost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal, which the host did not send.
    Signal(i32),
    /// Its time was over, and the host ended it.
    TimedOut,
    /// The run was to end, and the host ended it.
    Cancelled,
    /// It passed a limit of the grant, and the host ended it.
    Limit(String),
    /// The host can't say how it ended.
    Lost(String),
}

impl Exit {
    /// As it stands in the ledger.
    pub fn tell(&self) -> String {
        match self {
            Self::Code(code) => format!("code {code}"),
            Self::Signal(signal) => format!("signal {signal}"),
            Self::TimedOut => "timed-out".to_owned(),
            Self::Cancelled => "cancelled".to_owned(),
            Self::Limit(which) => format!("limit {which}"),
            Self::Lost(why) => format!("lost {why}"),
        }
    }
}

/// What is known of an output stream at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamEnd {
    /// The last bytes, up to the grant's limit.
    pub tail: Vec<u8>,
    /// How many bytes there were.
    pub total: u64,
    /// SHA-256 of all of them, in hex.
    pub sha256: String,
}

/// A command that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// How.
    pub exit: Exit,
    /// Its standard output.
    pub stdout: StreamEnd,
    /// Its standard error.
    pub stderr: StreamEnd,
    /// How long it took.
    pub duration: Duration,
    /// The name under which the grant knows the program.
    pub program: String,
    /// What was executed.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// What confined it, such as `landlock-7`; `none` where nothing did.
    pub isolation: String,
}

/// A part of an output stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many bytes went by unread before these.
    pub skipped: u64,
}

/// What happens next to a running command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It has printed something.
    Stdout(Chunk),
    /// It has printed something as an error.
    Stderr(Chunk),
    /// It has ended.
    Ended(Box<Completed>),
    /// Nothing happened within the time.
    Idle,
}

/// What a child and its supervisor share.
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Notify,
    kill: Notify,
}

pub(super) struct State {
    pub(super) stdout: Stream,
    pub(super) stderr: Stream,
    pub(super) completed: Option<Completed>,
    /// Whether the last chunk came from standard output: the streams take turns.
    stdout_was_last: bool,
}

impl Shared {
    pub(super) fn new(stdout: Stream, stderr: Stream) -> Self {
        let state = Mutex::new(State { stdout, stderr, completed: None, stdout_was_last: false });
        Self { state, changed: Notify::new(), kill: Notify::new() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits for something to happen.
    pub(super) fn tell(&self) {
        self.changed.notify_waiters();
    }

    pub(super) async fn kill_asked(&self) {
        self.kill.notified().await;
    }
}

/// A running command. Dropping it ends the whole tree, without waiting for that.
pub struct Child {
    shared: Arc<Shared>,
}

impl Child {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Waits for the next event, at most for `timeout`; a chunk has at most `max` bytes.
    pub async fn next(&self, max: usize, timeout: Duration) -> Event {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            // Registered before looking, so that nothing that happens in between is missed.
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            if let Some(event) = self.look(max) {
                return event;
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return self.look(max).unwrap_or(Event::Idle);
            }
        }
    }

    fn look(&self, max: usize) -> Option<Event> {
        let mut state = self.shared.state();
        let stdout_first = !state.stdout_was_last;
        for stdout in [stdout_first, !stdout_first] {
            let stream = if stdout { &mut state.stdout } else { &mut state.stderr };
            if let Some(chunk) = stream.next(max) {
                state.stdout_was_last = stdout;
                return Some(if stdout { Event::Stdout(chunk) } else { Event::Stderr(chunk) });
            }
        }
        state.completed.clone().map(|completed| Event::Ended(Box::new(completed)))
    }

    /// Ends the tree: TERM, a grace period, then KILL.
    pub fn kill(&self) {
        self.shared.kill.notify_one();
    }

    /// How it ended, if it has.
    pub fn completed(&self) -> Option<Completed> {
        self.shared.state().completed.clone()
    }

    /// Waits for its end.
    pub async fn end(self) -> Completed {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            if let Some(completed) = self.completed() {
                return completed;
            }
            changed.await;
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Child").field("completed", &self.completed().is_some()).finish()
    }
}
