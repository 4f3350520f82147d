//! The two ways to the staging host: over ssh, and by a docker client of the daemon's own machine.
//!
//! Both give the same [`End`]. The second can't see into the container, and what it lost sight of it can't end.

use stagewright_sdk::{
    Command, Exit, Failure, FailureKind, Process, RemoteCommand, RemoteExit, RemoteState, Ssh, StreamEnd,
};

use crate::settings::Settings;

/// How a command ended, as far as the host can tell.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// It ran to its end.
    Exited(i32),
    /// Its enclosure ended, and it never began in it.
    NotEntered(i32),
    /// Nothing began.
    NotStarted(Failure),
    /// It began, and its end was not seen.
    Interrupted(Failure, RemoteState),
    /// Its time was over after it began.
    TimedOut(RemoteState),
    /// Somebody wanted it to end.
    Cancelled(RemoteState),
}

/// What came of a command.
#[derive(Clone, Debug)]
pub struct Seen {
    /// How it ended.
    pub end: End,
    /// The end of its standard output.
    pub stdout: StreamEnd,
    /// The end of its standard error.
    pub stderr: StreamEnd,
    /// How long it took.
    pub duration_ms: u64,
}

impl Seen {
    fn nothing(failure: Failure) -> Self {
        let none = || StreamEnd { tail: Vec::new(), total: 0 };
        Self { end: End::NotStarted(failure), stdout: none(), stderr: none(), duration_ms: 0 }
    }

    /// Standard output as text; bytes that are no UTF-8 are replaced.
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout.tail).into_owned()
    }

    /// The same of standard error.
    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr.tail).into_owned()
    }
}

/// Runs a command where staging is.
pub(crate) fn exec<C: Process + Ssh>(
    host: &C,
    settings: &Settings,
    argv: Vec<String>,
    enclosure: Vec<String>,
    timeout_ms: u64,
) -> Seen {
    if !settings.exec_host_side {
        return local(host, argv, timeout_ms);
    }
    let target = settings.target.clone();
    match host.exec(&RemoteCommand { target, argv, enclosure, timeout_ms: Some(timeout_ms) }) {
        Err(failure) => Seen::nothing(failure),
        Ok(done) => Seen {
            end: match done.exit {
                RemoteExit::Exited(code) => End::Exited(code),
                RemoteExit::NotEntered(code) => End::NotEntered(code),
                RemoteExit::NotStarted(failure) => End::NotStarted(failure),
                RemoteExit::Interrupted((failure, state)) => End::Interrupted(failure, state),
                RemoteExit::TimedOut(state) => End::TimedOut(state),
                RemoteExit::Cancelled(state) => End::Cancelled(state),
            },
            stdout: done.stdout,
            stderr: done.stderr,
            duration_ms: done.duration_ms,
        },
    }
}

fn local<C: Process>(host: &C, argv: Vec<String>, timeout_ms: u64) -> Seen {
    let mut words = argv.into_iter();
    let command = Command {
        program: words.next().unwrap_or_default(),
        args: words.collect(),
        env: Vec::new(),
        cwd: None,
        stdin: Vec::new(),
        timeout_ms: Some(timeout_ms),
    };
    let done = match host.run(&command) {
        Ok(done) => done,
        Err(failure) => return Seen::nothing(failure),
    };
    let lost = |code: &str, message: String| {
        let kind = FailureKind::Transient;
        End::Interrupted(Failure { kind, code: code.to_owned(), message }, RemoteState::Unknown)
    };
    let end = match done.exit {
        Exit::Code(code) => End::Exited(code),
        Exit::Signal(signal) => lost("client-killed", format!("signal {signal} ended the docker client")),
        Exit::TimedOut => End::TimedOut(RemoteState::Unknown),
        Exit::Cancelled => End::Cancelled(RemoteState::Unknown),
        Exit::Limit(limit) => lost("limit-passed", format!("the docker client passed the limit on {limit}")),
        Exit::Lost(why) => lost("client-lost", format!("the host lost sight of the docker client: {why}")),
    };
    Seen { end, stdout: done.stdout, stderr: done.stderr, duration_ms: done.duration_ms }
}
