//! One run of the ssh client, from its start to its end.
//!
//! The client is held by a shepherd, so that it does not outlive the daemon. Its input is a pipe whose other end is here:
//! the line for the target goes through it, and then nothing. While it is open somebody waits for the command; when it is
//! closed, by us, by our death or by the network, the target ends the command by itself.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use stagewright_engine::identity::RunId;
use stagewright_shepherd::protocol::{Ending, Request, Word as Said};
use tokio::net::unix::pipe::{self, Receiver, Sender};
use tokio::time::{Instant, sleep};

use super::marks::{Finder, Level, Piece, Word};
use super::outcome::{Because, Known, Seen};
use super::script::Marks;
use crate::process::output::{Stream, keep_last};
use crate::process::supervise::{
    DRAIN, UNHEARD, after_the_shepherds_death, await_start, read_once, readable,
};
use crate::process::{Confinement, Flock, GRACE, Shepherd, StreamEnd, start_failed};
use crate::survivors::RUN_VARIABLE;
use crate::{Cancel, Failure};

/// How much is kept of what is printed before the command begins, in bytes.
const BEFORE: usize = 64 << 10;
/// How long the client may stay after the command has ended, and after it was told to go.
const LINGER: Duration = GRACE.saturating_add(Duration::from_secs(3));
/// Opens the pipe as the client's input. The client does not open files for that by itself.
const OPEN: &str = r#"exec "$@" <"$0""#;
/// What the client gets of our environment. Without a language it has plain English, and sends none to the target.
const ENVIRONMENT: [&str; 5] = ["HOME", "PATH", "USER", "LOGNAME", "SSH_AUTH_SOCK"];

/// What is to be run.
pub(super) struct Client<'a> {
    pub(super) program: &'a Path,
    /// All arguments, the remote command included.
    pub(super) arguments: Vec<OsString>,
    /// What the target reads first.
    pub(super) line: String,
    /// Where the pipe is made; nobody else may reach the folder.
    pub(super) pipe: PathBuf,
    pub(super) run: RunId,
}

/// How long what may take.
pub(super) struct Times {
    /// Until the command begins.
    pub(super) start: Duration,
    /// From its begin to its end.
    pub(super) command: Duration,
    /// How much may be printed altogether, in bytes.
    pub(super) output_bytes: u64,
}

/// A running client. Dropping it ends it.
pub(super) struct Connection {
    flock: Flock,
    pipe: Option<Sender>,
    line: Vec<u8>,
    sent: usize,
    _named: Named,
}

/// The pipe's name in the file system, for as long as it is needed.
struct Named(PathBuf);

