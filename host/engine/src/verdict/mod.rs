//! The verdict in an artifact's front matter: how the host writes it and the one way to read it (A1, A2).
//!
//! An artifact is front matter between two lines `---`, then markdown. The front matter is a flat list of
//! `key: value` lines, a subset of YAML: a value is a plain word or a double-quoted string with JSON's
//! escapes; read back, a single-quoted string and a comment will do, too. Lists, nested keys and text over
//! several lines are not part of it. The host writes every verdict key itself, all saying the same.
//!
//! Reading is tolerant of case and quotes and of nothing else. No front matter, a missing or doubled key, an
//! unknown value or a contradiction is an error, and an error is never a PASS. Nothing below the front
//! matter is looked at, so no text of a suite can be taken for a verdict.

mod read;
mod write;

pub use read::{Artifact, Error, read};
pub use write::{ArtifactFacts, write};

use crate::name::WorkItem;
use crate::outcome::Judgement;

/// The folder of a work item's artifacts in its repository. Commits that change nothing outside of it are the
/// host's own and void no verdict (E5).
pub fn artifact_folder(work_item: &WorkItem) -> String {
    format!("docs/work-items/{work_item}")
}

/// The path of an artifact in its repository. `file` comes from a checked pipeline, so it is a plain name.
pub fn artifact_path(work_item: &WorkItem, file: &str) -> String {
    format!("{}/{file}", artifact_folder(work_item))
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

    /// The word with which this key tells a judgement.
    pub const fn word(self, judgement: Judgement) -> &'static str {
        match (self, judgement) {
            (Self::Result | Self::Status | Self::Verdict, Judgement::Pass) => "PASS",
            (Self::Result | Self::Status | Self::Verdict, Judgement::Fail) => "FAIL",
            (Self::StagingStatus | Self::DeployStatus, Judgement::Pass) => "SUCCESS",
            (Self::StagingStatus | Self::DeployStatus, Judgement::Fail) => "FAILED",
        }
    }

    fn judgement(self, word: &str) -> Option<Judgement> {
        [Judgement::Pass, Judgement::Fail]
            .into_iter()
            .find(|&judgement| word.eq_ignore_ascii_case(self.word(judgement)))
    }
}

/// The keys that the host writes for a gate that requires `key`: the three common ones, and the gate's own.
pub(crate) fn keys_for(key: VerdictKey) -> impl Iterator<Item = VerdictKey> {
    VerdictKey::ALL.into_iter().filter(move |&other| {
        other == key || matches!(other, VerdictKey::Result | VerdictKey::Status | VerdictKey::Verdict)
    })
}

#[cfg(test)]
mod tests;
