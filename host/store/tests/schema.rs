//! What the schema itself forbids, whatever a program asks for.
#![allow(clippy::unwrap_used, reason = "tests")]

use rusqlite::Connection;
use stagewright_store::sqlite::{Options, SqliteStore};

/// A store with one task and one queued job, and a connection that no code of ours stands before.
fn raw() -> (tempfile::TempDir, SqliteStore, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite3");
    let store = SqliteStore::open(&path, Options::default()).unwrap();
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(
        "INSERT INTO repos VALUES ('shop', x'2f', 0, 0);
         INSERT INTO tasks (id, repo, work_item, stage, state, epoch, branch, created, updated)
           VALUES (1, 'shop', 'ORCH-1', 'testing', 'active', 5, 'main', 0, 0);
         INSERT INTO events (at, kind, detail, batch) VALUES (0, 'x', '{}', 1);",
    )
    .unwrap();
    insert_job(&conn, 1, "queued").unwrap();
    (folder, store, conn)
}

fn insert_job(conn: &Connection, id: u8, state: &str) -> rusqlite::Result<usize> {
    conn.execute(
        "INSERT INTO jobs (id, task, stage, commit_id, state, due, attempt, created, updated)
         VALUES (?1, 1, 'testing', 'a', ?2, 0, 1, 0, 0)",
        rusqlite::params![[id; 16], state],
    )
}

fn refused(conn: &Connection, sql: &str, why: &str) {
    let error = conn.execute_batch(sql).unwrap_err().to_string();
    assert!(error.contains(why), "{sql}: {error}");
}

#[test]
fn a_task_has_one_live_job_and_any_number_of_ended_ones() {
    let (_folder, _store, conn) = raw();
    for state in ["queued", "deferred", "held", "finished"] {
        let error = insert_job(&conn, 2, state).unwrap_err().to_string();
        assert!(error.contains("UNIQUE"), "{state}: {error}");
    }
    for (id, state) in [(3, "done"), (4, "done"), (5, "cancelled"), (6, "superseded")] {
        insert_job(&conn, id, state).unwrap();
    }
}

#[test]
fn an_epoch_never_falls_and_its_task_is_never_deleted() {
    let (_folder, _store, conn) = raw();
    refused(&conn, "UPDATE tasks SET epoch = 4", "only grows");
    refused(&conn, "DELETE FROM tasks", "never deleted");
    conn.execute_batch("UPDATE tasks SET epoch = 6").unwrap();
}

#[test]
fn no_stage_is_written_without_a_higher_epoch() {
    let (_folder, _store, conn) = raw();
    refused(&conn, "UPDATE tasks SET stage = 'done'", "higher epoch");
    conn.execute_batch("UPDATE tasks SET stage = 'done', epoch = epoch + 1").unwrap();
}

#[test]
fn the_event_log_is_only_added_to() {
    let (_folder, _store, conn) = raw();
    refused(&conn, "DELETE FROM events", "append-only");
    refused(&conn, "UPDATE events SET kind = 'y'", "append-only");
}

#[test]
fn one_statement_in_the_whole_store_writes_a_stage() {
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sqlite");
    let mut writers = Vec::new();
    for entry in std::fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for statement in text.split("UPDATE tasks").skip(1) {
            let assigned = statement.split("WHERE").next().unwrap();
            if assigned.contains("stage") {
                writers.push(path.file_name().unwrap().to_owned());
            }
        }
    }
    assert_eq!(writers, ["stage.rs"]);
}
