//! How long a component has computed, as far as the host can tell.
//!
//! It runs while the component's own code runs and stands still during host calls and while the component has given
//! its thread to others. What is measured is the time between those points, so a busy machine's share is in it; it is
//! an upper bound of processor time, and a limit on it is a limit on processor time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const STOPPED: u64 = u64::MAX;

/// Clones show the same time. One thread at a time changes it: the one that runs the component.
#[derive(Clone, Debug)]
pub(crate) struct Stopwatch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    zero: Instant,
    sum: AtomicU64,
    since: AtomicU64,
}

impl Stopwatch {
    /// Stands still at zero.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner { zero: Instant::now(), sum: AtomicU64::new(0), since: AtomicU64::new(STOPPED) }))
    }

    /// Time since it was made, whether the component computed or waited.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.zero.elapsed()
    }

    /// The component's code goes on.
    pub(crate) fn start(&self) {
        self.0.since.store(self.now(), Relaxed);
    }

    /// The component waits.
    pub(crate) fn stop(&self) {
        let since = self.0.since.swap(STOPPED, Relaxed);
        if since != STOPPED {
            self.0.sum.fetch_add(self.now().saturating_sub(since), Relaxed);
        }
    }

    /// How long it has computed.
    pub(crate) fn computed(&self) -> Duration {
        let since = self.0.since.load(Relaxed);
        let current = if since == STOPPED { 0 } else { self.now().saturating_sub(since) };
        Duration::from_nanos(self.0.sum.load(Relaxed).saturating_add(current))
    }

    fn now(&self) -> u64 {
        // Nanoseconds of five centuries fit.
        u64::try_from(self.elapsed().as_nanos()).unwrap_or(STOPPED - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Until the clock has moved by this much.
    fn compute(time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn it_adds_up_what_was_computed_and_stands_still_in_between() {
        let watch = Stopwatch::new();
        for rounds in 1..=3 {
            watch.start();
            compute(Duration::from_millis(2));
            watch.stop();
            let computed = watch.computed();
            assert!(computed >= Duration::from_millis(2) * rounds, "{computed:?} after {rounds} rounds");
            compute(Duration::from_millis(2));
            assert_eq!(watch.computed(), computed, "it went on while it stood still");
        }
    }

    #[test]
    fn to_stop_it_twice_counts_once() {
        let watch = Stopwatch::new();
        watch.start();
        watch.stop();
        let computed = watch.computed();
        watch.stop();
        assert_eq!(watch.computed(), computed);
    }
}
