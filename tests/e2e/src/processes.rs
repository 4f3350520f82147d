//! Looking for processes by a mark in their arguments or environment, and waiting until they are gone.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The ids of the living processes whose command line or environment contains `mark`.
pub fn with_mark(mark: &str) -> Vec<u32> {
    let contains = |path: String| {
        fs::read(path).is_ok_and(|bytes| bytes.windows(mark.len()).any(|window| window == mark.as_bytes()))
    };
    let mut found = Vec::new();
    for pid in all() {
        if pid == std::process::id() || is_zombie(pid) {
            continue;
        }
        if contains(format!("/proc/{pid}/cmdline")) || contains(format!("/proc/{pid}/environ")) {
            found.push(pid);
        }
    }
    found
}

fn is_zombie(pid: u32) -> bool {
    fields(pid).first().is_none_or(|state| state == "Z")
}

/// Waits until no process with `mark` is left; panics with those that are, after `limit`.
#[track_caller]
pub fn gone_within(mark: &str, limit: Duration) {
    wait_for(limit, &format!("the end of every process marked {mark}"), || with_mark(mark).is_empty());
}

/// Waits until `is_so`; panics after `limit`, which is a safety net and not part of what is tested.
#[track_caller]
pub fn wait_for(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Sends SIGKILL to one process.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Sends a signal to one process.
pub fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// Stops a process and waits until the kernel says that it stands still.
pub fn stop(pid: u32) {
    signal(pid, Signal::STOP);
    wait_for(Duration::from_secs(60), "the process to stand still", || fields(pid)[0] == "T");
}

/// The one child of a process.
pub fn child_of(parent: u32) -> u32 {
    let children = children_of(parent);
    assert_eq!(children.len(), 1, "children of {parent}: {children:?}");
    children[0]
}

/// The children of a process, with those that have ended and that it has not waited for.
pub fn children_of(parent: u32) -> Vec<u32> {
    let parent = parent.to_string();
    all().filter(|&pid| fields(pid).get(1).is_some_and(|of| *of == parent)).collect()
}

/// When a process began, in clock ticks since boot.
pub fn began(pid: u32) -> u64 {
    fields(pid)[19].parse().unwrap()
}

/// The process of every id that is in use.
fn all() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What `/proc/<pid>/stat` says behind the name: state, parent and so on; nothing if there is no such process.
fn fields(pid: u32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_ascii_whitespace().map(str::to_owned).collect()
}
