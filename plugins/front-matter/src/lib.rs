//! An artifact's front matter, and the one way to read a verdict from it (A1).
//!
//! An artifact is front matter between two lines `---`, then markdown. The front matter is a flat list of
//! `key: value` lines, a subset of YAML: a value is a plain word or a double-quoted string with JSON's
//! escapes; a single-quoted string and a comment will do, too. Lists, nested keys and text over several
//! lines are not part of it.
//!
//! Reading is tolerant of case and quotes and of nothing else. No front matter, a missing or doubled key, an
//! unknown value or a contradiction is an error, and an error is never a PASS. Nothing below the front
//! matter is looked at, so no text of a suite or a model can be taken for a verdict.
//!
//! The host's gates and the producer that reads a model's draft both use this crate, so that they can't part.
//! It knows neither of them, and it writes nothing: the front matter of artifacts is the host's to write.

mod read;

pub use read::{Artifact, Error, read};

/// A key that the host writes into every artifact, and that nobody else has reason to write. A text with it is an
/// artifact of some run, or one that was changed, and not a fresh draft.
pub const ARTIFACT_ONLY: &str = "ledger_sha256";

/// What a verdict key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The stage's question was answered with yes.
    Pass,
    /// It was answered with no.
    Fail,
}

/// A front matter key that carries a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VerdictKey {
    /// `result: PASS|FAIL`
    Result,
    /// `status: PASS|FAIL`
    Status,
    /// `verdict: PASS|FAIL`
    Verdict,
    /// `staging_status: SUCCESS|FAILED`
    StagingStatus,
    /// `deploy_status: SUCCESS|FAILED`
    DeployStatus,
}

impl VerdictKey {
    /// Every verdict key, in the order in which they are written.
    pub const ALL: [Self; 5] =
        [Self::Result, Self::Status, Self::Verdict, Self::StagingStatus, Self::DeployStatus];

    /// The key as it stands in the front matter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Status => "status",
            Self::Verdict => "verdict",
            Self::StagingStatus => "staging_status",
            Self::DeployStatus => "deploy_status",
        }
    }

    /// The word with which this key tells a verdict.
    pub fn word(self, verdict: impl Into<Verdict>) -> &'static str {
        match (self, verdict.into()) {
            (Self::Result | Self::Status | Self::Verdict, Verdict::Pass) => "PASS",
            (Self::Result | Self::Status | Self::Verdict, Verdict::Fail) => "FAIL",
            (Self::StagingStatus | Self::DeployStatus, Verdict::Pass) => "SUCCESS",
            (Self::StagingStatus | Self::DeployStatus, Verdict::Fail) => "FAILED",
        }
    }

    fn verdict(self, word: &str) -> Option<Verdict> {
        [Verdict::Pass, Verdict::Fail]
            .into_iter()
            .find(|&verdict| word.eq_ignore_ascii_case(self.word(verdict)))
    }
}

#[cfg(test)]
mod tests;
