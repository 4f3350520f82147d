//! The daemon in a real container: the last part of `docs/deploy/Dockerfile`, built on this machine's own programs.
//!
//! No registry is asked. What the Dockerfile's first parts would bring (git, a shell, their libraries) is taken from this
//! machine, and the program from the build under test; user, folders, variables, entry point are the Dockerfile's.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;

use crate::installed::{build_folder, private_folder};
use crate::{Daemon, Repo, processes, shepherd, stagewright};

const LIMIT: Duration = Duration::from_secs(90);

/// Begins the part of the Dockerfile that makes the image.
const RUNTIME: &str = "FROM base AS runtime\n";

/// The user of the Dockerfile.
const USER: u32 = 10_001;

/// The programs of the image, besides those of stagewright.
const PROGRAMS: [&str; 7] = ["sh", "git", "cat", "install", "ln", "setsid", "sleep"];

/// The container engine of this machine.
pub struct Engine(());

impl Engine {
    /// Finds it; if none answers, says that the test is skipped, and why.
    pub fn find() -> Option<Self> {
        let asked = Command::new("docker").args(["version", "--format", "{{.Server.Os}}"]).output();
        let why = match asked {
            Ok(out) if out.status.success() => return Some(Self(())),
            Ok(out) => String::from_utf8_lossy(&out.stderr).trim().to_owned(),
            Err(error) => format!("docker: {error}"),
        };
        eprintln!("SKIPPED: no container engine answers here: {why}");
        None
    }

    /// Builds the image.
    pub fn image(&self) -> Image {
        let folder = tempfile::tempdir_in(private_folder()).unwrap();
        let mark =
            folder.path().file_name().unwrap().to_string_lossy().trim_start_matches('.').to_lowercase();
        let image = Image { mark };
        let base = folder.path().join("base");
        programs_of_this_machine(&base);
        import(&base, &image.name("base"));
        let build = folder.path().join("build");
        programs_under_test(&build.join("out"));
        import(&build, &image.name("build"));

        let dockerfile = fs::read_to_string(dockerfile()).unwrap();
        let (_, runtime) = dockerfile.split_once(RUNTIME).expect("the Dockerfile has its last part");
        let (base, build) = (image.name("base"), image.name("build"));
        let text = format!("FROM {build} AS build\nFROM {base} AS base\n{RUNTIME}{runtime}");
        let context = folder.path().join("context");
        fs::create_dir(&context).unwrap();
        fs::write(context.join("Dockerfile"), text).unwrap();
        docker(&["build", "--quiet", "--tag", &image.name("daemon"), context.to_str().unwrap()]);
        image
    }
}

/// The Dockerfile that operators use.
pub fn dockerfile() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deploy/Dockerfile")
}

/// An image with the daemon; removed with the value.
pub struct Image {
    mark: String,
}

impl Image {
    /// What one of the images is called: `daemon`, or one of the two that it is made of.
    fn name(&self, part: &str) -> String {
        format!("stagewright-e2e/{part}:{}", self.mark)
    }

    /// A container of it that does not run yet, and a repository whose suite says that it has begun, leaves a process in
    /// another session, and waits until it may end.
    pub fn container(self) -> Container {
        let suite = "set -eu\n\
                     if [ -e /tmp/signals/open ]; then exit 0; fi\n\
                     setsid sleep 600 &\n\
                     echo begun > /tmp/signals/begun\n\
                     while [ ! -e /tmp/signals/open ]; do sleep 0.05; done\n";
        let container = Container {
            name: format!("stagewright-e2e-{}", self.mark),
            image: self,
            state: tempfile::tempdir_in(private_folder()).unwrap(),
            repo: Repo::with(&[("suite.sh", suite)]),
            signals: tempfile::Builder::new().prefix("signals").tempdir_in("/dev/shm").unwrap(),
        };
        for folder in [container.state.path(), container.signals.path(), &container.repo.path()] {
            give_to_user(folder);
        }
        container
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["image", "rm", "--force"])
            .args(["daemon", "build", "base"].map(|part| self.name(part)))
            .output();
    }
}

/// One container, whose state folder outlives its processes; removed with the value.
pub struct Container {
    image: Image,
    name: String,
    state: TempDir,
    repo: Repo,
    /// Where its suite and the test signal to each other.
    signals: TempDir,
}

impl Container {
    /// Runs the daemon as the container's first process, with the state folder and the repository from outside.
    pub fn start(&self) -> Daemon {
        let volume = |from: &Path, to: &str| format!("--volume={}:{to}", from.display());
        let mut command = Command::new("docker");
        command
            .args(["run", "--name", &self.name, "--network=none"])
            .arg(volume(self.state.path(), "/var/lib/stagewright"))
            .arg(volume(self.signals.path(), "/tmp/signals"))
            .arg(volume(&self.repo.path(), "/srv/project:ro"));
        if let Some(user) = own_user() {
            command.arg(format!("--user={user}"));
        }
        command.arg(self.image.name("daemon")).args(Daemon::args(&[
            "--set",
            "test_runner.framework=command",
            "--set",
            "test_runner.program=/usr/bin/sh",
            "--set",
            "test_runner.args=[\"suite.sh\"]",
        ]));
        Daemon::begin(command)
    }

