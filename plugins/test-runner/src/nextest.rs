//! cargo-nextest: its exit code says what happened, its JUnit file what ran.
//!
//! The JUnit path is set by a configuration file in scratch. nextest reads it below the repository's own, so where that
//! one has a JUnit path a copy of it with ours takes its place.

use stagewright_sdk::evidence::Rule;
use stagewright_sdk::{Area, FailureKind, Files, Host, Process};

use crate::bench::Bench;
use crate::cargo_build;
use crate::ending::{self, Ending};
use crate::finding::{Finding, never_started};
use crate::junit::{self, Junit};
use crate::settings::Settings;
use crate::watch::{Lines, Watch, watch};

const PASSED: Rule = Rule::pass(
    "all-passed",
    "exit 0, JUnit well-formed, something passed, no failure, no error",
    "all tests passed",
);
const NO_TESTS_ALLOWED: Rule = Rule::pass(
    "no-tests-allowed",
    "exit 4, or exit 0 and nothing in the JUnit file, and `allow_no_tests` is set",
    "no tests ran, which the settings allow",
);
const TESTS_FAILED: Rule =
    Rule::fail("tests-failed", "exit 100, or exit 0 with failures in the JUnit file", "tests failed");
const KILLED: Rule = Rule::deferred(
    "test-killed",
    "exit 100, and every failing test was ended by a signal that is no crash",
    "something killed the tests; the machine may have run out of memory",
    "look at the machine's memory and at who sends signals",
);
const NOTHING_COLLECTED: Rule =
    Rule::fail("nothing-collected", "exit 4, or exit 0 and nothing in the JUnit file", "there are no tests");
const LIST_FAILED: Rule = Rule::fail(
    "list-failed",
    "exit 104: a test program could not list its tests",
    "a test program could not list its tests",
);
const LIBRARY_MISSING: Rule = Rule::held(
    "library-missing",
    "exit 104, and the loader misses a shared library",
    "a test program misses a shared library",
    "install the library that the message names",
);
const SETUP_SCRIPT: Rule = Rule::deferred(
    "setup-script-failed",
    "exit 105: a set-up script of nextest's configuration failed",
    "a set-up script of nextest failed",
    "read what the script says",
);
const BAD_OPTION: Rule = Rule::held(
    "bad-usage",
    "exit 2, or 96: an unknown argument, an unknown profile, broken configuration",
    "nextest refused its arguments or its configuration",
    "mend `test_runner.args` or .config/nextest.toml",
);
const NOT_INSTALLED: Rule = Rule::held(
    "nextest-missing",
    "cargo knows no command `nextest`",
    "cargo-nextest is not installed",
    "install cargo-nextest, or set `test_runner.framework` to cargo-test",
);
const METADATA: Rule = Rule::deferred(
    "metadata-failed",
    "exit 102, and cargo's words say no more",
    "cargo could not read the workspace",
    "run `cargo metadata` and read what it says",
);
const OUTPUT_FAILED: Rule = Rule::deferred(
    "output-failed",
    "exit 110: nextest could not write its output",
    "nextest could not write its output",
    "make room on the disk of the state folder",
);
const REPORT_MISSING: Rule = Rule::deferred(
    "report-missing",
    "exit 0, and the JUnit file is not there or not well-formed",
    "nextest left no report",
    "see whether .config/nextest.toml sets a JUnit path in a way that hides ours",
);

/// The rows of its own.
pub const TABLE: &[Rule] = &[
    PASSED,
    NO_TESTS_ALLOWED,
    TESTS_FAILED,
    KILLED,
    NOTHING_COLLECTED,
    LIST_FAILED,
    LIBRARY_MISSING,
    SETUP_SCRIPT,
    BAD_OPTION,
    NOT_INSTALLED,
    METADATA,
    OUTPUT_FAILED,
    REPORT_MISSING,
];

/// What an end becomes.
pub fn classify(settings: &Settings, ending: &Ending, up: bool, junit: &Junit) -> Rule {
    if let Some(rule) = ending::classify(ending, up, settings.timeout_is) {
        return rule;
    }
    let Some(code) = ending.code() else { return ending::UNEXPLAINED };
    let stderr = ending.stderr();
    let build = || cargo_build::classify(&stderr);
    match code {
        0 => of_success(settings, ending, junit),
        4 if settings.allow_no_tests => NO_TESTS_ALLOWED,
        4 => NOTHING_COLLECTED,
        100 if only_killed(junit) => KILLED,
        100 => TESTS_FAILED,
        2 | 96 => BAD_OPTION,
        101 if stderr.contains("no such command: `nextest`") => NOT_INSTALLED,
        101 => build().unwrap_or(ending::UNEXPLAINED),
        102 => build().unwrap_or(METADATA),
        104 if stderr.contains("error while loading shared libraries") => LIBRARY_MISSING,
        104 => LIST_FAILED,
        105 => SETUP_SCRIPT,
        110 => OUTPUT_FAILED,
        _ if ending::says_disk_full(ending) => ending::DISK_FULL,
        _ => ending::UNEXPLAINED,
    }
}

fn of_success(settings: &Settings, ending: &Ending, junit: &Junit) -> Rule {
    let Junit::Read(tests) = junit else {
        return if ending::says_disk_full(ending) { ending::DISK_FULL } else { REPORT_MISSING };
    };
    let tally = &tests.tally;
    if tally.failed > 0 || tally.errored > 0 {
        TESTS_FAILED
    } else if tally.passed > 0 {
        PASSED
    } else if settings.allow_no_tests {
        NO_TESTS_ALLOWED
    } else {
        NOTHING_COLLECTED
    }
}

