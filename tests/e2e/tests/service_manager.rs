//! What a service manager such as systemd hears of the daemon, over a real socket, and what suites see of it: nothing.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use stagewright_e2e::{Daemon, Host, Repo, SlowSuite};

const LIMIT: Duration = Duration::from_secs(90);

/// The end of the socket that systemd has.
struct Manager {
    folder: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        // Below /tmp: a socket's path is short.
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self { folder, socket }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    /// The next message, line by line.
    fn hear(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("nothing more was said");
        std::str::from_utf8(&message[..length]).unwrap().lines().map(str::to_owned).collect()
    }

    fn has_more(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let more = self.socket.recv(&mut [0; 1]).is_ok();
        self.socket.set_nonblocking(false).unwrap();
        more
    }

    /// The daemon of `host`, started as systemd starts it.
    fn start(&self, host: &Host, more: &[&str]) -> Daemon {
        let mut command = host.command(Daemon::args(more));
        command.env("NOTIFY_SOCKET", self.path());
        Daemon::begin(command)
    }
}

#[test]
fn a_service_manager_hears_that_the_daemon_serves_after_recovery_and_that_it_stops() {
    let suite = SlowSuite::new();
    let (repo, host, manager) = (suite.repo(), Host::new(), Manager::new());
    host.add(&repo, "A-1");
    let killed = Daemon::start(&host, &[]);
    suite.wait_until_begun();
    killed.kill();

    let daemon = manager.start(&host, &["--set", "jobs.drain_s=7200"]);
    assert_eq!(manager.hear(), ["READY=1", "STATUS=at most 4 jobs at once; 1 jobs taken over"]);
    assert!(!manager.has_more(), "it says something before it is told to stop");
    daemon.signal(Signal::TERM);
    // It may take as long as its jobs may, and a little more, whatever the manager's own limit is.
    assert_eq!(
        manager.hear(),
        ["STOPPING=1", "EXTEND_TIMEOUT_USEC=7230000000", "STATUS=stopping: what runs has 7200 s"]
    );
    suite.open();
    daemon.hear(|line| line["event"] == "stopped");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!manager.has_more());
}

#[test]
fn a_suite_sees_nothing_of_the_service_manager() {
    let text = "import os\n\
                def test_a():\n    \
                seen = [name for name in os.environ if name.startswith(('NOTIFY_', 'WATCHDOG_', 'LISTEN_', 'INVOCATION_'))]\n    \
                assert not seen\n";
    let (repo, host, manager) = (Repo::with(&[("test_a.py", text)]), Host::new(), Manager::new());
    host.add(&repo, "A-1");
    let mut command = host.command(Daemon::args(&[]));
    command
        .env("NOTIFY_SOCKET", manager.path())
        .env("WATCHDOG_USEC", "60000000")
        .env("LISTEN_FDS", "0")
        .env("INVOCATION_ID", "0123456789abcdef0123456789abcdef");
    let daemon = Daemon::begin(command);
    assert_eq!(daemon.hear_end("A-1", "testing")["judgement"], "pass");
    daemon.stop();
}

#[test]
fn a_service_manager_that_is_not_there_keeps_nobody_from_serving() {
    let (repo, host) = (Repo::passing_with(&[]), Host::new());
    host.add(&repo, "A-1");
    let mut command = host.command(Daemon::args(&[]));
    command.env("NOTIFY_SOCKET", host.home().join("nobody-listens"));
    let daemon = Daemon::begin(command);
    assert_eq!(daemon.hear_end("A-1", "testing")["judgement"], "pass");
    daemon.stop();
}
