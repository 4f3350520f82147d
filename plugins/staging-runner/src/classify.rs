//! What a run of the staging suite becomes.
//!
//! A suite that was seen to begin and to end is judged by its exit code, and by nothing that it prints. Everything else is
//! held or deferred: a fault of the channel, of docker or of the container is never the code's.

use stagewright_sdk::evidence::{Becomes, Rule, TimeoutIs};
use stagewright_sdk::{Failure, FailureKind, RemoteState};

use crate::docker;
use crate::run::{Run, Shown};
use crate::settings::Settings;

const PASSED: Rule = Rule::pass(
    "staging-passed",
    "the suite ran to its end with a code that means `pass` (0 by default)",
    "staging stands",
);
const FAILED: Rule = Rule::fail(
    "staging-failed",
    "the suite ran to its end with a code that means `fail` (by default every code that no other row names), whatever it printed",
    "the staging suite failed",
);
const HELD: Rule = Rule::held(
    "staging-held",
    "the suite ran to its end with a code that means `held`",
    "the staging suite says that the environment has to be mended",
    "read what the suite says",
);
const DEFERRED: Rule = Rule::deferred(
    "staging-deferred",
    "the suite ran to its end with a code that means `deferred`",
    "the staging suite says that it may work later",
    "read what the suite says",
);
/// The program of the suite is not there.
pub const SUITE_MISSING: Rule = Rule::held(
    "staging-suite-missing",
    "code 126 or 127 inside, the engine's word that it can't start the suite, or, of `python -m`, code 1 with nothing but \"No module named\" and that module's name",
    "the staging suite is not there, or can't be run",
    "put the suite where it runs, or mend `command` in the settings",
);
const KILLED: Rule = Rule::deferred(
    "staging-killed",
    "code 129, 130, 137 or 143 inside: HUP, INT, KILL or TERM",
    "something killed the staging suite; the container may have run out of memory",
    "look at the memory of the container, and at who sends signals",
);
const TIMED_OUT: Rule = Rule::fail(
    "timed-out",
    "the suite began, its time was over, and it was ended (`timeout_is = \"fail\"`, the default)",
    "the staging suite did not end within its time",
);
const TIMED_OUT_DEFERRED: Rule = Rule::deferred(
    "timed-out",
    "the same with `timeout_is = \"deferred\"`",
    "the staging suite did not end within its time",
    "raise `timeout_s`, or make the suite faster",
);
const STILL_RUNNING: Rule = Rule::deferred(
    "staging-still-running",
    "the suite's time was over, or an earlier run of the job left one, and it is not known to have ended",
    "the staging suite may still run where it was started",
    "look at the processes there and end it, such as by a restart of the container",
);
const INTERRUPTED: Rule = Rule::deferred(
    "staging-interrupted",
    "the suite's end was not seen: the connection was cut, the container was killed in the midst, the client lost its engine",
    "the staging suite was interrupted",
    "none is needed, unless it happens again: then look at the connection and at the container",
);
pub(crate) const CANCELLED: Rule = Rule::deferred(
    "cancelled",
    "the host ended the run because somebody wanted it to end",
    "cancelled",
    "none is needed",
);
const UNTOLD: Rule = Rule::deferred(
    "staging-untold",
    "no marks inside the container (no shell there, or none used), the engine tells of no end, and not a word of docker's own: any code, 0 too",
    "nobody can tell whether the staging suite ran to its end",
    "let the host mark the suite's beginning and end: over ssh (`exec_host_side`), with a POSIX shell in the image and `shell_in_container` on `auto`",
);
const NOT_GRANTED: Rule = Rule::held(
    "docker-not-granted",
    "`exec_host_side = false`, and the operator's grant does not allow the docker client",
    "the grant does not allow the docker client",
    "switch `exec_host_side` on, or grant the program to staging-runner",
);
/// The fault bears the host's own code.
pub const CHANNEL_DEFECT: Rule = Rule::held(
    "channel-defect",
    "nothing began: the host calls it denied, not found or permanent; the fault bears the host's own code, such as `ssh-key-refused`",
    "the channel to staging is not set up as it has to be",
    "mend the target in the configuration, and try it with ssh by hand as the daemon's user",
);
/// The fault bears the host's own code.
pub const CHANNEL_FAULT: Rule = Rule::deferred(
    "channel-fault",
    "nothing began, for any other reason; the fault bears the host's own code, such as `ssh-refused`",
    "staging was not reached",
    "look at whether the target is up, and try it with ssh by hand as the daemon's user",
);

