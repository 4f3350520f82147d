//! Repositories and clones that want the host to execute something, or to reach somewhere.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use stagewright_repository::{Delivery, removal};

use crate::commits::report;
use crate::place::{Place, branch, fingerprint};

const HOOKS: [&str; 14] = [
    "applypatch-msg",
    "pre-commit",
    "commit-msg",
    "post-commit",
    "post-checkout",
    "post-merge",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "reference-transaction",
    "push-to-checkout",
    "post-index-change",
];

/// Sets every trap that is known in the git folder of `checkout`.
pub(crate) fn set_traps(place: &Place, checkout: &Path) {
    let git_dir = checkout.join(".git");
    for hook in HOOKS {
        let trap = place.trap(&format!("traps/{hook}"));
        fs::create_dir_all(git_dir.join("hooks")).unwrap();
        fs::copy(trap, git_dir.join("hooks").join(hook)).unwrap();
    }
    let trap = place.trap("traps/configured").display().to_string();
    let settings = [
        "core.fsmonitor",
        "core.sshCommand",
        "core.gitProxy",
        "core.pager",
        "core.editor",
        "core.alternateRefsCommand",
        "uploadpack.packObjectsHook",
        "uploadarchive.hook",
        "receive.procReceiveRefs",
        "diff.external",
        "filter.trap.clean",
        "filter.trap.smudge",
        "filter.trap.process",
        "gpg.program",
        "credential.helper",
        "gc.recentObjectsHook",
        "remote.origin.uploadpack",
        "remote.origin.vcs",
        "trace2.eventTarget",
    ];
    let mut text = fs::read_to_string(git_dir.join("config")).unwrap();
    for setting in settings {
        let (section, key) = setting.rsplit_once('.').unwrap();
        let header = match section.split_once('.') {
            Some((section, name)) => format!("[{section} \"{name}\"]"),
            None => format!("[{section}]"),
        };
        text.push_str(&format!("{header}\n\t{key} = {trap}\n"));
    }
    text.push_str("[filter \"trap\"]\n\trequired = true\n[commit]\n\tgpgSign = true\n");
    text.push_str(&format!("[remote \"origin\"]\n\turl = ext::{trap}\n\tpromisor = true\n"));
    text.push_str(&format!("[include]\n\tpath = {}\n", place.path("included").display()));
    fs::write(place.path("included"), format!("[core]\n\thooksPath = {}\n", place.path("traps").display()))
        .unwrap();
    fs::write(git_dir.join("config"), text).unwrap();
    fs::create_dir_all(git_dir.join("info")).unwrap();
    fs::write(git_dir.join("info/attributes"), "* filter=trap diff=trap\n").unwrap();
}

#[tokio::test]
async fn a_source_full_of_traps_makes_the_host_execute_nothing() {
    let place = Place::new();
    place.write(".gitattributes", "* filter=trap\n");
    place.commit("attributes");
    place.user(["checkout", "-q", "-b", "elsewhere"]);
    set_traps(&place, &place.shop());

    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    bare.clone_at(&head, Some(&branch("main")), &place.path("clone")).await.unwrap().remove().await.unwrap();
    let commit = report(&bare, &head).await.unwrap();
    assert_eq!(bare.deliver(&branch("main"), &commit, &head).await.unwrap(), Delivery::Delivered);
    place.open().await;
    assert_eq!(place.sprung(), "");

    // The traps are good: the user's own git springs them.
    let _ = std::process::Command::new("git").arg("status").current_dir(place.shop()).output().unwrap();
    assert!(place.sprung().contains("configured"));
}

#[tokio::test]
async fn the_configuration_of_a_source_is_not_obeyed_where_it_would_only_mislead() {
    let place = Place::new();
    let head = place.user_head("main");
    place.user(["config", "transfer.hideRefs", "refs/heads"]);
    place.user(["config", "core.bigFileThreshold", "not a number"]);
    assert_eq!(place.open().await.head(&branch("main")).await.unwrap(), head);
}