    /// Starts the container again after its end, as a restart policy would.
    pub fn start_again(&self) -> Daemon {
        let mut command = Command::new("docker");
        command.args(["start", "--attach", &self.name]);
        Daemon::begin(command)
    }

    /// Calls a program in the container; gives what it printed.
    pub fn exec(&self, args: &[&str]) -> String {
        let mut command = vec!["exec", &self.name];
        command.extend(args);
        docker(&command)
    }

    /// Adds a task with the waiting suite.
    pub fn add(&self, key: &str) {
        self.exec(&["stagewright", "task", "add", key, "--repo", "/srv/project", "--stage", "testing"]);
    }

    /// Waits until the suite runs.
    pub fn wait_until_begun(&self) {
        processes::wait_for(LIMIT, "the suite to begin", || self.signals.path().join("begun").exists());
    }

    /// Lets the suite end, now and whenever it runs again.
    pub fn open(&self) {
        fs::write(self.signals.path().join("open"), "").unwrap();
    }

    /// Kills the daemon, and with it everything in the container.
    pub fn kill(&self, daemon: Daemon) {
        docker(&["kill", "--signal=KILL", &self.name]);
        assert_eq!(daemon.wait().code(), Some(137));
    }

    /// Tells the daemon to stop and waits for its end in order.
    pub fn stop(&self, daemon: Daemon) {
        docker(&["kill", "--signal=TERM", &self.name]);
        daemon.hear(|line| line["event"] == "stopped");
        assert_eq!(daemon.wait().code(), Some(0));
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "--force", "--volumes", &self.name]).output();
    }
}

/// Lays the programs under test, and what lies beside them, into `out`.
fn programs_under_test(out: &Path) {
    fs::create_dir_all(out).unwrap();
    fs::copy(stagewright(), out.join("stagewright")).unwrap();
    fs::copy(shepherd(), out.join("stagewright-shepherd")).unwrap();
    done(Command::new("cp").arg("--recursive").arg(build_folder().join("components")).arg(out));
}

/// Makes an image of a folder.
fn import(folder: &Path, name: &str) {
    let tar = folder.with_extension("tar");
    done(Command::new("tar").arg("--create").arg("--file").arg(&tar).arg("--directory").arg(folder).arg("."));
    docker(&["import", tar.to_str().unwrap(), name]);
}

/// Puts the programs and the libraries that they need below `root`, each where it would look for the other.
fn programs_of_this_machine(root: &Path) {
    for folder in ["usr/bin", "etc", "srv", "tmp", "var/lib", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    fs::write(
        root.join("etc/passwd"),
        format!("stagewright:x:{USER}:{USER}::/var/lib/stagewright:/bin/sh\n"),
    )
    .unwrap();
    let mut libraries = BTreeSet::new();
    for name in PROGRAMS {
        let found = done(Command::new("sh").args(["-c", &format!("command -v {name}")]));
        let program = Path::new(found.trim()).canonicalize().unwrap();
        libraries.extend(libraries_of(&program));
        fs::copy(&program, root.join("usr/bin").join(name)).unwrap();
    }
    libraries.extend(libraries_of(&stagewright()));
    libraries.extend(libraries_of(&shepherd()));
    for library in libraries {
        let to = root.join(library.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&library, to).unwrap();
    }
    // Git finds its parts where it was built to find them, and they are itself under other names.
    let parts = done(Command::new("git").arg("--exec-path"));
    let parts = root.join(parts.trim().trim_start_matches('/'));
    fs::create_dir_all(&parts).unwrap();
    for part in ["git", "git-upload-pack", "git-receive-pack"] {
        symlink("/usr/bin/git", parts.join(part)).unwrap();
    }
}

/// The files of the libraries, and of the loader, that a program is linked to; none for a static one.
fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let out = Command::new("ldd").arg(program).output().expect("ldd runs");
    let text = String::from_utf8(out.stdout).unwrap();
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`
    text.lines()
        .filter_map(|line| line.split_ascii_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

/// Gives a folder and all in it to the image's user. Who may not do that is this user in the container.
fn give_to_user(path: &Path) {
    if own_user().is_some() {
        return;
    }
    chown(path, Some(USER), Some(USER)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            give_to_user(&entry.unwrap().path());
        }
    }
}

/// Who the container's processes must be, for want of the right to give files to the image's user.
fn own_user() -> Option<String> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    (!user.is_root()).then(|| format!("{}:{}", user.as_raw(), group.as_raw()))
}

fn docker(args: &[&str]) -> String {
    done(Command::new("docker").args(args))
}

/// Runs a command that must succeed; gives what it printed.
fn done(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}
