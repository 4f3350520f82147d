//! How a process ended, before any evidence of a runner's own: every runner shares these rules.
//!
//! An exit code alone is nothing here; what a code means is the runner's to say.

use stagewright_sdk::evidence::{Becomes, Rule, TimeoutIs};
use stagewright_sdk::{Completed, Exit, Failure, FailureKind};

/// What came of starting a process.
#[derive(Clone, Debug)]
pub enum Ending {
    /// It did not start.
    NotStarted(Failure),
    /// It started and is gone.
    Ended(Completed),
}

impl Ending {
    /// The exit code, if it ended with one.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Ended(Completed { exit: Exit::Code(code), .. }) => Some(*code),
            _ => None,
        }
    }

    /// How long it ran.
    pub fn duration_ms(&self) -> u64 {
        match self {
            Self::NotStarted(_) => 0,
            Self::Ended(completed) => completed.duration_ms,
        }
    }

    /// The end of its standard error; bytes that are no UTF-8 are replaced.
    pub fn stderr(&self) -> String {
        match self {
            Self::NotStarted(_) => String::new(),
            Self::Ended(completed) => String::from_utf8_lossy(&completed.stderr.tail).into_owned(),
        }
    }

    /// The end of its standard output; bytes that are no UTF-8 are replaced.
    pub fn stdout(&self) -> String {
        match self {
            Self::NotStarted(_) => String::new(),
            Self::Ended(completed) => String::from_utf8_lossy(&completed.stdout.tail).into_owned(),
        }
    }

    /// How it ended, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::NotStarted(failure) => format!("did not start: {}", failure.message),
            Self::Ended(completed) => match &completed.exit {
                Exit::Code(code) => format!("exit code {code}"),
                Exit::Signal(signal) => format!("ended by signal {signal}"),
                Exit::TimedOut => "ended by the host: its time was over".to_owned(),
                Exit::Cancelled => "cancelled".to_owned(),
                Exit::Limit(limit) => format!("ended by the host: past the limit on {limit}"),
                Exit::Lost(why) => format!("lost: {why}"),
            },
        }
    }
}

const RUNNER_MISSING: Rule = Rule::held(
    "runner-missing",
    "the program is not there",
    "the runner's program is not there",
    "install it, or name another in the settings",
);
const NOT_GRANTED: Rule = Rule::held(
    "program-not-granted",
    "the operator's grant does not allow the program or its arguments",
    "the grant does not allow the runner",
    "grant the program to test-runner, or name another in the settings",
);
const SPAWN_FAILED: Rule = Rule::deferred(
    "spawn-failed",
    "the machine could not start the process",
    "the machine could not start the runner",
    "look at the machine's limits on processes and memory",
);
const CANCELLED: Rule = Rule::deferred(
    "cancelled",
    "the host ended the run because somebody wanted it to end",
    "cancelled",
    "none is needed",
);
const LOST: Rule = Rule::deferred(
    "runner-lost",
    "the host cannot say how the process ended",
    "the host lost sight of the runner",
    "look at the host's log",
);
const LIMIT: Rule = Rule::deferred(
    "limit-passed",
    "the process passed a limit of its grant",
    "the runner passed a limit of its grant",
    "raise the limit, or find out why the suite needs so much",
);
const CRASHED: Rule = Rule::fail(
    "crashed",
    "the runner was up, and SIGSEGV, SIGABRT, SIGBUS, SIGFPE or SIGILL ended it",
    "the code crashed the runner",
);
const KILLED: Rule = Rule::deferred(
    "killed-by-signal",
    "any other signal that the host did not send, or one of these before the runner was up",
    "something killed the runner; the machine may have run out of memory",
    "look at the machine's memory and at who sends signals",
);
const TIMED_OUT: Rule = Rule::fail(
    "timed-out",
    "the runner was up, and its time was over (`timeout_is = \"fail\"`, the default)",
    "the suite did not end within its time",
);
const TIMED_OUT_DEFERRED: Rule = Rule::deferred(
    "timed-out",
    "the same with `timeout_is = \"deferred\"`",
    "the suite did not end within its time",
    "raise `timeout_s`, or make the suite faster",
);
const TIMED_OUT_EARLY: Rule = Rule::deferred(
    "timed-out-before-start",
    "its time was over before the runner was up",
    "the runner was not up within its time",
    "look at why the runner starts so slowly",
);
/// For a code that a runner's own rules do not name.
pub const UNEXPLAINED: Rule = Rule::deferred(
    "unexplained-exit",
    "anything else",
    "the runner ended in a way that no rule explains",
    "read the run's log; if it is the suite's doing, mend it there",
);
/// When evidence could not be written.
pub const DISK_FULL: Rule = Rule::deferred(
    "disk-full",
    "evidence is missing, and the output's end says that no space is left on the device",
    "the disk is full",
    "make room on the disk of the state folder",
);

