//! Any program with a map of its exit codes.
//!
//! The map is the operator's word for what the program means; by default 0 is a pass and 1 a fail, and a code that is not
//! named leads to another try. Where `junit` names a file that the program writes, a pass needs its evidence too.

use stagewright_sdk::evidence::{Becomes, Rule};
use stagewright_sdk::{Area, Files, Host, Process};

use crate::bench::Bench;
use crate::ending::{self, Ending};
use crate::finding::{Finding, Tests};
use crate::junit::{self, Junit};
use crate::settings::Settings;
use crate::watch::watch;

const PASSED: Rule = Rule::pass(
    "all-passed",
    "a code that means `pass` (0 by default); with `junit`: well-formed, something passed, no failure, no error",
    "the command passed",
);
const FAILED: Rule =
    Rule::fail("command-failed", "a code that means `fail` (1 by default)", "the command failed");
const HELD: Rule = Rule::held(
    "command-held",
    "a code that means `held`",
    "the command says that the environment has to be mended",
    "read what the command says",
);
const DEFERRED: Rule = Rule::deferred(
    "command-deferred",
    "a code that means `deferred`",
    "the command says that it may work later",
    "read what the command says",
);
const TESTS_FAILED: Rule = Rule::fail(
    "tests-failed",
    "a code that means `pass`, and the JUnit file has failures or errors",
    "tests failed",
);
const NOTHING_PASSED: Rule = Rule::fail(
    "nothing-passed",
    "a code that means `pass`, and nothing passed in the JUnit file (unless `allow_nothing_passed`)",
    "no test passed",
);
const REPORT_MISSING: Rule = Rule::fail(
    "report-missing",
    "a code that means `pass`, and no JUnit file where `junit` says",
    "there is no report",
);
const REPORT_BROKEN: Rule = Rule::fail(
    "report-broken",
    "a code that means `pass`, and a JUnit file that is not well-formed",
    "the report can't be read",
);
const REPORT_STALE: Rule = Rule::held(
    "report-stale",
    "the JUnit file is there before anything ran",
    "the report is part of the repository, so it proves nothing",
    "take the file out of the repository, or name another in `junit`",
);
const NO_PROGRAM: Rule = Rule::held(
    "program-not-set",
    "`program` is not set",
    "the settings name no program",
    "set `test_runner.program`",
);
/// By which a shell says what became of its child.
const SHELL: Rule = Rule::deferred(
    "killed-by-signal",
    "128 + a signal's number, if the map does not name it: as the signal below; 126 and 127: as a missing program",
    "something killed the command",
    "look at the machine's memory and at who sends signals",
);

/// The rows of its own.
pub const TABLE: &[Rule] = &[
    NO_PROGRAM,
    REPORT_STALE,
    PASSED,
    FAILED,
    HELD,
    DEFERRED,
    TESTS_FAILED,
    NOTHING_PASSED,
    REPORT_MISSING,
    REPORT_BROKEN,
    SHELL,
];

/// What an end becomes under a map. `junit` is none where the settings name no file.
pub fn classify(settings: &Settings, ending: &Ending, junit: Option<&Junit>) -> Rule {
    if let Some(rule) = ending::classify(ending, true, settings.timeout_is) {
        return rule;
    }
    let Some(code) = ending.code() else { return ending::UNEXPLAINED };
    let by_default = match code {
        0 => Some(Becomes::Pass),
        1 => Some(Becomes::Fail),
        _ => None,
    };
    match settings.exit_codes.get(&code).copied().or(by_default) {
        Some(Becomes::Fail) => FAILED,
        Some(Becomes::Held) => HELD,
        Some(Becomes::Deferred) => DEFERRED,
        Some(Becomes::Pass) => junit.map_or(PASSED, |junit| by_report(settings, junit, ending)),
        None => ending::of_shell_code(code).unwrap_or(ending::UNEXPLAINED),
    }
}

fn by_report(settings: &Settings, junit: &Junit, ending: &Ending) -> Rule {
    match junit {
        Junit::Missing | Junit::Broken(_) if ending::says_disk_full(ending) => ending::DISK_FULL,
        Junit::Missing => REPORT_MISSING,
        Junit::Broken(_) => REPORT_BROKEN,
        Junit::Read(tests) if tests.tally.failed > 0 || tests.tally.errored > 0 => TESTS_FAILED,
        Junit::Read(tests) if tests.tally.passed == 0 && !settings.allow_nothing_passed => NOTHING_PASSED,
        Junit::Read(_) => PASSED,
    }
}

/// Runs the program and judges it.
pub(crate) fn run<C: Host + Process + Files>(bench: &Bench<'_, C>) -> Finding {
    let settings = bench.settings;
    let program = settings.program.as_deref().unwrap_or_default();
    let command = bench.command(program, settings.args.clone());
    let stale = settings.junit.as_ref().is_some_and(|path| bench.host.exists(Area::Worktree, path));
    let early = if program.is_empty() { Some(NO_PROGRAM) } else { stale.then_some(REPORT_STALE) };
    let ending = match early {
        Some(rule) => crate::finding::never_started(rule.says),
        None => watch(bench.host, &command, &mut ()),
    };
    let junit = settings.junit.as_ref().map(|path| read_report(bench, path));
    let rule = early.unwrap_or_else(|| classify(settings, &ending, junit.as_ref()));
    let tests = match junit {
        Some(Junit::Read(tests)) => tests,
        _ => Tests::default(),
    };
    let collected = settings.junit.is_some().then(|| tests.total());
    Finding { rule, command, ending, tests, collected, ..Finding::empty() }
}

/// The JUnit file that a program left in the worktree.
pub(crate) fn read_report<C: Files>(bench: &Bench<'_, C>, path: &str) -> Junit {
    match bench.host.read_whole(Area::Worktree, path, junit::MAX_BYTES) {
        Ok(bytes) => junit::read(&bytes),
        Err(failure) if failure.kind == stagewright_sdk::FailureKind::NotFound => Junit::Missing,
        Err(failure) => Junit::Broken(failure.message),
    }
}
