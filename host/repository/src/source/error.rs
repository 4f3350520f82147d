//! Why a user's repository can't be used.

use std::io;
use std::path::PathBuf;

use crate::git;

/// Why a user's repository can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path does not exist or can't be read.
    #[error("{path} can't be read: {source}")]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Neither the folder nor one above it is a git repository.
    #[error("{path} is not in a git repository; name one with --repo <path>, or make it one with `git init`")]
    NotARepository {
        /// Where the search began.
        path: PathBuf,
    },
    /// The path is inside the git folder of some checkout, from which the checkout can't be told.
    #[error("{path} is the git folder of a checkout; name the checkout instead")]
    InsideGitDir {
        /// The git folder.
        path: PathBuf,
    },
    /// A `.git` file names a folder that is no repository.
    #[error("{path} says `{text}`, but no git repository is there; repair it with `git worktree repair`")]
    BrokenLink {
        /// The `.git` file.
        path: PathBuf,
        /// What it says, escaped.
        text: String,
    },
    /// `HEAD` is neither a branch nor a commit.
    #[error("{path} names neither a branch nor a commit: `{text}`; check out a branch")]
    OddHead {
        /// The file.
        path: PathBuf,
        /// What it says, escaped.
        text: String,
    },
    /// The configuration can't be read.
    #[error("the repository's configuration {path} can't be read: {source}")]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What git said.
        source: git::Error,
    },
    /// The repository uses an extension of its format that this program does not know.
    #[error(
        "{path} asks for `{extension}`, which this program does not know; use a plain clone of the repository"
    )]
    Extension {
        /// The configuration file.
        path: PathBuf,
        /// The extension and its value, escaped.
        extension: String,
    },
    /// There is no commit at all.
    #[error("{path} has no commits; make one first")]
    Empty {
        /// The repository.
        path: PathBuf,
    },
    /// The repository lacks objects, because it is a partial clone.
    #[error(
        "{path} is a partial clone and lacks objects that are needed ({said}); use a full clone (`git clone` without --filter)"
    )]
    Partial {
        /// The repository.
        path: PathBuf,
        /// What git said.
        said: String,
    },
    /// The repository keeps objects in another format than the host's copy of the same name.
    #[error(
        "{path} uses {now} objects, but the host's copy {copy} has {was}; remove that folder to start anew"
    )]
    FormatChanged {
        /// The repository.
        path: PathBuf,
        /// The format it has now.
        now: String,
        /// The format of the copy.
        was: String,
        /// The host's copy.
        copy: PathBuf,
    },
    /// A facade of the repository can't be made.
    #[error("preparing to read {path} failed: {source}")]
    Facade {
        /// The repository.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// git failed while reading the repository.
    #[error(transparent)]
    Git(#[from] git::Error),
}
