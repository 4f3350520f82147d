//! A real sshd on a loopback port, with keys of its own, for the present user.
//!
//! It needs nothing but the standard library and `tempfile`, so that other tests can have it too.

use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server, ended with its sessions when it is dropped.
pub(crate) struct Sshd {
    folder: tempfile::TempDir,
    server: Child,
    pub(crate) port: u16,
}

impl Sshd {
    /// Starts one, and waits until it listens.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// The same with more lines in its configuration.
    pub(crate) fn with(more: &str) -> Self {
        let program = program("sshd", &["/usr/sbin/sshd", "/usr/local/sbin/sshd"]);
        let folder = tempfile::tempdir().unwrap();
        keygen(&folder.path().join("host"));
        keygen(&folder.path().join("key"));
        std::fs::copy(folder.path().join("key.pub"), folder.path().join("authorized")).unwrap();
        if std::fs::create_dir_all("/run/sshd").is_err() {
            // Only root's sshd wants it, and root can make it.
        }
        // Another process may take the port before sshd does: then it is tried again with another.
        for _ in 0..20 {
            let port = closed_port();
            let text = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\n\
                 PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
                 PermitRootLogin prohibit-password\nLogLevel VERBOSE\nMaxStartups 100\n{more}\n",
                folder.path().display()
            );
            std::fs::write(folder.path().join("config"), text).unwrap();
            let mut server = Command::new(&program)
                .args(["-D", "-e", "-f"])
                .arg(folder.path().join("config"))
                .stdin(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut log = BufReader::new(server.stderr.take().unwrap()).lines();
            let mut seen = String::new();
            let listens = loop {
                match log.next() {
                    Some(Ok(line)) if line.contains("Server listening") => break true,
                    Some(Ok(line)) => seen += &line,
                    _ => break false,
                }
            };
            if !listens {
                server.wait().unwrap();
                assert!(seen.contains("Address already in use"), "sshd does not start: {seen}");
                continue;
            }
            // Somebody has to read what it says.
            std::thread::spawn(move || log.for_each(drop));
            let sshd = Self { folder, server, port };
            sshd.know(&sshd.path("host.pub"));
            return sshd;
        }
        panic!("no port is free for sshd");
    }

    /// The private key that it accepts.
    pub(crate) fn key(&self) -> PathBuf {
        self.path("key")
    }

    /// The file in which its host key is known.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.path("known_hosts")
    }

    /// The folder of its files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Lets the known hosts have this public key for it, and no other.
    pub(crate) fn know(&self, public: &Path) {
        let key = std::fs::read_to_string(public).unwrap();
        let mut file = std::fs::File::create(self.known_hosts()).unwrap();
        write!(file, "[127.0.0.1]:{} {key}", self.port).unwrap();
    }

    /// Kills the processes of all its connections at once, as a broken line would.
    pub(crate) fn cut(&self) {
        for pid in descendants(self.server.id()) {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if name.starts_with("sshd") {
                kill(pid);
            }
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.cut();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Makes a key pair without a passphrase.
pub(crate) fn keygen(path: &Path) {
    let program = program("ssh-keygen", &["/usr/bin/ssh-keygen", "/usr/local/bin/ssh-keygen"]);
    let mut command = Command::new(program);
    let done = command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// The client.
pub(crate) fn ssh() -> PathBuf {
    program("ssh", &["/usr/bin/ssh", "/usr/local/bin/ssh"])
}

/// A port on which nobody listens at the moment.
pub(crate) fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn program(name: &str, places: &[&str]) -> PathBuf {
    let found = places.iter().map(PathBuf::from).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: `cargo xtask setup` installs it"))
}

fn kill(pid: u32) {
    let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).output();
}

/// All that came of a process, itself left out.
fn descendants(of: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let all: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let mut found = vec![of];
    let mut next = 0;
    while next < found.len() {
        let of = found[next];
        found.extend(all.iter().filter(|&&pid| parent(pid) == Some(of)));
        next += 1;
    }
    found.split_off(1)
}
