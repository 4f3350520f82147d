//! Watching over one command from its start to the end of its tree.
//!
//! One task reads both output streams, hears the shepherd's words, and orders the end when the time is over,
//! the run is cancelled, a limit is passed or the child's holder asks for it. The shepherd's word decides
//! how the command ended; the cause for which the host ended it stands before that.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stagewright_engine::identity::RunId;
use stagewright_shepherd::protocol::{Ending, Word};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::OwnedSemaphorePermit;

use super::child::{Child, Completed, Exit, Shared};
use super::grant::Confinement;
use super::output::{LogFiles, Stream};
use super::shepherd::{Flock, start_failed};
use crate::{Cancel, Failure, FailureKind, survivors};

/// How long output is still read after the tree is gone. Only something outside of the tree could hold the
/// pipe that long.
const DRAIN: Duration = Duration::from_millis(500);
/// How much is read at once, in bytes.
const READ: usize = 64 << 10;

/// The limits of one command.
pub(super) struct Limits {
    pub(super) time: Duration,
    pub(super) output_log_bytes: u64,
    pub(super) tail_bytes: usize,
    pub(super) output_bytes: u64,
}

/// What is known of a command from its start on.
pub(super) struct Facts {
    pub(super) program: String,
    pub(super) path: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) isolation: String,
    pub(super) run: RunId,
}

/// Waits for the shepherd's first word; gives what confines the command.
pub(super) async fn await_start(flock: &mut Flock, confinement: Confinement) -> Result<String, Failure> {
    match flock.next_word().await {
        Some(Word::Started { isolation, .. })
            if isolation == "none" && confinement == Confinement::Required =>
        {
            let message =
                "the configuration requires isolation (isolation.require), and this kernel has no Landlock";
            Err(Failure::new(FailureKind::Permanent, "isolation-missing", message))
        }
        Some(Word::Started { isolation, .. }) => Ok(isolation),
        // ENOENT, ENOEXEC, EACCES: the program is not one, or can't be executed. It will be so next time.
        Some(Word::Failed { errno: 2 | 8 | 13, what }) => {
            Err(Failure::new(FailureKind::Permanent, "program-not-executable", what))
        }
        Some(Word::Failed { what, .. }) => Err(start_failed(&what)),
        _ => Err(start_failed("the shepherd ended without a word")),
    }
}

/// Watches over a started command in a task of its own.
pub(super) fn supervise(
    flock: Flock,
    facts: Facts,
    limits: Limits,
    logs: LogFiles,
    cancel: Cancel,
    permit: OwnedSemaphorePermit,
) -> Child {
    let stream = |log| Stream::new(log, limits.output_log_bytes, limits.tail_bytes);
    let shared = Arc::new(Shared::new(stream(logs.stdout), stream(logs.stderr)));
    let child = Child::new(Arc::clone(&shared));
    tokio::spawn(async move {
        let begun = Instant::now();
        let exit = watch(flock, &facts, &limits, &shared, &cancel).await;
        // The place is free before anybody hears of the end, so that whoever hears of it can start anew.
        drop(permit);
        let mut state = shared.state();
        state.completed = Some(Completed {
            exit,
            stdout: state.stdout.end(),
            stderr: state.stderr.end(),
            duration: begun.elapsed(),
            program: facts.program,
            path: facts.path,
            args: facts.args,
            isolation: facts.isolation,
        });
        drop(state);
        shared.tell();
    });
    child
}

async fn watch(mut flock: Flock, facts: &Facts, limits: &Limits, shared: &Shared, cancel: &Cancel) -> Exit {
    let (mut stdout, mut stderr) = (flock.stdout.take(), flock.stderr.take());
    let (mut out, mut err) = (vec![0; READ], vec![0; READ]);
    let deadline = tokio::time::sleep(limits.time);
    tokio::pin!(deadline);
    // Why the host ends the command, if it does.
    let mut because: Option<Exit> = None;
    let mut ending: Option<Ending> = None;
    let last = loop {
        let ordered = because.is_some();
        tokio::select! {
            word = flock.next_word() => match word {
                Some(Word::Exited(how)) => ending = Some(how),
                Some(Word::Gone) => break None,
                Some(Word::Lost(what)) => break Some(what),
                Some(Word::Started { .. } | Word::Failed { .. }) => {}
                None => break Some(after_the_shepherds_death(facts.run).await),
            },
            read = read(&mut stdout, &mut out) => {
                shared.state().stdout.take(&out[..read]);
                shared.tell();
            }
            read = read(&mut stderr, &mut err) => {
                shared.state().stderr.take(&err[..read]);
                shared.tell();
            }
            () = &mut deadline, if !ordered => because = Some(Exit::TimedOut),
            _ = cancel.cancelled(), if !ordered => because = Some(Exit::Cancelled),
            () = shared.kill_asked(), if !ordered => because = Some(Exit::Cancelled),
        }
        if because.is_none() && printed(shared) > limits.output_bytes {
            because = Some(Exit::Limit("output".to_owned()));
        }
        if because.is_some() && !ordered {
            flock.terminate().await;
        }
    };
    drain(&mut stdout, &mut stderr, shared).await;
    // Only so that no zombie of the shepherd itself is left.
    let _ = flock.process.wait().await;
    match (last, because, ending) {
        (Some(lost), _, _) => Exit::Lost(lost),
        // The command had ended by itself before the order could reach it.
        (None, Some(because), _) => because,
        (None, None, Some(Ending::Code(code))) => Exit::Code(code),
        (None, None, Some(Ending::Signal(signal))) => Exit::Signal(signal),
        (None, None, None) => Exit::Lost("the shepherd did not say how the command ended".to_owned()),
    }
}

fn printed(shared: &Shared) -> u64 {
    let state = shared.state();
    state.stdout.total().saturating_add(state.stderr.total())
}

/// Reads once; never ready for a stream that has ended.
async fn read(stream: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> usize {
    let Some(open) = stream else { return std::future::pending().await };
    match open.read(buffer).await {
        Ok(read @ 1..) => read,
        Ok(0) | Err(_) => {
            *stream = None;
            0
        }
    }
}

async fn drain(
    stdout: &mut Option<impl AsyncRead + Unpin>,
    stderr: &mut Option<impl AsyncRead + Unpin>,
    shared: &Shared,
) {
    let mut buffer = vec![0; READ];
    let mut rest = async || {
        while stdout.is_some() {
            let read = read(stdout, &mut buffer).await;
            shared.state().stdout.take(&buffer[..read]);
        }
        while stderr.is_some() {
            let read = read(stderr, &mut buffer).await;
            shared.state().stderr.take(&buffer[..read]);
        }
    };
    let _ = tokio::time::timeout(DRAIN, rest()).await;
}

/// The shepherd was killed: whatever it leaves is ended here. It is never known how the command ended.
async fn after_the_shepherds_death(run: RunId) -> String {
    let left = tokio::task::spawn_blocking(move || survivors::end(run)).await.unwrap_or(1);
    match left {
        0 => "the shepherd was killed; everything of the run has been ended".to_owned(),
        left => format!("the shepherd was killed, and {left} processes could not be ended"),
    }
}
