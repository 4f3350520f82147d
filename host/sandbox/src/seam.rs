//! The one seam between a component and the world (P8).
//!
//! Every host call of every interface version enters here: it is counted against the run's limit, it stops the watch
//! that measures the component's own computing, its waiting is bounded, and what it did is put on the ledger. Clock
//! and randomness pass it, too. A component is deterministic given the answers of its host calls, so this is where a
//! recorder will stand: [`Seam::enter`] sees each call begin, and the answer leaves while its [`Call`] lives.

use std::time::{Duration, Instant};

use stagewright_capability::{Failure, FailureKind};
use stagewright_engine::ledger::{Act, Entry, Ledger};

use crate::Limits;
use crate::stopwatch::Stopwatch;
use crate::text;

/// The longest log line that is passed on, in bytes.
const MAX_LOG_LINE: usize = 8 << 10;
/// The longest message of a step of progress, in characters.
const MAX_PROGRESS: usize = 200;
/// The most random bytes of one call.
const MAX_RANDOM: u32 = 4_096;

/// Who hears what a component says while it runs. What it says is bounded and has no control characters but line ends
/// and tabs. It is called from within the run: it must not block.
pub trait Observer: Send + Sync {
    /// A line of its log.
    fn log(&self, level: Level, message: &str);
    /// How far it is; a `total` of 0 means that it is not known.
    fn progress(&self, done: u64, total: u64, message: &str);
}

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the author.
    Trace,
    /// For the author.
    Debug,
    /// For the operator.
    Info,
    /// Something is odd.
    Warn,
    /// Something is wrong.
    Error,
}

/// A component passed a limit of the seam. It is ended.
#[derive(Debug, thiserror::Error)]
#[error("the component made more than {0} host calls")]
pub(crate) struct TooManyCalls(u64);

/// The seam of one run.
pub(crate) struct Seam {
    watch: Stopwatch,
    begun: Instant,
    deadline: Instant,
    calls: u64,
    calls_limit: u64,
    log_lines: u64,
    log_limit: u64,
    observer: std::sync::Arc<dyn Observer>,
    ledger: Ledger,
}

/// A host call that has entered and not yet left. While it lives, the component waits.
#[must_use = "the component computes again as soon as this is dropped"]
pub(crate) struct Call {
    /// When it began.
    pub(crate) at: Instant,
    watch: Stopwatch,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.watch.start();
    }
}

impl Seam {
    pub(crate) fn new(limits: &Limits, watch: Stopwatch, observer: std::sync::Arc<dyn Observer>) -> Self {
        let begun = Instant::now();
        Self {
            watch,
            begun,
            // A limit beyond what the clock can count is a century away.
            deadline: begun.checked_add(limits.wall).unwrap_or(begun + Duration::from_secs(3_000_000_000)),
            calls: 0,
            calls_limit: limits.calls,
            log_lines: 0,
            log_limit: limits.log_lines,
            observer,
            ledger: Ledger::default(),
        }
    }

    /// A host call begins.
    pub(crate) fn enter(&mut self) -> Result<Call, TooManyCalls> {
        self.watch.stop();
        self.calls += 1;
        if self.calls > self.calls_limit {
            return Err(TooManyCalls(self.calls_limit));
        }
        Ok(Call { at: Instant::now(), watch: self.watch.clone() })
    }

    /// Puts what was done on the ledger; it began at `at` and has just ended.
    pub(crate) fn record(&mut self, at: Instant, act: Act) {
        let at_ms = millis(at.saturating_duration_since(self.begun));
        self.ledger.record(Entry { at_ms, duration_ms: millis(at.elapsed()), act });
    }

    /// Passes a log line on. Beyond the limit it says so once, and drops the rest.
    pub(crate) fn log(&mut self, level: Level, message: String) {
        self.log_lines += 1;
        if self.log_lines <= self.log_limit {
            self.observer.log(level, &text::block(message, MAX_LOG_LINE));
        } else if self.log_lines == self.log_limit + 1 {
            let limit = self.log_limit;
            self.observer.log(
                Level::Warn,
                &format!("the component logged more than {limit} lines; the rest is dropped"),
            );
        }
    }

    /// Passes a step of progress on.
    pub(crate) fn progress(&self, done: u64, total: u64, message: &str) {
        self.observer.progress(done, total, &text::line(message, MAX_PROGRESS));
    }

    /// The component's clock: milliseconds since the run began.
    pub(crate) fn now_ms(&self) -> u64 {
        millis(self.begun.elapsed())
    }

    /// How long the run may still take.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The component's randomness: at most 4,096 bytes at once.
    pub(crate) fn random(&self, len: u32) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; len.min(MAX_RANDOM) as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
        }
        Ok(bytes)
    }

    pub(crate) fn into_ledger(self) -> Ledger {
        self.ledger
    }
}

/// Waits for the work of a host call, at most for `limit`. An epoch doesn't interrupt the host's own waiting, so
/// each call that waits has a limit of its own; the work is dropped when it is over.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let message = format!("the host did not answer within {} ms", limit.as_millis());
        Err(Failure::new(FailureKind::TimedOut, "host-call-timed-out", message))
    })
}

/// Work that blocks, on a thread where that is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(Failure::new(FailureKind::Other, "host-failed", "the host failed at this; its log says more"))
    })
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
