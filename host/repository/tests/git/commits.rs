//! Artifact commits in the bare copy.

use std::os::unix::fs::symlink;

use stagewright_engine::name::CommitId;
use stagewright_engine::time::Timestamp;
use stagewright_repository::{ArtifactCommit, Author, Bare, Error};

use crate::place::{Place, branch, fingerprint, key};

pub(crate) const PATH: &str = "docs/work-items/ORCH-1/13-test-report.md";

/// Commits a report to `main`.
pub(crate) async fn report(bare: &Bare, expected_head: &CommitId) -> Result<CommitId, Error> {
    at_path(bare, expected_head, PATH, "---\nresult: PASS\n---\n").await
}

pub(crate) async fn at_path(
    bare: &Bare,
    expected_head: &CommitId,
    path: &str,
    text: &str,
) -> Result<CommitId, Error> {
    let author = Author { name: "stagewright".to_owned(), email: "stagewright@example.org".to_owned() };
    bare.commit_artifact(&ArtifactCommit {
        branch: &branch("main"),
        expected_head,
        path,
        bytes: text.as_bytes(),
        message: "ORCH-1: test report\n\nPASS\n",
        author: &author,
        when: Timestamp::from_millis(1_700_000_000_123),
    })
    .await
}

#[tokio::test]
async fn an_artifact_becomes_one_commit_with_one_file_and_the_user_sees_nothing_of_it() {
    let place = Place::new();
    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    let before = fingerprint(&place.shop());
    let commit = report(&bare, &head).await.unwrap();

    assert_eq!(bare.changed_paths(&head, &commit).await.unwrap(), [PATH.as_bytes()]);
    assert!(bare.only_artifacts_between(&head, &commit, &[key("ORCH-1")]).await.unwrap());
    assert_eq!(bare.read_file(&commit, PATH, 100).await.unwrap().unwrap(), b"---\nresult: PASS\n---\n");
    assert_eq!(bare.head(&branch("main")).await.unwrap(), commit);
    assert_eq!(bare.source_head(&branch("main")).await.unwrap(), head);
    let shown =
        place.user_in(bare.path(), ["log", "-1", "--format=%P|%an|%ae|%at|%ct|%s|%b", commit.as_str()]);
    assert_eq!(
        shown,
        format!("{head}|stagewright|stagewright@example.org|1700000000|1700000000|ORCH-1: test report|PASS")
    );
    assert_eq!(fingerprint(&place.shop()), before);
}

#[tokio::test]
async fn artifacts_of_several_stages_pile_up_on_the_branch() {
    let place = Place::new();
    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    let first = report(&bare, &head).await.unwrap();
    let second = at_path(&bare, &first, "docs/work-items/ORCH-1/15-staging-log.md", "x").await.unwrap();
    assert!(bare.is_ancestor(&first, &second).await.unwrap());
    assert_eq!(place.open().await.head(&branch("main")).await.unwrap(), second);
}

#[tokio::test]
async fn the_same_artifact_again_makes_no_commit() {
    let place = Place::new();
    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    let commit = report(&bare, &head).await.unwrap();
    assert_eq!(report(&bare, &commit).await.unwrap(), commit);
}

#[tokio::test]
async fn a_commit_on_a_head_that_has_moved_is_refused() {
    let place = Place::new();
    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    let commit = report(&bare, &head).await.unwrap();
    let error = at_path(&bare, &head, PATH, "another").await.unwrap_err();
    assert!(matches!(&error, Error::HeadMoved { actual: Some(actual), .. } if *actual == commit), "{error}");

    let pushed = place.commit("pushed meanwhile");
    let bare = place.open().await;
    let error = at_path(&bare, &commit, PATH, "another").await.unwrap_err();
    assert!(matches!(&error, Error::HeadMoved { actual: Some(actual), .. } if *actual == pushed), "{error}");
}

#[tokio::test]
async fn of_two_commits_on_the_same_head_one_wins() {
    let place = Place::new();
    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    let (one, other) = tokio::join!(at_path(&bare, &head, PATH, "one"), at_path(&bare, &head, PATH, "other"));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    let winner = one.as_ref().or(other.as_ref()).unwrap();
    assert_eq!(bare.head(&branch("main")).await.unwrap(), *winner);
}

#[tokio::test]
async fn a_file_or_a_link_in_place_of_the_artifacts_folder_is_named() {
    for (obstacle, what) in
        [("docs", "a file"), ("docs/work-items", "a file"), ("docs/work-items/ORCH-1", "a file")]
    {
        let place = Place::new();
        place.write(obstacle, "in the way");
        let head = place.commit("an obstacle");
        let error = report(&place.open().await, &head).await.unwrap_err();
        assert!(error.to_string().contains(&format!("`{obstacle}` is {what}")), "{error}");
    }
    for obstacle in ["docs", "docs/work-items", PATH] {
        let place = Place::new();
        let link = place.shop().join(obstacle);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink("/etc", link).unwrap();
        let head = place.commit("an obstacle");
        let error = report(&place.open().await, &head).await.unwrap_err();
        assert!(error.to_string().contains(&format!("`{obstacle}` is a symbolic link")), "{error}");
    }
    let place = Place::new();
    place.write(format!("{PATH}/file"), "");
    let head = place.commit("an obstacle");
    let error = report(&place.open().await, &head).await.unwrap_err();
    assert!(error.to_string().contains("is a folder"), "{error}");
}

#[tokio::test]
async fn a_path_outside_of_a_work_items_folder_is_refused() {
    let place = Place::new();
    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    for path in [
        "src/shop.py",
        "docs/work-items/x.md",
        "docs/work-items/ORCH-1/../../../x",
        "docs/work-items/.git/config",
        "docs/work-items/ORCH-1/.git/config",
        "docs/work-items/ORCH-1//x",
        "docs/work-items/ORCH-1/a\nb",
        "/docs/work-items/ORCH-1/x",
    ] {
        let error = at_path(&bare, &head, path, "x").await.unwrap_err();
        assert!(matches!(error, Error::BadPath { .. }), "{path:?}: {error}");
    }
}
