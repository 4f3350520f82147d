//! The table of evidence for pytest: a pure function from what was seen to what it becomes.

use stagewright_sdk::Exit;
use stagewright_sdk::evidence::{Rule, TimeoutIs};

use super::session::Session;
use crate::ending::{self, Ending};
use crate::finding::Tests;
use crate::junit::Junit;

/// All that counts.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// How the process ended.
    pub ending: Ending,
    /// What the reporter saw.
    pub session: Session,
    /// The JUnit file of this run.
    pub junit: Junit,
    /// `timeout_is` of the settings.
    pub timeout_is: TimeoutIs,
    /// `allow_no_tests` of the settings.
    pub allow_no_tests: bool,
    /// `allow_nothing_passed` of the settings.
    pub allow_nothing_passed: bool,
}

const PASSED: Rule = Rule::pass(
    "all-passed",
    "exit 0, session finished, JUnit well-formed with the reporter's counts, something passed, no failure, no error",
    "all tests passed",
);
const NO_TESTS_ALLOWED: Rule = Rule::pass(
    "no-tests-allowed",
    "nothing collected, session finished, no failure, no error, and `allow_no_tests` is set",
    "no tests were collected, which the settings allow",
);
const NOTHING_PASSED_ALLOWED: Rule = Rule::pass(
    "nothing-passed-allowed",
    "as `all-passed`, but nothing passed, and `allow_nothing_passed` is set",
    "no test passed, which the settings allow",
);
const TESTS_FAILED: Rule = Rule::fail("tests-failed", "a test or a fixture failed", "tests failed");
const COLLECTION_ERROR: Rule = Rule::fail(
    "collection-error",
    "a module could not be collected (a conftest of a sub-folder too)",
    "tests could not be collected",
);
const CONFTEST_ERROR: Rule = Rule::fail(
    "conftest-error",
    "the reporter saw that an initial conftest could not be imported",
    "a conftest could not be imported",
);
const NOTHING_COLLECTED: Rule =
    Rule::fail("nothing-collected", "exit 5, or 0 tests collected", "no tests were collected");
const NOTHING_PASSED: Rule = Rule::fail(
    "nothing-passed",
    "exit 0, and nothing passed: all skipped, expected to fail, deselected, or only collected",
    "no test passed",
);
const STOPPED_BY_CODE: Rule = Rule::fail(
    "stopped-by-code",
    "`pytest.exit` was called, with any return code",
    "the code stopped the session",
);
const TOO_MANY_WARNINGS: Rule =
    Rule::fail("too-many-warnings", "exit 6, session finished", "there were more warnings than allowed");
const FAILED_BY_PLUGIN: Rule = Rule::fail(
    "failed-by-plugin",
    "exit 1, session finished, and no test failed: a plugin decided so (coverage below its threshold)",
    "a plugin of pytest failed the session",
);
const ENDED_EARLY: Rule = Rule::fail(
    "ended-early",
    "the reporter was loaded, and the process exited without the session's end: `os._exit`, pytest-timeout's thread \
     method, `sys.exit` in a conftest",
    "the process exited in the middle of the session",
);
const REPORT_MISSING: Rule =
    Rule::fail("report-missing", "exit 0, session finished, no JUnit", "the session left no report");
const REPORT_BROKEN: Rule = Rule::fail(
    "report-broken",
    "exit 0, session finished, JUnit not well-formed",
    "the session's report can't be read",
);
const REPORT_DISAGREES: Rule = Rule::fail(
    "report-disagrees",
    "exit 0, session finished, JUnit and reporter count differently",
    "the session's report does not say what was seen",
);
const RUNNER_MISSING: Rule = Rule::held(
    "runner-missing",
    "the reporter was not loaded, and Python says `No module named pytest`",
    "pytest is not installed in this environment",
    "install pytest into the environment that `python` names, or set `test_runner.python`",
);
const RUNNER_NOT_SEEN: Rule = Rule::held(
    "runner-not-seen",
    "the reporter was not loaded: a `pytest.py` of the repository, a plugin in `addopts` that is missing, an unusable \
     Python",
    "pytest did not load the reporter, so nothing that it says counts",
    "see what `python -m pytest` runs there: a pytest.py or pytest/ in the repository hides the real one, and a \
     missing plugin in addopts keeps everything from loading",
);
const BAD_OPTION: Rule = Rule::held(
    "bad-option",
    "exit 4 before the session began, and no conftest error: an unknown option, a missing plugin, broken configuration",
    "pytest refused its options, plugins or configuration",
    "mend the options or install the plugins that pytest names",
);
const BAD_PATH: Rule = Rule::held(
    "bad-path",
    "exit 4 after the session began, and nothing was collected",
    "pytest did not find what it was told to run",
    "mend the paths in the arguments or in pytest's configuration",
);
const WRONG_TREE: Rule = Rule::held(
    "wrong-tree",
    "the reporter saw modules that came from the user's checkout, whatever else was seen",
    "the tests imported code from the checkout and not from the examined commit",
    "install the package into its environment without -e, or add a set-up step that installs the clone",
);
const UNBUILT: Rule = Rule::held(
    "not-built",
    "collection or a conftest failed on a module that the checkout has as the product of a build (an extension module, \
     a generated version file) and the commit does not",
    "the tests need something that a build makes, and nothing built it in the clone",
    "add a set-up step that builds the clone, such as `python -m pip install .`",
);
const INTERNAL_ERROR: Rule = Rule::deferred(
    "runner-internal-error",
    "exit 3: pytest's own fault, or one in a hook",
    "pytest met an internal error",
    "read the run's log for the INTERNALERROR lines",
);
const INTERRUPTED: Rule = Rule::deferred(
    "interrupted",
    "KeyboardInterrupt: somebody sent SIGINT",
    "somebody interrupted the session",
    "see who sends SIGINT to the suite",
);
const WORKERS_KILLED: Rule = Rule::deferred(
    "workers-killed",
    "only tests failed whose xdist worker was ended by a signal that is no crash",
    "something killed the workers; the machine may have run out of memory",
    "look at the machine's memory, or use fewer workers",
);

