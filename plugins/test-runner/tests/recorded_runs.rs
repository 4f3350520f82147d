//! The other runners' tables, by what the real ones wrote.
//!
//! The files in `recorded/` are the output of cargo 1.95, cargo-nextest 0.9.143, go 1.19 and npm 10 on small packages, with
//! folders and hosts renamed. What jest, vitest and mocha print is given here in their documented form. At the end of each
//! list, every row of the table must have been reached.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::collections::BTreeSet;
use std::path::Path;

use stagewright_sdk::evidence::{Becomes, Rule};
use stagewright_sdk::{Completed, Exit, StreamEnd};
use stagewright_test_runner::ending::Ending;
use stagewright_test_runner::junit::{self, Junit};
use stagewright_test_runner::settings::Settings;
use stagewright_test_runner::{cargo_build, cargo_test, command, go_test, nextest, npm};

fn recorded(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(path);
    std::fs::read_to_string(path).unwrap_or_default()
}

fn ended(exit: Exit, stdout: &str, stderr: &str) -> Ending {
    let end = |text: &str| StreamEnd { tail: text.as_bytes().to_vec(), total: text.len() as u64 };
    Ending::Ended(Completed { exit, stdout: end(stdout), stderr: end(stderr), duration_ms: 1 })
}

fn settings(text: &str) -> Settings {
    serde_json::from_str(text).unwrap()
}