impl Drop for Named {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Connection {
    pub(super) async fn open(client: Client<'_>, shepherd: &Shepherd) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| start_failed(&format!("the pipe to the ssh client: {error}"));
        let named = Named(client.pipe);
        mknodat(CWD, &named.0, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .map_err(|errno| failed(errno.into()))?;
        // Open for both, so that there is no waiting for the client, and no end before it has come.
        let pipe = pipe::OpenOptions::new().read_write(true).open_sender(&named.0).map_err(failed)?;
        let mut args: Vec<OsString> =
            vec!["-c".into(), OPEN.into(), named.0.clone().into(), client.program.into()];
        args.extend(client.arguments);
        let mut env: Vec<(OsString, OsString)> =
            ENVIRONMENT.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))).collect();
        env.push((RUN_VARIABLE.into(), client.run.to_string().into()));
        let request = Request {
            program: "/bin/sh".into(),
            args,
            env,
            cwd: "/".into(),
            grace: GRACE,
            // It needs the operator's keys, agent and known hosts, and runs nothing of a component's.
            confine: false,
            ..Request::default()
        };
        let mut flock = shepherd.start(&request).await?;
        await_start(&mut flock, Confinement::Off, client.run).await?;
        let line = (client.line + "\n").into_bytes();
        Ok(Self { flock, pipe: Some(pipe), line, sent: 0, _named: named })
    }

    /// Waits for the end of the client, and brings it about when it is time.
    pub(super) async fn watch(mut self, heard: &mut Heard, times: &Times, cancel: &Cancel, run: RunId) {
        let (mut stdout, mut stderr) = (self.flock.stdout.take(), self.flock.stderr.take());
        let mut deadline = std::pin::pin!(sleep(times.start));
        let mut unheard = std::pin::pin!(sleep(UNHEARD));
        let mut phase = Phase::Starting;
        loop {
            let waiting = matches!(phase, Phase::Starting | Phase::Running);
            tokio::select! {
                said = self.flock.next_word() => match said {
                    Some(Said::Exited(how)) => {
                        heard.known.client = Some(how);
                        phase = Phase::Leaving;
                        unheard.as_mut().reset(Instant::now() + UNHEARD);
                    }
                    Some(Said::Gone | Said::Lost(_)) => break,
                    Some(Said::Started { .. } | Said::Failed { .. }) => {}
                    None => {
                        after_the_shepherds_death(run).await;
                        break;
                    }
                },
                () = readable(stdout.as_ref()) => read_once(&mut stdout, |bytes| heard.stdout(bytes)),
                () = readable(stderr.as_ref()) => read_once(&mut stderr, |bytes| heard.stderr(bytes)),
                () = writable(self.pipe.as_ref()), if self.sent < self.line.len() => self.send(),
                () = &mut deadline, if phase != Phase::Leaving => {
                    if waiting {
                        heard.known.because = Some(Because::TimedOut);
                        phase = self.hang_up(&mut deadline);
                    } else {
                        phase = Phase::Leaving;
                        self.flock.kill().await;
                        unheard.as_mut().reset(Instant::now() + UNHEARD);
                    }
                }
                _ = cancel.cancelled(), if waiting => {
                    heard.known.because = Some(Because::Cancelled);
                    phase = self.hang_up(&mut deadline);
                }
                () = &mut unheard, if phase == Phase::Leaving => {
                    // It is stopped, or hangs. Its death is heard as the end of its words.
                    let _ = self.flock.process.start_kill();
                    unheard.as_mut().reset(Instant::now() + UNHEARD);
                }
            }
            match phase {
                Phase::Starting | Phase::Running if heard.known.innermost().end.is_some() => {
                    phase = Phase::Ending;
                    deadline.as_mut().reset(Instant::now() + LINGER);
                }
                Phase::Starting if heard.known.innermost().begun => {
                    phase = Phase::Running;
                    deadline.as_mut().reset(Instant::now() + times.command);
                }
                Phase::Running if heard.printed() > times.output_bytes => {
                    heard.known.because = Some(Because::Output);
                    phase = self.hang_up(&mut deadline);
                    self.flock.kill().await;
                }
                _ => {}
            }
        }
        drain(stdout, stderr, heard).await;
        // Only so that no zombie of the shepherd itself is left.
        let _ = self.flock.process.wait().await;
    }

    /// Closes the target's input, by which it ends the command. The client may stay to hear of that.
    fn hang_up(&mut self, deadline: &mut std::pin::Pin<&mut tokio::time::Sleep>) -> Phase {
        self.pipe = None;
        deadline.as_mut().reset(Instant::now() + LINGER);
        Phase::Ending
    }

    fn send(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        // What can't be written now is written when there is room; our own reading end keeps the pipe whole.
        if let Ok(written) = pipe.try_write(&self.line[self.sent..]) {
            self.sent += written;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The command has not begun.
    Starting,
    Running,
    /// The command has ended or is to end; the client may still have something to say.
    Ending,
    /// The client has ended or was killed.
    Leaving,
}

async fn writable(pipe: Option<&Sender>) {
    match pipe {
        // An error shows again when it is written.
        Some(pipe) => drop(pipe.writable().await),
        None => std::future::pending().await,
    }
}

async fn drain(mut stdout: Option<Receiver>, mut stderr: Option<Receiver>, heard: &mut Heard) {
    let rest = async {
        while stdout.is_some() {
            readable(stdout.as_ref()).await;
            read_once(&mut stdout, |bytes| heard.stdout(bytes));
        }
        while stderr.is_some() {
            readable(stderr.as_ref()).await;
            read_once(&mut stderr, |bytes| heard.stderr(bytes));
        }
    };
    let _ = tokio::time::timeout(DRAIN, rest).await;
}

/// What was heard over a connection: the marks, and the streams without them.
pub(super) struct Heard {
    pub(super) known: Known,
    stdout: Channel,
    stderr: Channel,
}

/// One output stream. What comes before the innermost begin is the client's, a login shell's or the enclosure's: it is held
/// back, and counts only where the command never begins.
struct Channel {
    finder: Finder,
    innermost: Level,
    before: VecDeque<u8>,
    began: bool,
    ended: bool,
    stream: Stream,
}

impl Heard {
    pub(super) fn new(marks: &Marks, stdout: Stream, stderr: Stream) -> Self {
        let inner = marks.inner.as_ref();
        let channel = |stream| Channel {
            finder: Finder::new(&marks.outer, inner),
            innermost: if inner.is_some() { Level::Inner } else { Level::Outer },
            before: VecDeque::new(),
            began: false,
            ended: false,
            stream,
        };
        let known = Known {
            outer: Seen::default(),
            inner: inner.map(|_| Seen::default()),
            because: None,
            client: None::<Ending>,
        };
        Self { known, stdout: channel(stdout), stderr: channel(stderr) }
    }

    fn stdout(&mut self, bytes: &[u8]) {
        self.stdout.take(bytes, &mut self.known);
    }

    fn stderr(&mut self, bytes: &[u8]) {
        self.stderr.take(bytes, &mut self.known);
    }

    fn printed(&self) -> u64 {
        self.stdout.stream.total().saturating_add(self.stderr.stream.total())
    }

    /// What was printed before the command began: on standard output, and as errors.
    pub(super) fn before(&self) -> (Vec<u8>, Vec<u8>) {
        let copy = |channel: &Channel| channel.before.iter().copied().collect();
        (copy(&self.stdout), copy(&self.stderr))
    }

    /// The streams at their end.
    pub(super) fn finish(mut self) -> (StreamEnd, StreamEnd) {
        (self.stdout.finish(), self.stderr.finish())
    }
}

impl Channel {
    fn take(&mut self, bytes: &[u8], known: &mut Known) {
        let Self { finder, innermost, before, began, ended, stream } = self;
        finder.take(bytes, |piece| match piece {
            Piece::Bytes(_) if *ended => {}
            Piece::Bytes(bytes) if *began => stream.take(bytes),
            Piece::Bytes(bytes) => {
                keep_last(before, bytes, BEFORE);
            }
            Piece::Mark(level, word) => {
                match word {
                    Word::Begin if !*began => {
                        before.clear();
                        *began = level == *innermost;
                    }
                    Word::End(_) | Word::Stopped => *ended = true,
                    _ => {}
                }
                if let Some(seen) = known.level(level) {
                    seen.take(word);
                }
            }
        });
    }

    fn finish(&mut self) -> StreamEnd {
        let held = self.finder.finish();
        if self.began && !self.ended {
            self.stream.take(&held);
        }
        if !self.began {
            self.stream.take(self.before.make_contiguous());
        }
        self.stream.end()
    }
}
