//! How running git can fail.

use std::io;
use std::path::PathBuf;

use super::OLDEST;

/// Why git did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no git.
    #[error(
        "git was not found on the PATH; install it with `apt-get install git` (Debian, Ubuntu), `dnf install git` (Fedora, RHEL), `apk add git` (Alpine) or `brew install git` (macOS)"
    )]
    Missing,
    /// The git that was found is older than [`OLDEST`].
    #[error("{program} is `{version}`, but at least git {OLDEST} is needed; install a newer one")]
    TooOld {
        /// Where it is.
        program: PathBuf,
        /// What it says of itself.
        version: String,
    },
    /// What was found does not answer as git does.
    #[error("{program} does not answer `--version` as git does: {answer}")]
    NotGit {
        /// Where it is.
        program: PathBuf,
        /// The beginning of its answer.
        answer: String,
    },
    /// It can't be executed.
    #[error("{program} can't be executed: {source}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its output can't be read or its end can't be awaited.
    #[error("talking to `git {command}` failed: {source}")]
    Pipe {
        /// The subcommand.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended with an error of its own.
    #[error("`git {command}` in {repository} failed ({ending}): {said}")]
    Failed {
        /// The subcommand.
        command: String,
        /// The repository in which it ran.
        repository: PathBuf,
        /// `code 128` or `signal 9`.
        ending: String,
        /// The last lines of what it said, escaped.
        said: String,
    },
    /// It took too long and was ended.
    #[error("`git {command}` in {repository} did not end within {limit_s} s and was ended")]
    TimedOut {
        /// The subcommand.
        command: String,
        /// The repository in which it ran.
        repository: PathBuf,
        /// The limit in seconds.
        limit_s: u64,
    },
    /// It said more than is kept in memory, and was ended.
    #[error("`git {command}` in {repository} answered more than {limit} bytes and was ended")]
    TooMuchOutput {
        /// The subcommand.
        command: String,
        /// The repository in which it ran.
        repository: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
}
