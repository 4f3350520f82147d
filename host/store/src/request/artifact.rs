//! Artifacts: the markdown with the verdict, whose bytes the store keeps.

use sha2::{Digest as _, Sha256};
use stagewright_engine::identity::{RunId, TaskKey};
use stagewright_engine::name::StageName;
use stagewright_engine::time::Timestamp;

use crate::error::Error;

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

impl Artifact {
    /// Whether it may be kept: no larger than allowed, and with the digest of its bytes.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.bytes.len() > MAX_BYTES {
            let detail = format!("the artifact has {} bytes and may have {MAX_BYTES}", self.bytes.len());
            return Err(Error::Rejected { detail });
        }
        if !self.is_whole() {
            return Err(Error::Rejected { detail: "the artifact's digest is not that of its bytes".into() });
        }
        Ok(())
    }

    /// Whether its bytes have the digest that it says.
    pub(crate) fn is_whole(&self) -> bool {
        let digest: String = Sha256::digest(&self.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        digest == self.sha256
    }
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
