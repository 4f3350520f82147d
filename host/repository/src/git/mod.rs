//! The one place that runs git.
//!
//! Arguments are handed over as an argument vector, never through a shell. The environment is built from
//! nothing: no `GIT_*` variable, no user and no system configuration, no prompt, no network protocol. Hooks
//! and the file-system monitor are off. Each command has a time limit and a bounded output, and a git that
//! fails is told with what it said.
//!
//! It refuses to run without an explicit repository, so that git never searches for one from the current
//! folder upwards and finds a foreign `.git` with a configuration that executes something.

mod command;
mod error;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use command::{Command, Output};
pub use error::Error;

/// The oldest git that can be used: the first that obeys `GIT_CONFIG_GLOBAL`.
pub const OLDEST: Version = Version { major: 2, minor: 32 };

/// How long git may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a question or a single write: a minute.
    pub quick: Duration,
    /// For moving many objects and for writing out a tree: half an hour.
    pub transfer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { quick: Duration::from_secs(60), transfer: Duration::from_secs(30 * 60) }
    }
}

/// A git's version, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The 2 of `2.47.3`.
    pub major: u32,
    /// The 47 of `2.47.3`.
    pub minor: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A git program that was found and is new enough.
#[derive(Clone, Debug)]
pub struct Git {
    program: PathBuf,
    version: Version,
    limits: Limits,
}

impl Git {
    /// Looks for `git` in the folders of `path` (the value of `PATH`) and asks it for its version.
    ///
    /// # Errors
    /// [`Error::Missing`] names how to install git; [`Error::TooOld`] says which version is needed.
    pub async fn find(path: Option<&OsStr>) -> Result<Self, Error> {
        let program = path
            .into_iter()
            .flat_map(std::env::split_paths)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join("git"))
            .find(|candidate| is_executable(candidate));
        match program {
            Some(program) => Self::at(&program).await,
            None => Err(Error::Missing),
        }
    }

    /// Takes the git at `program` and asks it for its version.
    ///
    /// # Errors
    /// As [`Git::find`], and [`Error::Spawn`] if it can't be executed.
    pub async fn at(program: &Path) -> Result<Self, Error> {
        let limits = Limits::default();
        let output = Command::bare(program, limits.quick).arg("--version").run().await?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match parse_version(&text) {
            Some(version) if version >= OLDEST => Ok(Self { program: program.to_owned(), version, limits }),
            Some(_) => Err(Error::TooOld { program: program.to_owned(), version: text }),
            None => Err(Error::NotGit {
                program: program.to_owned(),
                answer: crate::error::shown(&output.stdout),
            }),
        }
    }

    /// The same git with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The program that is run.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// A quick command that needs no repository.
    pub(crate) fn outside(&self) -> Command {
        Command::bare(&self.program, self.limits.quick)
    }

    /// A quick command in the repository at `git_dir`.
    pub(crate) fn quick(&self, git_dir: &Path) -> Command {
        Command::within(&self.program, git_dir, self.limits.quick)
    }

    /// A command in the repository at `git_dir` that may take as long as a transfer.
    pub(crate) fn transfer(&self, git_dir: &Path) -> Command {
        Command::within(&self.program, git_dir, self.limits.transfer)
    }
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// Reads `git version 2.47.3`, `git version 2.39.5 (Apple Git-154)`, `git version 2.50.GIT`.
fn parse_version(text: &str) -> Option<Version> {
    let mut numbers = text.strip_prefix("git version ")?.split(['.', ' ']);
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some(Version { major, minor })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions_are_understood() {
        for (text, major, minor) in [
            ("git version 2.47.3", 2, 47),
            ("git version 2.39.5 (Apple Git-154)", 2, 39),
            ("git version 3.0.GIT", 3, 0),
        ] {
            assert_eq!(parse_version(text), Some(Version { major, minor }), "{text}");
        }
        assert_eq!(parse_version("hg 6.1"), None);
    }

    #[tokio::test]
    async fn a_missing_git_is_told_with_the_way_to_install_it() {
        let empty = tempfile::tempdir().unwrap();
        let error = Git::find(Some(empty.path().as_os_str())).await.unwrap_err();
        assert!(matches!(error, Error::Missing));
        assert!(error.to_string().contains("apt-get install git"), "{error}");
    }

    #[tokio::test]
    async fn a_relative_folder_in_the_path_is_not_searched() {
        let error = Git::find(Some(OsStr::new("."))).await.unwrap_err();
        assert!(matches!(error, Error::Missing));
    }

    #[tokio::test]
    async fn a_git_that_is_too_old_is_refused_with_the_version_that_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("git");
        std::fs::write(&program, "#!/bin/sh\necho git version 2.17.1\n").unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let error = Git::at(&program).await.unwrap_err();
        assert!(matches!(error, Error::TooOld { .. }));
        assert!(error.to_string().contains("2.17.1") && error.to_string().contains("2.32"), "{error}");
    }

    #[tokio::test]
    async fn a_git_that_never_answers_is_ended_at_its_time_limit() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("git");
        std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let limit = Duration::from_millis(200);
        let error = Command::bare(&program, limit).arg("--version").run().await.unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    }
}
