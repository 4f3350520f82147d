//! The end of a process tree, by the kernel's word.
//!
//! As a child subreaper the shepherd becomes the parent of every descendant whose own parent has ended. So
//! killing direct children again and again reaches everyone, `setsid` and double forks or not, and the tree
//! is gone when `waitpid` answers that there is no child. `/proc` is only a hint for whom to kill.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, pidfd_open,
    set_child_subreaper, wait,
};
use stagewright_shepherd::protocol::Ending;

/// How long the end of killed processes is waited for. One in an uninterruptible system call may take longer;
/// it is then said to be lost.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn become_subreaper() -> Result<(), Errno> {
    // The argument only has to be some process id: it stands for "yes".
    set_child_subreaper(Pid::from_raw(1))
}

/// Clears away every child that has ended; how the leader did, if it is among them.
pub(crate) fn reap(leader: u32) -> Option<Ending> {
    let mut found = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get().unsigned_abs() == leader {
            found = ending(status);
        }
    }
    found
}

fn ending(status: WaitStatus) -> Option<Ending> {
    status.exit_status().map(Ending::Code).or_else(|| status.terminating_signal().map(Ending::Signal))
}

/// Asks the leader's group and every direct child to end.
pub(crate) fn terminate(leader: u32) {
    if let Some(group) = Pid::from_raw(leader.cast_signed()) {
        let _ = kill_process_group(group, Signal::TERM);
    }
    for child in children() {
        let _ = kill_process(child, Signal::TERM);
    }
}

/// Kills every direct child. Their own children become ours and are killed the next time.
pub(crate) fn kill_children() {
    for child in children() {
        let _ = kill_process(child, Signal::KILL);
    }
}

/// Kills until no child is left. An error says what could not be ended.
pub(crate) fn end_all() -> Result<(), String> {
    let begun = Instant::now();
    loop {
        kill_children();
        match reap_all() {
            Left::Nobody => return Ok(()),
            Left::Somebody if begun.elapsed() >= PATIENCE => return Err(tell(&children())),
            Left::Somebody => wait_for_an_end(),
        }
    }
}

enum Left {
    Nobody,
    Somebody,
}

fn reap_all() -> Left {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Left::Somebody,
            // ECHILD: the kernel's word that no descendant is left.
            Err(_) => return Left::Nobody,
        }
    }
}

/// Waits until a child ends, at most for a moment: new ones may have been adopted in between.
fn wait_for_an_end() {
    let fds: Vec<OwnedFd> =
        children().into_iter().take(64).filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()).collect();
    let mut poll_fds: Vec<_> = fds.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let _ = poll(&mut poll_fds, Some(&Timespec { tv_sec: 0, tv_nsec: 5_000_000 }));
}

/// The direct children. None of their ids can have been used again: only we reap them.
fn children() -> Vec<Pid> {
    let me = std::process::id();
    if let Ok(text) = fs::read_to_string(format!("/proc/self/task/{me}/children")) {
        return text.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect();
    }
    // A kernel without that file: look at everyone's parent.
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| parent(*pid) == Some(me)).filter_map(Pid::from_raw).collect()
}

fn parent(pid: i32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything; the parent is the second field behind it.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn tell(left: &[Pid]) -> String {
    let pids: Vec<String> = left.iter().map(|pid| pid.as_raw_nonzero().to_string()).collect();
    format!("{} processes could not be ended: {}", left.len(), pids.join(" "))
}
