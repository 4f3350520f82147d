//! `cargo test`: the test programs' own summary lines, and cargo's words on standard error.
//!
//! libtest has no report file on a stable toolchain, so its lines on standard output are read: each `running n tests`
//! needs its `test result:`. A test that calls `exit(0)` leaves one without the other.

use stagewright_sdk::evidence::Rule;
use stagewright_sdk::{CheckState, Host, Process};

use crate::bench::Bench;
use crate::cargo_build;
use crate::ending::{self, Ending};
use crate::finding::{Finding, Tests};
use crate::settings::Settings;
use crate::watch::{Lines, Watch, watch};

const PASSED: Rule = Rule::pass(
    "all-passed",
    "exit 0, every test program that began gave its result, all of them ok, something passed",
    "all tests passed",
);
const NOTHING_PASSED_ALLOWED: Rule = Rule::pass(
    "nothing-passed-allowed",
    "the same, but nothing passed, and the settings allow it (`allow_no_tests` where there are none, else \
     `allow_nothing_passed`)",
    "no test passed, which the settings allow",
);
const TESTS_FAILED: Rule = Rule::fail(
    "tests-failed",
    "exit 101 and `test failed, to rerun` or `target failed`, or exit 0 with a result that is not ok",
    "tests failed",
);
const CRASHED: Rule = Rule::fail(
    "test-crashed",
    "exit 101 and cargo names SIGSEGV, SIGABRT, SIGBUS, SIGFPE or SIGILL of a test program",
    "a test crashed its program",
);
const KILLED: Rule = Rule::deferred(
    "test-killed",
    "exit 101 and cargo names another signal of a test program",
    "something killed a test program; the machine may have run out of memory",
    "look at the machine's memory and at who sends signals",
);
const NOTHING_COLLECTED: Rule =
    Rule::fail("nothing-collected", "exit 0, and there are no tests", "there are no tests");
const NOTHING_PASSED: Rule =
    Rule::fail("nothing-passed", "exit 0, there are tests, and none passed", "no test passed");
const ENDED_EARLY: Rule = Rule::fail(
    "ended-early",
    "exit 0, and a test program began without giving its result",
    "a test program ended in the middle of its tests",
);
const OUTPUT_LOST: Rule = Rule::deferred(
    "output-lost",
    "exit 0, and a part of the output went by unread",
    "a part of the runner's output was lost",
    "let the suite print less, or use nextest",
);

/// The rows of its own and cargo's.
pub const TABLE: &[Rule] = &[
    PASSED,
    NOTHING_PASSED_ALLOWED,
    TESTS_FAILED,
    CRASHED,
    KILLED,
    ENDED_EARLY,
    NOTHING_COLLECTED,
    NOTHING_PASSED,
    OUTPUT_LOST,
];

/// What libtest's lines say.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// The single tests.
    pub tests: Tests,
    /// How many programs began (`running n tests`) and how many gave their result.
    pub began: u64,
    /// How many programs gave their result.
    pub ended: u64,
    /// Whether a result was not ok.
    pub failed: bool,
    /// What the result lines add up to: passed, failed, ignored.
    pub counted: [u64; 3],
    /// Whether a part went by unread.
    pub gap: bool,
    failing: Option<String>,
    detail: String,
}

impl Output {
    /// Takes one line of standard output; the name of a test that just ended comes back.
    pub fn take(&mut self, line: &str) -> Option<String> {
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            self.close();
            self.failing = Some(name.to_owned());
            return None;
        }
        let is_running = |rest: &&str| rest.ends_with(" test") || rest.ends_with(" tests");
        if line.strip_prefix("running ").filter(is_running).is_some() {
            self.began = self.began.saturating_add(1);
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.close();
            self.ended = self.ended.saturating_add(1);
            self.failed |= !result.starts_with("ok.");
            for (count, word) in self.counted.iter_mut().zip([" passed", " failed", " ignored"]) {
                let number = result.split(['.', ';']).find_map(|part| part.strip_suffix(word));
                let number = number.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0);
                *count = count.saturating_add(number);
            }
        } else if line == "failures:" {
            self.close();
        } else if self.failing.is_some() {
            self.detail.push_str(line);
            self.detail.push('\n');
        } else if let Some((name, state)) =
            line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
        {
            let state = match state {
                "ok" => CheckState::Passed,
                "FAILED" => return Some(name.to_owned()),
                state if state.starts_with("ignored") => CheckState::Skipped,
                _ => return None,
            };
            self.tests.add(name, state, "", 0);
            return Some(name.to_owned());
        }
        None
    }

    /// The block of one failing test is over.
    fn close(&mut self) {
        if let Some(name) = self.failing.take() {
            self.tests.add(&name, CheckState::Failed, self.detail.trim(), 0);
        }
        self.detail.clear();
    }

    /// The tests, with the counts of the result lines: a test that prints into its own line is counted, too.
    fn into_tests(mut self) -> Tests {
        let [passed, failed, skipped] = self.counted;
        self.tests.tally.passed = passed;
        self.tests.tally.failed = failed;
        self.tests.tally.skipped = skipped;
        self.tests
    }
}

