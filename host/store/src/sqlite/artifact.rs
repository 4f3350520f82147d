//! Rows of artifacts. Their bytes are kept whole; the file in the report folder is a copy of them.

use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};
use stagewright_engine::identity::{RunId, TaskKey};
use stagewright_engine::name::{BranchName, RepoName, StageName};
use stagewright_engine::time::Timestamp;

use super::failure::Step;
use super::{columns, task};
use crate::error::Error;
use crate::request::artifact::{Artifact, StoredArtifact};

const SELECT: &str = "SELECT artifacts.stage, run, made, path, bytes, sha256, repo, work_item
                      FROM artifacts JOIN tasks ON tasks.id = artifacts.task";

/// Keeps the artifact of a run.
pub(super) fn write(
    conn: &Connection,
    task: i64,
    stage: &StageName,
    run: RunId,
    artifact: &Artifact,
    now: Timestamp,
) -> Step<()> {
    artifact.check()?;
    conn.prepare_cached(
        "INSERT INTO artifacts (run, task, stage, path, sha256, made, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        columns::bytes(run.uuid()),
        task,
        stage.as_str(),
        artifact.path,
        artifact.sha256,
        now.as_millis(),
        artifact.bytes,
    ])?;
    Ok(())
}

pub(super) fn newest(conn: &Connection, key: &TaskKey, stage: &StageName) -> Step<Option<StoredArtifact>> {
    let Some(found) = task::find(conn, key)? else { return Ok(None) };
    let artifact = conn
        .prepare_cached(&format!(
            "{SELECT} WHERE artifacts.task = ?1 AND artifacts.stage = ?2 ORDER BY made DESC, run DESC LIMIT 1"
        ))?
        .query_row(params![found.row, stage.as_str()], read)
        .optional()?;
    whole(artifact)
}

/// Many tasks may have the same branch (the base branch), so this is for a report and not for a rule.
pub(super) fn on_branch(
    conn: &Connection,
    repo: &RepoName,
    branch: &BranchName,
    stage: &StageName,
) -> Step<Option<StoredArtifact>> {
    let artifact = conn
        .prepare_cached(&format!(
            "{SELECT} WHERE repo = ?1 AND branch = ?2 AND artifacts.stage = ?3 ORDER BY made DESC, run DESC LIMIT 1"
        ))?
        .query_row(params![repo.as_str(), branch.as_str(), stage.as_str()], read)
        .optional()?;
    whole(artifact)
}

pub(super) fn of_run(conn: &Connection, run: RunId) -> Step<Option<StoredArtifact>> {
    let artifact = conn
        .prepare_cached(&format!("{SELECT} WHERE run = ?1"))?
        .query_row([columns::bytes(run.uuid())], read)
        .optional()?;
    whole(artifact)
}

fn read(row: &Row<'_>) -> Result<StoredArtifact> {
    Ok(StoredArtifact {
        task: TaskKey { repo: columns::name(row, 6)?, work_item: columns::name(row, 7)? },
        stage: columns::name(row, 0)?,
        run: columns::id(row, 1, RunId::new)?,
        made: columns::time(row, 2)?,
        artifact: Artifact { path: row.get(3)?, bytes: row.get(4)?, sha256: row.get(5)? },
    })
}

/// Refuses an artifact whose bytes are not the ones that were kept.
fn whole(found: Option<StoredArtifact>) -> Step<Option<StoredArtifact>> {
    match &found {
        Some(stored) if !stored.artifact.is_whole() => {
            let detail =
                format!("the artifact of run {} does not have the digest that it was kept with", stored.run);
            Err(Error::Damaged { detail }.into())
        }
        _ => Ok(found),
    }
}
