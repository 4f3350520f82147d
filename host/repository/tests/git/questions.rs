//! Questions about branches, commits and differences.

use stagewright_repository::{Error, SuiteFileKind};

use crate::place::{Place, branch, key};

#[tokio::test]
async fn a_revision_is_a_branch_a_tag_or_a_commit_and_never_an_option() {
    let place = Place::new();
    let first = place.user_head("HEAD");
    place.user(["tag", "-a", "-m", "one", "v1"]);
    let second = place.commit("second");
    let bare = place.open().await;
    assert_eq!(bare.resolve("main").await.unwrap(), second);
    assert_eq!(bare.resolve("v1").await.unwrap(), first);
    assert_eq!(bare.resolve(first.as_str()).await.unwrap(), first);
    assert_eq!(bare.resolve(first.short()).await.unwrap(), first);
    for text in ["nothing", "--all", "-q", "", "a b", "main\0", &"0".repeat(40)] {
        let error = bare.resolve(text).await.unwrap_err();
        assert!(matches!(error, Error::NoSuchRevision { .. }), "{text:?}: {error}");
        assert!(error.to_string().contains("its branches are main"), "{error}");
    }
}

#[tokio::test]
async fn a_commit_is_an_artifacts_by_what_it_changes_and_not_by_who_made_it() {
    let place = Place::new();
    let examined = place.user_head("HEAD");
    place.write("docs/work-items/ORCH-1/13-test-report.md", "---\n");
    let artifact = place.commit("a report");
    place.write("docs/work-items/ORCH-10/13-test-report.md", "---\n");
    let another = place.commit("a report of a work item whose key begins alike");
    place.write("src/shop.py", "PRICE = 5\n");
    place.user(["add", "-A"]);
    let code = place.commit("stagewright: test report");
    let bare = place.open().await;

    assert!(bare.only_artifacts_between(&examined, &examined, &[key("ORCH-1")]).await.unwrap());
    assert!(bare.only_artifacts_between(&examined, &artifact, &[key("ORCH-1")]).await.unwrap());
    assert!(!bare.only_artifacts_between(&examined, &artifact, &[key("ORCH-10")]).await.unwrap());
    assert!(!bare.only_artifacts_between(&examined, &another, &[key("ORCH-1")]).await.unwrap());
    assert!(!bare.only_artifacts_between(&artifact, &code, &[key("ORCH-10")]).await.unwrap());
}

