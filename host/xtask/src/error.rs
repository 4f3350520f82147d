//! What can end a task, each with the way out.

use std::io;
use std::path::{Path, PathBuf};

/// Why a task did not reach its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A command ran and failed; its own output has said why.
    #[error("{what} failed ({how}): {command}")]
    Failed {
        /// What the command was for.
        what: String,
        /// Its exit code or signal.
        how: String,
        /// The command as it could be typed.
        command: String,
    },
    /// A command could not be started at all.
    #[error("`{program}` can't be started: {error}")]
    Start {
        /// The program's name or path.
        program: String,
        /// What the system said.
        error: io::Error,
    },
    /// Something that a person has to install.
    #[error("{what} is missing.\n{remedy}")]
    Missing {
        /// What it is.
        what: String,
        /// The command that installs it.
        remedy: String,
    },
    /// A file or folder.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Cargo's description of the workspace is not what it was.
    #[error("`cargo metadata` answered something unexpected: {0}")]
    Metadata(String),
    /// The task ran, and what it looked at is not as it should be. The text is the whole answer.
    #[error("{0}")]
    Verdict(String),
    /// As `Verdict`, and everything has been said on standard output.
    #[error("not everything is as it should be; the list is above")]
    Told,
}

impl Error {
    /// For `map_err` on an operation on `path`.
    pub(crate) fn file(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |error| Self::File { path, error }
    }
}
