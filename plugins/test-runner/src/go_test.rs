//! `go test -json`: one event a line on standard output, from go's own converter.
//!
//! Exit 1 is a failing test, a failing build and a missing module alike; the events and go's words on standard error
//! tell them apart.

use std::collections::BTreeMap;

use serde::Deserialize;
use stagewright_sdk::evidence::Rule;
use stagewright_sdk::{CheckState, Host, Process};

use crate::bench::Bench;
use crate::ending::{self, Ending};
use crate::finding::{Finding, Tests};
use crate::settings::Settings;
use crate::watch::{Lines, Watch, watch};

const PASSED: Rule = Rule::pass(
    "all-passed",
    "exit 0, every test that began ended, something passed, nothing failed",
    "all tests passed",
);
const NOTHING_PASSED_ALLOWED: Rule = Rule::pass(
    "nothing-passed-allowed",
    "exit 0, and nothing passed, and the settings allow it (`allow_no_tests` where there are none, else \
     `allow_nothing_passed`)",
    "no test passed, which the settings allow",
);
const TESTS_FAILED: Rule =
    Rule::fail("tests-failed", "a test failed, or timed out by go's own limit", "tests failed");
const BUILD_FAILED: Rule = Rule::fail(
    "build-failed",
    "`[build failed]`, or `[setup failed]` without a word of the network",
    "the code does not build",
);
const PROGRAM_FAILED: Rule = Rule::fail(
    "test-program-failed",
    "a package failed without a failing test: `exit status n`, a panic, or a crash signal",
    "a test program failed as a whole",
);
const KILLED: Rule = Rule::deferred(
    "test-killed",
    "a package failed without a failing test, and without an exit status, a panic or a crash signal",
    "something killed a test program; the machine may have run out of memory",
    "look at the machine's memory and at who sends signals",
);
const NOTHING_COLLECTED: Rule =
    Rule::fail("nothing-collected", "exit 0, and there are no tests", "there are no tests");
const NOTHING_PASSED: Rule =
    Rule::fail("nothing-passed", "exit 0, there are tests, and none passed", "no test passed");
const ENDED_EARLY: Rule = Rule::fail(
    "ended-early",
    "exit 0, and a test began without its end",
    "a test program ended in the middle of its tests",
);
const NO_MODULE: Rule = Rule::held(
    "manifest-missing",
    "go finds no module or no such folder",
    "there is no go.mod, or no package, where go looks",
    "mend `test_runner.args`, or set `test_runner.framework`",
);
const MODULE_BROKEN: Rule = Rule::fail(
    "manifest-broken",
    "`errors parsing go.mod`, or go.mod and go.sum need updates",
    "go.mod or go.sum is not in order",
);
const DEPENDENCIES: Rule = Rule::deferred(
    "dependencies-unavailable",
    "go's words name the network or the proxy",
    "go could not get the dependencies",
    "see whether the module proxy answers; a set-up step with `go mod download` tells it apart",
);
const TOOLCHAIN_MISSING: Rule = Rule::held(
    "toolchain-missing",
    "the C compiler or the toolchain that go.mod asks for is missing",
    "a part of the Go toolchain is missing",
    "install what the message names",
);
const BAD_OPTION: Rule = Rule::held(
    "bad-option",
    "go or a test program does not know a flag",
    "a flag of the settings is refused",
    "mend `test_runner.args`",
);
const OUTPUT_LOST: Rule = Rule::deferred(
    "output-lost",
    "exit 0, and a part of the events went by unread",
    "a part of the runner's output was lost",
    "let the suite print less",
);

/// The rows of its own.
pub const TABLE: &[Rule] = &[
    PASSED,
    NOTHING_PASSED_ALLOWED,
    BAD_OPTION,
    TESTS_FAILED,
    DEPENDENCIES,
    TOOLCHAIN_MISSING,
    MODULE_BROKEN,
    NO_MODULE,
    BUILD_FAILED,
    PROGRAM_FAILED,
    KILLED,
    ENDED_EARLY,
    NOTHING_COLLECTED,
    NOTHING_PASSED,
    OUTPUT_LOST,
];

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Event {
    action: String,
    package: String,
    test: String,
    output: String,
    elapsed: f64,
}

/// What the events say.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// The single tests.
    pub tests: Tests,
    /// Packages that failed.
    pub failed_packages: u64,
    /// The output of packages and of lines that are no events, bounded.
    pub words: String,
    /// Whether a part went by unread.
    pub gap: bool,
    /// The output of tests that have not ended.
    running: BTreeMap<(String, String), String>,
}

/// How much output of one test or package is kept.
const MAX_OUTPUT: usize = 16 * 1024;