#[tokio::test]
async fn only_a_plain_markdown_file_right_in_the_folder_is_a_report() {
    let place = Place::new();
    let folder = place.shop().join("docs/work-items/ORCH-1");
    std::fs::create_dir_all(folder.join("deeper")).unwrap();
    for name in ["conftest.py", "deeper/13-test-report.md", ".hidden.md", "report.md.py"] {
        let examined = place.user_head("HEAD");
        place.write(format!("docs/work-items/ORCH-1/{name}"), "x\n");
        place.user(["add", "-A"]);
        let other = place.commit(name);
        let only = place.open().await.only_artifacts_between(&examined, &other, &[key("ORCH-1")]).await;
        assert!(!only.unwrap(), "{name}");
    }
    let examined = place.user_head("HEAD");
    std::os::unix::fs::symlink("../../../src/shop.py", folder.join("link.md")).unwrap();
    place.user(["add", "-A"]);
    let link = place.commit("a link");
    std::fs::remove_file(folder.join("link.md")).unwrap();
    place.write("docs/work-items/ORCH-1/run.md", "#!/bin/sh\n");
    std::fs::set_permissions(folder.join("run.md"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    place.user(["add", "-A"]);
    let program = place.commit("a program");
    let bare = place.open().await;
    for other in [&link, &program] {
        assert!(!bare.only_artifacts_between(&examined, other, &[key("ORCH-1")]).await.unwrap(), "{other}");
    }
    assert!(bare.only_artifacts_between(&program, &link, &[]).await.is_ok_and(|only| !only));
}

#[tokio::test]
async fn a_commit_that_is_gone_is_other_code_and_not_a_failure() {
    let place = Place::new();
    let head = place.user_head("HEAD");
    let gone = stagewright_engine::name::CommitId::new("0123456789012345678901234567890123456789").unwrap();
    let bare = place.open().await;
    assert!(!bare.only_artifacts_between(&gone, &head, &[key("ORCH-1")]).await.unwrap());
}

#[tokio::test]
async fn a_file_moved_into_the_artifacts_folder_is_a_change_of_code() {
    let place = Place::new();
    let examined = place.user_head("HEAD");
    std::fs::create_dir_all(place.shop().join("docs/work-items/ORCH-1")).unwrap();
    place.user(["mv", "src/shop.py", "docs/work-items/ORCH-1/shop.py"]);
    let moved = place.commit("moved");
    let bare = place.open().await;
    assert!(!bare.only_artifacts_between(&examined, &moved, &[key("ORCH-1")]).await.unwrap());
}

#[tokio::test]
async fn a_file_in_place_of_the_artifacts_folder_is_a_change_of_code() {
    let place = Place::new();
    let examined = place.user_head("HEAD");
    place.write("docs/work-items/ORCH-1", "a file\n");
    let file = place.commit("a file");
    let bare = place.open().await;
    assert!(!bare.only_artifacts_between(&examined, &file, &[key("ORCH-1")]).await.unwrap());
}

#[tokio::test]
async fn files_that_change_what_a_green_suite_means_are_found_between_commits() {
    let place = Place::new();
    let base = place.user_head("HEAD");
    place.write("tests/conftest.py", "\n");
    place.write("uv.lock", "\n");
    place.write("src/shop.py", "PRICE = 5\n");
    let commit = place.commit("more");
    let found = place.open().await.touched_suite_files(&base, &commit).await.unwrap();
    let found: Vec<_> = found.iter().map(|file| (file.path.as_str(), file.kind)).collect();
    assert_eq!(found, [("tests/conftest.py", SuiteFileKind::Conftest), ("uv.lock", SuiteFileKind::Lock)]);
}

#[tokio::test]
async fn merge_bases_are_found_and_unrelated_histories_have_none() {
    let place = Place::new();
    let base = place.user_head("HEAD");
    place.user(["checkout", "-q", "-b", "feature"]);
    let feature = place.commit("feature");
    place.user(["checkout", "-q", "main"]);
    let main = place.commit("main goes on");
    place.user(["checkout", "-q", "--orphan", "island"]);
    let island = place.commit("island");
    let bare = place.open().await;
    assert_eq!(bare.merge_base(&feature, &main).await.unwrap(), Some(base.clone()));
    assert_eq!(bare.merge_base(&feature, &island).await.unwrap(), None);
    assert!(bare.is_ancestor(&base, &main).await.unwrap());
    assert!(!bare.is_ancestor(&main, &feature).await.unwrap());
}

#[tokio::test]
async fn files_of_a_commit_are_listed_and_read_within_a_limit() {
    let place = Place::new();
    place.write("with space/ünïcode \"q\".txt", "text");
    let commit = place.commit("more");
    let bare = place.open().await;
    assert_eq!(bare.list(&commit, "").await.unwrap(), ["README.md", "src/", "with space/"]);
    assert_eq!(bare.list(&commit, "with space").await.unwrap(), ["ünïcode \"q\".txt"]);
    assert!(bare.list(&commit, "nowhere").await.unwrap().is_empty());
    assert_eq!(bare.read_file(&commit, "README.md", 100).await.unwrap().unwrap(), b"a shop\n");
    assert_eq!(bare.read_file(&commit, "with space/ünïcode \"q\".txt", 4).await.unwrap().unwrap(), b"text");
    for absent in
        ["nowhere", "src", "README.md/x", "../README.md", "./README.md", "src/../README.md", "", "a\nb"]
    {
        assert_eq!(bare.read_file(&commit, absent, 100).await.unwrap(), None, "{absent:?}");
    }
    let error = bare.read_file(&commit, "README.md", 3).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 3, .. }), "{error}");
}

#[tokio::test]
async fn the_users_head_wins_over_the_hosts_commits_whenever_the_user_has_moved() {
    let place = Place::new();
    let first = place.user_head("HEAD");
    place.write("src/shop.py", "PRICE = 5\n");
    place.commit("second");
    let bare = place.open().await;
    let with_report =
        crate::commits::report(&bare, &bare.head(&branch("main")).await.unwrap()).await.unwrap();
    assert_eq!(bare.head(&branch("main")).await.unwrap(), with_report);

    // The user takes the second commit back. The host's commit stands on it, and must not bring it back.
    place.user(["reset", "-q", "--hard", first.as_str()]);
    assert_eq!(place.open().await.head(&branch("main")).await.unwrap(), first);

    let third = place.commit("third");
    assert_eq!(place.open().await.head(&branch("main")).await.unwrap(), third);
}
