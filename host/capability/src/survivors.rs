//! Ending what is left of a run whose shepherd can't do it any more.
//!
//! Every process of a run carries `STAGEWRIGHT_RUN=<id>` in its environment, and everything that comes of a
//! command is in another session than the daemon. So after a shepherd was killed, the daemon ends whom it
//! adopted; and after daemon and shepherd were killed, the next start ends whoever still bears the mark.

use std::fs;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, getsid, pidfd_open, pidfd_send_signal, waitpid};
use stagewright_engine::identity::RunId;

/// The variable that marks a process as part of a run.
pub const RUN_VARIABLE: &str = "STAGEWRIGHT_RUN";
/// How long the end of killed processes is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends every process that bears the mark of `run` or was adopted from one. Gives how many could not be.
///
/// Blocks for at most some seconds; call it where blocking is allowed.
pub fn end(run: RunId) -> usize {
    let mark = format!("{RUN_VARIABLE}={run}").into_bytes();
    let begun = Instant::now();
    loop {
        reap_adopted();
        let left: Vec<Pid> = processes().filter(|&pid| is_adopted(pid) || bears(pid, &mark)).collect();
        if left.is_empty() || begun.elapsed() >= PATIENCE {
            return left.len();
        }
        for pid in left {
            // The descriptor pins the process: a reused id can't be hit between look and kill.
            let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            if is_adopted(pid) || bears(pid, &mark) {
                let _ = pidfd_send_signal(&fd, Signal::KILL);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

fn bears(pid: Pid, mark: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|entry| entry == mark)
}

/// Whether it is a child of ours in a session that is not ours. Our own children (git, shepherds) are in our
/// session; what a shepherd started never is.
fn is_adopted(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let parent =
        stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)?.parse().ok());
    parent == Some(std::process::id()) && is_foreign_session(pid)
}

fn is_foreign_session(pid: Pid) -> bool {
    match (getsid(Some(pid)), getsid(None)) {
        (Ok(theirs), Ok(ours)) => theirs != ours,
        _ => false,
    }
}

/// Clears away adopted processes that have ended. Only those: others have somebody who waits for them.
fn reap_adopted() {
    for pid in processes().filter(|&pid| is_adopted(pid)) {
        while let Err(Errno::INTR) = waitpid(Some(pid), WaitOptions::NOHANG) {}
    }
}
