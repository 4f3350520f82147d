//! Commands that are ended, and the proof that all that came of them is gone.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use stagewright_capability::ssh::{Exit, RemoteState};
use stagewright_engine::outcome::Cause;

use crate::scene::{LONG, Scene, command, gone};

/// On one machine an enclosure that changes nothing is the hardest one: both levels see each other.
const ENCLOSURE: &[&str] = &["env", "IN=1"];

#[tokio::test]
async fn a_connection_that_is_cut_ends_the_whole_tree_before_it_is_told() {
    for enclosure in [&[], ENCLOSURE] {
        let scene = Scene::new();
        let (task, family) = scene.family_in(enclosure).await;
        scene.sshd.cut();
        match task.await.unwrap().unwrap().exit {
            Exit::Interrupted(failure, state) => {
                assert_eq!((failure.code, state), ("connection-lost", RemoteState::Ended));
            }
            other => panic!("{other:?}"),
        }
        assert!(family.iter().all(|process| gone(process, Duration::ZERO)), "something still runs");
    }
}

#[tokio::test]
async fn a_cancel_ends_the_whole_tree_before_it_is_told() {
    for enclosure in [&[], ENCLOSURE] {
        let scene = Scene::new();
        let (task, family) = scene.family_in(enclosure).await;
        scene.cancel.cancel(Cause::Operator);
        assert_eq!(task.await.unwrap().unwrap().exit, Exit::Cancelled(RemoteState::Ended));
        assert!(family.iter().all(|process| gone(process, Duration::ZERO)), "something still runs");
    }
}

#[tokio::test]
async fn a_command_whose_time_is_over_is_ended() {
    let scene = Scene::new();
    let mut long = command(&["sh", "-c", "trap '' TERM; sleep 600; sleep 600"]);
    long.timeout = Some(Duration::from_millis(300));
    assert_eq!(scene.ssh().exec(long).await.unwrap().exit, Exit::TimedOut(RemoteState::Ended));
}

#[tokio::test]
async fn after_the_death_of_the_client_with_its_shepherd_the_target_ends_the_tree_by_itself() {
    let scene = Scene::new();
    let (task, family) = scene.family().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    for process in &family {
        let process = process.try_clone().unwrap();
        assert!(tokio::task::spawn_blocking(move || gone(&process, LONG)).await.unwrap(), "it still runs");
    }
}

#[tokio::test]
async fn the_next_command_of_a_job_ends_what_an_earlier_one_left() {
    let scene = Scene::new();
    let (task, family) = scene.family().await;
    // Whatever would have ended it is killed.
    let mark = format!("STAGEWRIGHT_REMOTE={}/", scene.grant.job);
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let stands_around = environment
            .split(|&byte| byte == 0)
            .any(|variable| variable.starts_with(mark.as_bytes()) && variable.ends_with(b"outer+"));
        if stands_around {
            let pid = entry.file_name().to_str().unwrap().parse().unwrap();
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert!(!family.iter().any(|process| gone(process, Duration::ZERO)), "nothing is left to be ended");
    assert_eq!(scene.exec(&["true"]).await.exit, Exit::Exited(0));
    assert!(family.iter().all(|process| gone(process, Duration::ZERO)), "something still runs");
}

#[tokio::test]
async fn a_command_that_is_asked_for_after_the_cancel_does_not_start() {
    let scene = Scene::new();
    scene.cancel.cancel(Cause::Operator);
    assert_eq!(scene.ssh().exec(command(&["true"])).await.unwrap_err().code, "cancelled");
}

#[tokio::test]
async fn where_the_target_can_not_be_asked_its_state_is_unknown() {
    let scene = Scene::new();
    let (task, family) = scene.family().await;
    // From now on its key is not accepted any more.
    std::fs::write(scene.sshd.path("authorized"), "").unwrap();
    scene.sshd.cut();
    match task.await.unwrap().unwrap().exit {
        Exit::Interrupted(_, state) => assert_eq!(state, RemoteState::Unknown),
        other => panic!("{other:?}"),
    }
    for process in &family {
        let process = process.try_clone().unwrap();
        assert!(tokio::task::spawn_blocking(move || gone(&process, LONG)).await.unwrap(), "it still runs");
    }
}

#[tokio::test]
async fn every_shell_that_is_here_runs_the_script_alike() {
    for shell in ["dash", "bash", "busybox"] {
        let scene = Scene::new();
        let folders = ["/bin", "/usr/bin", "/usr/local/bin"].map(|folder| Path::new(folder).join(shell));
        let Some(program) = folders.into_iter().find(|path| path.is_file()) else {
            eprintln!("SKIPPED: {shell} is not here");
            continue;
        };
        let folder = scene.file("shell");
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(program, folder.join("sh")).unwrap();
        let path = format!("PATH={}:/usr/local/bin:/usr/bin:/bin", folder.display());
        for (script, code) in [("exit 7", 7), ("kill -KILL $$", 137), ("setsid sleep 600 & exit 0", 0)] {
            let mut command = command(&["sh", "-c", script]);
            command.enclosure = vec!["env".to_owned(), path.clone()];
            let done = scene.ssh().exec(command).await.unwrap();
            assert_eq!(done.exit, Exit::Exited(code), "{shell}: {script}");
            assert_eq!((done.stdout.total, done.stderr.total), (0, 0), "{shell}: {script}");
        }
        let (task, family) = scene.family_in(&["env", &path]).await;
        scene.sshd.cut();
        let exit = task.await.unwrap().unwrap().exit;
        assert!(matches!(exit, Exit::Interrupted(_, RemoteState::Ended)), "{shell}: {exit:?}");
        assert!(family.iter().all(|process| gone(process, Duration::ZERO)), "{shell}: something still runs");
    }
}
