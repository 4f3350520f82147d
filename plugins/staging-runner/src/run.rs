//! Runs the staging suite, and says what is known of it afterwards.
//!
//! In a container with a shell, the host's marks say whether the suite began and ended. Without a shell there are only the
//! marks around the docker client, and the engine is asked ([`engine`]). What neither of them shows is not made
//! up from exit codes and words.
//!
//! Where there are no marks inside, nobody ends a suite that was lost: `docker exec` hands no signals on. So a further run looks
//! first whether it is still there.

use stagewright_sdk::{Failure, Host, Process, RemoteState, Ssh};

use crate::channel::{End, Seen, exec};
use crate::docker::{self, Said};
use crate::engine::{self, Told};
use crate::settings::{Settings, ShellInContainer};

/// How long a question about the suite may take, such as what the engine tells of it.
const QUESTION_MS: u64 = 30_000;
/// Longer than an earlier run of a job may be past.
const DAY_MS: u64 = 86_400_000;

/// What is known of the suite.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// It ran to its end, with this code.
    Ran(i32),
    /// It never began, and docker ended with this code: what was written is docker's own.
    NotBegun(i32),
    /// The docker client ended with this code, and nobody can tell whether the suite began or ended.
    Untold(i32),
    /// Nothing began on the target.
    NotStarted(Failure),
    /// It may have begun, and its end was not seen.
    Interrupted(Failure, RemoteState),
    /// It began, and its time was over.
    TimedOut(RemoteState),
    /// Somebody wanted it to end.
    Cancelled,
    /// What an earlier run has started may still be at it.
    LeftRunning,
}

/// One run of the suite.
#[derive(Clone, Debug)]
pub struct Run {
    /// What is known of the suite.
    pub shown: Shown,
    /// What came of the command that ran it.
    pub seen: Seen,
    /// The whole command.
    pub command: Vec<String>,
    /// Whether nobody marked its beginning and end inside the container: they are the engine's word.
    pub bare: bool,
}

