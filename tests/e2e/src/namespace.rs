//! A daemon as the first process of a pid namespace of its own, as in a container but without one.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use crate::{Daemon, Host, processes};

/// A daemon that is process 1 of its own pid namespace, with a `/proc` to match.
pub struct Namespaced {
    daemon: Daemon,
    /// Its process as it is called out here.
    pid: u32,
    number: PathBuf,
    /// While this is open, the kernel gives no other namespace the same number.
    held: File,
}

impl Namespaced {
    /// Whether this machine lets us make pid namespaces; if not, says that the test is skipped, and why.
    pub fn is_possible() -> bool {
        let tried = Command::new("unshare").args(flags()).arg("true").output();
        let why = match tried {
            Ok(out) if out.status.success() => return true,
            Ok(out) => String::from_utf8_lossy(&out.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("SKIPPED: no pid namespace can be made here: {why}");
        false
    }

    /// Starts the daemon of `host` in a new namespace and waits until it serves.
    pub fn start(host: &Host, more: &[&str]) -> Self {
        let inner = host.command(Daemon::args(more));
        let mut outer = Command::new("unshare");
        outer.args(flags()).arg(inner.get_program()).args(inner.get_args()).env_clear();
        outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let daemon = Daemon::begin(outer);
        assert_eq!(daemon.serving()["pid"], 1, "{}", daemon.serving());
        let namespace = format!("/proc/{}/ns/pid_for_children", daemon.id());
        Self {
            pid: processes::child_of(daemon.id()),
            number: std::fs::read_link(&namespace).unwrap(),
            held: File::open(&namespace).unwrap(),
            daemon,
        }
    }

    /// The daemon, to hear what it says.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// The namespace, as the kernel names it.
    pub fn number(&self) -> PathBuf {
        self.number.clone()
    }

    /// Kills the daemon, and with it, as with every first process, all of its namespace. Returns what keeps the
    /// namespace's number from being given again.
    pub fn kill(self) -> File {
        processes::kill(self.pid);
        assert!(!self.daemon.wait().success());
        self.held
    }

    /// Tells the daemon to stop and waits for its end in order.
    pub fn stop(self) {
        processes::signal(self.pid, Signal::TERM);
        self.daemon.hear(|line| line["event"] == "stopped");
        assert_eq!(self.daemon.wait().code(), Some(0));
    }
}

/// Without root, the right to make the others comes with a user namespace.
fn flags() -> Vec<&'static str> {
    let mut flags = vec!["--pid", "--fork", "--kill-child", "--mount-proc"];
    if !rustix::process::geteuid().is_root() {
        flags.extend(["--user", "--map-root-user"]);
    }
    flags
}
