//! The one seam between a component and the world (P8).
//!
//! Every host call of every interface version is counted here against the run's limit; one that waits is bounded in time
//! and stops the watch that measures the component's own computing; and what it did is put on the ledger. Clock and
//! randomness pass here, too. A component is deterministic given the answers of its host calls, so this is where a
//! recorder will stand:
//!
//! - [`Seam::enter`]: a call of our own interfaces, or one that waits. It is over when its [`Call`] is dropped.
//! - [`Seam::pass`]: a call of WASI that answers at once, with something of the world. Its time is the component's own.
//! - [`Seam::count`]: a call of WASI that is answered from what the component itself did. There is nothing to record.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use stagewright_capability::{Failure, FailureKind};
use stagewright_engine::ledger::{Act, Entry, Ledger};

use crate::Limits;
use crate::log::Log;
use crate::stopwatch::Stopwatch;
use crate::text;

/// The longest message of a step of progress, in characters.
const MAX_PROGRESS: usize = 200;

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
    /// The time of day at which it began.
    begun_at: SystemTime,
    deadline: Instant,
    calls: u64,
    calls_limit: u64,
    log: Log,
    observer: Arc<dyn Observer>,
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
    pub(crate) fn new(limits: &Limits, watch: Stopwatch, observer: Arc<dyn Observer>) -> Self {
        let begun = Instant::now();
        Self {
            watch,
            begun,
            begun_at: SystemTime::now(),
            // A limit beyond what the clock can count is a century away.
            deadline: begun.checked_add(limits.wall).unwrap_or(begun + Duration::from_secs(3_000_000_000)),
            calls: 0,
            calls_limit: limits.calls,
            log: Log::new(Arc::clone(&observer), limits.log_lines),
            observer,
            ledger: Ledger::default(),
        }
    }

    /// A host call begins, during which the component waits.
    pub(crate) fn enter(&mut self) -> Result<Call, TooManyCalls> {
        self.watch.stop();
        self.pass()?;
        Ok(Call { at: Instant::now(), watch: self.watch.clone() })
    }

    /// A host call that waits for nothing, and so is the component's own computing.
    pub(crate) fn pass(&mut self) -> Result<(), TooManyCalls> {
        self.count();
        self.check_calls()
    }

    /// Such a call, where nothing can be refused. Whether it was one too many is asked by the next call that can be, and
    /// once a tick: a component gets no further than a tick with it.
    pub(crate) fn count(&mut self) {
        self.calls = self.calls.saturating_add(1);
    }

    /// Whether it made no more calls than it may.
    pub(crate) fn check_calls(&self) -> Result<(), TooManyCalls> {
        if self.calls > self.calls_limit { Err(TooManyCalls(self.calls_limit)) } else { Ok(()) }
    }

    /// Puts what was done on the ledger; it began at `at` and has just ended.
    pub(crate) fn record(&mut self, at: Instant, act: Act) {
        let at_ms = millis(at.saturating_duration_since(self.begun));
        self.ledger.record(Entry { at_ms, duration_ms: millis(at.elapsed()), act });
    }

    /// The run's log.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Passes a step of progress on.
    pub(crate) fn progress(&self, done: u64, total: u64, message: &str) {
        self.observer.progress(done, total, &text::line(message, MAX_PROGRESS));
    }

    /// The component's clock: the time since the run began.
    pub(crate) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The time of day, as the time at which the run began and its own clock since then. So it never jumps within a run,
    /// and it is one more number for a recorder.
    pub(crate) fn time_of_day(&self) -> SystemTime {
        self.begun_at.checked_add(self.now()).unwrap_or(self.begun_at)
    }

    /// How long the run may still take.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The component's randomness.
    pub(crate) fn random(&self, len: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
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
