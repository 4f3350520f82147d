//! Rows of repositories.

use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::json;
use stagewright_engine::name::RepoName;

use super::columns;
use super::event::{self, Subject};
use super::failure::Step;
use super::writer::Batch;
use crate::error::Error;
use crate::request::repo::{NewRepo, Repo};

pub(super) fn put(batch: &mut Batch<'_>, repo: &NewRepo) -> Step<Repo> {
    let source = repo.source.as_os_str().as_bytes();
    // Written only if it says something new: `run` puts its repository each time.
    let changed = batch
        .conn()
        .prepare_cached(
            "INSERT INTO repos (name, source, created, updated) VALUES (?1, ?2, ?3, ?3)
             ON CONFLICT (name) DO UPDATE SET source = excluded.source, updated = excluded.updated
             WHERE source <> excluded.source",
        )?
        .execute(params![repo.name.as_str(), source, repo.now.as_millis()])?;
    if changed == 1 {
        let detail = json!({ "repo": repo.name, "source": repo.source.to_string_lossy() });
        event::write(batch, &Subject::new(repo.now), "repo-put", &detail)?;
    }
    get(batch.conn(), &repo.name)?
        .ok_or_else(|| Error::Rejected { detail: "a repository that was put is missing".into() }.into())
}

pub(super) fn get(conn: &Connection, name: &RepoName) -> rusqlite::Result<Option<Repo>> {
    conn.prepare_cached("SELECT name, source, created, updated FROM repos WHERE name = ?1")?
        .query_row([name.as_str()], read)
        .optional()
}

pub(super) fn all(conn: &Connection) -> rusqlite::Result<Vec<Repo>> {
    conn.prepare_cached("SELECT name, source, created, updated FROM repos ORDER BY name")?
        .query_map([], read)?
        .collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Repo> {
    let source: Vec<u8> = row.get(1)?;
    Ok(Repo {
        name: columns::name(row, 0)?,
        source: PathBuf::from(std::ffi::OsString::from_vec(source)),
        created: columns::time(row, 2)?,
        updated: columns::time(row, 3)?,
    })
}
