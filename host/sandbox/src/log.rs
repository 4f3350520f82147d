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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Observer for Kept {
        fn log(&self, _: Level, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
        fn progress(&self, _: u64, _: u64, _: &str) {}
    }

    #[test]
    fn whoever_writes_to_a_log_the_lines_share_one_limit_and_its_passing_is_told_once() {
        let kept = Arc::new(Kept::default());
        let log = Log::new(kept.clone(), 3);
        let other = log.clone();
        for _ in 0..3 {
            log.line(Level::Info, "one".to_owned());
            other.line(Level::Warn, "other".to_owned());
        }
        let lines = kept.0.lock().unwrap();
        assert_eq!(lines[..3], ["one", "other", "one"]);
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[3].contains("more than 3 lines"), "{lines:?}");
    }
}
