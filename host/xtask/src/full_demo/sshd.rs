//! A real sshd on a loopback port, with keys made for this demo, for as long as the value lives.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::command;
use crate::error::Error;

/// Where Debian has it; it wants to be started by its whole path.
const PROGRAM: &str = "/usr/sbin/sshd";

/// A running sshd that lets the present user in.
pub(super) struct Sshd {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Sshd {
    /// Makes keys and configuration in `folder`, and starts it. `path` is what its sessions find first on their search path.
    pub(super) fn start(folder: &Path, path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::file(folder))?;
        for name in ["host_key", "user_key"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(folder.join(name));
            command::watch("making a key", &mut keygen)?;
        }
        let port = free_port()?;
        let at = |name: &str| folder.join(name);
        let read = |name: &str| fs::read_to_string(at(name)).map_err(Error::file(at(name)));
        let write = |name: &str, text: String| fs::write(at(name), text).map_err(Error::file(at(name)));
        write("authorized_keys", read("user_key.pub")?)?;
        write("known_hosts", format!("[127.0.0.1]:{port} {}", read("host_key.pub")?))?;
        let search = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
        write(
            "sshd_config",
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nAuthorizedKeysFile {authorized}\nPidFile none\n\
                 UsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
                 SetEnv PATH={path}:{search}\n",
                host_key = at("host_key").display(),
                authorized = at("authorized_keys").display(),
                path = path.display(),
            ),
        )?;
        // Started by root, it wants this folder; others can't make it and don't need it.
        let _ = fs::create_dir_all("/run/sshd");
        let mut daemon = Command::new(PROGRAM);
        daemon.arg("-D").arg("-e").arg("-f").arg(at("sshd_config"));
        daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = daemon.spawn().map_err(|error| command::unstartable(&daemon, error))?;
        let said = process.stderr.take().map(BufReader::new);
        let sshd = Self { process, folder: folder.to_owned(), port };
        let mut heard = String::new();
        let mut said = said.ok_or_else(|| Error::Verdict("sshd has no output".to_owned()))?;
        let mut line = String::new();
        while said.read_line(&mut line).is_ok_and(|read| read > 0) {
            if line.contains("Server listening on") {
                // Whatever it says later is read and dropped, so that it never waits for a reader.
                std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
                return Ok(sshd);
            }
            heard.push_str(&line);
            line.clear();
        }
        Err(Error::Verdict(format!("sshd did not start: {}", heard.trim())))
    }

    /// The section of the configuration that names it as the target `staging`.
    pub(super) fn target(&self) -> String {
        let user = command::ask(Command::new("id").arg("-un")).unwrap_or_else(|| "root".to_owned());
        let at = |name: &str| self.folder.join(name).display().to_string();
        format!(
            "[ssh.targets.staging]\nhost = \"127.0.0.1\"\nport = {}\nuser = {user:?}\nidentity = {:?}\nknown_hosts = {:?}\n",
            self.port,
            at("user_key"),
            at("known_hosts")
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(listener.map_err(Error::file("127.0.0.1"))?.port())
}
