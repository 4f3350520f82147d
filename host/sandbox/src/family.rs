//! The processes that one run started, until each is known to have ended.
//!
//! A component may drop a child's handle, trap while one runs, or be ended in the midst of a call. Its run is not over
//! before its processes are: they are ended, waited for, and put on the ledger, whoever held the handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use stagewright_capability::process::{Child, Completed, Event, StreamEnd};
use stagewright_engine::ledger::{Act, Stream};

use crate::seam::Seam;

/// How long the run waits for its processes after they were told to end: two seconds between TERM and KILL, and time
/// for a busy machine to carry it out.
const PATIENCE: Duration = Duration::from_secs(15);
/// How much is read at once while nobody wants the output.
const CHUNK: usize = 64 << 10;

/// A process that a component started. When the last clone is dropped, its tree is ended.
#[derive(Clone)]
#[allow(unreachable_pub, reason = "the generated bindings name it in a public place")]
pub struct Running {
    inner: Arc<Inner>,
}

struct Inner {
    child: Child,
    begun: Instant,
    program: String,
    args: Vec<String>,
    on_ledger: AtomicBool,
}

impl Running {
    pub(crate) fn child(&self) -> &Child {
        &self.inner.child
    }

    /// Waits for its end; nobody wants the output any more.
    pub(crate) async fn end(&self) -> Completed {
        loop {
            if let Event::Ended(done) = self.inner.child.next(CHUNK, PATIENCE).await {
                return *done;
            }
        }
    }
}

/// The processes of one run.
#[derive(Default)]
pub(crate) struct Family {
    members: Vec<Running>,
}

impl Family {
    /// One more.
    pub(crate) fn add(
        &mut self,
        child: Child,
        begun: Instant,
        program: String,
        args: Vec<String>,
    ) -> Running {
        let on_ledger = AtomicBool::new(false);
        let running = Running { inner: Arc::new(Inner { child, begun, program, args, on_ledger }) };
        self.members.push(running.clone());
        running
    }

    /// Puts those that have ended on the ledger and forgets them.
    pub(crate) fn look(&mut self, seam: &mut Seam) {
        self.members.retain(|running| match running.inner.child.completed() {
            Some(done) => {
                record(seam, running, &done);
                false
            }
            None => true,
        });
    }

    /// Ends all of them, and waits until they have ended. What can't be ended is on the ledger as lost.
    pub(crate) async fn end(&mut self, seam: &mut Seam) {
        self.members.iter().for_each(|running| running.child().kill());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        for running in std::mem::take(&mut self.members) {
            match tokio::time::timeout_at(deadline, running.end()).await {
                Ok(done) => record(seam, &running, &done),
                Err(_) => record_lost(seam, &running),
            }
        }
    }
}

/// An end is on the ledger once, by whoever hears of it first.
pub(crate) fn record(seam: &mut Seam, running: &Running, done: &Completed) {
    if !running.inner.on_ledger.swap(true, Relaxed) {
        seam.record(running.inner.begun, command(done));
    }
}

/// A command that has ended, as it stands on the ledger.
pub(crate) fn command(done: &Completed) -> Act {
    let stream = |end: &StreamEnd| Stream { bytes: end.total, sha256: end.sha256.clone() };
    Act::Command {
        program: done.program.clone(),
        path: done.path.display().to_string(),
        args: done.args.clone(),
        exit: done.exit.tell(),
        stdout: stream(&done.stdout),
        stderr: stream(&done.stderr),
        isolation: done.isolation.clone(),
    }
}

fn record_lost(seam: &mut Seam, running: &Running) {
    let unknown = || Stream { bytes: 0, sha256: String::new() };
    let act = Act::Command {
        program: running.inner.program.clone(),
        path: String::new(),
        args: running.inner.args.clone(),
        exit: format!("lost: it did not end within {} s of being told to", PATIENCE.as_secs()),
        stdout: unknown(),
        stderr: unknown(),
        isolation: "none".to_owned(),
    };
    seam.record(running.inner.begun, act);
}
