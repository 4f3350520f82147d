//! Runs the tests by cargo-nextest where it is installed, else by `cargo test`, and counts them.

use crate::command::{self, Stream};
use crate::error::Error;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

/// The package of the end-to-end tests: they take minutes, all others seconds.
const END_TO_END: &str = "stagewright-e2e";

/// Which tests are run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Leave out the end-to-end tests.
    pub(crate) quick: bool,
    /// Only tests whose name contains this.
    pub(crate) filter: Option<String>,
}

/// What the tests came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// The tests that did not pass, as the runner names them.
    pub(crate) failures: Vec<String>,
}

/// Runs the tests of every package. The outcome tells of every test that failed; an error means that the tests could
/// not all be built or run, or that one failed.
pub(crate) fn tests(
    workspace: &Workspace,
    selection: &Selection,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let mut run = workspace.cargo();
    let has_nextest = command::ask(workspace.cargo().args(["nextest", "--version"])).is_some();
    run.args(if has_nextest { ["nextest", "run"].as_slice() } else { &["test", "--tests"] });
    run.args(["--workspace", "--no-fail-fast"]);
    if selection.quick {
        run.args(["--exclude", END_TO_END]);
    }
    run.args(&selection.filter);
    if has_nextest {
        // With the summary nextest lists once more what failed.
        let mut is_over = false;
        command::overhear("the test run", &mut run, Stream::Error, |line| {
            if let Some(tally) = Tally::of_nextest(line) {
                outcome.tally += tally;
                is_over = true;
            } else if is_over && names_a_failure(line) {
                outcome.failures.push(line.trim().to_owned());
            }
        })
    } else {
        command::overhear("the test run", &mut run, Stream::Output, |line| hear_cargo_test(line, outcome))
    }
}

/// Runs the examples in the documentation, which nextest doesn't know.
pub(crate) fn doc_tests(
    workspace: &Workspace,
    selection: &Selection,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let mut run = workspace.cargo();
    run.args(["test", "--workspace", "--doc", "--no-fail-fast"]).args(&selection.filter);
    command::overhear("the test run of the documentation", &mut run, Stream::Output, |line| {
        hear_cargo_test(line, outcome);
    })
}

/// `        FAIL [   0.005s] (1/2) package test`; other words stand there for a signal or a time-out.
fn names_a_failure(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let word = words.next().unwrap_or_default();
    let is_an_end =
        matches!(word, "FAIL" | "TIMEOUT" | "ABORT" | "XFAIL" | "LEAK-FAIL") || word.starts_with("SIG");
    is_an_end && words.next().is_some_and(|next| next.starts_with('['))
}

fn hear_cargo_test(line: &str, outcome: &mut Outcome) {
    if let Some(tally) = Tally::of_cargo_test(line) {
        outcome.tally += tally;
    } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
        outcome.failures.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_from_all_else_that_nextest_prints() {
        assert!(names_a_failure("        FAIL [   0.005s] (1/2) stagewright-engine gate::tests::one"));
        assert!(names_a_failure("     SIGABRT [   0.005s] stagewright-engine gate::tests::one"));
        assert!(!names_a_failure("        PASS [   0.005s] stagewright-engine gate::tests::one"));
        assert!(!names_a_failure("FAIL: the suite found something"));
    }

    #[test]
    fn a_failure_under_cargo_test_is_counted_and_named() {
        let mut outcome = Outcome::default();
        for line in [
            "test gate::tests::one ... FAILED",
            "test gate::tests::two ... ok",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            hear_cargo_test(line, &mut outcome);
        }
        assert_eq!(outcome.failures, ["gate::tests::one"]);
        assert_eq!(outcome.tally, Tally { passed: 1, failed: 1, skipped: 0 });
    }
}