impl Run {
    /// What docker wrote, where it is docker's.
    pub(crate) fn said<R>(&self, settings: &Settings, code: i32, look: impl FnOnce(Said<'_>) -> R) -> R {
        said(settings, &self.seen, code, look)
    }
}

fn said<R>(settings: &Settings, seen: &Seen, code: i32, look: impl FnOnce(Said<'_>) -> R) -> R {
    let (stdout, stderr) = (seen.out(), seen.err());
    look(Said { client: &settings.docker, code, stdout: &stdout, stderr: &stderr })
}

/// Runs the suite.
pub(crate) fn run<C: Host + Process + Ssh>(settings: &Settings, host: &C) -> Run {
    let suite = settings.suite();
    let Some(container) = settings.container.as_deref() else {
        let seen = exec(host, settings, suite.clone(), Vec::new(), settings.timeout_ms());
        return Run { shown: marked(&seen.end), seen, command: suite, bare: false };
    };
    if settings.exec_host_side && settings.shell_in_container != ShellInContainer::No {
        let enclosure = [settings.docker.as_str(), "exec", "-i", container].map(str::to_owned).to_vec();
        let command = enclosure.iter().chain(&suite).cloned().collect();
        let seen = exec(host, settings, suite, enclosure, settings.timeout_ms());
        let no_shell = matches!(seen.end, End::NotEntered(code)
            if said(settings, &seen, code, |said| docker::classify(said, docker::NO_SHELL) == docker::NO_SHELL));
        if !no_shell || settings.shell_in_container == ShellInContainer::Yes || host.cancelled().is_some() {
            return Run { shown: marked(&seen.end), seen, command, bare: false };
        }
        host.progress(0, 0, "the container has no shell; the suite is run without one");
    }
    bare(settings, host, container)
}

/// What marks around the suite itself show.
fn marked(end: &End) -> Shown {
    match end.clone() {
        End::Exited(code) => Shown::Ran(code),
        End::NotEntered(code) => Shown::NotBegun(code),
        End::NotStarted(failure) => Shown::NotStarted(failure),
        End::Interrupted(failure, state) => Shown::Interrupted(failure, state),
        End::TimedOut(state) => Shown::TimedOut(state),
        End::Cancelled(_) => Shown::Cancelled,
    }
}

/// Runs it in a container without marks inside.
fn bare<C: Host + Process + Ssh>(settings: &Settings, host: &C, container: &str) -> Run {
    let suite = settings.suite();
    let command: Vec<_> = [settings.docker.as_str(), "exec", container]
        .map(str::to_owned)
        .into_iter()
        .chain(suite.clone())
        .collect();
    // Whether an earlier run has left one is not for the job's numbers to say: a resumed task begins to count anew.
    if let Some((shown, seen)) = left_running(settings, host, container, &suite) {
        return Run { shown, seen, command, bare: true };
    }
    let began = host.now_ms();
    let seen = exec(host, settings, command.clone(), Vec::new(), settings.timeout_ms());
    let ask = || {
        let elapsed = host.now_ms().saturating_sub(began).max(seen.duration_ms);
        events(settings, host, container, elapsed)
            .map_or(Told::Unknown, |events| engine::read(&events, &suite))
    };
    let shown = match seen.end.clone() {
        End::Exited(code) | End::NotEntered(code) => {
            // A command that the engine can't start has a beginning among the events, and no end.
            let not_started =
                said(settings, &seen, code, |said| said.not_in_container() && docker::speaks_alone(said));
            match ask() {
                Told::Ended(code) => Shown::Ran(code),
                Told::Begun if not_started => Shown::NotBegun(code),
                Told::Begun => Shown::Interrupted(cut(code), RemoteState::Running),
                Told::Nothing | Told::Unknown => Shown::Untold(code),
            }
        }
        End::NotStarted(failure) => Shown::NotStarted(failure),
        End::Cancelled(_) => Shown::Cancelled,
        End::Interrupted(failure, _) => Shown::Interrupted(failure, state(ask())),
        End::TimedOut(_) => match ask() {
            Told::Begun => Shown::TimedOut(RemoteState::Running),
            Told::Ended(_) => Shown::TimedOut(RemoteState::Ended),
            told @ (Told::Nothing | Told::Unknown) => Shown::Interrupted(unseen(), state(told)),
        },
    };
    Run { shown, seen, command, bare: true }
}

/// The engine's events of the container in the last `elapsed_ms`.
fn events<C: Process + Ssh>(
    settings: &Settings,
    host: &C,
    container: &str,
    elapsed_ms: u64,
) -> Option<String> {
    let question = engine::question(&settings.docker, container, elapsed_ms);
    let answer = exec(host, settings, question, Vec::new(), QUESTION_MS);
    // An answer whose beginning is lost may have lost the suite's.
    let whole = answer.stdout.total == answer.stdout.tail.len() as u64;
    (answer.end == End::Exited(0) && whole).then(|| answer.out())
}

/// What keeps a further run from starting, if anything does.
fn left_running<C: Process + Ssh>(
    settings: &Settings,
    host: &C,
    container: &str,
    suite: &[String],
) -> Option<(Shown, Seen)> {
    let question = engine::running(&settings.docker, container);
    let seen = exec(host, settings, question, Vec::new(), QUESTION_MS);
    let shown = match seen.end.clone() {
        End::Exited(0) => {
            let free = match engine::ids(&seen.out()) {
                Some(ids) if ids.is_empty() => true,
                Some(ids) => events(settings, host, container, DAY_MS)
                    .is_some_and(|events| !engine::may_run(&ids, &events, suite)),
                None => false,
            };
            if free {
                return None;
            }
            Shown::LeftRunning
        }
        End::Exited(code) | End::NotEntered(code) => Shown::NotBegun(code),
        End::NotStarted(failure) => Shown::NotStarted(failure),
        End::Cancelled(_) => Shown::Cancelled,
        End::Interrupted(failure, _) => Shown::Interrupted(failure, RemoteState::Unknown),
        End::TimedOut(_) => Shown::Interrupted(unseen(), RemoteState::Unknown),
    };
    Some((shown, seen))
}

fn state(told: Told) -> RemoteState {
    match told {
        Told::Ended(_) | Told::Nothing => RemoteState::Ended,
        Told::Begun => RemoteState::Running,
        Told::Unknown => RemoteState::Unknown,
    }
}

fn cut(code: i32) -> Failure {
    let message =
        format!("the docker client ended with code {code}, and the engine tells of no end of the suite");
    Failure { kind: stagewright_sdk::FailureKind::Transient, code: "engine-cut".to_owned(), message }
}

fn unseen() -> Failure {
    let message = "docker did not end within its time, and the suite was not seen to begin".to_owned();
    Failure { kind: stagewright_sdk::FailureKind::TimedOut, code: "docker-silent".to_owned(), message }
}