/// Every row, in the order in which they are asked.
pub const TABLE: &[Rule] = &[
    WRONG_TREE,
    RUNNER_MISSING,
    RUNNER_NOT_SEEN,
    UNBUILT,
    CONFTEST_ERROR,
    BAD_OPTION,
    INTERNAL_ERROR,
    ENDED_EARLY,
    INTERRUPTED,
    WORKERS_KILLED,
    COLLECTION_ERROR,
    TESTS_FAILED,
    BAD_PATH,
    STOPPED_BY_CODE,
    NOTHING_COLLECTED,
    NO_TESTS_ALLOWED,
    TOO_MANY_WARNINGS,
    FAILED_BY_PLUGIN,
    REPORT_MISSING,
    REPORT_BROKEN,
    REPORT_DISAGREES,
    NOTHING_PASSED,
    NOTHING_PASSED_ALLOWED,
    PASSED,
];

/// What the evidence becomes.
pub fn classify(evidence: &Evidence) -> Rule {
    let session = &evidence.session;
    let ended = ending::classify(&evidence.ending, is_up(evidence), evidence.timeout_is);
    if let Some(rule) = ended.filter(ending::is_void) {
        return rule;
    }
    if !session.foreign.is_empty() {
        return WRONG_TREE;
    }
    if let Some(rule) = ended {
        return rule;
    }
    let Some(code) = evidence.ending.code() else { return ending::UNEXPLAINED };
    if session.loaded.is_none() {
        return not_loaded(evidence);
    }
    if evidence_is_missing(evidence) && ending::says_disk_full(&evidence.ending) {
        return ending::DISK_FULL;
    }
    let imports_failed = session.conftest_error.is_some() || session.collect_errors > 0;
    if imports_failed && session.unbuilt.is_some() {
        return UNBUILT;
    }
    if session.conftest_error.is_some() {
        return CONFTEST_ERROR;
    }
    if code == 4 && !session.began {
        return BAD_OPTION;
    }
    if code == 3 {
        return INTERNAL_ERROR;
    }
    let Some(status) = session.finished else { return ENDED_EARLY };
    by_results(evidence, code, status)
}

/// A time-out is the code's only once the session began; a crash already once the runner was up.
fn is_up(evidence: &Evidence) -> bool {
    let timed_out = matches!(&evidence.ending, Ending::Ended(completed) if completed.exit == Exit::TimedOut);
    evidence.session.loaded.is_some() && (evidence.session.began || !timed_out)
}

fn not_loaded(evidence: &Evidence) -> Rule {
    // Only which of the two holds it is hangs on these words.
    let stderr = evidence.ending.stderr();
    if stderr.contains("No module named pytest") {
        RUNNER_MISSING
    } else if ending::says_disk_full(&evidence.ending) {
        ending::DISK_FULL
    } else {
        RUNNER_NOT_SEEN
    }
}

fn evidence_is_missing(evidence: &Evidence) -> bool {
    evidence.session.finished.is_none() || !matches!(evidence.junit, Junit::Read(_))
}

/// The session finished; what did it find?
fn by_results(evidence: &Evidence, code: i32, status: i32) -> Rule {
    let session = &evidence.session;
    let interrupted_by_code = session.interrupted.as_deref().is_some_and(|by| by != "KeyboardInterrupt");
    if session.interrupted.is_some() && !interrupted_by_code {
        return INTERRUPTED;
    }
    if session.only_workers_were_killed() {
        return WORKERS_KILLED;
    }
    if session.collect_errors > 0 {
        return COLLECTION_ERROR;
    }
    if session.tests.tally.failed > 0 || session.tests.tally.errored > 0 {
        return TESTS_FAILED;
    }
    if interrupted_by_code {
        return STOPPED_BY_CODE;
    }
    if code != status {
        return ending::UNEXPLAINED;
    }
    let nothing_collected = session.collected.unwrap_or(0) == 0 && session.tests.total() == 0;
    match code {
        4 if nothing_collected => BAD_PATH,
        5 if evidence.allow_no_tests => NO_TESTS_ALLOWED,
        5 => NOTHING_COLLECTED,
        6 => TOO_MANY_WARNINGS,
        1 => FAILED_BY_PLUGIN,
        0 if nothing_collected && evidence.allow_no_tests => NO_TESTS_ALLOWED,
        0 if nothing_collected => NOTHING_COLLECTED,
        0 => match &evidence.junit {
            Junit::Missing => REPORT_MISSING,
            Junit::Broken(_) => REPORT_BROKEN,
            Junit::Read(report) if !agree(report, session) => REPORT_DISAGREES,
            Junit::Read(_) if session.tests.tally.passed > 0 => PASSED,
            Junit::Read(_) if evidence.allow_nothing_passed => NOTHING_PASSED_ALLOWED,
            Junit::Read(_) => NOTHING_PASSED,
        },
        _ => ending::UNEXPLAINED,
    }
}

/// Whether report and reporter saw the same. Asked only where nothing failed.
fn agree(report: &Tests, session: &Session) -> bool {
    let seen = &session.tests;
    let most_skipped = seen.tally.skipped.saturating_add(session.skipped_subtests);
    report.tally.failed == 0
        && report.tally.errored == 0
        && report.total() == seen.total()
        && (seen.tally.skipped..=most_skipped).contains(&report.tally.skipped)
}
