//! A script of npm, by default `test`: npm passes its child's exit code on.
//!
//! An exit code of 0 is no evidence that tests ran, so a pass needs the summary of a test runner that is known (node's
//! own, jest, vitest, mocha, tap), or a JUnit file that `junit` names. A script without either is held, not
//! believed.

use stagewright_sdk::evidence::Rule;
use stagewright_sdk::{Area, FileKind, Files, Host, Process, Tally};

use crate::bench::Bench;
use crate::command::read_report;
use crate::ending::{self, Ending};
use crate::finding::Finding;
use crate::junit::Junit;
use crate::settings::Settings;
use crate::watch::watch;

const PASSED: Rule = Rule::pass(
    "all-passed",
    "exit 0, and a known summary or the JUnit file says that something passed and nothing failed",
    "all tests passed",
);
const NOTHING_PASSED_ALLOWED: Rule = Rule::pass(
    "nothing-passed-allowed",
    "exit 0, nothing passed, and `allow_nothing_passed` is set",
    "no test passed, which the settings allow",
);
const TESTS_FAILED: Rule = Rule::fail(
    "tests-failed",
    "any other exit code of the script, or exit 0 with failures in the summary or the JUnit file",
    "the script failed",
);
const NOTHING_COLLECTED: Rule = Rule::fail(
    "nothing-collected",
    "exit 1 and jest's `No tests found` or vitest's `No test files found` (unless `allow_no_tests`)",
    "there are no tests",
);
const NO_TESTS_ALLOWED: Rule = Rule::pass(
    "no-tests-allowed",
    "the same, and `allow_no_tests` is set",
    "there are no tests, which the settings allow",
);
const NOTHING_PASSED: Rule = Rule::fail(
    "nothing-passed",
    "exit 0, and the summary or the JUnit file says that nothing passed",
    "no test passed",
);
const NO_EVIDENCE: Rule = Rule::held(
    "no-evidence",
    "exit 0, and neither a known summary nor a JUnit file",
    "the script passed without any evidence that tests ran",
    "let the script write a JUnit file and name it in `junit`, or use `framework = \"command\"` if its exit code is enough",
);
const SCRIPT_MISSING: Rule = Rule::held(
    "script-missing",
    "npm's `Missing script`",
    "package.json has no such script",
    "add the script, or name another in `test_runner.args`",
);
const MANIFEST_MISSING: Rule = Rule::held(
    "manifest-missing",
    "npm finds no package.json",
    "there is no package.json",
    "set `test_runner.framework`",
);
const MANIFEST_BROKEN: Rule = Rule::fail("manifest-broken", "npm's EJSONPARSE", "package.json can't be read");
const DEPENDENCIES: Rule = Rule::held(
    "dependencies-missing",
    "the script failed or its program is not found (127), package.json names dependencies, and there is no node_modules",
    "the dependencies are not installed",
    "add a set-up step: `test_runner.setup = { program = \"npm\", args = [\"ci\"] }`",
);
const PROGRAM_MISSING: Rule = Rule::held(
    "script-program-missing",
    "126 or 127 otherwise",
    "the script's program is not there",
    "install what the script runs",
);
const SCRIPT_KILLED: Rule = Rule::deferred(
    "script-killed",
    "128 + a signal that is no crash",
    "something killed the script's program",
    "look at the machine's memory and at who sends signals",
);
const NPM_FAILED: Rule = Rule::deferred(
    "npm-failed",
    "npm's own error of another kind",
    "npm itself did not work",
    "read what npm says",
);

/// The rows of its own.
pub const TABLE: &[Rule] = &[
    PASSED,
    NOTHING_PASSED_ALLOWED,
    NO_TESTS_ALLOWED,
    SCRIPT_MISSING,
    MANIFEST_MISSING,
    MANIFEST_BROKEN,
    NPM_FAILED,
    DEPENDENCIES,
    PROGRAM_MISSING,
    SCRIPT_KILLED,
    NOTHING_COLLECTED,
    TESTS_FAILED,
    NOTHING_PASSED,
    NO_EVIDENCE,
];

/// What is known beside the exit.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The JUnit file, where the settings name one.
    pub junit: Option<Junit>,
    /// Whether package.json names dependencies and there is no node_modules.
    pub uninstalled: bool,
}

/// What an end becomes.
pub fn classify(settings: &Settings, ending: &Ending, evidence: &Evidence) -> Rule {
    if let Some(rule) = ending::classify(ending, true, settings.timeout_is) {
        return rule;
    }
    let Some(code) = ending.code() else { return ending::UNEXPLAINED };
    let (stdout, stderr) = (ending.stdout(), ending.stderr());
    if code == 0 {
        return of_success(settings, evidence, &stdout, &stderr);
    }
    if let Some(rule) = of_npm(&stderr) {
        return rule;
    }
    if evidence.uninstalled {
        return DEPENDENCIES;
    }
    let no_tests = ["No tests found, exiting with code 1", "No test files found, exiting with code 1"];
    if code == 1 && no_tests.iter().any(|words| stdout.contains(words) || stderr.contains(words)) {
        return if settings.allow_no_tests { NO_TESTS_ALLOWED } else { NOTHING_COLLECTED };
    }
    match ending::of_shell_code(code) {
        Some(rule) if rule.code == "runner-missing" => PROGRAM_MISSING,
        Some(rule) if rule.code == "killed-by-signal" => SCRIPT_KILLED,
        // A crash is a failure like another.
        _ => TESTS_FAILED,
    }
}

