//! How many tests ran and how they ended, read from what the runners print.

use std::fmt;
use std::ops::AddAssign;

/// Numbers of tests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    /// Failed, timed out, or never started.
    pub(crate) failed: u64,
    /// Ignored, or left out by a filter.
    pub(crate) skipped: u64,
}

impl Tally {
    /// What a line of nextest says, if it is its summary:
    /// `Summary [   1.204s] 12 tests run: 10 passed (1 slow), 1 failed, 1 timed out, 3 skipped`.
    pub(crate) fn of_nextest(line: &str) -> Option<Self> {
        let (head, counts) = line.trim_start().strip_prefix("Summary [")?.split_once(" run:")?;
        if !(head.ends_with("tests") || head.ends_with("test")) {
            return None;
        }
        Some(Self::sum(counts.split(',')))
    }

    /// What a line of `cargo test` says, if it is the end of one of its programs:
    /// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s`.
    pub(crate) fn of_cargo_test(line: &str) -> Option<Self> {
        let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
        Some(Self::sum(counts.split(';')))
    }

    /// Adds up parts such as `1 timed out` or `10 passed (1 slow`.
    fn sum<'a>(parts: impl Iterator<Item = &'a str>) -> Self {
        let mut tally = Self::default();
        for part in parts {
            let Some((number, word)) = part.trim().split_once(' ') else { continue };
            // What stands in brackets is counted already, and a duration is not a number of tests.
            let Ok(number) = number.parse::<u64>() else { continue };
            match word.split(" (").next().unwrap_or(word) {
                "passed" => tally.passed += number,
                "failed" | "timed out" | "exec failed" => tally.failed += number,
                "skipped" | "ignored" | "filtered out" => tally.skipped += number,
                _ => {}
            }
        }
        tally
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    /// As nextest's summary has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{} tests run: {passed} passed", passed + failed)?;
        if *failed > 0 {
            write!(f, ", {failed} failed")?;
        }
        write!(f, ", {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_of_nextest_is_read_whole() {
        let line = "     Summary [   1.204s] 12 tests run: 10 passed (1 slow, 1 flaky), 1 failed, 1 timed out, 3 skipped";
        assert_eq!(Tally::of_nextest(line), Some(Tally { passed: 10, failed: 2, skipped: 3 }));
        let one = "     Summary [   0.010s] 1 test run: 1 passed, 0 skipped";
        assert_eq!(Tally::of_nextest(one), Some(Tally { passed: 1, failed: 0, skipped: 0 }));
    }

    #[test]
    fn a_summary_of_a_run_that_was_ended_early_is_read_too() {
        let line = "     Summary [   1.204s] 5/12 tests run: 5 passed, 7 skipped";
        assert_eq!(Tally::of_nextest(line), Some(Tally { passed: 5, failed: 0, skipped: 7 }));
    }

    #[test]
    fn the_end_of_a_test_program_is_read_whole() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s";
        assert_eq!(Tally::of_cargo_test(line), Some(Tally { passed: 5, failed: 2, skipped: 3 }));
    }

    #[test]
    fn a_line_that_a_test_printed_is_no_summary() {
        assert_eq!(Tally::of_nextest("Summary of the findings: 3 passed"), None);
        assert_eq!(Tally::of_cargo_test("the result: ok. 5 passed"), None);
    }

    #[test]
    fn it_is_shown_as_nextest_shows_it() {
        let tally = Tally { passed: 10, failed: 0, skipped: 3 };
        assert_eq!(tally.to_string(), "10 tests run: 10 passed, 3 skipped");
        assert_eq!(Tally { failed: 2, ..tally }.to_string(), "12 tests run: 10 passed, 2 failed, 3 skipped");
    }
}
