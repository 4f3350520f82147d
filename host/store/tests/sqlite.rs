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

#[test]
fn every_case_of_the_suite_is_in_its_list() {
    let suite = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/suite");
    let list = std::fs::read_to_string(suite.join("mod.rs")).unwrap();
    let listed: std::collections::BTreeSet<&str> =
        list.lines().map(|line| line.trim().trim_end_matches(';')).collect();
    for file in std::fs::read_dir(suite).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for case in text.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
            let name = case.split('(').next().unwrap();
            assert!(listed.contains(name), "the case `{name}` is run for no store");
        }
    }
}
