//! Staging: a container with the staging suite in it, or, where no engine runs, a stand-in for the docker client that
//! says so.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::error::Error;
use crate::setup::{BUSYBOX, apt};
use crate::step::say;

const CHECK: &str = include_str!("staging_check.sh");
const STAND_IN: &str = include_str!("docker.sh");

/// Where the staging suite runs.
pub(super) struct Staging {
    /// The container's name.
    pub(super) container: String,
    /// The suite's program.
    pub(super) check: PathBuf,
    /// What the remote side finds first on its search path.
    pub(super) path: PathBuf,
    engine: bool,
}

impl Staging {
    /// Makes it, in `folder` as far as it is files.
    pub(super) fn make(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("bin");
        fs::create_dir_all(&path).map_err(Error::file(&path))?;
        let container = format!("stagewright-demo-{}", std::process::id());
        if command::ask(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"])).is_none()
        {
            say("no container engine runs here: a stand-in for docker runs staging on this machine");
            let check = path.join("staging_check");
            program(&check, CHECK)?;
            program(&path.join("docker"), STAND_IN)?;
            return Ok(Self { container, check, path, engine: false });
        }
        if !Path::new(BUSYBOX).exists() {
            apt::install("a shell for the container", &["busybox-static"])?;
        }
        let staging = Self { container, check: PathBuf::from("/bin/staging_check"), path, engine: true };
        staging.start(&folder.join("image"))?;
        say(format!("staging is the container {}", staging.container));
        Ok(staging)
    }

    fn start(&self, image: &Path) -> Result<(), Error> {
        let bin = image.join("bin");
        for folder in [&bin, &image.join("tmp"), &image.join("proc")] {
            fs::create_dir_all(folder).map_err(Error::file(folder))?;
        }
        fs::copy(BUSYBOX, bin.join("busybox")).map_err(Error::file(BUSYBOX))?;
        let words = command::ask(Command::new(BUSYBOX).arg("--list")).unwrap_or_default();
        for word in words.lines().filter(|word| *word != "busybox") {
            symlink("busybox", bin.join(word)).map_err(Error::file(bin.join(word)))?;
        }
        program(&bin.join("staging_check"), CHECK)?;
        let tar = image.with_extension("tar");
        let mut pack = Command::new("tar");
        pack.arg("--create").arg("--file").arg(&tar).arg("--directory").arg(image).arg(".");
        command::watch("packing the image", &mut pack)?;
        command::read(
            "making the image",
            Command::new("docker").arg("import").arg(&tar).arg(&self.container),
        )?;
        let mut run = Command::new("docker");
        run.args(["run", "--detach", "--network", "none", "--name", &self.container, &self.container]);
        run.args(["/bin/sleep", "86400"]);
        command::read("starting the container", &mut run).map(drop)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.engine {
            let _ = command::ask(Command::new("docker").args(["rm", "--force", &self.container]));
            let _ = command::ask(Command::new("docker").args(["image", "rm", "--force", &self.container]));
        }
    }
}

/// Writes a script that can be executed.
pub(super) fn program(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::file(path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(Error::file(path))
}
