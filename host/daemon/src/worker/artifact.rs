//! The artifact: made by the host, judged by the stage's gate, kept by the store.
//!
//! The gate reads the very bytes that the store keeps with the stage, in one transaction. The file in the report folder is
//! their projection, for people and for scripts: it is written after the transition, and again by the next start if this
//! process ends before it. Nothing is decided by that file.

use std::path::{Path, PathBuf};

use stagewright_engine::gate::{Gate, GateDecision};
use stagewright_engine::outcome::Report;
use stagewright_engine::verdict::{self, ArtifactFacts};
use stagewright_repository::artifact::{sha256, write};
use stagewright_store::request::artifact::{Artifact, MAX_BYTES, StoredArtifact};

use crate::state::StateDir;

/// An artifact, and what its gate read.
pub(super) struct Made {
    pub(super) artifact: Artifact,
    pub(super) gate: GateDecision,
}

/// Makes the artifact of a report. `path` is its place in the repository.
pub(super) fn make(path: &str, facts: &ArtifactFacts, report: &Report, gate: Gate) -> Result<Made, String> {
    let text = verdict::write(facts, report, gate.key());
    if text.len() > MAX_BYTES {
        return Err(format!("it has {} bytes and may have {MAX_BYTES}", text.len()));
    }
    let gate = gate.judge(&text);
    let bytes = text.into_bytes();
    let artifact = Artifact { path: path.to_owned(), sha256: sha256(&bytes), bytes };
    Ok(Made { artifact, gate })
}

/// The file of an artifact in its report folder.
pub(super) fn file(folder: &Path, artifact: &Artifact) -> PathBuf {
    folder.join(name(artifact))
}

/// Writes an artifact's file into `folder`: whole or not at all, following no link.
pub(super) fn project(folder: &Path, artifact: &Artifact) -> Result<PathBuf, String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    write(folder, name(artifact), &artifact.bytes).map_err(|error| error.to_string())?;
    Ok(file(folder, artifact))
}

/// Writes the file of an artifact that the store has, if a process that ended before it did not.
pub(crate) fn project_if_missing(state: &StateDir, stored: &StoredArtifact) -> Result<(), String> {
    let folder = state.report(&stored.task, &stored.stage, stored.run);
    if file(&folder, &stored.artifact).exists() {
        return Ok(());
    }
    project(&folder, &stored.artifact).map(drop)
}

fn name(artifact: &Artifact) -> &Path {
    Path::new(artifact.path.rsplit('/').next().unwrap_or(&artifact.path))
}
