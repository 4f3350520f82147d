//! Commands on other machines, over the system's OpenSSH client.
//!
//! An [`Ssh`] is made from a [`Grant`] and reaches only the targets that it names. What became of a command is told by
//! marks that stand around it (`marks.rs`), and not by exit codes and words that a failing suite might print as well:
//! it ran to its end, it never started, or it was interrupted.
//!
//! ```text
//! daemon ── shepherd ── ssh ══ sshd ── supervise.sh ── command
//!                                          └ (docker exec …) ── supervise.sh ── command
//! ```
//!
//! `supervise.sh` stands around the command on the target, and once more in the enclosure if there is one. Its input is
//! the connection: when that ends, it ends the command with all that came of it. After a cancel, a time-out or a lost
//! connection a second connection runs `end.sh`, which does the same from outside, and only then the outcome is told.
//! The next command of the same job first ends what is left, and starts nothing while it can't.
//!
//! The target must be Linux with a POSIX shell, `env`, `id` and a `grep` that knows `-z`; the user's login shell may be
//! any that runs commands. What it refuses to do: ask anybody for a password, trust a host whose key is not known, share
//! a connection, or take anything of a component's for an option.
//!
//! Limits. A process that takes the job's mark out of its environment *and* leaves the session of its command is not
//! found. Of an earlier run that was in another enclosure only what is outside of that is ended. A command may lie
//! about its end if it may read the memory of other processes of its user (see `marks.rs`).

mod classify;
mod connection;
mod grant;
mod marks;
mod outcome;
mod quote;
mod script;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use connection::{Client, Connection, Heard, Times};
pub use grant::{Grant, Target};
use marks::{Secrets, Word};
pub use outcome::{Completed, Exit, RemoteState};
use outcome::{Found, Verdict, decide};
use rustix::fs::{Access, access};
use script::{Call, Marks};
use stagewright_engine::identity::RunId;

use crate::process::output::{LogFiles, Stream};
use crate::process::{MAX_ARGUMENT, Shepherd};
use crate::{Cancel, Failure, FailureKind, Place};

/// The longest command altogether, in bytes: half of what Linux takes by default.
const MAX_COMMAND: usize = 1 << 20;
/// How long a target may take to begin a command once it is connected: the end of what an earlier run left is in it.
const START: Duration = Duration::from_secs(30);
/// How much longer it may take where there is an enclosure.
const ENTER: Duration = Duration::from_secs(30);
/// How much later than the host the target itself ends a command whose time is over.
const LATER: Duration = Duration::from_secs(60);

/// A command that a component asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// A target that the grant names.
    pub target: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// A command that runs another one in some enclosure, such as `docker exec -i app`. Empty: there is none.
    pub enclosure: Vec<String>,
    /// Ends the command after this time.
    pub timeout: Option<Duration>,
}

/// The capability to run commands on other machines for one run.
#[derive(Clone, Debug)]
pub struct Ssh {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    grant: Grant,
    run: RunId,
    logs: PathBuf,
    shepherd: Shepherd,
    cancel: Cancel,
    /// One command at a time: the next one of a job ends what is there.
    turn: tokio::sync::Mutex<()>,
    started: AtomicU32,
    connected: AtomicU32,
}

