//! Removing what foreign code left, on a real file system.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

#[test]
fn folders_without_permissions_go() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("clone");
    fs::create_dir_all(root.join("a/b/c")).unwrap();
    fs::write(root.join("a/b/file"), "").unwrap();
    for (folder, mode) in [("a/b/c", 0o000), ("a/b", 0o500), ("a", 0o000), (".", 0o555)] {
        fs::set_permissions(root.join(folder), fs::Permissions::from_mode(mode)).unwrap();
    }
    remove_blocking(&root).unwrap();
    assert!(!root.exists());
}

#[test]
fn links_go_and_what_they_point_to_stays_as_it_was() {
    let (place, victim) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(victim.path().join("file"), "precious").unwrap();
    fs::set_permissions(victim.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let root = place.path().join("clone");
    fs::create_dir_all(root.join("inner")).unwrap();
    symlink(victim.path(), root.join("folder")).unwrap();
    symlink(victim.path().join("file"), root.join("inner/file")).unwrap();
    symlink("..", root.join("inner/up")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    fs::hard_link(victim.path().join("file"), root.join("hard")).unwrap();
    remove_blocking(&root).unwrap();
    assert!(!root.exists());
    assert_eq!(fs::read_to_string(victim.path().join("file")).unwrap(), "precious");
    assert_eq!(fs::metadata(victim.path()).unwrap().permissions().mode() & 0o777, 0o500);
}

#[test]
fn a_tree_deeper_than_a_path_can_be_long_goes() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("clone");
    fs::create_dir(&root).unwrap();
    let mut here = rustix::fs::open(&root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let name = "d".repeat(200);
    for _ in 0..2_000 {
        rustix::fs::mkdirat(&here, &name, Mode::from_raw_mode(0o755)).unwrap();
        here = rustix::fs::openat(&here, &name, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    }
    drop(here);
    remove_blocking(&root).unwrap();
    assert!(!root.exists());
}

#[test]
fn odd_names_and_odd_kinds_go() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("clone");
    fs::create_dir(&root).unwrap();
    for name in [&b"-rf"[..], b"\xff\xfe", b"line\nend", b"with space", b"*", b".stagewright-deep-1"] {
        fs::create_dir(root.join(OsStr::from_bytes(name))).unwrap();
        fs::write(root.join(OsStr::from_bytes(name)).join(OsStr::from_bytes(name)), "").unwrap();
    }
    rustix::fs::mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    remove_blocking(&root).unwrap();
    assert!(!root.exists());
}

#[test]
fn nothing_there_is_no_error_and_a_file_or_a_link_is_only_unlinked() {
    let place = tempfile::tempdir().unwrap();
    remove_blocking(&place.path().join("nothing")).unwrap();
    remove_blocking(&place.path().join("no/folder")).unwrap();
    fs::create_dir(place.path().join("kept")).unwrap();
    symlink("kept", place.path().join("link")).unwrap();
    fs::write(place.path().join("file"), "").unwrap();
    remove_blocking(&place.path().join("link")).unwrap();
    remove_blocking(&place.path().join("file")).unwrap();
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["kept"]);
}

#[test]
fn a_wide_tree_goes() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("clone");
    for folder in 0..20 {
        fs::create_dir_all(root.join(folder.to_string())).unwrap();
        for file in 0..200 {
            fs::write(root.join(folder.to_string()).join(file.to_string()), "").unwrap();
        }
    }
    remove_blocking(&root).unwrap();
    assert!(!root.exists());
}
