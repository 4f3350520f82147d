//! The form of a rule of evidence: what was seen, and what it becomes.
//!
//! A runner keeps its rules as constants, has `TABLE`s of them, and a pure `classify` that picks one. [`table`] writes them as the
//! pages in `docs/evidence/` show them, and a test compares: the pages are written by the code's words.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Fault, Judgement, Outcome, Report};

/// What a run becomes. Settings say it with the same words of exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Becomes {
    /// All is well.
    Pass,
    /// Something about the code is wrong.
    Fail,
    /// It can't run until somebody mends something.
    Held,
    /// It did not run to its end, for a reason that may pass.
    Deferred,
}

impl fmt::Display for Becomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Held => "held",
            Self::Deferred => "deferred",
        })
    }
}

/// What a suite that overran its time has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TimeoutIs {
    /// The code is at fault.
    #[default]
    Fail,
    /// Nothing: it is tried again.
    Deferred,
}

/// One row of a table of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable and kebab-case: the fault code of what is held or deferred, the fact `x-rule` of a verdict.
    pub code: &'static str,
    /// What it becomes.
    pub becomes: Becomes,
    /// What was seen, in the words of the table.
    pub seen: &'static str,
    /// The same for the person who reads the report, in one short phrase.
    pub says: &'static str,
    /// What a person can do about it; empty for verdicts.
    pub remedy: &'static str,
}

impl Rule {
    /// A rule for what passes.
    pub const fn pass(code: &'static str, seen: &'static str, says: &'static str) -> Self {
        Self { code, becomes: Becomes::Pass, seen, says, remedy: "" }
    }

    /// A rule for what fails.
    pub const fn fail(code: &'static str, seen: &'static str, says: &'static str) -> Self {
        Self { code, becomes: Becomes::Fail, seen, says, remedy: "" }
    }

    /// A rule for what somebody has to mend.
    pub const fn held(
        code: &'static str,
        seen: &'static str,
        says: &'static str,
        remedy: &'static str,
    ) -> Self {
        Self { code, becomes: Becomes::Held, seen, says, remedy }
    }

    /// A rule for what may pass.
    pub const fn deferred(
        code: &'static str,
        seen: &'static str,
        says: &'static str,
        remedy: &'static str,
    ) -> Self {
        Self { code, becomes: Becomes::Deferred, seen, says, remedy }
    }

    /// The outcome of a run that this rule is about: a report for a verdict, a fault for everything else.
    pub fn outcome(
        &self,
        report: impl FnOnce(Judgement) -> Report,
        fault: impl FnOnce() -> Fault,
    ) -> Outcome {
        match self.becomes {
            Becomes::Pass => Outcome::Verdict(report(Judgement::Pass)),
            Becomes::Fail => Outcome::Verdict(report(Judgement::Fail)),
            Becomes::Held => Outcome::Held(fault()),
            Becomes::Deferred => Outcome::Deferred(fault()),
        }
    }
}

/// The rules as the rows of a table in markdown.
#[must_use]
pub fn table<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> String {
    let mut text = String::from("| what was seen | becomes | code |\n|---|---|---|\n");
    for rule in rules {
        text.push_str(&format!("| {} | {} | `{}` |\n", rule.seen, rule.becomes, rule.code));
    }
    text
}
