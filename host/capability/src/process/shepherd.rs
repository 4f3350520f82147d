//! Starting a shepherd and talking with it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use stagewright_shepherd::protocol::{Request, TERMINATE, Word};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};

use crate::{Failure, FailureKind};

/// The length of almost every word, in bytes.
const WORD: usize = 256;

/// Where the shepherd's program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shepherd {
    program: PathBuf,
}

/// A running shepherd with its command. Dropping it closes the control socket, and everything ends.
#[derive(Debug)]
pub struct Flock {
    /// The shepherd's own process. Its exit says nothing; what counts are its words.
    pub(crate) process: Child,
    /// What the command prints.
    pub(crate) stdout: Option<Receiver>,
    /// What the command prints as errors.
    pub(crate) stderr: Option<Receiver>,
    words: BufReader<OwnedReadHalf>,
    orders: OwnedWriteHalf,
}

impl Shepherd {
    /// The shepherd at this path.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// Its path.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Starts a shepherd and hands it the request. Whether the command starts is its first word.
    pub(crate) async fn start(&self, request: &Request) -> Result<Flock, Failure> {
        self.try_start(request).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let message = format!("the shepherd is not there: {}", self.program.display());
                Failure::new(FailureKind::Permanent, "shepherd-missing", message)
            }
            _ => start_failed(&format!("{}: {error}", self.program.display())),
        })
    }

    async fn try_start(&self, request: &Request) -> io::Result<Flock> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut process = Command::new(&self.program)
            .env_clear()
            // A signal to the daemon's group, such as that of Ctrl-C, is not for the shepherd: it ends with the
            // control socket, and ends its command first. It stays in the daemon's session.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdout =
            process.stdout.take().map(|pipe| Receiver::from_owned_fd(pipe.into_owned_fd()?)).transpose()?;
        let stderr =
            process.stderr.take().map(|pipe| Receiver::from_owned_fd(pipe.into_owned_fd()?)).transpose()?;
        let (read, mut orders) = UnixStream::from_std(ours)?.into_split();
        orders.write_all(&request.encode()).await?;
        Ok(Flock { process, stdout, stderr, words: BufReader::with_capacity(WORD, read), orders })
    }
}

impl Flock {
    /// The shepherd's next word; `None` if it has ended or says something that is no word.
    ///
    /// Not cancel-safe in the middle of a line; lines are written whole, so that a half one does not occur.
    pub async fn next_word(&mut self) -> Option<Word> {
        let mut line = String::new();
        match self.words.read_line(&mut line).await {
            Ok(1..) => Word::parse(&line),
            Ok(0) | Err(_) => None,
        }
    }

    /// Asks for the end of the command: TERM, then KILL.
    pub(crate) async fn terminate(&mut self) {
        // A shepherd that does not listen any more is at the end, or dead; its words will tell.
        let _ = self.orders.write_all(&[TERMINATE]).await;
    }

    /// Asks for the end of the command at once: KILL. Its words are still heard.
    pub(crate) async fn kill(&mut self) {
        let _ = self.orders.shutdown().await;
    }
}

pub(crate) fn start_failed(what: &str) -> Failure {
    Failure::new(FailureKind::Transient, "spawn-failed", format!("the command could not be started: {what}"))
}
