//! The one seam between a component and the world (P8).
//!
//! Every host call of every interface version enters here, is counted against the run's limit, and what it
//! did is put on the ledger. Clock and randomness pass it too: a component is deterministic given the
//! answers of its host calls, so this is the place where a recorder will stand.

use std::time::Instant;

use stagewright_engine::ledger::{Act, Entry, Ledger};

/// What a component says while it runs.
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
#[derive(Debug)]
pub(crate) struct Seam {
    begun: Instant,
    calls: u64,
    calls_limit: u64,
    log_lines: u64,
    log_limit: u64,
    ledger: Ledger,
}

/// A host call that has entered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entered {
    at: Instant,
}

impl Seam {
    pub(crate) fn new(calls_limit: u64, log_limit: u64) -> Self {
        let begun = Instant::now();
        Self { begun, calls: 0, calls_limit, log_lines: 0, log_limit, ledger: Ledger::default() }
    }

    /// A host call begins.
    pub(crate) fn enter(&mut self) -> Result<Entered, TooManyCalls> {
        self.calls += 1;
        if self.calls > self.calls_limit {
            return Err(TooManyCalls(self.calls_limit));
        }
        Ok(Entered { at: Instant::now() })
    }

    /// What a host call did.
    pub(crate) fn record(&mut self, entered: Entered, act: Act) {
        self.ledger.record(Entry {
            at_ms: millis(entered.at - self.begun),
            duration_ms: millis(entered.at.elapsed()),
            act,
        });
    }

    /// Whether one more line may be logged.
    pub(crate) fn may_log(&mut self) -> bool {
        self.log_lines += 1;
        self.log_lines <= self.log_limit
    }

    pub(crate) fn elapsed_ms(&self) -> u64 {
        millis(self.begun.elapsed())
    }

    pub(crate) fn into_ledger(self) -> Ledger {
        self.ledger
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