/// What an end becomes.
pub fn classify(settings: &Settings, ending: &Ending, output: &Output) -> Rule {
    if let Some(rule) = ending::classify(ending, output.began > 0, settings.timeout_is) {
        return rule;
    }
    let Some(code) = ending.code() else { return ending::UNEXPLAINED };
    let stderr = ending.stderr();
    if code == 0 {
        return of_success(settings, ending, output);
    }
    let cargos = |words: &str| stderr.lines().any(|line| line.starts_with("error: ") && line.contains(words));
    let ran = cargos("test failed, to rerun") || cargos("target failed:") || cargos("targets failed:");
    if !ran {
        return match cargo_build::classify(&stderr) {
            Some(rule) => rule,
            None if ending::says_disk_full(ending) => ending::DISK_FULL,
            None => ending::UNEXPLAINED,
        };
    }
    if !output.failed {
        if let Some(signal) = cargo_build::signal_in(&stderr) {
            return if ending::of_signal(signal).code == "crashed" { CRASHED } else { KILLED };
        }
        // The program was there and refused its arguments.
        if let Some(rule) = cargo_build::classify(&stderr).filter(|rule| rule.code == "bad-option") {
            return rule;
        }
    }
    TESTS_FAILED
}

fn of_success(settings: &Settings, ending: &Ending, output: &Output) -> Rule {
    let [passed, failed, ignored] = output.counted;
    if output.failed || failed > 0 {
        return TESTS_FAILED;
    }
    if output.gap {
        return if ending::says_disk_full(ending) { ending::DISK_FULL } else { OUTPUT_LOST };
    }
    if output.began > output.ended {
        return ENDED_EARLY;
    }
    match (passed, ignored) {
        (0, 0) if settings.allow_no_tests => NOTHING_PASSED_ALLOWED,
        (0, 0) => NOTHING_COLLECTED,
        (0, _) if settings.allow_nothing_passed => NOTHING_PASSED_ALLOWED,
        (0, _) => NOTHING_PASSED,
        _ => PASSED,
    }
}

/// Runs the suite and judges it.
pub(crate) fn run<C: Host + Process>(bench: &Bench<'_, C>) -> Finding {
    let mut args = vec!["test".to_owned()];
    args.extend(bench.settings.args.iter().cloned());
    let mut command = bench.command("cargo", args);
    // The words that are looked for must not be coloured.
    command.env.push(("CARGO_TERM_COLOR".to_owned(), "never".to_owned()));
    let mut follower = Follower::default();
    let ending = watch(bench.host, &command, &mut follower);
    let Follower { mut lines, mut output } = follower;
    lines.end(|line| drop(output.take(line)));
    output.gap = lines.gap;
    let rule = classify(bench.settings, &ending, &output);
    let tests = output.into_tests();
    let collected = Some(tests.total());
    Finding { rule, command, ending, tests, collected, ..Finding::empty() }
}

#[derive(Default)]
struct Follower {
    lines: Lines,
    output: Output,
}

impl<C: Host> Watch<C> for Follower {
    fn stdout(&mut self, host: &C, bytes: &[u8], skipped: u64) {
        let output = &mut self.output;
        let mut last = None;
        self.lines.take(bytes, skipped, |line| last = output.take(line).or(last.take()));
        if let Some(last) = last {
            host.progress(output.tests.total(), 0, &last);
        }
    }
}