impl Ssh {
    /// The capability that `grant` gives to the run at `place`.
    pub fn new(grant: Grant, place: &Place, shepherd: Shepherd, cancel: Cancel) -> Self {
        let inner = Inner {
            grant,
            run: place.run,
            logs: place.logs.clone(),
            shepherd,
            cancel,
            turn: tokio::sync::Mutex::new(()),
            started: AtomicU32::new(0),
            connected: AtomicU32::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Runs a command and waits for its end, or until it is known what became of it. Dropping the future ends the
    /// client, and the target then ends the command by itself.
    ///
    /// # Errors
    /// `cancelled`, `target-not-granted`, `no-program`, `nul-character`, `command-too-long`: what was asked for can't be
    /// done. Whatever goes wrong with the target is an [`Exit`].
    pub async fn exec(&self, command: Command) -> Result<Completed, Failure> {
        let Inner { grant, cancel, turn, started, .. } = &*self.inner;
        let target = grant.target(&command.target)?;
        check_strings(&command)?;
        let _turn = turn.lock().await;
        if cancel.cause().is_some() {
            return Err(Failure::cancelled());
        }
        let begun = Instant::now();
        let number = started.fetch_add(1, Ordering::Relaxed) + 1;
        let logs = LogFiles::create(&self.inner.logs, "ssh-", number, grant.output_log_bytes);
        let stream = |log| Stream::new(log, grant.output_log_bytes, grant.tail_bytes);
        let (stdout, stderr) = (stream(logs.stdout), stream(logs.stderr));
        let (exit, stdout, stderr) = match self.attempt(&command, target, stdout, stderr).await {
            Ok((verdict, heard)) => {
                let exit = match verdict {
                    Verdict::Told(exit) => exit,
                    Verdict::After(exit) => exit(self.end(&command, target).await),
                };
                let (stdout, stderr) = heard.finish();
                (exit, stdout, stderr)
            }
            Err(failure) => {
                let nothing = Stream::new(None, 0, 0).end();
                (Exit::NotStarted(failure), nothing.clone(), nothing)
            }
        };
        Ok(Completed { exit, stdout, stderr, duration: begun.elapsed() })
    }

    /// Connects to a target and runs `true` there, to see that the whole way is open.
    ///
    /// # Errors
    /// Those of [`Ssh::exec`], and what kept it from running to its end.
    pub async fn check(&self, target: &str) -> Result<(), Failure> {
        let argv = vec!["true".to_owned()];
        let done = self.exec(Command { target: target.to_owned(), argv, ..Command::default() }).await?;
        match done.exit {
            Exit::Exited(0) => Ok(()),
            Exit::NotStarted(failure) | Exit::Interrupted(failure, _) => Err(failure),
            Exit::Cancelled(_) => Err(Failure::cancelled()),
            other => {
                let message = format!(
                    "on the target `{target}` even `true` fails: {}; look at its shell",
                    other.tell()
                );
                Err(Failure::new(FailureKind::Permanent, "remote-shell", message))
            }
        }
    }

    /// One connection, up to its end.
    async fn attempt(
        &self,
        command: &Command,
        target: &Target,
        stdout: Stream,
        stderr: Stream,
    ) -> Result<(Verdict, Heard), Failure> {
        let Inner { grant, cancel, run, .. } = &*self.inner;
        let marks = marks(command)?;
        let id = marks::random()?;
        let job = grant.job.to_string();
        let call = Call { job: &job, id: &id };
        let time = command.timeout.unwrap_or(grant.max_time).min(grant.max_time);
        let seconds = time.saturating_add(LATER).as_secs();
        let line = script::supervise(&call, &marks, &command.enclosure, &command.argv, seconds);
        let connection = self.connect(&command.target, target, script::opening(&call), line).await?;
        let mut heard = Heard::new(&marks, stdout, stderr);
        let times = Times { start: start(command, target), command: time, output_bytes: grant.output_bytes };
        connection.watch(&mut heard, &times, cancel, *run).await;
        let (_, before) = heard.before();
        Ok((decide(&command.target, heard.known.clone(), &before), heard))
    }

    /// Ends what runs on the target for this job, in the enclosure too, through a connection of its own.
    async fn end(&self, command: &Command, target: &Target) -> Found {
        self.try_end(command, target).await.unwrap_or(Found { state: RemoteState::Unknown, ran: false })
    }

    async fn try_end(&self, command: &Command, target: &Target) -> Result<Found, Failure> {
        let marks = marks(command)?;
        let line = script::end(&self.inner.grant.job.to_string(), &marks, &command.enclosure);
        let connection = self.connect(&command.target, target, script::unmarked_opening(), line).await?;
        let quiet = || Stream::new(None, 0, 0);
        let mut heard = Heard::new(&marks, quiet(), quiet());
        let time = start(command, target);
        let times = Times { start: time, command: time, output_bytes: u64::MAX };
        // A run that is to end has this to do all the same.
        connection.watch(&mut heard, &times, &Cancel::new(), self.inner.run).await;
        let (printed, _) = heard.before();
        let inner = heard.known.inner.map(|inner| match inner.end {
            None if holds_nobody(&printed) => Some(Word::Idle),
            end => end,
        });
        Ok(found(&[Some(heard.known.outer.end), inner]))
    }

    async fn connect(
        &self,
        name: &str,
        target: &Target,
        remote: String,
        line: String,
    ) -> Result<Connection, Failure> {
        let Inner { grant, run, logs, shepherd, connected, .. } = &*self.inner;
        let mut arguments = target.arguments(name)?;
        arguments.push(remote.into());
        if !grant.program.is_file() || access(&grant.program, Access::EXEC_OK).is_err() {
            let message = format!(
                "there is no ssh client at {}; install openssh-client, or name another in the configuration",
                grant.program.display()
            );
            return Err(Failure::new(FailureKind::Permanent, "ssh-missing", message));
        }
        let number = connected.fetch_add(1, Ordering::Relaxed) + 1;
        let pipe = logs.join(format!("ssh-{number}.pipe"));
        let client = Client { program: &grant.program, arguments, line, pipe, run: *run };
        Connection::open(client, shepherd).await
    }
}

/// How long it may take from the start of the client to the begin of the command.
fn start(command: &Command, target: &Target) -> Duration {
    let enter = if command.enclosure.is_empty() { Duration::ZERO } else { ENTER };
    target.connect_timeout.saturating_add(START).saturating_add(enter)
}

fn marks(command: &Command) -> Result<Marks, Failure> {
    let inner = if command.enclosure.is_empty() { None } else { Some(Secrets::new()?) };
    Ok(Marks { outer: Secrets::new()?, inner })
}

/// What the marks of all levels say together; none in the list for a level that there isn't.
fn found(levels: &[Option<Option<Word>>]) -> Found {
    let ends: Vec<&Option<Word>> = levels.iter().flatten().collect();
    let is = |end: &Option<Word>, words: &[Word]| end.as_ref().is_some_and(|word| words.contains(word));
    let state = if ends.iter().any(|end| is(end, &[Word::Running])) {
        RemoteState::Running
    } else if ends.iter().all(|end| is(end, &[Word::Idle, Word::Ended])) {
        RemoteState::Ended
    } else {
        RemoteState::Unknown
    };
    // The innermost level is where the command is; what stands around it may go on for other reasons.
    let ran = ends.last().is_some_and(|end| is(end, &[Word::Running, Word::Ended]));
    Found { state, ran }
}

/// Whether the engine said that there is no such container, or that it does not run: nobody is in it then. No suite can
/// have printed it, since none runs in this connection.
fn holds_nobody(printed: &[u8]) -> bool {
    String::from_utf8_lossy(printed).lines().any(|line| {
        let engine = line.starts_with("Error response from daemon:") || line.starts_with("Error: No such");
        engine && (line.contains("is not running") || line.contains("No such container"))
    })
}

fn check_strings(command: &Command) -> Result<(), Failure> {
    let Command { argv, enclosure, .. } = command;
    let odd = |program: &String| program.is_empty() || program.starts_with('-');
    if argv.is_empty() || argv.iter().take(1).chain(enclosure.iter().take(1)).any(odd) {
        let message = "a remote command needs a program, whose name is not empty and does not begin with `-`";
        return Err(Failure::new(FailureKind::Permanent, "no-program", message));
    }
    let texts = || argv.iter().chain(enclosure);
    if texts().any(|text| text.contains('\0')) {
        let message = "an argument contains a NUL character";
        return Err(Failure::new(FailureKind::Permanent, "nul-character", message));
    }
    let total: usize = texts().map(|text| text.len() + 1).sum();
    if total > MAX_COMMAND || texts().any(|text| text.len() > MAX_ARGUMENT) {
        let message = format!(
            "the remote command is too long: an argument may have {MAX_ARGUMENT} bytes, all together {MAX_COMMAND}"
        );
        return Err(Failure::new(FailureKind::Limit, "command-too-long", message));
    }
    Ok(())
}