/// The rows beside docker's.
pub const TABLE: &[Rule] = &[
    PASSED,
    SUITE_MISSING,
    KILLED,
    FAILED,
    HELD,
    DEFERRED,
    TIMED_OUT,
    TIMED_OUT_DEFERRED,
    STILL_RUNNING,
    INTERRUPTED,
    CANCELLED,
    UNTOLD,
    NOT_GRANTED,
    CHANNEL_DEFECT,
    CHANNEL_FAULT,
];

/// What a run becomes.
pub fn classify(settings: &Settings, run: &Run) -> Rule {
    match &run.shown {
        Shown::Ran(code) => of_code(settings, run, *code),
        Shown::NotBegun(code) => of_docker(settings, run, *code),
        Shown::Untold(code) => {
            let alone = *code != 0 && run.said(settings, *code, docker::speaks_alone);
            if alone { of_docker(settings, run, *code) } else { UNTOLD }
        }
        Shown::NotStarted(failure) => of_failure(settings, failure),
        Shown::Interrupted(..) => INTERRUPTED,
        Shown::TimedOut(RemoteState::Ended) if settings.timeout_is == TimeoutIs::Fail => TIMED_OUT,
        Shown::TimedOut(RemoteState::Ended) => TIMED_OUT_DEFERRED,
        // As long as it may run, neither it nor another one after it can be judged.
        Shown::TimedOut(_) | Shown::LeftRunning => STILL_RUNNING,
        Shown::Cancelled => CANCELLED,
    }
}

fn of_code(settings: &Settings, run: &Run, code: i32) -> Rule {
    match settings.exit_codes.get(&code) {
        Some(Becomes::Pass) => PASSED,
        Some(Becomes::Fail) => FAILED,
        Some(Becomes::Held) => HELD,
        Some(Becomes::Deferred) => DEFERRED,
        None => match code {
            0 => PASSED,
            126 | 127 => SUITE_MISSING,
            129 | 130 | 137 | 143 => KILLED,
            1 if module_missing(settings, run) => SUITE_MISSING,
            _ => FAILED,
        },
    }
}

/// Whether Python says, before any code of the module ran, that there is no such module.
fn module_missing(settings: &Settings, run: &Run) -> bool {
    let [program, flag, module, ..] = settings.command.as_slice() else { return false };
    let name = program.rsplit('/').next().unwrap_or(program);
    let err = run.seen.err();
    let line = err.trim_end();
    name.starts_with("python")
        && flag == "-m"
        && run.seen.stdout.total == 0
        && !line.contains('\n')
        && (line.ends_with(&format!(": No module named {module}"))
            || line.contains(&format!(
                ": Error while finding module specification for '{module}' (ModuleNotFoundError"
            )))
}

fn of_docker(settings: &Settings, run: &Run, code: i32) -> Rule {
    let absent = if run.bare { SUITE_MISSING } else { docker::NO_SHELL };
    run.said(settings, code, |said| docker::classify(said, absent))
}

/// What it becomes that nothing began.
pub(crate) fn of_failure(settings: &Settings, failure: &Failure) -> Rule {
    match failure.kind {
        FailureKind::Cancelled => CANCELLED,
        FailureKind::NotFound if !settings.exec_host_side => docker::MISSING,
        FailureKind::Denied if !settings.exec_host_side => NOT_GRANTED,
        FailureKind::Denied | FailureKind::NotFound | FailureKind::Permanent => CHANNEL_DEFECT,
        FailureKind::Transient | FailureKind::TimedOut | FailureKind::Limit | FailureKind::Other => {
            CHANNEL_FAULT
        }
    }
}

/// The code that a fault of this rule bears: the host's own, where the host knows more than we.
pub(crate) fn code_of<'a>(rule: &'a Rule, shown: &'a Shown) -> &'a str {
    match shown {
        Shown::NotStarted(failure)
            if [CHANNEL_DEFECT.code, CHANNEL_FAULT.code].contains(&rule.code) && !failure.code.is_empty() =>
        {
            &failure.code
        }
        _ => rule.code,
    }
}

/// Whether a rule is no verdict that a further try could mend.
pub(crate) fn is_defect(rule: &Rule) -> bool {
    rule.becomes == Becomes::Held
}
