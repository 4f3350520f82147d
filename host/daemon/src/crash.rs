//! Named points at which a test can have this process killed (R1).
//!
//! Only in builds with debug assertions, and only where `STAGEWRIGHT_CRASH_AT` names a point: `before-act`, or `before-act:3`
//! for the third time that it is passed. The process kills itself with SIGKILL, as a crash would: nothing is flushed, no
//! destructor runs. `STAGEWRIGHT_STOP_AT` lets it stop there instead (SIGSTOP), like one whose machine was suspended, until it
//! is continued. In a release build there is nothing of this.

use stagewright_store::sqlite::Commit;

/// One side of a COMMIT of the store has been reached.
pub(crate) fn at_commit(side: Commit) {
    point(match side {
        Commit::Before => "before-commit",
        Commit::After => "after-commit",
    });
}

/// The point has been reached.
#[cfg(not(debug_assertions))]
pub(crate) const fn point(_name: &str) {}

/// The point has been reached.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    struct Wanted {
        name: String,
        left: AtomicU32,
        signal: Signal,
    }
    fn wanted(variable: &str, signal: Signal) -> Option<Wanted> {
        let text = std::env::var(variable).ok()?;
        let (name, times) = match text.rsplit_once(':') {
            Some((name, times)) => (name.to_owned(), times.parse().ok()?),
            None => (text, 1),
        };
        Some(Wanted { name, left: AtomicU32::new(times), signal })
    }
    static WANTED: LazyLock<Vec<Wanted>> = LazyLock::new(|| {
        let all = [("STAGEWRIGHT_CRASH_AT", Signal::KILL), ("STAGEWRIGHT_STOP_AT", Signal::STOP)];
        all.into_iter().filter_map(|(variable, signal)| wanted(variable, signal)).collect()
    });

    for wanted in WANTED.iter().filter(|wanted| wanted.name == name) {
        if wanted.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // If it could not be sent, the test notices that nobody died or stopped.
            let _ = kill_process(getpid(), wanted.signal);
            // The kernel may hand the signal to another thread first. This one does nothing more until it is hit, too.
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    }
}