/// The rows that every runner's table ends with.
pub const TABLE: &[Rule] = &[
    RUNNER_MISSING,
    NOT_GRANTED,
    SPAWN_FAILED,
    CANCELLED,
    LOST,
    LIMIT,
    CRASHED,
    KILLED,
    TIMED_OUT,
    TIMED_OUT_DEFERRED,
    TIMED_OUT_EARLY,
    DISK_FULL,
    UNEXPLAINED,
];

/// The rule for an end that is no exit code. `up` says whether the runner was seen to be up.
pub fn classify(ending: &Ending, up: bool, timeout_is: TimeoutIs) -> Option<Rule> {
    let completed = match ending {
        Ending::NotStarted(failure) => {
            return Some(match failure.kind {
                FailureKind::NotFound => RUNNER_MISSING,
                FailureKind::Denied => NOT_GRANTED,
                FailureKind::Cancelled => CANCELLED,
                _ => SPAWN_FAILED,
            });
        }
        Ending::Ended(completed) => completed,
    };
    match &completed.exit {
        Exit::Code(_) => None,
        Exit::Cancelled => Some(CANCELLED),
        Exit::Lost(_) => Some(LOST),
        Exit::Limit(_) => Some(LIMIT),
        Exit::Signal(signal) if up => Some(of_signal(*signal)),
        Exit::Signal(_) => Some(KILLED),
        Exit::TimedOut if !up => Some(TIMED_OUT_EARLY),
        Exit::TimedOut => Some(match timeout_is {
            TimeoutIs::Fail => TIMED_OUT,
            TimeoutIs::Deferred => TIMED_OUT_DEFERRED,
        }),
    }
}

/// The rule for a signal that ended code under test: a crash is the code's, another is somebody's.
pub fn of_signal(signal: i32) -> Rule {
    /// ILL, ABRT, BUS, FPE, SEGV, as Linux numbers them on every machine that Rust serves but MIPS and SPARC.
    const CRASHES: [i32; 5] = [4, 6, 7, 8, 11];
    if CRASHES.contains(&signal) { CRASHED } else { KILLED }
}

/// The rule for a code by which a shell reports a signal (128 + its number), 126 and 127.
pub fn of_shell_code(code: i32) -> Option<Rule> {
    match code {
        126 | 127 => Some(RUNNER_MISSING),
        129..=192 => Some(of_signal(code.saturating_sub(128))),
        _ => None,
    }
}

/// Whether the output's end says that the disk is full. Asked only where evidence is missing: a suite may print
/// these words for reasons of its own.
pub fn says_disk_full(ending: &Ending) -> bool {
    const WORDS: &str = "No space left on device";
    ending.stderr().contains(WORDS) || ending.stdout().contains(WORDS)
}

/// Whether a rule says that the suite was never started or was taken away, so that nothing it left counts.
pub fn is_void(rule: &Rule) -> bool {
    rule.becomes == Becomes::Deferred && (rule.code == CANCELLED.code || rule.code == LOST.code)
}
