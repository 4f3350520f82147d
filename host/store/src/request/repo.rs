//! Repositories that tasks belong to.

use std::path::PathBuf;

use stagewright_engine::name::RepoName;
use stagewright_engine::time::Timestamp;

/// A repository to be known from now on, or known under another path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRepo {
    /// Its name.
    pub name: RepoName,
    /// Where the host fetches from: an absolute path. Need not be UTF-8.
    pub source: PathBuf,
    /// The time.
    pub now: Timestamp,
}

/// A repository in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repo {
    /// Its name.
    pub name: RepoName,
    /// Where the host fetches from.
    pub source: PathBuf,
    /// When it was first put here.
    pub created: Timestamp,
    /// When its path was last written.
    pub updated: Timestamp,
}
