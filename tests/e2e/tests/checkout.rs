//! The user's repository is only ever read, and what foreign code leaves in a clone is never executed.

use stagewright_e2e::{Host, Repo, snapshot};

#[test]
fn a_run_touches_nothing_of_the_checkout_index_branches_and_git_folder() {
    let repo = Repo::passing_with(&[("notes.txt", "one\n")]);
    repo.write("notes.txt", "changed\n");
    repo.write("staged.txt", "staged\n");
    repo.git(&["add", "staged.txt"]);
    repo.write("untracked.txt", "untracked\n");
    let before = snapshot::of(&repo.path());
    Host::new().run(&repo, "A-1").passed();
    assert_eq!(snapshot::of(&repo.path()), before);
}

#[test]
fn a_failing_change_that_is_not_committed_does_not_leak_into_the_run() {
    let repo = Repo::with(&[("test_a.py", "def test_a():\n    assert True\n")]);
    repo.write("test_a.py", "def test_a():\n    assert False\n");
    Host::new().run(&repo, "A-1").passed();
}

#[test]
fn a_good_change_that_is_not_committed_does_not_save_a_bad_commit() {
    let repo = Repo::with(&[("test_a.py", "def test_a():\n    assert False\n")]);
    repo.write("test_a.py", "def test_a():\n    assert True\n");
    Host::new().run(&repo, "A-1").failed();
}

#[test]
fn a_hook_and_a_file_system_monitor_that_a_test_plants_are_never_executed() {
    let proof = tempfile::tempdir().unwrap();
    let mark = proof.path().join("executed");
    let text = format!(
        r##"
import os, pathlib, stat
SCRIPT = "#!/bin/sh\ntouch {mark}\n"
def test_plant():
    root = pathlib.Path.cwd()
    hooks = root / ".git" / "hooks"
    hooks.mkdir(parents=True, exist_ok=True)
    names = ["post-checkout", "pre-commit", "post-commit", "reference-transaction", "post-index-change",
             "pre-auto-gc", "fsmonitor-watchman", "update", "pre-receive", "post-rewrite", "post-merge"]
    for name in names:
        hook = hooks / name
        hook.write_text(SCRIPT)
        hook.chmod(0o755)
    monitor = root / "monitor.sh"
    monitor.write_text(SCRIPT)
    monitor.chmod(0o755)
    with open(root / ".git" / "config", "a") as config:
        config.write(f'[core]\n\tfsmonitor = {{monitor}}\n\tpager = {{monitor}}\n\tsshCommand = {{monitor}}\n'
                     f'[diff]\n\texternal = {{monitor}}\n[filter "x"]\n\tclean = {{monitor}}\n\tsmudge = {{monitor}}\n')
    (root / ".gitattributes").write_text("* filter=x diff=x\n")
"##,
        mark = mark.display()
    );
    let repo = Repo::with(&[("test_a.py", &text)]);
    let host = Host::new();
    host.run_with(&repo, "A-1", &["--commit"]).passed();
    host.run(&repo, "A-2").passed();
    assert!(!mark.exists(), "the host executed what a test had planted");
}

#[test]
fn a_hook_and_a_file_system_monitor_of_the_users_repository_are_not_executed_either() {
    let proof = tempfile::tempdir().unwrap();
    let mark = proof.path().join("executed");
    let script = proof.path().join("script.sh");
    std::fs::write(&script, format!("#!/bin/sh\ntouch {}\n", mark.display())).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let repo = Repo::passing_with(&[]);
    for key in ["core.fsmonitor", "uploadpack.packObjectsHook", "core.sshCommand", "core.pager"] {
        repo.git(&["config", key, script.to_str().unwrap()]);
    }
    for hook in ["reference-transaction", "post-checkout", "pre-receive", "update", "post-receive"] {
        std::fs::copy(&script, repo.path().join(".git/hooks").join(hook)).unwrap();
    }
    let _ = std::fs::remove_file(&mark);
    Host::new().run(&repo, "A-1").passed();
    assert!(!mark.exists(), "the host executed what the repository's configuration names");
}

#[test]
fn with_commit_the_artifact_is_added_to_a_branch_that_is_not_checked_out() {
    let repo = Repo::passing_with(&[]);
    repo.git(&["branch", "feature"]);
    let before = repo.git(&["rev-parse", "feature"]);
    let ran = Host::new().run_with(&repo, "A-1", &["--branch", "feature", "--commit"]);
    ran.passed();
    assert_eq!(repo.git(&["rev-parse", "feature~1"]), before);
    let changed = repo.git(&["diff", "--name-only", "feature~1", "feature"]);
    assert_eq!(changed, "docs/work-items/A-1/13-test-report.md");
    let committed = repo.git(&["show", "feature:docs/work-items/A-1/13-test-report.md"]);
    assert_eq!(committed.trim_end(), ran.artifact().trim_end());
}

#[test]
fn with_commit_a_branch_that_is_checked_out_is_left_alone_and_the_way_to_get_it_is_told() {
    let repo = Repo::passing_with(&[]);
    let before = snapshot::of(&repo.path());
    let ran = Host::new().run_with(&repo, "A-1", &["--commit"]);
    ran.passed();
    assert_eq!(snapshot::of(&repo.path()), before);
    assert!(ran.stderr.contains("git "), "it says how to take the commit: {}", ran.stderr);
}
