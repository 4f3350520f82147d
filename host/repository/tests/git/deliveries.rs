//! Bringing artifact commits to the user's branch.

use std::path::Path;

use stagewright_engine::name::CommitId;
use stagewright_repository::{Bare, Delivery, Refusal};

use crate::commits::report;
use crate::place::{Place, branch, fingerprint};

/// A host with an artifact commit on `main`, which nobody has checked out.
async fn with_report(place: &Place) -> (Bare, CommitId, CommitId) {
    place.user(["checkout", "-q", "-b", "elsewhere"]);
    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    let commit = report(&bare, &head).await.unwrap();
    (bare, head, commit)
}

#[tokio::test]
async fn a_branch_that_nobody_has_checked_out_gets_the_commit_and_nothing_else_changes() {
    let place = Place::new();
    let (bare, head, commit) = with_report(&place).await;
    let index = std::fs::read(place.shop().join(".git/index")).unwrap();
    let config = std::fs::read(place.shop().join(".git/config")).unwrap();

    let delivered = bare.deliver(&branch("main"), &commit, &head).await.unwrap();
    assert_eq!(delivered, Delivery::Delivered);
    assert_eq!(place.user_head("main"), commit);
    assert_eq!(bare.source_head(&branch("main")).await.unwrap(), commit, "the copy has not noticed");
    assert_eq!(place.user(["fsck", "--full"]), "");
    assert_eq!(place.user(["status", "--porcelain"]), "");
    assert_eq!(place.user_head("HEAD"), head);
    assert!(place.user(["reflog", "main"]).contains("stagewright: artifact"));
    assert_eq!(std::fs::read(place.shop().join(".git/index")).unwrap(), index);
    assert_eq!(std::fs::read(place.shop().join(".git/config")).unwrap(), config);
    assert!(!place.shop().join(".git/FETCH_HEAD").exists());

    assert_eq!(bare.deliver(&branch("main"), &commit, &head).await.unwrap(), Delivery::AlreadyThere);
    assert_eq!(place.open().await.head(&branch("main")).await.unwrap(), commit);
}

#[tokio::test]
async fn a_branch_that_is_checked_out_is_left_alone_and_the_command_that_is_told_takes_the_commit() {
    let place = Place::new();
    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    let commit = report(&bare, &head).await.unwrap();
    let before = fingerprint(&place.shop());

    let delivered = bare.deliver(&branch("main"), &commit, &head).await.unwrap();
    let Delivery::Refused(Refusal::CheckedOut { folder, command }) = delivered else {
        panic!("{delivered:?}")
    };
    assert_eq!(folder, place.shop());
    assert_eq!(fingerprint(&place.shop()), before);

    let shell = std::process::Command::new("sh")
        .arg("-c")
        .arg(&command)
        .env("HOME", place.path(""))
        .output()
        .unwrap();
    assert!(shell.status.success(), "{command}: {}", String::from_utf8_lossy(&shell.stderr));
    assert_eq!(place.user_head("main"), commit);
    assert!(place.shop().join(crate::commits::PATH).exists());
}

#[tokio::test]
async fn a_branch_in_a_linked_worktree_or_under_rebase_or_bisection_counts_as_checked_out() {
    let place = Place::new();
    let (bare, head, commit) = with_report(&place).await;
    let linked = place.path("linked");
    place.user(["worktree", "add", "-q", linked.to_str().unwrap(), "main"]);
    let refused = |delivered: Delivery, where_: &Path| match delivered {
        Delivery::Refused(Refusal::CheckedOut { folder, .. }) => assert_eq!(folder, where_),
        other => panic!("{other:?}"),
    };
    refused(bare.deliver(&branch("main"), &commit, &head).await.unwrap(), &linked);

    place.user_in(&linked, ["bisect", "start"]);
    place.user_in(&linked, ["checkout", "-q", "--detach"]);
    refused(bare.deliver(&branch("main"), &commit, &head).await.unwrap(), &linked);
    place.user_in(&linked, ["bisect", "reset"]);
    place.user_in(&linked, ["checkout", "-q", "--detach"]);
    assert_eq!(bare.deliver(&branch("main"), &commit, &head).await.unwrap(), Delivery::Delivered);
}

#[tokio::test]
async fn a_branch_that_the_user_has_moved_is_left_where_the_user_put_it() {
    let place = Place::new();
    let (bare, head, commit) = with_report(&place).await;
    let pushed = place.commit("pushed meanwhile");
    place.user(["branch", "-f", "main", "elsewhere"]);
    let delivered = bare.deliver(&branch("main"), &commit, &head).await.unwrap();
    assert_eq!(delivered, Delivery::Refused(Refusal::Moved { actual: Some(pushed.clone()) }));
    assert_eq!(place.user_head("main"), pushed);

    place.user(["branch", "-D", "main"]);
    let delivered = bare.deliver(&branch("main"), &commit, &head).await.unwrap();
    assert_eq!(delivered, Delivery::Refused(Refusal::Moved { actual: None }));
}

#[tokio::test]
async fn code_is_never_delivered() {
    let place = Place::new();
    let head = place.user_head("main");
    place.user(["checkout", "-q", "-b", "elsewhere"]);
    place.write("src/shop.py", "PRICE = 6\n");
    let code = place.commit("code");
    let bare = place.open().await;
    let delivered = bare.deliver(&branch("main"), &code, &head).await.unwrap();
    assert_eq!(delivered, Delivery::Refused(Refusal::NotTheHosts));
    assert_eq!(place.user_head("main"), head);
}

#[tokio::test]
async fn bare_packed_and_reftable_repositories_take_a_delivery_too() {
    let place = Place::new();
    let source = place.path("bare.git");
    place.user(["clone", "-q", "--bare", ".", source.to_str().unwrap()]);
    place.user_in(&source, ["pack-refs", "--all"]);
    let bare = place.try_open(&source).await.unwrap();
    let head = bare.head(&branch("main")).await.unwrap();
    let commit = report(&bare, &head).await.unwrap();
    assert_eq!(bare.deliver(&branch("main"), &commit, &head).await.unwrap(), Delivery::Delivered);
    assert_eq!(place.user_in(&source, ["rev-parse", "main"]), commit.as_str());
    assert!(source.join("packed-refs").symlink_metadata().unwrap().is_file());

    let place = Place::empty();
    place.user(["init", "-q", "-b", "main", "--ref-format=reftable", "."]);
    place.commit("begin");
    let (bare, head, commit) = with_report(&place).await;
    assert_eq!(bare.deliver(&branch("main"), &commit, &head).await.unwrap(), Delivery::Delivered);
    assert_eq!(place.user_head("main"), commit);
    assert_eq!(place.user(["fsck"]), "");
}
