//! Named points at which a test can have this process killed (R1).
//!
//! Only in builds with debug assertions, and only where `STAGEWRIGHT_CRASH_AT` names a point: `before-act`, or `before-act:3`
//! for the third time that it is passed. The process kills itself with SIGKILL, as a crash would: nothing is flushed, no
//! destructor runs. In a release build there is nothing of this.

/// The point has been reached.
#[cfg(not(debug_assertions))]
pub(crate) const fn point(_name: &str) {}

/// The point has been reached.
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Wanted {
        name: String,
        left: AtomicU32,
    }
    static WANTED: LazyLock<Option<Wanted>> = LazyLock::new(|| {
        let text = std::env::var("STAGEWRIGHT_CRASH_AT").ok()?;
        let (name, times) = match text.rsplit_once(':') {
            Some((name, times)) => (name.to_owned(), times.parse().ok()?),
            None => (text, 1),
        };
        Some(Wanted { name, left: AtomicU32::new(times) })
    });

    let Some(wanted) = WANTED.as_ref().filter(|wanted| wanted.name == name) else { return };
    if wanted.left.fetch_sub(1, Ordering::SeqCst) == 1 {
        // It does not return; if it could not be sent, the test notices that nobody died.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}
