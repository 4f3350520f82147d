//! A digest of everything in a folder, to show that nothing in it was touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Each path below a folder with its kind, mode, time of change and content.
pub fn of(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    add(folder, folder, &mut seen);
    seen
}

fn add(root: &Path, folder: &Path, seen: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let facts = fs::symlink_metadata(&path).unwrap();
        let content = if facts.is_file() {
            format!("{:x?}", Sha256::digest(fs::read(&path).unwrap()).as_slice())
        } else if facts.is_symlink() {
            format!("{:?}", fs::read_link(&path).unwrap())
        } else {
            String::new()
        };
        let line = format!("{:o} {}.{} {content}", facts.mode(), facts.mtime(), facts.mtime_nsec());
        seen.insert(path.strip_prefix(root).unwrap().to_owned(), line);
        if facts.is_dir() {
            add(root, &path, seen);
        }
    }
}
