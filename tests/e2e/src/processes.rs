//! Looking for processes by a mark in their arguments or environment, and waiting until they are gone.

use std::fs;
use std::time::{Duration, Instant};

/// The ids of the living processes whose command line or environment contains `mark`.
pub fn with_mark(mark: &str) -> Vec<u32> {
    let contains = |path: String| {
        fs::read(path).is_ok_and(|bytes| bytes.windows(mark.len()).any(|window| window == mark.as_bytes()))
    };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
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
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(')').map(|(_, rest)| rest.trim_start().starts_with('Z')))
        .unwrap_or(true)
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
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
