//! Opening a store: what is refused, with which way out, and that nothing was changed by it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use stagewright_store::sqlite::{OpenError, Options, SqliteStore};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("store.sqlite3")
    }

    fn open(&self) -> Result<SqliteStore, OpenError> {
        let options = Options { migration_wait: Duration::from_millis(50), ..Options::default() };
        SqliteStore::open(&self.path(), options)
    }

    /// A place with a store that was closed in order.
    fn with_store() -> Self {
        let place = Self::new();
        drop(place.open().unwrap());
        // The writer's thread closes the file after the handle is gone; the lock tells when it has.
        File::open(place.path().with_extension("sqlite3.lock")).unwrap().lock().unwrap();
        place
    }

    fn sql(&self, sql: &str) {
        Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }

    /// Names and bytes of everything in the folder.
    fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap_or_default()))
            .collect()
    }

    /// Opens in vain, sees that nothing was changed, and gives the error back.
    fn refuse(&self) -> OpenError {
        let before = self.contents();
        let error = self.open().unwrap_err();
        assert!(self.contents() == before, "a refused opening has changed the folder: {error}");
        error
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_store_is_made_for_its_owner_only() {
    let place = Place::new();
    let _store = place.open().unwrap();
    for path in place.contents().keys() {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_store_is_opened_again_and_by_several_at_once() {
    let place = Place::with_store();
    let _first = place.open().unwrap();
    let _second = place.open().unwrap();
}

#[test]
fn of_many_that_start_on_a_new_folder_each_gets_the_store() {
    let place = Place::new();
    std::thread::scope(|scope| {
        let openers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| SqliteStore::open(&place.path(), Options::default()))).collect();
        for opener in openers {
            opener.join().unwrap().unwrap();
        }
    });
}

#[test]
fn a_missing_folder_is_named() {
    let place = Place::new();
    let error = SqliteStore::open(&place.folder.path().join("no/store"), Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Inaccessible { .. }), "{error:?}");
}

#[test]
fn an_older_program_refuses_a_newer_schema() {
    let place = Place::with_store();
    place.sql("PRAGMA user_version = 99");
    let error = place.refuse();
    assert!(matches!(error, OpenError::NewerSchema { found: 99, known: 5, .. }), "{error:?}");
    assert!(error.to_string().contains("use the newer stagewright"), "{error}");
}

#[test]
fn a_newer_schema_is_seen_in_the_log_of_a_crashed_program_too() {
    let place = Place::with_store();
    let crashed = Connection::open(place.path()).unwrap();
    crashed.execute_batch("PRAGMA user_version = 99").unwrap();
    // Copied while it is open: the file's own header still has the old version.
    let copy = Place::new();
    for suffix in ["", "-wal"] {
        let name = format!("store.sqlite3{suffix}");
        fs::copy(place.folder.path().join(&name), copy.folder.path().join(&name)).unwrap();
    }
    let error = copy.open().unwrap_err();
    assert!(matches!(error, OpenError::NewerSchema { found: 99, .. }), "{error:?}");
}

#[test]
fn the_schema_is_not_changed_under_a_live_instance() {
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    let alive = File::create(place.folder.path().join("store.sqlite3.lock")).unwrap();
    alive.lock_shared().unwrap();
    let error = place.refuse();
    assert!(matches!(error, OpenError::InUse { found: 0, known: 5, .. }), "{error:?}");
    drop(alive);
    place.open().unwrap();
}

#[test]
fn a_store_of_version_1_is_brought_up_to_date_and_keeps_what_is_in_it() {
    let place = Place::new();
    place.sql(include_str!("../src/sqlite/migrations/0001-initial.sql"));
    place.sql(
        "PRAGMA user_version = 1;
         INSERT INTO repos VALUES ('shop', x'2f', 1, 1);
         INSERT INTO tasks (repo, work_item, stage, state, branch, created, updated)
         VALUES ('shop', 'ORCH-1', 'testing', 'active', 'main', 1, 1);
         INSERT INTO instances VALUES (x'00000000000000000000000000000001', '{}', 1, NULL);
         INSERT INTO jobs (id, task, stage, commit_id, state, due, attempt, created, updated)
         VALUES (x'00000000000000000000000000000002', 1, 'testing', 'a', 'done', 1, 1, 1, 1);
         INSERT INTO runs (id, job, instance, epoch, started)
         VALUES (x'00000000000000000000000000000003', x'00000000000000000000000000000002',
                 x'00000000000000000000000000000001', 1, 1);",
    );
    drop(place.open().unwrap());
    let conn = Connection::open(place.path()).unwrap();
    let kept: (String, String, u32) = conn
        .query_row(
            "SELECT work_item, jobs.state, (SELECT user_version FROM pragma_user_version)
             FROM runs JOIN jobs ON jobs.id = runs.job JOIN tasks ON tasks.id = jobs.task",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    assert_eq!(kept, ("ORCH-1".to_owned(), "done".to_owned(), 5));
    // What refers to a table that was made anew refers to the new one.
    conn.pragma_update(None, "foreign_keys", true).unwrap();
    let orphan = conn.execute("UPDATE runs SET job = x'00000000000000000000000000000009'", []);
    assert!(orphan.unwrap_err().to_string().contains("FOREIGN KEY"));
}

#[test]
fn a_file_without_write_permission_is_refused_even_for_the_superuser() {
    let place = Place::with_store();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o444)).unwrap();
    let error = place.refuse();
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
}

#[test]
fn a_file_of_something_else_is_left_alone() {
    let text = Place::new();
    fs::write(text.path(), "a shopping list\n".repeat(50)).unwrap();
    assert!(matches!(text.refuse(), OpenError::Foreign { .. }));

    let other = Place::new();
    other.sql("CREATE TABLE albums (name TEXT); PRAGMA user_version = 1");
    assert!(matches!(other.refuse(), OpenError::Foreign { .. }));

    let folder = Place::new();
    fs::create_dir(folder.path()).unwrap();
    assert!(matches!(folder.refuse(), OpenError::Foreign { .. }));
}

#[test]
fn a_file_that_was_cut_off_is_damaged() {
    let place = Place::with_store();
    let half = fs::metadata(place.path()).unwrap().len() / 2;
    File::options().write(true).open(place.path()).unwrap().set_len(half).unwrap();
    let error = place.refuse();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("backup"), "{error}");
}

#[test]
fn a_file_whose_pages_are_garbage_is_damaged() {
    let place = Place::with_store();
    let mut bytes = fs::read(place.path()).unwrap();
    bytes[4_096..].fill(0xAB);
    fs::write(place.path(), &bytes).unwrap();
    let error = place.open().unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(fs::read(place.path()).unwrap() == bytes, "a damaged file was changed");
}

#[test]
fn an_empty_file_becomes_a_store() {
    let place = Place::new();
    fs::write(place.path(), "").unwrap();
    place.open().unwrap();
}
