//! Clones in which foreign code has set traps for whoever makes a commit of them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use stagewright_repository::{Error, work};

use crate::hostile::set_traps;
use crate::place::{Place, fingerprint};
use crate::work::Desk;

#[tokio::test]
async fn planted_hooks_filters_and_monitors_never_run() {
    let desk = Desk::new(Place::new()).await;
    set_traps(&desk.place, &desk.clone());
    desk.write(".gitattributes", "* filter=trap diff=trap merge=trap\n");
    desk.write("src/shop.py", "PRICE = 6\n");
    desk.write("src/new.py", "NEW = 1\n");
    let commit = desk.commit().await;
    assert_eq!(desk.place.sprung(), "");
    assert_eq!(desk.bare.read_file(&commit, "src/new.py", 100).await.unwrap().unwrap(), b"NEW = 1\n");

    // The traps are good: git in the clone springs them.
    let _ = Command::new("git").arg("add").arg("-A").current_dir(desk.clone()).output().unwrap();
    assert!(desk.place.sprung().contains("configured"));
}

#[tokio::test]
async fn a_git_folder_that_was_exchanged_or_removed_makes_no_difference() {
    let desk = Desk::new(Place::new()).await;
    desk.write("new", "new\n");
    let commit = desk.commit().await;
    fs::remove_dir_all(desk.clone().join(".git")).unwrap();
    assert_eq!(desk.commit().await, commit);
    let before = fingerprint(&desk.place.shop());
    symlink(desk.place.shop().join(".git"), desk.clone().join(".git")).unwrap();
    assert_eq!(desk.commit().await, commit);
    fs::remove_file(desk.clone().join(".git")).unwrap();
    desk.write(".git", format!("gitdir: {}\n", desk.place.shop().join(".git").display()));
    assert_eq!(desk.commit().await, commit);
    assert_eq!(fingerprint(&desk.place.shop()), before);
}

#[tokio::test]
async fn links_are_committed_as_links_and_never_followed() {
    let desk = Desk::new(Place::new()).await;
    let secrets = desk.place.path("secrets");
    fs::create_dir(&secrets).unwrap();
    fs::write(secrets.join("key"), "secret").unwrap();
    fs::remove_dir_all(desk.clone().join("src")).unwrap();
    symlink(&secrets, desk.clone().join("src")).unwrap();
    symlink(secrets.join("key"), desk.clone().join("key")).unwrap();
    symlink("..", desk.clone().join("up")).unwrap();
    symlink("loop", desk.clone().join("loop")).unwrap();
    symlink(secrets.join("key"), desk.clone().join(".gitignore")).unwrap();
    symlink(secrets.join("key"), desk.clone().join(".gitattributes")).unwrap();
    let commit = desk.commit().await;
    let tree = desk.tree(&commit);
    for name in ["src", "key", "up", "loop", ".gitignore", ".gitattributes"] {
        let line = tree.lines().find(|line| line.ends_with(&format!("\t{name}")));
        assert!(line.is_some_and(|line| line.starts_with("120000 ")), "{name}: {tree}");
    }
    assert!(!tree.contains("src/"), "{tree}");
    assert_eq!(tree, desk.tree_by_git());
}

#[tokio::test]
async fn a_clone_that_itself_became_a_link_is_refused() {
    let desk = Desk::new(Place::new()).await;
    fs::remove_dir_all(desk.clone()).unwrap();
    symlink(desk.place.shop(), desk.clone()).unwrap();
    assert!(matches!(desk.refused().await, work::Error::Unreadable { .. }));
}

#[tokio::test]
async fn pipes_sockets_and_the_like_are_left_out_and_named() {
    let desk = Desk::new(Place::new()).await;
    let clone = desk.clone();
    let pipe = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    pipe(&clone.join("pipe"));
    fs::remove_file(clone.join("src/shop.py")).unwrap();
    pipe(&clone.join("src/shop.py"));
    pipe(&clone.join(".gitignore"));
    let _socket = std::os::unix::net::UnixListener::bind(clone.join("socket")).unwrap();
    let kept = desk.keep().await;
    let named: Vec<String> = kept.left_out.iter().map(ToString::to_string).collect();
    assert_eq!(
        named,
        [
            "`.gitignore` (a named pipe)",
            "`pipe` (a named pipe)",
            "`socket` (a socket)",
            "`src/shop.py` (a named pipe)"
        ]
    );
    let changed = desk.bare.changed_paths(&desk.base, &kept.commit.unwrap()).await.unwrap();
    assert_eq!(changed, [b"src/shop.py".to_vec()]);
}