#[tokio::test]
async fn a_clone_full_of_traps_is_removed_and_the_host_executes_nothing() {
    let place = Place::new();
    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    let clone = bare.clone_at(&head, Some(&branch("main")), &place.path("clone")).await.unwrap();
    set_traps(&place, clone.path());
    let commit = report(&bare, &head).await.unwrap();
    bare.deliver(&branch("main"), &commit, &head).await.unwrap();
    let path = clone.path().to_owned();
    clone.remove().await.unwrap();
    assert!(!path.exists());
    place.open().await;
    assert_eq!(place.sprung(), "");
}

#[tokio::test]
async fn a_clone_whose_git_folder_became_a_link_is_removed_without_what_it_points_to() {
    let place = Place::new();
    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    let clone = bare.clone_at(&head, Some(&branch("main")), &place.path("clone")).await.unwrap();
    let before = fingerprint(&place.shop());
    fs::remove_dir_all(clone.path().join(".git")).unwrap();
    symlink(place.shop().join(".git"), clone.path().join(".git")).unwrap();
    symlink(place.shop(), clone.path().join("home")).unwrap();
    clone.remove().await.unwrap();
    assert_eq!(fingerprint(&place.shop()), before);
}

#[tokio::test]
async fn a_clone_that_itself_became_a_link_is_only_unlinked() {
    let place = Place::new();
    let bare = place.open().await;
    let head = bare.head(&branch("main")).await.unwrap();
    let clone = bare.clone_at(&head, None, &place.path("clone")).await.unwrap();
    let before = fingerprint(&place.shop());
    fs::remove_dir_all(place.path("clone")).unwrap();
    symlink(place.shop(), place.path("clone")).unwrap();
    clone.remove().await.unwrap();
    assert!(place.path("clone").symlink_metadata().is_err());
    assert_eq!(fingerprint(&place.shop()), before);
}

#[tokio::test]
async fn the_hosts_environment_does_not_reach_git() {
    // Set for the whole test process by no test: a child runs this very test with the variables set.
    if std::env::var_os("STAGEWRIGHT_TEST_CHILD").is_none() {
        let place = Place::new();
        let trap = place.trap("traps/environment");
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hostile::the_hosts_environment_does_not_reach_git"])
            .env("STAGEWRIGHT_TEST_CHILD", "1")
            .env("GIT_DIR", "/nowhere")
            .env("GIT_INDEX_FILE", "/nowhere")
            .env("GIT_OBJECT_DIRECTORY", "/nowhere")
            .env("GIT_EXEC_PATH", "/nowhere")
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "core.fsmonitor")
            .env("GIT_CONFIG_VALUE_0", &trap)
            .env("GIT_SSH_COMMAND", &trap)
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        assert_eq!(place.sprung(), "");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop");
    let run = |args: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.args(args).current_dir(folder.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_") {
                git.env_remove(name);
            }
        }
        git.env("GIT_AUTHOR_NAME", "A").env("GIT_AUTHOR_EMAIL", "a@example.org");
        git.env("GIT_COMMITTER_NAME", "A").env("GIT_COMMITTER_EMAIL", "a@example.org");
        assert!(git.status().unwrap().success());
    };
    run(&["init", "-q", "-b", "main", "shop"]);
    run(&["-C", "shop", "commit", "-q", "--allow-empty", "-m", "begin"]);
    let git = stagewright_repository::git::Git::find(std::env::var_os("PATH").as_deref()).await.unwrap();
    let host = stagewright_repository::Repositories::new(git, &folder.path().join("repos")).unwrap();
    let bare = host.open(&stagewright_engine::name::RepoName::new("shop").unwrap(), &shop).await.unwrap();
    let head = bare.head(&branch("main")).await.unwrap();
    bare.clone_at(&head, None, &folder.path().join("clone")).await.unwrap();
    report(&bare, &head).await.unwrap();
}

#[tokio::test]
async fn a_sweep_removes_what_nobody_claims_and_keeps_the_rest() {
    let place = Place::new();
    let runs = place.path("runs");
    for name in ["dead", "live"] {
        fs::create_dir_all(runs.join(name).join("clone")).unwrap();
    }
    fs::write(runs.join("a file"), "").unwrap();
    let removed = removal::sweep(&runs, |name| name == "live").await.unwrap();
    assert_eq!(removed, 2);
    assert!(runs.join("live/clone").exists());
    assert_eq!(fs::read_dir(&runs).unwrap().count(), 1);
}