/// Takes what each case became and, at the end, says which rows nobody reached.
#[derive(Default)]
struct Seen(BTreeSet<(&'static str, String)>);

impl Seen {
    #[track_caller]
    fn is(&mut self, case: &str, rule: Rule, expected: &str) {
        assert_eq!(told(&rule), expected, "{case}");
        self.0.insert((rule.code, rule.becomes.to_string()));
    }

    #[track_caller]
    fn all_of(&self, tables: &[&[Rule]]) {
        for rule in tables.iter().flat_map(|table| table.iter()) {
            assert!(
                self.0.contains(&(rule.code, rule.becomes.to_string())),
                "nothing reaches {}",
                told(rule)
            );
        }
    }
}

fn told(rule: &Rule) -> String {
    let becomes = match rule.becomes {
        Becomes::Pass => "pass",
        Becomes::Fail => "fail",
        Becomes::Held => "held",
        Becomes::Deferred => "deferred",
    };
    format!("{becomes}:{}", rule.code)
}

fn cargo_rule(settings: &Settings, code: i32, stdout: &str, stderr: &str) -> Rule {
    let mut output = cargo_test::Output::default();
    for line in stdout.lines() {
        let _ = output.take(line);
    }
    cargo_test::classify(settings, &ended(Exit::Code(code), stdout, stderr), &output)
}

#[test]
fn cargo_test_is_told_apart_by_its_words() {
    let plain = settings("{}");
    let mut seen = Seen::default();
    for (case, code, expected) in [
        ("good", 0, "pass:all-passed"),
        ("bad", 101, "fail:tests-failed"),
        ("no-fail-fast", 101, "fail:tests-failed"),
        ("none", 0, "fail:nothing-collected"),
        ("exit", 0, "fail:ended-early"),
        ("broken", 101, "fail:build-failed"),
        ("buildrs", 101, "fail:build-failed"),
        ("segv", 101, "fail:test-crashed"),
        ("kill", 101, "deferred:test-killed"),
        ("dep", 101, "deferred:dependencies-unavailable"),
        ("manifest", 101, "fail:manifest-broken"),
        ("empty", 101, "held:manifest-missing"),
        ("linker", 101, "held:toolchain-missing"),
        ("toolchain", 1, "held:toolchain-missing"),
        ("locked", 101, "fail:lock-stale"),
        ("option", 1, "held:bad-option"),
        ("test-option", 101, "held:bad-option"),
        ("target", 101, "held:bad-option"),
    ] {
        let stdout = recorded(&format!("cargo-test/{case}.out"));
        let stderr = recorded(&format!("cargo-test/{case}.err"));
        assert!(!stderr.is_empty(), "{case} was recorded");
        seen.is(case, cargo_rule(&plain, code, &stdout, &stderr), expected);
    }
    let ignored = "running 1 test\ntest b ... ignored\n\ntest result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
    seen.is("all ignored", cargo_rule(&plain, 0, ignored, ""), "fail:nothing-passed");
    let allowed = settings(r#"{"allow_nothing_passed": true}"#);
    seen.is("all ignored", cargo_rule(&allowed, 0, ignored, ""), "pass:nothing-passed-allowed");
    let script = "error: failed to run custom build command for `openssl-sys v0.9.1`\n";
    seen.is("a dependency's script", cargo_rule(&plain, 101, "", script), "held:build-script-failed");
    let mut lost = cargo_test::Output::default();
    lost.gap = true;
    seen.is(
        "lost",
        cargo_test::classify(&plain, &ended(Exit::Code(0), "", ""), &lost),
        "deferred:output-lost",
    );
    let compiler = "error: could not compile `a` (lib)\n\nCaused by:\n  process didn't exit successfully: `rustc` (signal: 9, SIGKILL: kill)\n";
    seen.is("a killed compiler", cargo_rule(&plain, 101, "", compiler), "deferred:unexplained-exit");
    seen.is(
        "words of the code",
        cargo_rule(&plain, 101, "test failed, to rerun\n", "x\n"),
        "deferred:unexplained-exit",
    );
    seen.all_of(&[cargo_test::TABLE, cargo_build::TABLE]);
}

#[test]
fn the_failing_test_of_cargo_has_its_lines() {
    let mut output = cargo_test::Output::default();
    for line in recorded("cargo-test/bad.out").lines() {
        let _ = output.take(line);
    }
    let bad = output.tests.bad();
    assert_eq!((bad.len(), bad[0].name.as_str()), (1, "bad"));
    assert!(bad[0].detail.contains("left: 1"), "{}", bad[0].detail);
    assert_eq!(output.counted, [1, 1, 0]);
}

#[test]
fn nextest_says_it_by_its_code_and_its_report() {
    let plain = settings("{}");
    let allowed = settings(r#"{"allow_no_tests": true}"#);
    let mut seen = Seen::default();
    for (case, code, expected) in [
        ("good", 0, "pass:all-passed"),
        ("bad", 100, "fail:tests-failed"),
        ("segv", 100, "fail:tests-failed"),
        ("kill", 100, "deferred:test-killed"),
        ("none", 4, "fail:nothing-collected"),
        ("broken", 101, "fail:build-failed"),
        ("buildrs", 101, "fail:build-failed"),
        ("dep", 102, "deferred:dependencies-unavailable"),
        ("manifest", 102, "fail:manifest-broken"),
        ("empty", 102, "held:manifest-missing"),
        ("option", 2, "held:bad-usage"),
        ("missing", 101, "held:nextest-missing"),
    ] {
        let stderr = recorded(&format!("nextest/{case}.err"));
        assert!(!stderr.is_empty(), "{case} was recorded");
        let report = recorded(&format!("nextest/{case}.xml"));
        let junit = if report.is_empty() { Junit::Missing } else { junit::read(report.as_bytes()) };
        let ending = ended(Exit::Code(code), "", &stderr);
        seen.is(case, nextest::classify(&plain, &ending, true, &junit), expected);
    }
    let mut by_code = |settings: &Settings, code: i32, stderr: &str, junit: &str, expected: &str| {
        let junit = if junit.is_empty() { Junit::Missing } else { junit::read(junit.as_bytes()) };
        let ending = ended(Exit::Code(code), "", stderr);
        seen.is(&format!("{code} {stderr}"), nextest::classify(settings, &ending, true, &junit), expected);
    };
    by_code(&allowed, 4, "", "", "pass:no-tests-allowed");
    by_code(&plain, 0, "", "", "deferred:report-missing");
    by_code(&plain, 0, "", "<testsuite><testcase", "deferred:report-missing");
    by_code(&plain, 0, "", "<testsuites/>", "fail:nothing-collected");
    by_code(&plain, 0, "", "<testsuite><testcase><failure/></testcase></testsuite>", "fail:tests-failed");
    by_code(&plain, 104, "", "", "fail:list-failed");
    by_code(&plain, 104, "error while loading shared libraries: libx.so", "", "held:library-missing");
    by_code(&plain, 105, "", "", "deferred:setup-script-failed");
    by_code(&plain, 102, "", "", "deferred:metadata-failed");
    by_code(&plain, 110, "", "", "deferred:output-failed");
    by_code(&plain, 55, "", "", "deferred:unexplained-exit");
    by_code(&plain, 0, "write: No space left on device", "", "deferred:disk-full");
    seen.all_of(&[nextest::TABLE]);
}

fn go_rule(settings: &Settings, code: i32, stdout: &str, stderr: &str) -> Rule {
    let mut events = go_test::Events::default();
    for line in stdout.lines() {
        let _ = events.take(line);
    }
    go_test::classify(settings, &ended(Exit::Code(code), stdout, stderr), &events)
}

#[test]
fn go_test_is_told_apart_by_its_events() {
    let plain = settings("{}");
    let mut seen = Seen::default();
    for (case, code, expected) in [
        ("good", 0, "pass:all-passed"),
        ("bad", 1, "fail:tests-failed"),
        ("none", 0, "fail:nothing-collected"),
        ("main0", 0, "fail:nothing-collected"),
        ("main1", 1, "fail:test-program-failed"),
        ("exit0", 1, "fail:tests-failed"),
        ("segv", 1, "fail:test-program-failed"),
        ("kill", 1, "deferred:test-killed"),
        ("broken", 2, "fail:build-failed"),
        ("missing", 1, "deferred:dependencies-unavailable"),
        ("modbroken", 1, "fail:manifest-broken"),
        ("nomod", 1, "held:manifest-missing"),
        ("option", 1, "held:bad-option"),
    ] {
        let stdout = recorded(&format!("go-test/{case}.out"));
        let stderr = recorded(&format!("go-test/{case}.err"));
        assert!(!(stdout.is_empty() && stderr.is_empty()), "{case} was recorded");
        seen.is(case, go_rule(&plain, code, &stdout, &stderr), expected);
    }
    let skipped = r#"{"Action":"run","Package":"p","Test":"T"}
{"Action":"skip","Package":"p","Test":"T"}"#;
    let begun = r#"{"Action":"run","Package":"p","Test":"T"}"#;
    seen.is("all skipped", go_rule(&plain, 0, skipped, ""), "fail:nothing-passed");
    seen.is("begun", go_rule(&plain, 0, begun, ""), "fail:ended-early");
    let allowed = settings(r#"{"allow_no_tests": true}"#);
    seen.is("none", go_rule(&allowed, 0, "", ""), "pass:nothing-passed-allowed");
    let compiler = "cgo: C compiler \"gcc\" not found: exec: \"gcc\": executable file not found in $PATH\n";
    seen.is("no compiler", go_rule(&plain, 1, "", compiler), "held:toolchain-missing");
    let mut lost = go_test::Events::default();
    lost.gap = true;
    seen.is("lost", go_test::classify(&plain, &ended(Exit::Code(0), "", ""), &lost), "deferred:output-lost");
    seen.is("nothing said", go_rule(&plain, 1, "", ""), "deferred:unexplained-exit");
    seen.all_of(&[go_test::TABLE]);
}

const JEST: &str = "PASS ./a.test.js\n\nTest Suites: 1 passed, 1 total\nTests:       1 skipped, 2 passed, 3 total\nSnapshots:   0 total\nTime:        0.3 s\n";
const VITEST: &str = "\n \u{1b}[32m✓\u{1b}[39m a.test.ts (2)\n\n \u{1b}[2m Test Files \u{1b}[22m \u{1b}[1m\u{1b}[32m1 passed\u{1b}[39m\u{1b}[22m (1)\n\u{1b}[2m      Tests \u{1b}[22m \u{1b}[32m2 passed\u{1b}[39m (2)\n";
const MOCHA: &str = "\n  a\n    ✔ works\n\n  2 passing (4ms)\n  1 pending\n";

#[test]
fn npm_needs_more_than_its_code() {
    let plain = settings("{}");
    let mut seen = Seen::default();
    let none = npm::Evidence::default();
    for (case, code, expected) in [
        ("good", 0, "pass:all-passed"),
        ("bad", 1, "fail:tests-failed"),
        ("none", 0, "fail:nothing-passed"),
        ("echo", 0, "held:no-evidence"),
        ("notfound", 127, "held:script-program-missing"),
        ("missing", 1, "held:script-missing"),
        ("nopkg", 254, "held:manifest-missing"),
        ("badjson", 1, "fail:manifest-broken"),
    ] {
        let stdout = recorded(&format!("npm/{case}.out"));
        let stderr = recorded(&format!("npm/{case}.err"));
        assert!(!(stdout.is_empty() && stderr.is_empty()), "{case} was recorded");
        seen.is(case, npm::classify(&plain, &ended(Exit::Code(code), &stdout, &stderr), &none), expected);
    }
    let mut by = |settings: &Settings,
                  evidence: &npm::Evidence,
                  code: i32,
                  stdout: &str,
                  stderr: &str,
                  expected: &str| {
        let rule = npm::classify(settings, &ended(Exit::Code(code), stdout, stderr), evidence);
        seen.is(&format!("{code} {stdout} {stderr}"), rule, expected);
    };
    by(&plain, &none, 0, "", JEST, "pass:all-passed");
    by(&plain, &none, 0, VITEST, "", "pass:all-passed");
    by(&plain, &none, 0, MOCHA, "", "pass:all-passed");
    by(&plain, &none, 0, "Tests:       1 failed, 2 passed, 3 total\n", "", "fail:tests-failed");
    by(&plain, &none, 1, "", "No tests found, exiting with code 1\n", "fail:nothing-collected");
    by(&plain, &none, 1, "", "No test files found, exiting with code 1\n", "fail:nothing-collected");
    by(
        &settings(r#"{"allow_no_tests": true}"#),
        &none,
        1,
        "",
        "No tests found, exiting with code 1\n",
        "pass:no-tests-allowed",
    );
    by(
        &settings(r#"{"allow_nothing_passed": true}"#),
        &none,
        0,
        "# tests 0\n# pass 0\n# fail 0\n",
        "",
        "pass:nothing-passed-allowed",
    );
    by(&plain, &none, 1, "", "npm error code EACCES\n", "deferred:npm-failed");
    by(&plain, &none, 1, "x", "npm ERR! code ELIFECYCLE\n", "fail:tests-failed");
    by(&plain, &none, 137, "", "", "deferred:script-killed");
    by(&plain, &none, 139, "", "", "fail:tests-failed");
    let uninstalled = npm::Evidence { uninstalled: true, ..npm::Evidence::default() };
    by(&plain, &uninstalled, 127, "", "sh: 1: jest: not found\n", "held:dependencies-missing");
    let with = |text: &str| npm::Evidence { junit: Some(junit::read(text.as_bytes())), uninstalled: false };
    by(&plain, &with("<testsuite><testcase/></testsuite>"), 0, "", "", "pass:all-passed");
    by(&plain, &with("<testsuite>"), 0, "", JEST, "held:no-evidence");
    seen.all_of(&[npm::TABLE]);
}

#[test]
fn the_summaries_of_javascripts_runners_are_counted() {
    let counts = |text: &str| npm::summary(text).map(|tally| (tally.passed, tally.failed, tally.skipped));
    assert_eq!(counts(JEST), Some((2, 0, 1)));
    assert_eq!(counts(VITEST), Some((2, 0, 0)));
    assert_eq!(counts(MOCHA), Some((2, 0, 1)));
    assert_eq!(counts(&recorded("npm/good.out")), Some((1, 0, 1)));
    assert_eq!(counts(&recorded("npm/bad.out")), Some((1, 1, 0)));
    assert_eq!(counts("fine\n10 items\n"), None);
}

#[test]
fn a_command_means_what_its_map_says() {
    let mapped = settings(r#"{"exit_codes": {"0": "pass", "2": "fail", "3": "held", "4": "deferred"}}"#);
    let mut seen = Seen::default();
    let mut by = |settings: &Settings, exit: Exit, junit: Option<Junit>, expected: &str| {
        let case = format!("{exit:?}");
        seen.is(
            &case,
            command::classify(settings, &ended(exit, "0 failed, 10 passed", ""), junit.as_ref()),
            expected,
        );
    };
    let plain = settings("{}");
    by(&plain, Exit::Code(0), None, "pass:all-passed");
    by(&plain, Exit::Code(1), None, "fail:command-failed");
    by(&plain, Exit::Code(2), None, "deferred:unexplained-exit");
    by(&plain, Exit::Code(127), None, "held:runner-missing");
    by(&plain, Exit::Code(137), None, "deferred:killed-by-signal");
    by(&plain, Exit::Code(139), None, "fail:crashed");
    by(&plain, Exit::Signal(9), None, "deferred:killed-by-signal");
    by(&plain, Exit::Signal(11), None, "fail:crashed");
    by(&plain, Exit::TimedOut, None, "fail:timed-out");
    by(&plain, Exit::Cancelled, None, "deferred:cancelled");
    by(&plain, Exit::Lost("traced".to_owned()), None, "deferred:runner-lost");
    by(&plain, Exit::Limit("processes".to_owned()), None, "deferred:limit-passed");
    by(&mapped, Exit::Code(2), None, "fail:command-failed");
    by(&mapped, Exit::Code(3), None, "held:command-held");
    by(&mapped, Exit::Code(4), None, "deferred:command-deferred");
    by(&plain, Exit::Code(0), Some(Junit::Missing), "fail:report-missing");
    by(&plain, Exit::Code(0), Some(junit::read(b"<x")), "fail:report-broken");
    by(&plain, Exit::Code(0), Some(junit::read(b"<testsuite/>")), "fail:nothing-passed");
    let failing = b"<testsuite><testcase/><testcase><error/></testcase></testsuite>";
    by(&plain, Exit::Code(0), Some(junit::read(failing)), "fail:tests-failed");
    by(&plain, Exit::Code(0), Some(junit::read(b"<testsuite><testcase/></testsuite>")), "pass:all-passed");
    // What is not started at all is told by real runs.
    let without: Vec<Rule> = command::TABLE
        .iter()
        .filter(|rule| !["program-not-set", "report-stale"].contains(&rule.code))
        .copied()
        .collect();
    seen.all_of(&[&without]);
}