#[tokio::test]
async fn nested_repositories_are_refused_with_their_names() {
    let desk = Desk::new(Place::new()).await;
    desk.place.user_in(&desk.clone(), ["init", "-q", "src"]);
    fs::create_dir_all(desk.clone().join("lib/a")).unwrap();
    desk.write("lib/a/.git", "gitdir: /nowhere\n");
    fs::create_dir_all(desk.clone().join("lib/b")).unwrap();
    symlink("/nowhere", desk.clone().join("lib/b/.git")).unwrap();
    // A file of the base that became one.
    fs::remove_file(desk.clone().join("README.md")).unwrap();
    desk.place.user_in(&desk.clone(), ["init", "-q", "README.md"]);
    let error = desk.refused().await;
    let work::Error::NestedRepositories { mut folders } = error else { panic!("{error}") };
    folders.sort();
    assert_eq!(folders, ["README.md/", "lib/a/", "lib/b/", "src/"]);
}

#[tokio::test]
async fn names_that_are_a_git_folder_on_some_system_are_refused() {
    for name in [
        ".GIT/config",
        ".Git/config",
        ".git /config",
        ".git./config",
        "git~1/config",
        "GIT~1",
        ".git::$INDEX_ALLOCATION/config",
        "a\\.git\\config",
        ".g\u{200c}it/config",
        "sub/.gi\u{200d}t",
    ] {
        let desk = Desk::new(Place::new()).await;
        desk.write(name, "[core]\n\tfsmonitor = evil\n");
        let error = desk.refused().await;
        assert!(matches!(&error, work::Error::ForbiddenName { .. }), "{name}: {error}");
    }
}

#[tokio::test]
async fn settings_for_submodules_that_would_execute_something_are_refused() {
    let desk = Desk::new(Place::new()).await;
    desk.write(".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = -u./evil\n\tupdate = !evil\n");
    let error = desk.refused().await;
    assert!(matches!(&error, work::Error::NotStorable { said } if said.contains("gitmodules")), "{error}");
    fs::remove_file(desk.clone().join(".gitmodules")).unwrap();
    symlink("/etc/passwd", desk.clone().join(".gitmodules")).unwrap();
    let error = desk.refused().await;
    assert!(matches!(&error, work::Error::ForbiddenName { path } if path == ".gitmodules"), "{error}");
}

#[tokio::test]
async fn what_was_bad_in_the_commit_before_does_not_stop_the_work() {
    let place = Place::new();
    place.write(".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = -u./evil\n");
    place.write(".gitattributes", format!("x {}\n", "y ".repeat(2000)));
    place.commit("bad");
    let desk = Desk::new(place).await;
    desk.write("new", "new\n");
    // fsck of the copy complains about the base itself, so this is not asked through the desk's check.
    let commit = desk.keep_unchecked(work::Limits::default()).await.unwrap().commit.unwrap();
    assert_eq!(desk.bare.changed_paths(&desk.base, &commit).await.unwrap(), [b"new".to_vec()]);
}

#[tokio::test]
async fn a_tree_that_is_too_deep_is_refused_and_one_that_is_ignored_is_not_entered() {
    let desk = Desk::new(Place::new()).await;
    let deep = vec!["d"; 300].join("/");
    desk.write(format!("{deep}/file"), "deep");
    assert!(matches!(desk.refused().await, work::Error::TooDeep { .. }));
    desk.write(".gitignore", "/d\n");
    let commit = desk.commit().await;
    assert_eq!(desk.bare.changed_paths(&desk.base, &commit).await.unwrap(), [b".gitignore".to_vec()]);
}

#[tokio::test]
async fn a_commit_that_the_copy_has_not_is_an_error_of_gits() {
    let mut desk = Desk::new(Place::new()).await;
    desk.base = stagewright_engine::name::CommitId::new("1".repeat(40)).unwrap();
    desk.write("new", "new");
    assert!(matches!(desk.try_keep().await.unwrap_err(), Error::Git(_)));
}
