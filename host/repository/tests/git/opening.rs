//! Opening a user's repository, in every form that one can have.

use std::fs;

use stagewright_repository::Error;
use stagewright_repository::source::{self, Head};

use crate::place::{Place, branch, fingerprint};

#[tokio::test]
async fn a_repository_is_found_from_a_folder_inside_it_and_left_untouched() {
    let place = Place::new();
    place.write("src/shop.py", "PRICE = 4 # not committed\n");
    place.write("new file", "not added\n");
    let before = fingerprint(&place.shop());

    let bare = place.try_open(&place.shop().join("src")).await.unwrap();
    let head = bare.head(&branch("main")).await.unwrap();
    bare.clone_at(&head, Some(&branch("main")), &place.path("clone")).await.unwrap();

    assert_eq!(bare.source().top, place.shop());
    assert_eq!(bare.source().head, Head::Branch { name: branch("main"), commit: Some(head.clone()) });
    assert_eq!(head, place.user_head("HEAD"));
    assert_eq!(fingerprint(&place.shop()), before);
    assert_eq!(fs::read_to_string(place.path("clone/src/shop.py")).unwrap(), "PRICE = 3\n");
    assert!(!place.path("clone/new file").exists());
}

#[tokio::test]
async fn new_rewritten_and_deleted_branches_are_followed() {
    let place = Place::new();
    place.user(["branch", "old"]);
    place.user(["tag", "v1"]);
    let first = place.open().await.head(&branch("main")).await.unwrap();

    place.user(["commit", "-q", "--amend", "-m", "begin again"]);
    place.user(["branch", "-D", "old"]);
    place.user(["tag", "-d", "v1"]);
    // A branch below the name of a deleted one.
    place.user(["branch", "old/b"]);
    let bare = place.open().await;

    let second = bare.head(&branch("main")).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(second, place.user_head("main"));
    assert_eq!(bare.branches(), [branch("main"), branch("old/b")]);
    assert!(bare.resolve("v1").await.is_err());
}

#[tokio::test]
async fn a_detached_head_is_said_to_be_one() {
    let place = Place::new();
    place.user(["checkout", "-q", "--detach"]);
    let commit = place.commit("on no branch");
    let bare = place.open().await;
    assert_eq!(bare.source().head, Head::Detached { commit: commit.clone() });
    assert_eq!(bare.source().branch(), None);
    bare.clone_at(&commit, None, &place.path("clone")).await.unwrap();
    assert_eq!(place.user_in(&place.path("clone"), ["rev-parse", "HEAD"]), commit.as_str());
}

#[tokio::test]
async fn a_bare_repository_a_linked_worktree_and_a_submodule_are_repositories_too() {
    let place = Place::new();
    let head = place.user_head("HEAD");
    let clone = place.path("bare.git");
    place.user(["clone", "-q", "--bare", "."].map(OsString::from).into_iter().chain([clone.clone().into()]));
    let bare = place.try_open(&clone).await.unwrap();
    assert!(bare.source().bare);
    assert_eq!(bare.head(&branch("main")).await.unwrap(), head);

    let linked = place.path("linked");
    place.user(
        ["worktree", "add", "-q", "-b", "feature"]
            .map(OsString::from)
            .into_iter()
            .chain([linked.clone().into()]),
    );
    let bare = place.try_open(&linked).await.unwrap();
    assert!(!bare.source().bare);
    assert_eq!(bare.source().top, linked);
    assert_eq!(bare.source().branch(), Some(&branch("feature")));

    let outer = place.path("outer");
    fs::create_dir(&outer).unwrap();
    place.user_in(&outer, ["init", "-q", "-b", "main", "."]);
    let add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add"].map(OsString::from);
    place.user_in(&outer, add.into_iter().chain([place.shop().into(), "inner".into()]));
    let bare = place.try_open(&outer.join("inner")).await.unwrap();
    assert_eq!(bare.source().top, outer.join("inner"));
    assert_eq!(bare.head(&branch("main")).await.unwrap(), head);
}

#[tokio::test]
async fn a_repository_with_sha256_objects_works_to_the_end() {
    let place = Place::empty();
    place.user(["init", "-q", "-b", "main", "--object-format=sha256", "."]);
    place.write("a", "b");
    let head = place.commit("begin");
    assert_eq!(head.as_str().len(), 64);
    let bare = place.open().await;
    bare.clone_at(&head, Some(&branch("main")), &place.path("clone")).await.unwrap();
    assert_eq!(place.user_in(&place.path("clone"), ["log", "--format=%H"]), head.as_str());
}

#[tokio::test]
async fn a_repository_whose_refs_are_a_reftable_works_in_linked_worktrees_too() {
    let place = Place::empty();
    place.user(["init", "-q", "-b", "main", "--ref-format=reftable", "."]);
    place.write("a", "b");
    let head = place.commit("begin");
    let before = fingerprint(&place.shop());
    let bare = place.open().await;
    assert_eq!(bare.source().head, Head::Branch { name: branch("main"), commit: Some(head) });
    assert_eq!(fingerprint(&place.shop()), before);

    let linked = place.path("linked");
    place.user(
        ["worktree", "add", "-q", "-b", "feature"]
            .map(OsString::from)
            .into_iter()
            .chain([linked.clone().into()]),
    );
    assert_eq!(place.try_open(&linked).await.unwrap().source().branch(), Some(&branch("feature")));
}

