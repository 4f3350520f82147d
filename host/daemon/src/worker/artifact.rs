//! The artifact: written by the host, read back, judged by the stage's gate.
//!
//! The gate reads what stands in the file, not what was meant to be written. The store keeps the same bytes,
//! so the file is only their projection.

use std::path::{Path, PathBuf};

use stagewright_engine::gate::{Gate, GateDecision};
use stagewright_engine::outcome::Report;
use stagewright_engine::verdict::{self, ArtifactFacts};
use stagewright_store::request::artifact::{Artifact, MAX_BYTES};

/// An artifact that was written, and what its gate read.
pub(super) struct Written {
    pub(super) path: PathBuf,
    pub(super) stored: Artifact,
    pub(super) gate: GateDecision,
}

/// Writes the artifact of a report into `folder`. `path` is its place in the repository.
pub(super) fn write(
    folder: &Path,
    path: &str,
    facts: &ArtifactFacts,
    report: &Report,
    gate: Gate,
) -> Result<Written, String> {
    let text = verdict::write(facts, report, gate.key());
    let name = Path::new(path.rsplit('/').next().unwrap_or(path));
    let file = folder.join(name);
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    stagewright_repository::artifact::write(folder, name, text.as_bytes())
        .map_err(|error| error.to_string())?;
    let read = stagewright_repository::artifact::read(folder, name, MAX_BYTES as u64)
        .map_err(|error| error.to_string())?
        .ok_or_else(|| format!("{} was gone when it was read back", file.display()))?;
    let gate = match std::str::from_utf8(&read.bytes) {
        Ok(text) => gate.judge(text),
        Err(error) => GateDecision::Rejected { reason: format!("it is not UTF-8: {error}") },
    };
    let stored = Artifact { path: path.to_owned(), bytes: read.bytes, sha256: read.sha256 };
    Ok(Written { path: file, stored, gate })
}
