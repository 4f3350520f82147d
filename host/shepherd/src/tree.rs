//! The end of a process tree, by the kernel's word.
//!
//! As a child subreaper the shepherd becomes the parent of every descendant whose own parent has ended. So the
//! tree is gone when `waitpid` answers that there is no child. Whom to kill until then is found in one of two
//! ways ([`Reach`]): all at once by the Landlock domain that they share, or direct children again and again.

use std::fs;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, set_child_subreaper, wait,
};
use stagewright_shepherd::protocol::Ending;

use crate::signals::ChildSignals;

/// How long the end of killed processes is waited for. One in an uninterruptible system call may take longer;
/// it is then said to be lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon everyone is killed again, where that reaches all of them at once.
const AGAIN_ALL: Duration = Duration::from_millis(100);
/// How soon direct children are looked for again: killing one makes its own children ours.
const AGAIN_CHILDREN: Duration = Duration::from_millis(5);

/// Whom a signal of ours reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The shepherd is in a Landlock domain that keeps its signals to itself and its descendants, and was seen
    /// to be kept by it. Then one call signals all of them, whatever sessions and groups they made, and none
    /// slips through by forking: the kernel goes through the processes with forks locked out.
    Domain,
    /// Anybody of its user, so that only those are signalled that are known to be its children.
    Children,
}

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

/// Asks everyone in reach, and the leader's group, to end.
pub(crate) fn terminate(leader: u32, reach: Reach) {
    if reach == Reach::Children
        && let Some(group) = Pid::from_raw(leader.cast_signed())
    {
        let _ = kill_process_group(group, Signal::TERM);
    }
    signal(reach, Signal::TERM);
}

/// Kills everyone in reach.
pub(crate) fn kill(reach: Reach) {
    signal(reach, Signal::KILL);
}

#[allow(unsafe_code)]
fn signal(reach: Reach, signal: Signal) {
    match reach {
        Reach::Domain => {
            // SAFETY: the call takes two numbers and touches no memory. That it reaches nobody but our
            // descendants is what `Reach::Domain` says; the caller itself is left out by the kernel.
            unsafe { libc::kill(-1, signal.as_raw()) };
        }
        Reach::Children => {
            for child in children() {
                let _ = kill_process(child, signal);
            }
        }
    }
}

/// Kills until no child is left. An error says what could not be ended.
pub(crate) fn end_all(reach: Reach, signals: &ChildSignals) -> Result<(), String> {
    let begun = Instant::now();
    // Reaped first: most commands leave nothing behind, and then there is nobody to look for.
    while reap_all() == Left::Somebody {
        if begun.elapsed() >= PATIENCE {
            return Err(tell(&children()));
        }
        kill(reach);
        signals.wait(match reach {
            Reach::Domain => AGAIN_ALL,
            Reach::Children => AGAIN_CHILDREN,
        });
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
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
