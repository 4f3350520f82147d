//! The end of everything that came of a command.

use std::time::{Duration, Instant};

use stagewright_capability::FailureKind;
use stagewright_capability::process::{Command, Confinement, Event, Exit};
use stagewright_engine::outcome::Cause;

use crate::run::{LONG, Run, gone, sh, until};

#[tokio::test]
async fn an_escapee_that_holds_the_pipe_is_ended_and_does_not_hold_the_run() {
    let run = Run::new();
    let begun = Instant::now();
    let done = run.sh("setsid sh -c 'setsid sleep 600 & sleep 600' & echo started").await;
    assert_eq!(done.exit, Exit::Code(0));
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_eq!(run.left(), []);
}

#[tokio::test]
async fn a_command_past_its_time_is_ended_with_its_whole_tree() {
    let run = Run::new();
    let command = Command {
        timeout: Some(Duration::from_millis(300)),
        ..sh("trap '' TERM; setsid sleep 600 & sleep 600; sleep 600")
    };
    assert_eq!(run.process().run(command).await.unwrap().exit, Exit::TimedOut);
    assert_eq!(run.left(), []);
}

#[tokio::test]
async fn a_cancelled_run_ends_its_commands() {
    let run = Run::new();
    let child = run.begin("echo ready; sleep 600").await;
    assert!(matches!(child.next(100, LONG).await, Event::Stdout(_)));
    run.cancel.cancel(Cause::Operator);
    assert_eq!(child.end().await.exit, Exit::Cancelled);
    assert_eq!(run.process().spawn(sh("true")).await.unwrap_err().kind, FailureKind::Cancelled);
    assert_eq!(run.left(), []);
}

#[tokio::test]
async fn a_storm_of_children_is_ended() {
    let run = Run::new();
    let done = run.sh("for i in $(seq 200); do (setsid sleep 600 &) ; done; exit 3").await;
    assert_eq!(done.exit, Exit::Code(3));
    assert_eq!(run.left(), []);
}

#[tokio::test]
async fn processes_that_fork_and_end_can_not_outrun_their_end() {
    let run = Run::new();
    // Each of these chains has another process id at every look.
    let chain = "import os\nwhile True:\n  if os.fork(): os._exit(0)";
    let done = run
        .sh(&format!("for i in 1 2 3 4 5 6 7 8; do setsid python3 -c '{chain}' & done; sleep 0.2; exit 3"))
        .await;
    assert_eq!(done.exit, Exit::Code(3));
    assert_eq!(run.left(), []);
}

#[tokio::test]
async fn a_tree_that_grows_past_its_limit_is_ended() {
    let mut run = Run::new();
    run.grant.max_tree = 40;
    let done = run.sh("for i in $(seq 200); do (setsid sleep 600 &) ; done; sleep 600").await;
    assert_eq!(done.exit, Exit::Limit("processes".into()));
    assert_eq!(run.left(), []);
}

#[tokio::test]
async fn a_child_that_is_dropped_is_ended() {
    let run = Run::new();
    let child = run.begin("echo ready; sleep 600").await;
    until(&child, &["ready"]).await;
    let pids = run.left();
    let open = |pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    let fds: Vec<_> = pids.into_iter().map(open).collect();
    assert!(!fds.is_empty());
    drop(child);
    for fd in fds {
        assert!(tokio::task::spawn_blocking(move || gone(&fd, LONG)).await.unwrap(), "it still runs");
    }
    assert_eq!(run.left(), []);
}

#[tokio::test]
async fn output_of_somebody_outside_of_the_tree_does_not_hold_the_run() {
    // A file descriptor of the pipe that outlives the tree: the test itself opens one.
    let run = Run::new();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        run.place.tmp.join("go"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let child = run.begin("echo ready; read line < \"$TMPDIR/go\"").await;
    until(&child, &["ready"]).await;
    let leader = run.left()[0].as_raw_nonzero();
    let _held = std::fs::File::options().write(true).open(format!("/proc/{leader}/fd/1")).unwrap();
    std::fs::write(run.place.tmp.join("go"), "\n").unwrap();
    let done = tokio::time::timeout(LONG, child.end()).await.expect("the pipe held the run");
    assert!(matches!(done.exit, Exit::Code(_)), "{done:?}");
}

#[tokio::test]
async fn without_landlock_the_whole_tree_is_ended_all_the_same() {
    let mut run = Run::new();
    run.grant.confinement = Confinement::Off;
    let done = run.sh("for i in $(seq 50); do (setsid sh -c 'sleep 600; :' &) ; done; exit 3").await;
    assert_eq!((done.exit, done.isolation.as_str()), (Exit::Code(3), "none"));
    assert_eq!(run.left(), []);
    let command = Command {
        timeout: Some(Duration::from_millis(300)),
        ..sh("trap '' TERM; setsid sleep 600 & sleep 600; sleep 600")
    };
    assert_eq!(run.process().run(command).await.unwrap().exit, Exit::TimedOut);
    assert_eq!(run.left(), []);
}
