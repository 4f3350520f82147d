//! The program with a state folder of its own, and what a call of it came to.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::installed::{build_folder, private_folder};
use crate::{Repo, python, stagewright};

/// A host: one state folder and one configuration, thrown away with the value.
pub struct Host {
    folder: TempDir,
    settings: Vec<String>,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// A host whose Python has pytest.
    pub fn new() -> Self {
        Self::bare().with(&format!("test_runner.python={}", python().display()))
    }

    /// A host with nothing configured.
    ///
    /// Its folders lie where no suite may look: not in `/tmp`, which every suite may write.
    pub fn bare() -> Self {
        Self::at(tempfile::tempdir_in(private_folder()).unwrap())
    }

    /// A host with nothing configured whose folders lie in `/tmp`, for tools that look at the folders above
    /// the one they work in: above the tests' own is this project.
    pub fn bare_in_tmp() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    fn at(folder: TempDir) -> Self {
        std::fs::create_dir(folder.path().join("home")).unwrap();
        // Compiling the component once is enough; what the cache does is tested where it is.
        let cache = format!("sandbox.cache_dir={}", build_folder().join("e2e-components").display());
        // Many daemons run at once.
        let listen = "http.listen=127.0.0.1:0".to_owned();
        Self { folder, settings: vec![cache, listen] }
    }

    /// The same with one more configuration key.
    #[must_use]
    pub fn with(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// The same with a configuration file.
    #[must_use]
    pub fn with_file(self, toml: &str) -> Self {
        std::fs::write(self.config_file(), toml).unwrap();
        self
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The home folder of the user who calls.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn config_file(&self) -> PathBuf {
        self.folder.path().join("stagewright.toml")
    }

    /// The program with this host's state, home and settings, and none of the caller's variables but PATH.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(stagewright());
        for setting in &self.settings {
            command.arg("--set").arg(setting);
        }
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("ORCH_STATE_DIR", self.state())
            // Where the toolchains really are: the home folder is a made-up one.
            .env("RUSTUP_HOME", rustup_home())
            .stdin(Stdio::null());
        if self.config_file().exists() {
            command.env("ORCH_CONFIG", self.config_file());
        }
        command
    }

    /// Calls the program and waits for its end.
    pub fn call<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran::new(self.command(args).output().expect("the program starts"))
    }

    /// Adds a task at the stage `testing` for the daemon.
    #[track_caller]
    pub fn add(&self, repo: &Repo, key: &str) {
        let path = repo.path();
        let added = self.call(["task", "add", key, "--repo", path.to_str().unwrap(), "--stage", "testing"]);
        assert_eq!(added.exit, 0, "{added:#?}");
    }

    /// What `task show --json` says of a task.
    pub fn task(&self, key: &str) -> Value {
        self.call(["task", "show", key, "--json"]).json()
    }

    /// `run --json` of the testing stage for `key`.
    pub fn run(&self, repo: &Repo, key: &str) -> Ran {
        self.run_with(repo, key, &[])
    }

    /// The same with more arguments.
    pub fn run_with(&self, repo: &Repo, key: &str, more: &[&str]) -> Ran {
        let mut args = run_args(&repo.path(), key);
        args.extend(more.iter().map(|&arg| arg.into()));
        self.call(args)
    }

    /// Begins `run --json` and doesn't wait for it.
    pub fn begin(&self, repo: &Repo, key: &str) -> Child {
        self.command(run_args(&repo.path(), key))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }
}

fn rustup_home() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".rustup");
    std::env::var_os("RUSTUP_HOME").map_or_else(home, PathBuf::from)
}

fn run_args(repo: &Path, key: &str) -> Vec<std::ffi::OsString> {
    vec!["run".into(), "--json".into(), "--repo".into(), repo.into(), "--work-item".into(), key.into()]
}

/// What a call of the program came to.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; 128 and the signal if one ended it.
    pub exit: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// The artifact's text, read while its host was still there.
    artifact: Option<String>,
}

impl Ran {
    /// Takes what a finished process left.
    pub fn new(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let json: Value = serde_json::from_str(&stdout).unwrap_or_default();
        let artifact = json["artifact"].as_str().map(|path| std::fs::read_to_string(path).unwrap());
        Self {
            artifact,
            exit: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
            stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The object that it printed.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON on standard output ({error}): {self:#?}"))
    }

    /// The fault's code, empty if there is none.
    pub fn fault(&self) -> String {
        self.json()["fault"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The artifact's text.
    pub fn artifact(&self) -> &str {
        self.artifact.as_deref().unwrap_or_else(|| panic!("no artifact: {self:#?}"))
    }

    /// Asserts the four things that the rules give for every end: exit code, outcome, fault code (empty for
    /// none) and the stage that the task is in afterwards.
    #[track_caller]
    pub fn ended(&self, exit: i32, outcome: &str, fault: &str, stage: &str) -> &Self {
        let json = self.json();
        let seen = (
            self.exit,
            json["outcome"].as_str().unwrap_or_default().to_owned(),
            self.fault(),
            json["to_stage"].as_str().unwrap_or_default().to_owned(),
        );
        assert_eq!(seen, (exit, outcome.to_owned(), fault.to_owned(), stage.to_owned()), "{self:#?}");
        self
    }

    /// Asserts a PASS that moved the task on.
    #[track_caller]
    pub fn passed(&self) -> &Self {
        self.ended(0, "verdict", "", "deploy-staging")
    }

    /// Asserts a FAIL that sent the task back.
    #[track_caller]
    pub fn failed(&self) -> &Self {
        self.ended(1, "verdict", "", "development")
    }
}
