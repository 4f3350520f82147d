//! When somebody kills the shepherd, the daemon, or both.
//!
//! The daemon is this very test program, started anew with [`as_a_daemon`] as its only test.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, pidfd_send_signal,
};
use stagewright_capability::process::{Event, Exit};
use stagewright_capability::survivors;
use stagewright_engine::identity::RunId;

use crate::run::{LONG, Run, gone, marked, shepherd_of, until};

/// A command that ignores TERM, with a process in another session, and one more that took the mark off itself and
/// says its id.
const FAMILY: &str = "trap '' TERM; setsid sh -c 'echo one; sleep 600' & \
                      env -u STAGEWRIGHT_RUN setsid sh -c 'echo two $$ .; sleep 600' & wait";
/// How long everything may take to be gone (the issue's own number).
const SOON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_killed_shepherd_leaves_nothing_behind_and_gives_no_exit_code() {
    stagewright_capability::harden::this_process().unwrap();
    let run = Run::new();
    let child = run.begin("setsid sh -c 'echo ready; sleep 600' & sleep 600").await;
    assert!(matches!(child.next(100, LONG).await, Event::Stdout(_)));
    let pid = shepherd_of(run.place.run);
    kill_process(pid, Signal::KILL).unwrap();
    let done = child.end().await;
    assert!(matches!(done.exit, Exit::Lost(_)), "{done:?}");
    assert_eq!(run.left(), []);
}

#[tokio::test]
async fn a_process_that_took_its_mark_off_is_ended_after_its_shepherd_was_killed() {
    stagewright_capability::harden::this_process().unwrap();
    let run = Run::new();
    let child = run.begin(FAMILY).await;
    let stranger = open(stranger(&until(&child, &["one", " ."]).await));
    kill_process(shepherd_of(run.place.run), Signal::KILL).unwrap();
    assert!(matches!(child.end().await.exit, Exit::Lost(_)));
    assert!(gone(&stranger, Duration::ZERO), "it still runs");
}

#[tokio::test]
async fn a_shepherd_that_hangs_is_given_up_on() {
    stagewright_capability::harden::this_process().unwrap();
    let run = Run::new();
    let child = run.begin(FAMILY).await;
    let stranger = open(stranger(&until(&child, &["one", " ."]).await));
    kill_process(shepherd_of(run.place.run), Signal::STOP).unwrap();
    child.kill();
    assert!(matches!(child.end().await.exit, Exit::Lost(_)));
    assert_eq!(run.left(), []);
    assert!(gone(&stranger, Duration::ZERO), "it still runs");
}

#[test]
fn after_the_kill_of_the_daemon_and_its_group_nothing_is_left() {
    let daemon = Daemon::start();
    let family = daemon.family();
    kill_process_group(daemon.pid(), Signal::KILL).unwrap();
    for fd in &family {
        assert!(gone(fd, SOON), "a process outlived the daemon");
    }
}

#[test]
fn after_the_kill_of_daemon_and_shepherd_the_next_start_ends_what_is_left() {
    let daemon = Daemon::start();
    // Stopped, so that neither notices the other's end.
    let shepherd = shepherd_of(daemon.run);
    for pid in [daemon.pid(), shepherd] {
        kill_process(pid, Signal::STOP).unwrap();
    }
    for pid in [shepherd, daemon.pid()] {
        kill_process(pid, Signal::KILL).unwrap();
    }
    assert!(!marked(daemon.run).is_empty(), "nothing is left to be ended");
    assert_eq!(survivors::end_all(&[daemon.run]), 0);
    assert_eq!(marked(daemon.run), []);
}

#[test]
fn a_killed_shepherd_leaves_nothing_behind_where_the_session_lies_outside_of_the_pid_namespace() {
    // So it is under `docker exec` and in many a CI: the id of our own session is then 0.
    let unshare = ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"];
    let inside = |command: &[&str]| Command::new("unshare").args(unshare).args(command).output();
    match inside(&["true"]) {
        Ok(output) if output.status.success() => {}
        refused => return println!("skipped: there is no pid namespace to be had here: {refused:?}"),
    }
    let me = std::env::current_exe().unwrap();
    let test = "killed::a_process_that_took_its_mark_off_is_ended_after_its_shepherd_was_killed";
    let output = inside(&[me.to_str().unwrap(), "--exact", test]).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

/// Not a test: what the tests above start and kill.
#[tokio::test]
#[ignore = "it is started by other tests"]
async fn as_a_daemon() {
    stagewright_capability::harden::this_process().unwrap();
    let run = Run::new();
    let child = run.begin(FAMILY).await;
    let said = until(&child, &["one", " ."]).await;
    println!("run {} {}", run.place.run, stranger(&said).as_raw_nonzero());
    child.end().await;
}

struct Daemon {
    process: std::process::Child,
    run: RunId,
    stranger: OwnedFd,
}

impl Daemon {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::as_a_daemon", "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let said = lines.map_while(Result::ok).find_map(|line| {
            let (_, said) = line.split_once("run ")?;
            let (run, stranger) = said.split_once(' ')?;
            Some((run.parse().ok()?, Pid::from_raw(stranger.parse().ok()?)?))
        });
        let (run, stranger) = said.expect("the daemon did not start its command");
        Self { process, run, stranger: open(stranger) }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// The shepherd and what it looks after.
    fn family(&self) -> Vec<OwnedFd> {
        let marked = marked(self.run);
        assert!(marked.len() >= 2, "{marked:?}");
        let fds = marked.into_iter().chain([shepherd_of(self.run)]).map(open);
        fds.chain([self.stranger.try_clone().unwrap()]).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        survivors::end(self.run);
        let _ = pidfd_send_signal(&self.stranger, Signal::KILL);
    }
}

/// The process that took its mark off, as the family says it.
fn stranger(said: &str) -> Pid {
    let (_, rest) = said.split_once("two ").unwrap();
    Pid::from_raw(rest.split_whitespace().next().unwrap().parse().unwrap()).unwrap()
}

fn open(pid: Pid) -> OwnedFd {
    pidfd_open(pid, PidfdFlags::empty()).unwrap()
}
