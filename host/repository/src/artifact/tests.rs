//! Artifacts as files, on a real file system.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::*;

const REPORT: &str = "shop/ORCH-1/testing/13-test-report.md";

#[test]
fn what_was_written_is_read_back_with_its_digest_and_nothing_else_lies_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let digest = write(folder.path(), Path::new(REPORT), b"abc").unwrap();
    assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    write(folder.path(), Path::new(REPORT), b"abcd").unwrap();
    let content = read(folder.path(), Path::new(REPORT), 4).unwrap().unwrap();
    assert_eq!(content.bytes, b"abcd");
    assert_eq!(content.sha256, sha256(b"abcd"));
    assert_eq!(fs::read_dir(folder.path().join("shop/ORCH-1/testing")).unwrap().count(), 1);
}

#[test]
fn a_missing_artifact_is_none_and_no_folder_is_made_for_it() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(read(folder.path(), Path::new(REPORT), 100).unwrap(), None);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_path_that_leaves_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["../x", "/etc/x", "", ".", "a/../../x", "a/.."] {
        assert!(matches!(write(folder.path(), Path::new(path), b""), Err(Error::BadPath { .. })), "{path:?}");
        assert!(matches!(read(folder.path(), Path::new(path), 9), Err(Error::BadPath { .. })), "{path:?}");
    }
}

#[test]
fn a_link_on_the_way_is_refused_and_nothing_is_written_behind_it() {
    let (folder, victim) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(victim.path(), folder.path().join("shop")).unwrap();
    assert!(matches!(write(folder.path(), Path::new(REPORT), b"x"), Err(Error::Link { .. })));
    assert!(matches!(read(folder.path(), Path::new(REPORT), 9), Err(Error::Link { .. })));
    assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
}

#[test]
fn a_link_in_place_of_the_file_is_replaced_when_written_and_refused_when_read() {
    let (folder, victim) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    fs::write(victim.path(), "secret").unwrap();
    symlink(victim.path(), folder.path().join("report.md")).unwrap();
    assert!(matches!(read(folder.path(), Path::new("report.md"), 100), Err(Error::Link { .. })));
    write(folder.path(), Path::new("report.md"), b"new").unwrap();
    assert_eq!(fs::read_to_string(victim.path()).unwrap(), "secret");
    assert_eq!(read(folder.path(), Path::new("report.md"), 100).unwrap().unwrap().bytes, b"new");
}

#[test]
fn what_is_no_plain_file_or_too_large_is_refused_without_waiting_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    for name in ["fifo", "folder", "socket"] {
        let error = read(folder.path(), Path::new(name), 100).unwrap_err();
        assert!(matches!(error, Error::NotAFile { .. }), "{name}: {error}");
    }
    fs::write(folder.path().join("large"), "12345").unwrap();
    assert!(matches!(read(folder.path(), Path::new("large"), 4), Err(Error::TooLarge { limit: 4, .. })));
}

#[test]
fn a_write_that_fails_leaves_the_old_file_and_no_temporary_one() {
    let folder = tempfile::tempdir().unwrap();
    // A folder can't be replaced by a file: the rename fails after everything was written.
    fs::create_dir_all(folder.path().join("report.md/kept")).unwrap();
    assert!(matches!(write(folder.path(), Path::new("report.md"), b"x"), Err(Error::Files { .. })));
    assert!(folder.path().join("report.md/kept").exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn readers_see_the_old_text_or_the_new_one_while_writers_race() {
    let folder = tempfile::tempdir().unwrap();
    let texts = [vec![b'a'; 100_000], vec![b'b'; 100_000]];
    write(folder.path(), Path::new(REPORT), &texts[0]).unwrap();
    std::thread::scope(|scope| {
        for text in &texts {
            scope
                .spawn(|| (0..50).for_each(|_| drop(write(folder.path(), Path::new(REPORT), text).unwrap())));
        }
        for _ in 0..100 {
            let content = read(folder.path(), Path::new(REPORT), 1 << 20).unwrap().unwrap();
            assert!(texts.contains(&content.bytes));
        }
    });
    assert_eq!(fs::read_dir(folder.path().join("shop/ORCH-1/testing")).unwrap().count(), 1);
    let mode = fs::metadata(folder.path().join(REPORT)).unwrap().permissions().mode();
    assert_eq!(mode & 0o400, 0o400);
}