impl Events {
    /// Takes one line; the name of a test that just ended comes back.
    pub fn take(&mut self, line: &str) -> Option<String> {
        let Ok(event) = serde_json::from_str::<Event>(line) else {
            add(&mut self.words, line);
            add(&mut self.words, "\n");
            return None;
        };
        if event.test.is_empty() {
            match event.action.as_str() {
                "output" | "build-output" => add(&mut self.words, &event.output),
                "fail" => self.failed_packages = self.failed_packages.saturating_add(1),
                _ => {}
            }
            return None;
        }
        let key = (event.package, event.test);
        let state = match event.action.as_str() {
            "run" => {
                self.running.insert(key, String::new());
                return None;
            }
            "output" => {
                add(self.running.entry(key).or_default(), &event.output);
                return None;
            }
            "pass" => CheckState::Passed,
            "fail" => CheckState::Failed,
            "skip" => CheckState::Skipped,
            _ => return None,
        };
        let detail = self.running.remove(&key).unwrap_or_default();
        let detail = if state == CheckState::Passed { "" } else { detail.trim_end() };
        let name = format!("{} {}", key.0, key.1);
        self.tests.add(&name, state, detail, (event.elapsed * 1_000.0) as u64);
        Some(name)
    }

    /// Tests that began and did not end.
    pub fn unfinished(&self) -> usize {
        self.running.len()
    }

    /// Whether the output says one of these, a package's own or that of a test that did not end.
    fn says(&self, words: &[&str]) -> bool {
        let all = || std::iter::once(&self.words).chain(self.running.values());
        all().any(|text| words.iter().any(|word| text.contains(word)))
    }
}

fn add(text: &mut String, more: &str) {
    if text.len().saturating_add(more.len()) <= MAX_OUTPUT {
        text.push_str(more);
    }
}

/// What an end becomes.
pub fn classify(settings: &Settings, ending: &Ending, events: &Events) -> Rule {
    let up = events.tests.total() > 0 || events.unfinished() > 0;
    if let Some(rule) = ending::classify(ending, up, settings.timeout_is) {
        return rule;
    }
    let tally = &events.tests.tally;
    if ending.code() == Some(0) {
        return match (tally.failed, tally.passed) {
            (failed, _) if failed > 0 || events.failed_packages > 0 => TESTS_FAILED,
            _ if events.gap => OUTPUT_LOST,
            _ if events.unfinished() > 0 => ENDED_EARLY,
            (_, passed) if passed > 0 => PASSED,
            _ if tally.skipped == 0 && settings.allow_no_tests => NOTHING_PASSED_ALLOWED,
            _ if tally.skipped == 0 => NOTHING_COLLECTED,
            _ if settings.allow_nothing_passed => NOTHING_PASSED_ALLOWED,
            _ => NOTHING_PASSED,
        };
    }
    let stderr = ending.stderr();
    let says = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
    if says(&["flag provided but not defined"]) || events.says(&["flag provided but not defined: -"]) {
        return BAD_OPTION;
    }
    if tally.failed > 0 {
        return TESTS_FAILED;
    }
    let network = [
        "dial tcp",
        "no such host",
        "i/o timeout",
        "connection refused",
        "TLS handshake timeout",
        "502 Bad Gateway",
    ];
    let unbuilt = events.says(&["[build failed]", "[setup failed]"]);
    if (unbuilt || events.failed_packages == 0) && says(&network) {
        return DEPENDENCIES;
    }
    if says(&["C compiler \"", "toolchain not available", "requires go >="]) {
        return TOOLCHAIN_MISSING;
    }
    if says(&["errors parsing go.mod", "updates to go.mod needed", "missing go.sum entry"]) {
        return MODULE_BROKEN;
    }
    if unbuilt {
        return BUILD_FAILED;
    }
    if events.failed_packages > 0 {
        let own = [
            "exit status ",
            "panic: ",
            "fatal error: ",
            "SIGSEGV",
            "SIGABRT",
            "SIGBUS",
            "SIGFPE",
            "SIGILL",
            "signal: segmentation",
            "signal: aborted",
        ];
        return if events.says(&own) { PROGRAM_FAILED } else { KILLED };
    }
    if says(&[
        "does not contain main module",
        "go.mod file not found",
        "cannot find main module",
        "no such file or directory",
        "directory not found",
    ]) {
        return NO_MODULE;
    }
    if ending::says_disk_full(ending) { ending::DISK_FULL } else { ending::UNEXPLAINED }
}

/// Runs the suite and judges it.
pub(crate) fn run<C: Host + Process>(bench: &Bench<'_, C>) -> Finding {
    let mut args = vec!["test".to_owned(), "-json".to_owned()];
    if bench.settings.args.is_empty() {
        args.push("./...".to_owned());
    }
    args.extend(bench.settings.args.iter().cloned());
    let command = bench.command("go", args);
    let mut follower = Follower::default();
    let ending = watch(bench.host, &command, &mut follower);
    let Follower { mut lines, mut events } = follower;
    lines.end(|line| drop(events.take(line)));
    events.gap = lines.gap;
    let rule = classify(bench.settings, &ending, &events);
    let collected = Some(events.tests.total());
    Finding {
        rule,
        command,
        ending,
        tests: events.tests,
        collected,
        evidence: events.words,
        ..Finding::empty()
    }
}

#[derive(Default)]
struct Follower {
    lines: Lines,
    events: Events,
}

impl<C: Host> Watch<C> for Follower {
    fn stdout(&mut self, host: &C, bytes: &[u8], skipped: u64) {
        let events = &mut self.events;
        let mut last = None;
        self.lines.take(bytes, skipped, |line| last = events.take(line).or(last.take()));
        if let Some(last) = last {
            host.progress(events.tests.total(), 0, &last);
        }
    }
}
