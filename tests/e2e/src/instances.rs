//! What a host keeps of its instances: their lock files, and their records, which tests make false.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::{Daemon, Host, processes, python};

/// The lock files that are there.
pub fn locks(host: &Host) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(host.state().join("instances")).unwrap();
    let mut locks: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    locks.sort();
    locks
}

/// Writes `facts` over those that are recorded of every instance that has not been retired.
pub fn record(host: &Host, facts: &Value) {
    let changed = in_store(
        host,
        "changed = 0\n\
         for id, facts in store.execute('select id, facts from instances where retired is null').fetchall():\n    \
         facts = json.dumps(json.loads(facts) | json.loads(sys.argv[2]))\n    \
         changed += store.execute('update instances set facts = ? where id = ?', (facts, id)).rowcount\n\
         store.execute('commit')\n\
         print(changed)",
        &facts.to_string(),
    );
    assert_eq!(changed.as_deref(), Some("1"), "instances whose record was changed");
}

/// Stops a daemon by SIGSTOP at a moment when it is not writing into the store: one that is keeps everybody else from
/// writing, and nothing could be seen of the others.
pub fn stand_still(host: &Host, daemon: &Daemon) {
    loop {
        processes::stop(daemon.id());
        if in_store(host, "store.execute('rollback')\nprint('free')", "").is_some() {
            return;
        }
        daemon.signal(Signal::CONT);
    }
}

/// Runs Python in a write transaction of the store; gives what it printed, or nothing if the store is locked.
fn in_store(host: &Host, code: &str, argument: &str) -> Option<String> {
    let frame = "import json, sqlite3, sys\n\
                 store = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=float(sys.argv[3]))\n\
                 try:\n    \
                 store.execute('begin immediate')\n\
                 except sqlite3.OperationalError as error:\n    \
                 sys.exit(75 if 'locked' in str(error) else str(error))\n";
    let patience = if argument.is_empty() { "0" } else { "60" };
    let out = Command::new(python())
        .args(["-c", &format!("{frame}{code}")])
        .arg(host.state().join("store.sqlite3"))
        .args([argument, patience])
        .output()
        .unwrap();
    if out.status.code() == Some(75) {
        return None;
    }
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(String::from_utf8(out.stdout).unwrap().trim().to_owned())
}
