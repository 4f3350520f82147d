//! Several hosts on one copy, and hosts that are killed while they work.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command};

use stagewright_engine::name::RepoName;
use stagewright_repository::Repositories;
use stagewright_repository::git::Git;

use crate::place::{Place, branch};

#[tokio::test]
async fn two_hosts_can_open_a_new_repository_at_the_same_time() {
    let place = Place::new();
    let head = place.user_head("main");
    let opened = tokio::join!(place.open(), place.open(), place.open(), place.open());
    for bare in [opened.0, opened.1, opened.2, opened.3] {
        assert_eq!(bare.head(&branch("main")).await.unwrap(), head);
    }
    let names: Vec<_> =
        fs::read_dir(place.path("state/repos")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "a copy and its lock, nothing else: {names:?}");
}

/// Starts this test program again to run the test `name` as a process of its own that can be killed.
fn start_again(name: &str, place: &Place, git: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", name])
        .env("STAGEWRIGHT_TEST_PLACE", place.path(""))
        .env("STAGEWRIGHT_TEST_GIT", git)
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "the part of the tests below that gets killed"]
async fn a_host_that_opens_the_shop() {
    let Some(place) = std::env::var_os("STAGEWRIGHT_TEST_PLACE").map(std::path::PathBuf::from) else {
        return;
    };
    let git = std::env::var("STAGEWRIGHT_TEST_GIT").unwrap();
    let git = Git::at(std::path::Path::new(&git)).await.unwrap();
    let host = Repositories::new(git, &place.join("state/repos")).unwrap();
    host.open(&RepoName::new("shop").unwrap(), &place.join("shop")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_git_of_a_killed_host_still_writes_nobody_else_does_and_its_leftovers_go() {
    let place = Place::new();
    let head = place.user_head("main");
    place.open().await;
    // A git that, asked to fetch, leaves what a killed one leaves, says that it is there, and stays.
    let real = Git::find(std::env::var_os("PATH").as_deref()).await.unwrap().program().display().to_string();
    let copy = place.path("state/repos/shop.git");
    let (signal, slow) = (place.path("signal"), place.path("slow-git"));
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' fetch '*) ;; *) exec '{real}' \"$@\" ;; esac\n\
         touch '{copy}/packed-refs.lock' '{copy}/objects/pack/tmp_pack_x' '{copy}/refs/source/heads/main.lock'\n\
         echo $$ > '{signal}'\nexec sleep 600\n",
        copy = copy.display(),
        signal = signal.display(),
    );
    fs::write(&slow, script).unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Command::new("mkfifo").arg(&signal).status().unwrap().success());

    let mut host = start_again("crashes::a_host_that_opens_the_shop", &place, slow.to_str().unwrap());
    let mut pid = String::new();
    fs::File::open(&signal).unwrap().read_to_string(&mut pid).unwrap();
    host.kill().unwrap();
    host.wait().unwrap();

    // The host is dead, its git is not: the lock is still held.
    let lock = fs::File::options().write(true).open(place.path("state/repos/shop.lock")).unwrap();
    assert!(matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)));
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();

    let bare = place.open().await;
    assert_eq!(bare.head(&branch("main")).await.unwrap(), head);
    for leftover in ["packed-refs.lock", "objects/pack/tmp_pack_x", "refs/source/heads/main.lock"] {
        assert!(!copy.join(leftover).exists(), "{leftover} is still there");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_killed_at_any_moment_of_its_first_fetch_leaves_a_copy_that_the_next_one_can_use() {
    let place = Place::new();
    for number in 0..200 {
        place.write(format!("data/{number}"), format!("{number}").repeat(5_000));
    }
    let head = place.commit("much");
    let real = Git::find(std::env::var_os("PATH").as_deref()).await.unwrap().program().display().to_string();
    // Spread over the time that an undisturbed one takes; the waiting is the variable, not a wait for anything.
    let began = std::time::Instant::now();
    assert!(start_again("crashes::a_host_that_opens_the_shop", &place, &real).wait().unwrap().success());
    let whole = began.elapsed();
    for step in 1..12 {
        stagewright_repository::removal::remove(&place.path("state")).await.unwrap();
        let mut host = start_again("crashes::a_host_that_opens_the_shop", &place, &real);
        std::thread::sleep(whole * step / 12);
        host.kill().unwrap();
        host.wait().unwrap();
        let bare = place.open().await;
        assert_eq!(bare.head(&branch("main")).await.unwrap(), head, "killed at {step}/12");
        assert_eq!(place.user_in(bare.path(), ["fsck", "--connectivity-only"]), "");
    }
}