#[tokio::test]
async fn a_shallow_repository_works_and_may_become_whole_later() {
    let place = Place::new();
    place.commit("second");
    let head = place.commit("third");
    let shallow = place.path("shallow");
    let url = format!("file://{}", place.shop().display());
    place.user(
        ["clone", "-q", "--depth=1", &url].map(OsString::from).into_iter().chain([shallow.clone().into()]),
    );

    let bare = place.try_open(&shallow).await.unwrap();
    assert!(bare.source().shallow);
    bare.clone_at(&head, Some(&branch("main")), &place.path("clone")).await.unwrap();
    assert_eq!(place.user_in(&place.path("clone"), ["rev-list", "--count", "HEAD"]), "1");

    place.user_in(&shallow, ["fetch", "-q", "--unshallow"]);
    let bare = place.try_open(&shallow).await.unwrap();
    bare.clone_at(&head, Some(&branch("main")), &place.path("whole")).await.unwrap();
    assert_eq!(place.user_in(&place.path("whole"), ["rev-list", "--count", "HEAD"]), "3");
}

#[tokio::test]
async fn a_partial_clone_that_lacks_objects_is_refused_without_fetching_them() {
    let place = Place::new();
    place.write("src/shop.py", "PRICE = 5\n");
    place.commit("raise the price");
    place.user(["config", "uploadpack.allowFilter", "true"]);
    let partial = place.path("partial");
    let url = format!("file://{}", place.shop().display());
    let clone = ["clone", "-q", "--filter=blob:none", &url].map(OsString::from);
    place.user(clone.into_iter().chain([partial.clone().into()]));
    let before = fingerprint(&partial);

    let error = place.try_open(&partial).await.unwrap_err();
    assert!(matches!(error, Error::Source(source::Error::Partial { .. })), "{error}");
    assert!(error.to_string().contains("full clone"), "{error}");
    assert_eq!(fingerprint(&partial), before);
}

#[tokio::test]
async fn a_borrowing_repository_and_one_with_packed_refs_are_read_whole() {
    let place = Place::new();
    let borrower = place.path("borrower");
    place.user(
        ["clone", "-q", "--shared", "."].map(OsString::from).into_iter().chain([borrower.clone().into()]),
    );
    place.user_in(&borrower, ["pack-refs", "--all"]);
    let head = place.user_head("HEAD");
    assert_eq!(place.try_open(&borrower).await.unwrap().head(&branch("main")).await.unwrap(), head);
}

#[tokio::test]
async fn what_is_no_usable_repository_is_told_with_the_way_out() {
    let place = Place::empty();
    let error = place.try_open(&place.shop()).await.unwrap_err();
    assert!(matches!(error, Error::Source(source::Error::NotARepository { .. })), "{error}");

    let error = place.try_open(&place.path("nowhere")).await.unwrap_err();
    assert!(matches!(error, Error::Source(source::Error::Unreadable { .. })), "{error}");

    place.user(["init", "-q", "-b", "main", "."]);
    let error = place.try_open(&place.shop()).await.unwrap_err();
    assert!(matches!(error, Error::Source(source::Error::Empty { .. })), "{error}");

    let lost = place.path("lost");
    fs::create_dir(&lost).unwrap();
    fs::write(lost.join(".git"), "gitdir: /nowhere/at/all\n").unwrap();
    let error = place.try_open(&lost).await.unwrap_err();
    assert!(matches!(error, Error::Source(source::Error::BrokenLink { .. })), "{error}");
    assert!(error.to_string().contains("git worktree repair"), "{error}");

    place.user(["config", "core.repositoryFormatVersion", "1"]);
    place.user(["config", "extensions.teleport", "on"]);
    let error = place.try_open(&place.shop()).await.unwrap_err();
    assert!(error.to_string().contains("extensions.teleport=on"), "{error}");
}

#[tokio::test]
async fn a_branch_without_a_commit_beside_one_with_commits_is_no_empty_repository() {
    let place = Place::new();
    place.user(["checkout", "-q", "--orphan", "fresh"]);
    let bare = place.open().await;
    assert_eq!(bare.source().head, Head::Branch { name: branch("fresh"), commit: None });
    let error = bare.head(&branch("fresh")).await.unwrap_err();
    assert!(error.to_string().contains("its branches are main"), "{error}");
}

#[tokio::test]
async fn a_repository_of_another_object_format_under_the_same_name_is_refused() {
    let place = Place::new();
    place.open().await;
    fs::remove_dir_all(place.shop()).unwrap();
    fs::create_dir(place.shop()).unwrap();
    place.user(["init", "-q", "-b", "main", "--object-format=sha256", "."]);
    place.commit("begin");
    let error = place.try_open(&place.shop()).await.unwrap_err();
    assert!(matches!(error, Error::Source(source::Error::FormatChanged { .. })), "{error}");
}

use std::ffi::OsString;
