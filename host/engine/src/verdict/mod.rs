//! The verdict in an artifact's front matter: how the host writes it (A2), and its judgement read back (A1).
//!
//! What front matter is, and how it is read, is `stagewright_front_matter`'s: a producer that takes a model's
//! draft reads it by the same code. The host writes every verdict key itself, all saying the same, and what was
//! written is read as exactly that.

mod write;

pub use stagewright_front_matter::{Artifact, Error, VerdictKey};
pub use write::{ArtifactFacts, write};

use stagewright_front_matter::Verdict;

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

/// The judgement of an artifact whose gate requires `key`.
///
/// # Errors
/// Everything that leaves room for doubt. None of it is a PASS.
pub fn read(artifact: &str, key: VerdictKey) -> Result<Judgement, Error> {
    stagewright_front_matter::read(artifact, key).map(Judgement::from)
}

impl From<Verdict> for Judgement {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Fail => Self::Fail,
        }
    }
}

impl From<Judgement> for Verdict {
    fn from(judgement: Judgement) -> Self {
        match judgement {
            Judgement::Pass => Self::Pass,
            Judgement::Fail => Self::Fail,
        }
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
