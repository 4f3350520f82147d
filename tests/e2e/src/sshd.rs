//! A real sshd on a loopback port, with keys made for one test.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::installed::private_folder;
use crate::processes;

/// Where Debian has it; it wants to be started by its whole path.
const PROGRAM: &str = "/usr/sbin/sshd";

/// A running sshd that lets the present user in.
pub struct Sshd {
    folder: TempDir,
    process: Child,
    port: u16,
}

impl Default for Sshd {
    fn default() -> Self {
        Self::new()
    }
}

impl Sshd {
    /// One whose sessions have the search path of this machine.
    pub fn new() -> Self {
        Self::with_path(&std::env::var("PATH").unwrap())
    }

    /// One whose sessions have this search path.
    pub fn with_path(path: &str) -> Self {
        Self::with_environment(&format!("PATH={path}"))
    }

    /// One whose sessions have these variables: `NAME=value NAME=value`.
    pub fn with_environment(variables: &str) -> Self {
        assert!(
            std::path::Path::new(PROGRAM).exists(),
            "{PROGRAM} is missing: `cargo xtask setup` installs openssh-server"
        );
        let folder = tempfile::tempdir_in(private_folder()).unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["host_key", "user_key", "other_key"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
                .arg(at(name))
                .status()
                .unwrap();
            assert!(made.success());
        }
        let port = free_port();
        let read = |name: &str| std::fs::read_to_string(at(name)).unwrap();
        std::fs::write(at("authorized_keys"), read("user_key.pub")).unwrap();
        std::fs::write(at("known_hosts"), format!("[127.0.0.1]:{port} {}", read("host_key.pub"))).unwrap();
        std::fs::write(at("other_hosts"), format!("[127.0.0.1]:{port} {}", read("other_key.pub"))).unwrap();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nSetEnv {variables}\n",
            at("host_key").display(),
            at("authorized_keys").display()
        );
        std::fs::write(at("sshd_config"), config).unwrap();
        // Started by root, it wants this folder; others can't make it and don't need it.
        let _ = std::fs::create_dir_all("/run/sshd");
        let mut process = Command::new(PROGRAM)
            .args(["-D", "-e", "-f"])
            .arg(at("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut heard = String::new();
        while !heard.contains("Server listening on") {
            assert!(said.read_line(&mut heard).unwrap() > 0, "sshd did not start: {heard}");
        }
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { folder, process, port }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration of the target `staging`, with more keys or others in their place.
    pub fn target(&self, changed: &[(&str, String)]) -> String {
        let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        let mut keys = vec![
            ("host", format!("{:?}", "127.0.0.1")),
            ("port", self.port.to_string()),
            ("user", format!("{:?}", user.trim())),
            ("identity", format!("{:?}", self.at("user_key"))),
            ("known_hosts", format!("{:?}", self.at("known_hosts"))),
        ];
        for (name, value) in changed {
            keys.retain(|(known, _)| known != name);
            keys.push((name, value.clone()));
        }
        let mut text = "[ssh.targets.staging]\n".to_owned();
        for (name, value) in keys {
            writeln!(text, "{name} = {value}").unwrap();
        }
        text
    }

    /// A key that it does not let in.
    pub fn other_key(&self) -> String {
        format!("{:?}", self.at("other_key"))
    }

    /// Known hosts in which it has another key.
    pub fn other_hosts(&self) -> String {
        format!("{:?}", self.at("other_hosts"))
    }

    /// Cuts every connection: their processes are killed, what they have started is not.
    pub fn cut_connections(&self) {
        self.sessions().into_iter().for_each(processes::kill);
    }

    /// Stalls every connection: nothing goes through any more, and nobody hears of an end. New ones are served.
    pub fn stall_connections(&self) {
        self.sessions().into_iter().for_each(processes::stop);
    }

    /// The processes of all connections: each is a child of the daemon, and has one of its own that holds the session.
    fn sessions(&self) -> Vec<u32> {
        let mut sessions = Vec::new();
        for child in processes::children_of(self.process.id()) {
            sessions.extend(processes::children_of(child).into_iter().filter(|&pid| is_sshd(pid)));
            sessions.push(child);
        }
        sessions
    }

    /// Stops listening. Connections live on.
    pub fn close(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_sshd(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim().starts_with("sshd"))
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.cut_connections();
        self.close();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
