//! Wrong input: one clear message, exit code 2, nothing changed.

use std::path::Path;
use std::process::Command;

use stagewright_e2e::{Host, Ran, Repo, snapshot};

/// Asserts one message on standard error that tells all of `words`, and exit code 2.
#[track_caller]
fn refused(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.exit, 2, "{ran:#?}");
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is not in the message: {ran:#?}");
    }
    assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
}

fn run(host: &Host, repo: &Path, more: &[&str]) -> Ran {
    let mut command = host.command(["run", "--repo"]);
    command.arg(repo).args(more);
    Ran::new(command.output().unwrap())
}

#[test]
fn a_folder_without_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::new();
    refused(&run(&host, folder.path(), &["--work-item", "A-1"]), &[folder.path().to_str().unwrap(), "git"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_that_is_not_there() {
    refused(&run(&Host::new(), Path::new("/no/such/folder"), &["--work-item", "A-1"]), &["/no/such/folder"]);
}

#[test]
fn a_repository_without_a_commit() {
    refused(&run(&Host::new(), &Repo::empty().path(), &["--work-item", "A-1"]), &["commit"]);
}

#[test]
fn a_work_item_key_that_is_a_path() {
    let repo = Repo::passing_with(&[]);
    refused(&run(&Host::new(), &repo.path(), &["--work-item", "../../etc"]), &["work item", "../../etc"]);
}

#[test]
fn a_stage_that_the_pipeline_does_not_have_with_the_near_one() {
    let repo = Repo::passing_with(&[]);
    let args = ["--work-item", "A-1", "--stage", "tesing"];
    refused(&run(&Host::new(), &repo.path(), &args), &["tesing", "testing"]);
}

#[test]
fn a_branch_that_is_not_there() {
    let repo = Repo::passing_with(&[]);
    let args = ["--work-item", "A-1", "--branch", "no-such-branch"];
    refused(&run(&Host::new(), &repo.path(), &args), &["no-such-branch"]);
}

#[test]
fn a_configuration_that_can_not_be_read() {
    let repo = Repo::passing_with(&[]);
    let mut command =
        Host::new().command(["run", "--work-item", "A-1", "--config", "/no/such/file.toml", "--repo"]);
    refused(&Ran::new(command.arg(repo.path()).output().unwrap()), &["/no/such/file.toml"]);
}

#[test]
fn a_configuration_that_is_no_toml_is_told_with_its_line() {
    let repo = Repo::passing_with(&[]);
    let host = Host::new().with_file("[test_runner]\ntimeout_s = = 3\n");
    refused(&run(&host, &repo.path(), &["--work-item", "A-1"]), &["stagewright.toml:2"]);
    assert!(!host.state().exists(), "nothing was made");
}

#[test]
fn an_unknown_key_is_told_with_the_near_one() {
    let repo = Repo::passing_with(&[]);
    let host = Host::new().with_file("[test_runner]\ntimout_s = 3\n");
    refused(
        &run(&host, &repo.path(), &["--work-item", "A-1"]),
        &["timout_s", "timeout_s", "stagewright.toml:2"],
    );
}

#[test]
fn an_unknown_variable_is_told_with_the_near_one() {
    let repo = Repo::passing_with(&[]);
    let mut command = Host::new().command(["run", "--work-item", "A-1", "--repo"]);
    command.arg(repo.path()).env("ORCH_TEST_RUNNER_TIMOUT_S", "3");
    refused(
        &Ran::new(command.output().unwrap()),
        &["ORCH_TEST_RUNNER_TIMOUT_S", "ORCH_TEST_RUNNER_TIMEOUT_S"],
    );
}

#[test]
fn a_store_of_a_newer_version() {
    let repo = Repo::passing_with(&[]);
    let host = Host::new();
    host.run(&repo, "A-1").passed();
    let store = host.state().join("store.sqlite3");
    let done = Command::new("python3")
        .args(["-c", "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute('pragma user_version=9999'); c.commit()"])
        .arg(&store)
        .status()
        .unwrap();
    assert!(done.success());
    refused(&run(&host, &repo.path(), &["--work-item", "A-2"]), &["newer", "store.sqlite3"]);
}

#[test]
fn a_damaged_store() {
    let repo = Repo::passing_with(&[]);
    let host = Host::new();
    std::fs::create_dir_all(host.state()).unwrap();
    let store = host.state().join("store.sqlite3");
    std::fs::write(&store, "this is no database, and it is long enough to be looked at as one ".repeat(100))
        .unwrap();
    let before = std::fs::read(&store).unwrap();
    refused(&run(&host, &repo.path(), &["--work-item", "A-1"]), &["store.sqlite3"]);
    assert_eq!(std::fs::read(&store).unwrap(), before, "the file was changed");
    let left =
        std::fs::read_dir(host.state()).unwrap().flatten().filter(|entry| entry.path().is_dir()).count();
    assert_eq!(left, 0, "folders of a state that can't be used were made");
}

#[test]
fn a_state_folder_inside_the_repository() {
    let repo = Repo::passing_with(&[]);
    let before = snapshot::of(&repo.path());
    let mut command = Host::new().command(["run", "--work-item", "A-1", "--repo"]);
    command.arg(repo.path()).arg("--state-dir").arg(repo.path().join("state"));
    refused(&Ran::new(command.output().unwrap()), &["inside the repository"]);
    assert_eq!(snapshot::of(&repo.path()), before, "the repository was changed");
}

#[test]
fn a_command_that_does_not_exist() {
    refused(&Host::new().call(["rum"]), &["rum", "run"]);
}

#[test]
fn a_missing_work_item() {
    let repo = Repo::passing_with(&[]);
    refused(&run(&Host::new(), &repo.path(), &[]), &["--work-item"]);
}
