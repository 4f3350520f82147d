//! Ending what is left of a run whose shepherd can't do it any more.
//!
//! Every process of a run carries `STAGEWRIGHT_RUN=<id>` in its environment, and everything that comes of a
//! command is in another session than the daemon. So after a shepherd was killed, the daemon ends whom it
//! adopted; and after daemon and shepherd were killed, the next start ends whoever still bears the mark.
//!
//! A process that took the mark off itself is found by the first way only. The leader of a command dies with
//! its shepherd in any case.

use std::fs;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};
use stagewright_engine::identity::RunId;

/// The variable that marks a process as part of a run.
pub const RUN_VARIABLE: &str = "STAGEWRIGHT_RUN";
/// How long the end of killed processes is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon it is looked again.
const AGAIN: Duration = Duration::from_millis(5);
/// How often in turn nobody must be found: a look goes through the table of processes while it changes, and
/// one that forks may be behind the look with its old id and before it with its new one.
const LOOKS: u32 = 2;

/// Ends every process that bears the mark of `run` or was adopted from one. Gives how many could not be.
///
/// Blocks for at most some seconds; call it where blocking is allowed.
pub fn end(run: RunId) -> usize {
    end_all(&[run])
}

/// The same for many runs at once: the table of processes is gone through once for all of them.
pub fn end_all(runs: &[RunId]) -> usize {
    let marks = marks_of(runs);
    let ours = |pid: Pid| is_adopted(pid) || bears(pid, &marks);
    let begun = Instant::now();
    let mut empty = 0;
    loop {
        let left: Vec<Pid> = processes().filter(|&pid| !reap(pid) && ours(pid)).collect();
        empty = if left.is_empty() { empty + 1 } else { 0 };
        if empty == LOOKS || begun.elapsed() >= PATIENCE {
            return left.len();
        }
        for &pid in &left {
            // The descriptor pins the process: a reused id can't be hit between look and kill.
            let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            if ours(pid) {
                let _ = pidfd_send_signal(&fd, Signal::KILL);
            }
        }
        if !left.is_empty() {
            std::thread::sleep(AGAIN);
        }
    }
}

/// Clears away every adopted process that has ended by itself, so that its id becomes free. Gives how many.
///
/// Nobody else waits for them: the daemon is a subreaper, and as the first process of a container it is left with whatever
/// `docker exec` leaves behind. Those that still live are let live. Children in our own session are never touched,
/// because who started them waits for them.
pub fn clear_ended() -> usize {
    processes().filter(|&pid| reap(pid)).count()
}

/// How many processes bear the mark of one of these runs. Ends nobody.
pub fn count(runs: &[RunId]) -> usize {
    let marks = marks_of(runs);
    processes().filter(|&pid| bears(pid, &marks)).count()
}

fn marks_of(runs: &[RunId]) -> Vec<Vec<u8>> {
    runs.iter().map(|run| format!("{RUN_VARIABLE}={run}").into_bytes()).collect()
}

/// Everyone.
pub(crate) fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// The parent of a process.
pub(crate) fn parent(pid: Pid) -> Option<i32> {
    Some(kin(pid)?.parent)
}

/// Where a process belongs, as the kernel tells it in our pid namespace. An id from outside of it is 0.
struct Kin {
    parent: i32,
    session: i32,
}

/// Read from `/proc` and not asked by `getsid`: a daemon that was started from outside of its pid namespace
/// (`docker exec`, `unshare --pid`) has a session of id 0 there, which rustix can't express.
fn kin(pid: Pid) -> Option<Kin> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name in brackets may hold anything; behind it come state, parent, process group, session.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(1).map(str::parse);
    let parent = fields.next()?.ok()?;
    let session = fields.nth(1)?.ok()?;
    Some(Kin { parent, session })
}

fn bears(pid: Pid, marks: &[Vec<u8>]) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|entry| marks.iter().any(|mark| entry == mark))
}

/// Whether it is a child of ours in a session that is not ours. Our own children (git, shepherds) are in our
/// session; what a shepherd started never is.
fn is_adopted(pid: Pid) -> bool {
    let (Some(theirs), Some(ours)) = (kin(pid), kin(rustix::process::getpid())) else { return false };
    theirs.parent == rustix::process::getpid().as_raw_pid() && theirs.session != ours.session
}

/// Clears away an adopted process if it has ended. Only those: others have somebody who waits for them.
fn reap(pid: Pid) -> bool {
    if !is_adopted(pid) {
        return false;
    }
    loop {
        match waitpid(Some(pid), WaitOptions::NOHANG) {
            Err(Errno::INTR) => {}
            reaped => return matches!(reaped, Ok(Some(_))),
        }
    }
}