/// nextest writes how a test was ended into the type and text of its failure.
fn only_killed(junit: &Junit) -> bool {
    let Junit::Read(tests) = junit else { return false };
    let killed =
        |detail: &str| detail.contains("SIGKILL") || detail.contains("SIGTERM") || detail.contains("SIGINT");
    !tests.bad().is_empty()
        && tests.bad().iter().all(|test| killed(test.detail.lines().next().unwrap_or_default()))
}

/// Runs the suite and judges it.
pub(crate) fn run<C: Host + Process + Files>(bench: &Bench<'_, C>) -> Finding {
    let folder = format!("nextest-{}", bench.nonce());
    let (config, report) = (format!("{folder}/nextest.toml"), format!("{folder}/{}.xml", bench.nonce()));
    let own = bench.host.text(Area::Worktree, ".config/nextest.toml", 1024 * 1024).unwrap_or_default();
    let (text, option) = configuration(&own, &bench.scratch(&report), &bench.scratch(&config));
    let mut args = ["nextest", "run", "--no-fail-fast"].map(str::to_owned).to_vec();
    args.extend(option);
    args.extend(bench.settings.args.iter().cloned());
    let mut command = bench.command("cargo", args);
    command.env.push(("CARGO_TERM_COLOR".to_owned(), "never".to_owned()));
    let mut follower = Follower::default();
    let ending = match bench.host.write(&config, text.as_bytes()) {
        Ok(()) => watch(bench.host, &command, &mut follower),
        Err(failure) => never_started(&failure.message),
    };
    let junit = match bench.host.read_whole(Area::Scratch, &report, junit::MAX_BYTES) {
        Ok(bytes) => junit::read(&bytes),
        Err(failure) if failure.kind == FailureKind::NotFound => Junit::Missing,
        Err(failure) => Junit::Broken(failure.message),
    };
    let rule = classify(bench.settings, &ending, follower.up, &junit);
    let keep =
        if matches!(junit, Junit::Missing) { Vec::new() } else { vec![(report, "junit.xml".to_owned())] };
    let mut finding = Finding { rule, command, ending, keep, ..Finding::empty() };
    match junit {
        Junit::Read(tests) => {
            finding.collected = Some(tests.total());
            finding.tests = tests;
        }
        Junit::Broken(why) => finding.notes.push(format!("The JUnit file can't be used: {why}")),
        Junit::Missing => {}
    }
    finding
}

/// The configuration that makes nextest write `report`, and the arguments that name it.
fn configuration(own: &str, report: &str, file: &str) -> (String, [String; 2]) {
    // A TOML basic string has JSON's escapes.
    let path = format!("path = {}", serde_json::Value::from(report));
    let is_junit = |line: &str| line.starts_with("[profile.") && line.ends_with(".junit]");
    if !own.lines().any(|line| is_junit(line.trim())) {
        let text = format!("[profile.default.junit]\n{path}\n");
        return (text, ["--tool-config-file".to_owned(), format!("stagewright:{file}")]);
    }
    let mut text = String::new();
    let mut inside = false;
    let mut has_default = false;
    for line in own.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with('[') {
            inside = is_junit(trimmed);
            has_default |= trimmed == "[profile.default.junit]";
        }
        if inside && trimmed.split('=').next().is_some_and(|key| key.trim() == "path") {
            continue;
        }
        text.push_str(line);
        text.push('\n');
        if trimmed.starts_with('[') && inside {
            text.push_str(&path);
            text.push('\n');
        }
    }
    if !has_default {
        text.push_str(&format!("\n[profile.default.junit]\n{path}\n"));
    }
    (text, ["--config-file".to_owned(), file.to_owned()])
}

#[derive(Default)]
struct Follower {
    lines: Lines,
    done: u64,
    total: u64,
    up: bool,
}

impl<C: Host> Watch<C> for Follower {
    /// `        PASS [   0.005s] (1/12) package test` and the like.
    fn stderr(&mut self, host: &C, bytes: &[u8], skipped: u64) {
        let (done, total, up) = (&mut self.done, &mut self.total, &mut self.up);
        let mut last = None;
        self.lines.take(bytes, skipped, |line| {
            *up |= line.contains("Nextest run ID");
            let Some((_, rest)) = line.split_once("s] (") else { return };
            let Some((numbers, name)) = rest.split_once(") ") else { return };
            let Some((now, all)) = numbers.split_once('/') else { return };
            if let (Ok(now), Ok(all)) = (now.trim().parse::<u64>(), all.trim().parse::<u64>()) {
                (*done, *total) = (now.max(*done), all);
                last = Some(name.trim().to_owned());
            }
        });
        if let Some(last) = last {
            host.progress(*done, *total, &last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_without_a_junit_path_keeps_its_configuration() {
        let (text, option) = configuration("[profile.default]\nretries = 2\n", "/s/a b.xml", "/s/n.toml");
        assert_eq!(text, "[profile.default.junit]\npath = \"/s/a b.xml\"\n");
        assert_eq!(option, ["--tool-config-file", "stagewright:/s/n.toml"]);
    }

    #[test]
    fn a_junit_path_of_the_repositorys_own_is_replaced_in_a_copy() {
        let own =
            "[profile.default]\nretries = 2\n[profile.ci.junit]\npath = \"junit.xml\"\nreport-name = \"x\"\n";
        let (text, option) = configuration(own, "/s/j.xml", "/s/n.toml");
        let expected = "[profile.default]\nretries = 2\n[profile.ci.junit]\npath = \"/s/j.xml\"\nreport-name = \"x\"\n\n\
                        [profile.default.junit]\npath = \"/s/j.xml\"\n";
        assert_eq!(text, expected);
        assert_eq!(option, ["--config-file", "/s/n.toml"]);
    }
}
