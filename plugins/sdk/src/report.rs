//! Builds a [`Report`] that keeps the interface's limits: one line of summary, at most 1,000 checks with failures
//! first, bounded details.
//!
//! The front matter is the host's, so nothing here writes any.

use stagewright_front_matter::Verdict;

use crate::text::{bounded_head, bounded_tail, plain_line};
use crate::{Check, CheckState, Judgement, Report, Tally};

/// The most checks that a report may carry.
pub const MAX_CHECKS: usize = 1_000;
/// The longest detail of one check, in bytes.
const MAX_DETAIL: usize = 4 * 1024;
/// The longest name of a check, in bytes.
const MAX_NAME: usize = 512;
/// The longest summary, in bytes.
const MAX_SUMMARY: usize = 400;

/// A report on its way.
#[derive(Clone, Debug)]
#[must_use]
pub struct ReportBuilder {
    report: Report,
}

impl ReportBuilder {
    /// A report of `judgement`. The summary is one line for people.
    pub fn new(judgement: Judgement, summary: &str) -> Self {
        Self {
            report: Report {
                judgement,
                summary: bounded_head(&plain_line(summary), MAX_SUMMARY).to_owned(),
                body: String::new(),
                tally: Tally { passed: 0, failed: 0, skipped: 0, errored: 0 },
                checks: Vec::new(),
                facts: Vec::new(),
            },
        }
    }

    /// The work's question was answered with yes.
    pub fn pass(summary: &str) -> Self {
        Self::new(Judgement::Pass, summary)
    }

    /// It was answered with no.
    pub fn fail(summary: &str) -> Self {
        Self::new(Judgement::Fail, summary)
    }

    /// Markdown for people, below what is there already.
    pub fn with_body(mut self, markdown: &str) -> Self {
        if !self.report.body.is_empty() {
            self.report.body.push('\n');
        }
        self.report.body.push_str(markdown);
        self
    }

    /// How many there were of each kind.
    pub fn with_tally(mut self, tally: Tally) -> Self {
        self.report.tally = tally;
        self
    }

    /// One thing that was looked at.
    pub fn with_check(mut self, name: &str, state: CheckState, detail: &str, duration_ms: u64) -> Self {
        self.report.checks.push(Check {
            name: bounded_head(&plain_line(name), MAX_NAME).to_owned(),
            state,
            detail: bounded_tail(detail, MAX_DETAIL).to_owned(),
            duration_ms,
        });
        self
    }

    /// A further fact for the front matter; the host writes the key with the prefix `x-`.
    pub fn with_fact(mut self, key: &str, value: impl Into<String>) -> Self {
        self.report.facts.push((key.to_owned(), plain_line(&value.into())));
        self
    }

    /// The report: failures and errors first (otherwise the order stays), then cut to [`MAX_CHECKS`].
    #[must_use]
    pub fn build(mut self) -> Report {
        self.report.checks.sort_by_key(|check| match check.state {
            CheckState::Failed => 0,
            CheckState::Errored => 1,
            CheckState::Passed | CheckState::Skipped => 2,
        });
        self.report.checks.truncate(MAX_CHECKS);
        self.report
    }
}

impl From<Verdict> for Judgement {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Fail => Self::Fail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_come_first_and_survive_the_cut() {
        let mut builder = ReportBuilder::fail("one failed");
        for number in 0..MAX_CHECKS {
            builder = builder.with_check(&format!("good {number}"), CheckState::Passed, "", 0);
        }
        let report = builder.with_check("bad", CheckState::Failed, "why", 3).build();
        assert_eq!(report.checks.len(), MAX_CHECKS);
        assert_eq!(report.checks[0].name, "bad");
        assert_eq!(report.checks[1].name, "good 0", "the order of the others stays");
    }

    #[test]
    fn a_summary_is_one_bounded_line() {
        let report = ReportBuilder::pass(&format!("two\nlines {}", "ä".repeat(1_000))).build();
        assert!(report.summary.starts_with("two lines ä"));
        assert!(report.summary.len() <= MAX_SUMMARY);
    }
}
