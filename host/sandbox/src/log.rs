//! A run's log: bounded lines, fit to be shown, to whoever listens.
//!
//! Everything that a component says goes through here and counts against one limit, whether it says it by `host.log`
//! or by writing to the standard output that WASI gives it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::seam::{Level, Observer};
use crate::text;

/// The longest line that is passed on, in bytes.
pub(crate) const MAX_LINE: usize = 8 << 10;

/// Clones are the same log.
#[derive(Clone)]
pub(crate) struct Log {
    observer: Arc<dyn Observer>,
    limit: u64,
    lines: Arc<Mutex<u64>>,
}

impl Log {
    pub(crate) fn new(observer: Arc<dyn Observer>, limit: u64) -> Self {
        Self { observer, limit, lines: Arc::default() }
    }

    /// Passes a line on. Beyond the limit it says so once, and drops the rest.
    pub(crate) fn line(&self, level: Level, message: String) {
        // Only a number is behind the lock, and a listener that panics is called when it is free again.
        let line = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            *lines = lines.saturating_add(1);
            *lines
        };
        if line <= self.limit {
            self.observer.log(level, &text::block(message, MAX_LINE));
        } else if line == self.limit.saturating_add(1) {
            let limit = self.limit;
            self.observer.log(
                Level::Warn,
                &format!("the component logged more than {limit} lines; the rest is dropped"),
            );
        }
    }
}
