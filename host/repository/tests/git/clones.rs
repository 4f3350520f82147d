//! Disposable clones: what is in them, and that they go away again.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use crate::place::{Place, branch, fingerprint};

#[tokio::test]
async fn a_clone_is_what_git_itself_would_have_checked_out() {
    let place = Place::new();
    place.write("run.sh", "#!/bin/sh\n");
    fs::set_permissions(place.shop().join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("run.sh", place.shop().join("link")).unwrap();
    symlink("/etc/passwd", place.shop().join("link out")).unwrap();
    for name in [
        "-rf",
        "--help",
        "with space",
        "quo\"te's",
        "line\nend",
        "back\\slash",
        "ünïcode",
        " ",
        "*",
        ":(top)x",
    ] {
        place.write(name, name);
    }
    place.write(Path::new(OsStr::from_bytes(b"not-utf8-\xff\xfe")), "bytes");
    place.write("empty", "");
    let head = place.commit("odd names");
    let dest = place.path("clone with 'quotes'");
    place.open().await.clone_at(&head, Some(&branch("main")), &dest).await.unwrap();

    let listing = |root: &Path| -> Vec<(Vec<u8>, u32, Vec<u8>)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().as_bytes().to_vec();
            let facts = path.symlink_metadata().unwrap();
            let content = match facts.is_symlink() {
                true => path.read_link().unwrap().as_os_str().as_bytes().to_vec(),
                false => fs::read(&path).unwrap_or_default(),
            };
            if name != b".git" {
                found.push((name, facts.mode() & 0o170_700, content));
            }
        }
        found.sort();
        found
    };
    assert_eq!(listing(&dest), listing(&place.shop()));
    assert_eq!(place.user_in(&dest, ["status", "--porcelain"]), "");
    assert_eq!(place.user_in(&dest, ["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert_eq!(place.user_in(&dest, ["fsck", "--strict"]), "");
}

#[tokio::test]
async fn a_clone_has_history_tags_and_origins_branches_but_no_remote() {
    let place = Place::new();
    place.user(["tag", "-a", "-m", "one", "v1.0"]);
    place.user(["tag", "light"]);
    place.user(["checkout", "-q", "-b", "feature/x"]);
    let head = place.commit("second");
    place.user(["remote", "add", "origin", "https://user:secret@example.org/shop.git"]);
    let dest = place.path("clone");
    place.open().await.clone_at(&head, Some(&branch("feature/x")), &dest).await.unwrap();

    assert!(place.user_in(&dest, ["describe"]).starts_with("v1.0-1-g"));
    assert_eq!(place.user_in(&dest, ["rev-parse", "v1.0^{commit}"]), place.user_head("main").as_str());
    assert_eq!(place.user_in(&dest, ["rev-parse", "light"]), place.user_head("main").as_str());
    assert_eq!(place.user_in(&dest, ["rev-parse", "origin/main"]), place.user_head("main").as_str());
    assert_eq!(place.user_in(&dest, ["rev-list", "--count", "HEAD"]), "2");
    assert_eq!(place.user_in(&dest, ["remote"]), "");
    assert!(!fs::read_to_string(dest.join(".git/config")).unwrap().contains("secret"));
    assert!(!dest.join(".git/hooks").exists());
}

#[tokio::test]
async fn a_suite_can_commit_in_its_clone_and_neither_copy_nor_source_changes() {
    let place = Place::new();
    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    let dest = place.path("clone");
    bare.clone_at(&head, Some(&branch("main")), &dest).await.unwrap();
    let contents = || {
        // git renews the time of an object that it would have written again, also of a borrowed one.
        let lines = fingerprint(bare.path());
        lines.iter().map(|line| line.split(" (").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (copy, source) = (contents(), fingerprint(&place.shop()));
    fs::write(dest.join("README.md"), "changed by the suite\n").unwrap();
    place.user_in(&dest, ["commit", "-q", "-a", "-m", "by the suite"]);
    place.user_in(&dest, ["tag", "by-the-suite"]);
    place.user_in(&dest, ["gc", "-q", "--prune=now"]);
    assert_eq!(contents(), copy);
    assert_eq!(place.user_in(bare.path(), ["fsck", "--strict"]), "");
    assert_eq!(fingerprint(&place.shop()), source);
}

#[tokio::test]
async fn submodules_and_lfs_pointers_are_left_out_and_said_so() {
    let place = Place::new();
    let add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add"].map(OsStr::new);
    let url = place.path("shop");
    place.user(add.into_iter().chain([url.as_os_str(), OsStr::new("vendor/in ner")]));
    place.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    place.write("large.bin", "version https://git-lfs.github.com/spec/v1\n");
    let head = place.commit("more");
    let dest = place.path("clone");
    let clone = place.open().await.clone_at(&head, Some(&branch("main")), &dest).await.unwrap();
    assert_eq!(clone.submodules(), ["vendor/in ner"]);
    assert!(clone.has_lfs_pointers());
    assert_eq!(fs::read_dir(dest.join("vendor/in ner")).unwrap().count(), 0);
    assert!(fs::read_to_string(dest.join("large.bin")).unwrap().starts_with("version"));
}

#[tokio::test]
async fn line_ends_follow_the_repositorys_attributes() {
    let place = Place::new();
    place.write(".gitattributes", "*.bat text eol=crlf\n");
    place.write("run.bat", "echo\r\n");
    place.write("sub/.gitattributes", "*.bat -text\n");
    place.write("sub/run.bat", "echo\n");
    let head = place.commit("line ends");
    place.open().await.clone_at(&head, Some(&branch("main")), &place.path("clone")).await.unwrap();
    assert_eq!(fs::read(place.path("clone/run.bat")).unwrap(), b"echo\r\n");
    assert_eq!(fs::read(place.path("clone/sub/run.bat")).unwrap(), b"echo\n");
}

#[tokio::test]
async fn an_existing_folder_is_not_cloned_into_and_a_failed_clone_leaves_nothing() {
    let place = Place::new();
    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    fs::create_dir(place.path("taken")).unwrap();
    bare.clone_at(&head, None, &place.path("taken")).await.unwrap_err();
    assert!(place.path("taken").exists());

    let absent = stagewright_engine::name::CommitId::new("1".repeat(40)).unwrap();
    bare.clone_at(&absent, None, &place.path("failed")).await.unwrap_err();
    assert!(!place.path("failed").exists());
}

#[tokio::test]
async fn many_clones_can_be_made_at_once() {
    let place = Place::new();
    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    let mut clones = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (bare, head, dest) = (bare.clone(), head.clone(), place.path(&format!("clone-{number}")));
        clones.spawn(async move { bare.clone_at(&head, None, &dest).await.unwrap() });
    }
    let clones = clones.join_all().await;
    assert_eq!(clones.len(), 8);
    for clone in clones {
        assert_eq!(fs::read_to_string(clone.path().join("README.md")).unwrap(), "a shop\n");
        let path = clone.path().to_owned();
        clone.remove().await.unwrap();
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn a_state_folder_with_an_odd_name_is_borrowed_from_all_the_same() {
    let place = Place::new();
    let git = stagewright_repository::git::Git::find(std::env::var_os("PATH").as_deref()).await.unwrap();
    for (number, name) in ["with space", "quo\"te", "#comment", "line\nend", "ünïcode"].iter().enumerate() {
        let host = stagewright_repository::Repositories::new(git.clone(), &place.path(name)).unwrap();
        let name = stagewright_engine::name::RepoName::new("shop").unwrap();
        let bare = host.open(&name, &place.shop()).await.unwrap();
        let head = bare.head(&branch("main")).await.unwrap();
        let dest = place.path(&format!("clone-{number}"));
        bare.clone_at(&head, None, &dest).await.unwrap();
        assert_eq!(place.user_in(&dest, ["log", "--format=%H"]), head.as_str());
    }
}
