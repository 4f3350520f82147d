//! Notices a command whose tree of processes grows without end, before the machine suffers from it.
//!
//! The kernel's own limit on processes counts all of a user's and does not hold for root, and not every machine
//! lets us count by cgroups. So while commands run, one thread looks at the number of all processes from time
//! to time, which costs next to nothing. Only when that has grown by as much as would matter it reads the
//! table of processes and counts each tree.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Pid;
use tokio::sync::Notify;

use crate::survivors;

/// How often the number of processes is looked at.
const INTERVAL: Duration = Duration::from_millis(250);

static CROWD: Mutex<Crowd> = Mutex::new(Crowd { trees: BTreeMap::new(), calm: 0, looking: false });
static LEFT: Condvar = Condvar::new();

struct Crowd {
    /// By the process id of the shepherd.
    trees: BTreeMap<i32, Tree>,
    /// The lowest number of processes since the trees were counted.
    calm: u64,
    /// Whether the thread is there.
    looking: bool,
}

struct Tree {
    limit: u64,
    over: Arc<Notify>,
}

/// A tree that is looked after for as long as this lives.
pub(super) struct Watched {
    shepherd: i32,
    over: Arc<Notify>,
}

impl Watched {
    /// Looks after the descendants of a shepherd, of which there may be `limit`.
    pub(super) fn new(shepherd: u32, limit: u64) -> Self {
        let (shepherd, over) = (shepherd.cast_signed(), Arc::new(Notify::new()));
        let mut crowd = crowd();
        if crowd.trees.is_empty() {
            crowd.calm = everyone().unwrap_or(0);
        }
        crowd.trees.insert(shepherd, Tree { limit, over: Arc::clone(&over) });
        if !crowd.looking {
            // Without a thread nothing is looked after; the next command tries again.
            let thread = std::thread::Builder::new().name("process-count".to_owned());
            crowd.looking = thread.spawn(look).is_ok();
        }
        Self { shepherd, over }
    }

    /// Waits until the tree has more processes than it may.
    pub(super) async fn too_many(&self) {
        self.over.notified().await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        crowd().trees.remove(&self.shepherd);
        LEFT.notify_one();
    }
}

fn crowd() -> MutexGuard<'static, Crowd> {
    CROWD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks until there is no tree left for a whole interval.
fn look() {
    let mut crowd = crowd();
    loop {
        let idle = crowd.trees.is_empty();
        let waited = LEFT.wait_timeout_while(crowd, INTERVAL, |crowd| idle == crowd.trees.is_empty());
        crowd = waited.unwrap_or_else(PoisonError::into_inner).0;
        let Some(smallest) = crowd.trees.values().map(|tree| tree.limit).min() else {
            if idle {
                crowd.looking = false;
                return;
            }
            continue;
        };
        // Where the number can't be had, it counts as grown.
        let now = everyone().unwrap_or(u64::MAX);
        crowd.calm = crowd.calm.min(now);
        if now - crowd.calm >= (smallest / 2).max(1) {
            crowd.calm = now;
            drop(crowd);
            let parents = parents();
            crowd = self::crowd();
            let sizes = sizes(&parents, crowd.trees.keys().copied());
            for (tree, size) in crowd.trees.values().zip(sizes) {
                if size > tree.limit {
                    tree.over.notify_one();
                }
            }
        }
    }
}

/// How many threads the machine has at the moment.
fn everyone() -> Option<u64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

/// Each process with its parent.
fn parents() -> Vec<(i32, i32)> {
    let raw = |pid: Pid| pid.as_raw_nonzero().get();
    survivors::processes().filter_map(|pid| Some((raw(pid), survivors::parent(pid)?))).collect()
}

/// How many descendants each of `roots` has.
fn sizes(parents: &[(i32, i32)], roots: impl Iterator<Item = i32>) -> Vec<u64> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for &(pid, parent) in parents {
        children.entry(parent).or_default().push(pid);
    }
    let size = |root: i32| {
        let mut count = 0;
        let mut next = vec![root];
        while let Some(pid) = next.pop() {
            // Taken out, so that a table that was read while it changed can't lead in a circle.
            let own = children.remove(&pid).unwrap_or_default();
            count += own.len() as u64;
            next.extend(own);
        }
        count
    };
    roots.map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_descendants_are_counted() {
        let parents = [(10, 1), (11, 10), (12, 11), (13, 11), (20, 1), (21, 20), (30, 1)];
        assert_eq!(sizes(&parents, [10, 20, 99].into_iter()), [3, 1, 0]);
    }

    #[test]
    fn a_circle_in_the_table_ends() {
        assert_eq!(sizes(&[(2, 3), (3, 2)], [2].into_iter()), [2]);
    }
}
