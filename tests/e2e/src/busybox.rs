//! A container with nothing in it but a shell in one file, in the place of an application on staging.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::container::Engine;
use crate::installed::private_folder;

/// Debian's, which needs no library.
const PROGRAM: &str = "/bin/busybox";

/// A running container; removed with the value.
pub struct Busybox {
    name: String,
}

impl Busybox {
    /// Starts one on this machine's engine.
    pub fn start(_: &Engine) -> Self {
        assert!(
            Path::new(PROGRAM).exists(),
            "{PROGRAM} is missing: `cargo xtask setup` installs busybox-static"
        );
        let folder = tempfile::tempdir_in(private_folder()).unwrap();
        let root = folder.path().join("root");
        for name in ["bin", "tmp", "proc", "dev"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::copy(PROGRAM, root.join("bin/busybox")).unwrap();
        let words = Command::new(PROGRAM).arg("--list").output().unwrap().stdout;
        for word in String::from_utf8(words).unwrap().lines().filter(|word| *word != "busybox") {
            symlink("busybox", root.join("bin").join(word)).unwrap();
        }
        let mark =
            folder.path().file_name().unwrap().to_string_lossy().trim_start_matches('.').to_lowercase();
        let name = format!("stagewright-e2e-app-{mark}");
        let tar = folder.path().join("image.tar");
        done(
            Command::new("tar")
                .arg("--create")
                .arg("--file")
                .arg(&tar)
                .arg("--directory")
                .arg(&root)
                .arg("."),
        );
        done(Command::new("docker").arg("import").arg(&tar).arg(&name));
        let container = Self { name };
        container.docker(&[
            "run",
            "--detach",
            "--network",
            "none",
            "--name",
            &container.name,
            &container.name,
            "/bin/sleep",
            "86400",
        ]);
        container
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Stops it at once.
    pub fn kill(&self) {
        self.docker(&["kill", &self.name]);
    }

    /// How many processes in it have this in their command line.
    pub fn running(&self, what: &str) -> usize {
        let listed = Command::new("docker").args(["top", &self.name]).output().unwrap().stdout;
        String::from_utf8_lossy(&listed).lines().filter(|line| line.contains(what)).count()
    }

    fn docker(&self, args: &[&str]) {
        done(Command::new("docker").args(args));
    }
}

impl Drop for Busybox {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "--force", &self.name]).output();
        let _ = Command::new("docker").args(["image", "rm", "--force", &self.name]).output();
    }
}

#[track_caller]
fn done(command: &mut Command) {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}
