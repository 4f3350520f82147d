//! The suite of every store, run against SQLite on a real file.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use stagewright_store::sqlite::{Options, SqliteStore};
use stagewright_store::suite::Place;
use stagewright_store::{Store, store_suite};

/// A folder of its own with one store file, opened anew for each handle.
struct OnDisk(tempfile::TempDir);

impl OnDisk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Place for OnDisk {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.0.path().join("store.sqlite3"), Options::default()).unwrap())
    }
}

store_suite!(OnDisk::new());
