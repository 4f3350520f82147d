//! Why something with a repository did not work.

use std::io;
use std::path::PathBuf;

use stagewright_engine::name::CommitId;

use crate::{git, removal, source, work};

/// Why an operation on a repository, its bare copy or a clone did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user's repository can't be read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// git failed, or can't be run.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// A clone could not be removed whole.
    #[error(transparent)]
    Removal(#[from] removal::Error),
    /// What a run left in its clone can't become a commit.
    #[error(transparent)]
    Work(#[from] work::Error),
    /// A file of the host's own can't be read or written.
    #[error("{action} {path} failed: {source}")]
    Files {
        /// What was tried, such as `creating`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has held the bare copy's lock for too long.
    #[error(
        "the host's copy {path} has been locked by another process for {waited_s} s; wait for it, or end the git process that holds it"
    )]
    Busy {
        /// The bare copy.
        path: PathBuf,
        /// How long was waited.
        waited_s: u64,
    },
    /// This git is too old for what is wanted.
    #[error(
        "{what} needs git {needed}, and this is git {found}; install a newer one, or name it in `git.program`"
    )]
    GitTooOld {
        /// What it is too old for.
        what: &'static str,
        /// The version that was found.
        found: git::Version,
        /// The oldest that can.
        needed: git::Version,
    },
    /// There is no such branch, tag or commit.
    #[error("{repository} has no branch, tag or commit `{name}`{near}")]
    NoSuchRevision {
        /// The user's repository.
        repository: PathBuf,
        /// What was asked for, escaped and cut.
        name: String,
        /// `; it has …` with some branches that it does have, or nothing.
        near: String,
    },
    /// The branch is not where the caller believed it to be.
    #[error(
        "branch {branch} is at {}, not at {} as expected; run the stage again for the new commit",
        actual.as_ref().map_or("no commit", |commit| commit.short()),
        expected.short()
    )]
    HeadMoved {
        /// The branch.
        branch: String,
        /// Where the caller believed it to be.
        expected: CommitId,
        /// Where it is.
        actual: Option<CommitId>,
    },
    /// The tree of the branch has something that is no folder where the artifact's folder has to be.
    #[error("the artifact {path} can't be committed: `{obstacle}` is {what} in commit {}, not a folder; remove it from the branch", commit.short())]
    Obstructed {
        /// The artifact's path in the repository.
        path: String,
        /// The part of the path that is in the way.
        obstacle: String,
        /// What it is: `a file`, `a symbolic link`, `a submodule`.
        what: &'static str,
        /// In which commit.
        commit: CommitId,
    },
    /// A path that an artifact can't have in a repository.
    #[error("`{path}` is not a path for an artifact: {reason}")]
    BadPath {
        /// The path, escaped and cut.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file of the repository is larger than the caller wants to have in memory.
    #[error("`{path}` in commit {} is larger than {limit} bytes", commit.short())]
    TooLarge {
        /// The path in the repository.
        path: String,
        /// In which commit.
        commit: CommitId,
        /// The limit.
        limit: u64,
    },
    /// git answered something that this program does not understand.
    #[error("git answered something unexpected to `{question}`: {answer}")]
    Unexpected {
        /// What was asked.
        question: &'static str,
        /// The beginning of the answer, escaped.
        answer: String,
    },
}

impl Error {
    pub(crate) fn files(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Files { action, path: path.into(), source }
    }
}

/// Text from outside for an error message: control characters escaped, at most 200 characters.
pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(200).flat_map(char::escape_debug).collect()
}
