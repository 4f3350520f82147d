//! The form of a rule of evidence: what was seen, and what it becomes.
//!
//! [`classify`](crate::classify) and [`docker`](crate::docker) have the rules as constants and a `TABLE` of them. The table in
//! `docs/evidence/staging.md` is the same rows, and a test compares them: the page is written by the code's words.

use std::fmt;

/// What a run of the staging suite becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Becomes {
    /// The suite ran to its end and passed.
    Pass,
    /// Something about the code is wrong.
    Fail,
    /// The suite can't run until somebody mends something.
    Held,
    /// The suite did not run to its end, for a reason that may pass.
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
    pub(crate) const fn pass(code: &'static str, seen: &'static str, says: &'static str) -> Self {
        Self { code, becomes: Becomes::Pass, seen, says, remedy: "" }
    }

    pub(crate) const fn fail(code: &'static str, seen: &'static str, says: &'static str) -> Self {
        Self { code, becomes: Becomes::Fail, seen, says, remedy: "" }
    }

    pub(crate) const fn held(
        code: &'static str,
        seen: &'static str,
        says: &'static str,
        remedy: &'static str,
    ) -> Self {
        Self { code, becomes: Becomes::Held, seen, says, remedy }
    }

    pub(crate) const fn deferred(
        code: &'static str,
        seen: &'static str,
        says: &'static str,
        remedy: &'static str,
    ) -> Self {
        Self { code, becomes: Becomes::Deferred, seen, says, remedy }
    }
}