fn of_npm(stderr: &str) -> Option<Rule> {
    let mut own = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("npm error ").or_else(|| line.strip_prefix("npm ERR! ")));
    let first = own.next()?;
    if first.starts_with("Missing script") || first.starts_with("missing script") {
        return Some(SCRIPT_MISSING);
    }
    match first.strip_prefix("code ")? {
        "ELIFECYCLE" => None,
        "ENOENT" if stderr.contains("Could not read package.json") => Some(MANIFEST_MISSING),
        "EJSONPARSE" => Some(MANIFEST_BROKEN),
        // Older versions close every failing script with its numeric code.
        number if number.parse::<i32>().is_ok() => None,
        _ => Some(NPM_FAILED),
    }
}

fn of_success(settings: &Settings, evidence: &Evidence, stdout: &str, stderr: &str) -> Rule {
    let tally = match &evidence.junit {
        Some(Junit::Read(tests)) => Some(tests.tally),
        Some(Junit::Missing | Junit::Broken(_)) => None,
        // jest writes its summary to standard error.
        None => summary(stdout).or_else(|| summary(stderr)),
    };
    match tally {
        None => NO_EVIDENCE,
        Some(tally) if tally.failed > 0 || tally.errored > 0 => TESTS_FAILED,
        Some(tally) if tally.passed > 0 => PASSED,
        Some(_) if settings.allow_nothing_passed => NOTHING_PASSED_ALLOWED,
        Some(_) => NOTHING_PASSED,
    }
}

/// The counts in the last summary of a runner that is known: that line, or those lines.
pub fn summary(output: &str) -> Option<Tally> {
    let output = without_colours(output);
    let mut found: Option<Tally> = None;
    let empty = Tally { passed: 0, failed: 0, skipped: 0, errored: 0 };
    for line in output.lines() {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("Tests:").or_else(|| line.strip_prefix("Tests  ")) {
            // jest: `Tests:  1 failed, 2 passed, 3 total`; vitest: `Tests  1 failed | 2 passed (3)`.
            let mut tally = empty;
            for part in rest.split([',', '|']) {
                count(&mut tally, part);
            }
            found = Some(tally);
        } else if let Some((word, number)) =
            line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")).and_then(|rest| rest.split_once(' '))
            && let Ok(number) = number.trim().parse::<u64>()
        {
            // node and tap: `# pass 2`, one a line, `tests` first.
            let tally = found.get_or_insert(empty);
            match word {
                "tests" => *tally = empty,
                "pass" => tally.passed = number,
                "fail" | "cancelled" => tally.failed = tally.failed.saturating_add(number),
                "skip" | "skipped" | "todo" => tally.skipped = tally.skipped.saturating_add(number),
                _ => {}
            }
        } else if let Some((number, word)) = line.split_once(' ')
            && let Ok(number) = number.parse::<u64>()
        {
            // mocha: `12 passing (30ms)`, `1 failing`, one a line, `passing` first.
            match word.split(' ').next() {
                Some("passing") => found = Some(Tally { passed: number, ..empty }),
                Some("failing") => found.get_or_insert(empty).failed = number,
                Some("pending") => found.get_or_insert(empty).skipped = number,
                _ => {}
            }
        }
    }
    found
}

fn count(tally: &mut Tally, part: &str) {
    let mut words = part.split_whitespace();
    let (Some(number), Some(word)) = (words.next(), words.next()) else { return };
    let Ok(number) = number.parse::<u64>() else { return };
    match word {
        "passed" => tally.passed = number,
        "failed" => tally.failed = number,
        "skipped" | "todo" => tally.skipped = tally.skipped.saturating_add(number),
        _ => {}
    }
}

/// The text without `ESC [ … m`.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        rest = rest.strip_prefix(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest);
    }
    plain.push_str(rest);
    plain
}

/// Runs the script and judges it.
pub(crate) fn run<C: Host + Process + Files>(bench: &Bench<'_, C>) -> Finding {
    let settings = bench.settings;
    let args = if settings.args.is_empty() { vec!["test".to_owned()] } else { settings.args.clone() };
    let mut command = bench.command("npm", args);
    // Watch modes end, and summaries have no colours.
    command
        .env
        .extend([("CI", "true"), ("NO_COLOR", "1")].map(|(name, value)| (name.to_owned(), value.to_owned())));
    let ending = watch(bench.host, &command, &mut ());
    let junit = settings.junit.as_ref().map(|path| read_report(bench, path));
    let evidence = Evidence { junit, uninstalled: uninstalled(bench.host) };
    let rule = classify(settings, &ending, &evidence);
    let mut finding = Finding { rule, command, ending, ..Finding::empty() };
    if let Some(Junit::Read(tests)) = evidence.junit {
        finding.tests = tests;
    } else if let Some(tally) =
        summary(&finding.ending.stdout()).or_else(|| summary(&finding.ending.stderr()))
    {
        finding.tests.tally = tally;
    }
    if finding.tests.total() > 0 {
        finding.collected = Some(finding.tests.total());
    }
    finding
}

fn uninstalled<C: Files>(files: &C) -> bool {
    let text = files.text(Area::Worktree, "package.json", 1024 * 1024).unwrap_or_default();
    let Ok(package) = serde_json::from_str::<serde_json::Value>(&text) else { return false };
    let names = |key: &str| package.get(key).and_then(|it| it.as_object()).is_some_and(|it| !it.is_empty());
    (names("dependencies") || names("devDependencies"))
        && !files.names(Area::Worktree, "", FileKind::Directory).iter().any(|name| name == "node_modules")
}
