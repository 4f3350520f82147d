//! Watching over one command from its start to the end of its tree.
//!
//! One task reads both output streams, hears the shepherd's words, and orders the end when the time is over,
//! the run is cancelled, a limit is passed or the child's holder asks for it. The shepherd's word decides
//! how the command ended; the cause for which the host ended it stands before that. A shepherd that does not
//! say a word in time is killed like one that hangs, and then it is not known how the command ended.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stagewright_engine::identity::RunId;
use stagewright_shepherd::protocol::{Ending, Word};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::OwnedSemaphorePermit;

use super::GRACE;
use super::child::{Child, Completed, Exit, Shared, State};
use super::crowd::Watched;
use super::grant::Confinement;
use super::output::{LogFiles, Stream};
use super::shepherd::{Flock, start_failed};
use crate::{Cancel, Failure, FailureKind, survivors};

/// How long output is still read after the tree is gone. Only something outside of the tree could hold the
/// pipe that long.
pub(crate) const DRAIN: Duration = Duration::from_millis(500);
/// How long the shepherd may take to end everything: the grace period, its own patience with what can't be
/// ended at once (10 s), and a second.
pub(crate) const UNHEARD: Duration = GRACE.saturating_add(Duration::from_secs(11));
/// How much is read at once, in bytes: what a pipe holds.
const READ: usize = 64 << 10;

/// The limits of one command.
pub(super) struct Limits {
    pub(super) time: Duration,
    pub(super) output_log_bytes: u64,
    pub(super) tail_bytes: usize,
    pub(super) output_bytes: u64,
    pub(super) tree: u64,
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
pub(crate) async fn await_start(
    flock: &mut Flock,
    confinement: Confinement,
    run: RunId,
) -> Result<String, Failure> {
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
        // It may have been killed right after it had started the command.
        _ => Err(start_failed(&after_the_shepherds_death(run).await)),
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
    let crowd = flock.process.id().map(|shepherd| Watched::new(shepherd, limits.tree));
    let mut deadline = std::pin::pin!(tokio::time::sleep(limits.time));
    let mut unheard = std::pin::pin!(tokio::time::sleep(UNHEARD));
    // Why the host ends the command, if it does.
    let mut because: Option<Exit> = None;
    let mut ending: Option<Ending> = None;
    let last = loop {
        // A command that has ended by itself can't run out of time any more.
        let running = because.is_none() && ending.is_none();
        tokio::select! {
            word = flock.next_word() => match word {
                Some(Word::Exited(how)) => ending = Some(how),
                Some(Word::Gone) => break None,
                Some(Word::Lost(what)) => break Some(what),
                Some(Word::Started { .. } | Word::Failed { .. }) => {}
                None => break Some(after_the_shepherds_death(facts.run).await),
            },
            () = readable(stdout.as_ref()) => take(&mut stdout, shared, |state| &mut state.stdout),
            () = readable(stderr.as_ref()) => take(&mut stderr, shared, |state| &mut state.stderr),
            () = &mut deadline, if running => because = Some(Exit::TimedOut),
            _ = cancel.cancelled(), if running => because = Some(Exit::Cancelled),
            () = shared.kill_asked(), if running => because = Some(Exit::Cancelled),
            () = too_many(crowd.as_ref()), if running => {
                because = Some(Exit::Limit("processes".to_owned()));
            }
            () = &mut unheard, if !running => {
                // It is stopped, or hangs. Its death is heard as the end of its words.
                let _ = flock.process.start_kill();
                unheard.as_mut().reset(tokio::time::Instant::now() + UNHEARD);
            }
        }
        if running && because.is_none() && printed(shared) > limits.output_bytes {
            because = Some(Exit::Limit("output".to_owned()));
        }
        if running && (because.is_some() || ending.is_some()) {
            unheard.as_mut().reset(tokio::time::Instant::now() + UNHEARD);
            match &because {
                // Whoever does harm is not asked first.
                Some(Exit::Limit(_)) => flock.kill().await,
                Some(_) => flock.terminate().await,
                None => {}
            }
        }
    };
    drain(stdout, stderr, shared).await;
    // Only so that no zombie of the shepherd itself is left.
    let _ = flock.process.wait().await;
    match (last, because, ending) {
        (Some(lost), _, _) => Exit::Lost(lost),
        // The host's order stands before the signal that carried it out.
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

async fn too_many(crowd: Option<&Watched>) {
    match crowd {
        Some(crowd) => crowd.too_many().await,
        None => std::future::pending().await,
    }
}

/// Waits until there is something to read; for ever if the stream has ended.
pub(crate) async fn readable(pipe: Option<&Receiver>) {
    match pipe {
        // An error shows again when it is read.
        Some(pipe) => drop(pipe.readable().await),
        None => std::future::pending().await,
    }
}

/// Reads once and hands on what was there; `pipe` is none after its end. No memory is held for a command that prints
/// nothing.
pub(crate) fn read_once(pipe: &mut Option<Receiver>, took: impl FnOnce(&[u8])) {
    let Some(open) = pipe else { return };
    let mut buffer = [0; READ];
    match open.try_read(&mut buffer) {
        Ok(read @ 1..) => took(&buffer[..read]),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        Ok(0) | Err(_) => *pipe = None,
    }
}

fn take(pipe: &mut Option<Receiver>, shared: &Shared, stream: impl Fn(&mut State) -> &mut Stream) {
    read_once(pipe, |bytes| {
        stream(&mut shared.state()).take(bytes);
        shared.tell();
    });
}

async fn drain(mut stdout: Option<Receiver>, mut stderr: Option<Receiver>, shared: &Shared) {
    let rest = async {
        while stdout.is_some() {
            readable(stdout.as_ref()).await;
            take(&mut stdout, shared, |state| &mut state.stdout);
        }
        while stderr.is_some() {
            readable(stderr.as_ref()).await;
            take(&mut stderr, shared, |state| &mut state.stderr);
        }
    };
    let _ = tokio::time::timeout(DRAIN, rest).await;
}

/// The shepherd was killed: whatever it leaves is ended here. It is never known how the command ended.
pub(crate) async fn after_the_shepherds_death(run: RunId) -> String {
    let left = tokio::task::spawn_blocking(move || survivors::end(run)).await.unwrap_or(1);
    match left {
        0 => "the shepherd was killed; everything of the run has been ended".to_owned(),
        left => format!("the shepherd was killed, and {left} processes could not be ended"),
    }
}
