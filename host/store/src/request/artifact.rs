//! Artifacts: the markdown with the verdict, whose bytes the store keeps.

use stagewright_engine::identity::{RunId, TaskKey};
use stagewright_engine::name::StageName;
use stagewright_engine::time::Timestamp;

/// The most bytes that an artifact may have: 8 MiB. What is larger belongs into an attachment.
pub const MAX_BYTES: usize = 8 << 20;

/// An artifact as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its path in the repository, such as `docs/work-items/ORCH-116/13-test-report.md`.
    pub path: String,
    /// All of it. At most [`MAX_BYTES`].
    pub bytes: Vec<u8>,
    /// SHA-256 of the bytes, in hex.
    pub sha256: String,
}

/// An artifact in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredArtifact {
    /// The task that it is about.
    pub task: TaskKey,
    /// The stage that it is the result of.
    pub stage: StageName,
    /// The run that made it.
    pub run: RunId,
    /// When its run was concluded.
    pub made: Timestamp,
    /// The artifact. Its digest was compared with its bytes as it was read.
    pub artifact: Artifact,
}
