//! Why what a run left in its clone can't become a commit.

use std::path::PathBuf;

/// What stands in the way, and what the one who did the work can do about it: the same clone gives the same error again. Only
/// [`Changing`](Self::Changing) and [`Unreadable`](Self::Unreadable) may have another cause than the work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Folders in the clone are repositories of their own.
    #[error(
        "repositories inside of the repository can't be committed: {}; remove their `.git`, or add them to .gitignore",
        folders.join(", ")
    )]
    NestedRepositories {
        /// The first few of them, escaped.
        folders: Vec<String>,
    },
    /// git forbids the name, because it would become a `.git` on some system.
    #[error("git takes no file or link of the name `{path}`; rename it, or add it to .gitignore")]
    ForbiddenName {
        /// The path, escaped.
        path: String,
    },
    /// The path is longer, or the folders lie deeper, than the host goes.
    #[error(
        "`{path}` lies too deep; at most {} folders and {} bytes are taken",
        super::walk::DEPTH,
        super::walk::PATH_BYTES
    )]
    TooDeep {
        /// The beginning of the path, escaped.
        path: String,
    },
    /// A new or changed file is too large.
    #[error(
        "`{path}` has {bytes} bytes, and at most {limit} are taken; remove it, or add it to .gitignore if it is a build product"
    )]
    FileTooLarge {
        /// The path, escaped.
        path: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The new and changed files have too many bytes together.
    #[error(
        "the new and changed files have {bytes} bytes together, and at most {limit} are taken; the largest is `{largest}`; add build products to .gitignore"
    )]
    TooLarge {
        /// Their size.
        bytes: u64,
        /// The limit.
        limit: u64,
        /// The largest file, escaped.
        largest: String,
    },
    /// There are too many new or changed files, or new folders.
    #[error(
        "there are more than {limit} new or changed files and folders, `{path}` is one of them; add build products to .gitignore"
    )]
    TooMany {
        /// The limit.
        limit: u64,
        /// The one that was too many, escaped.
        path: String,
    },
    /// git does not want the content: an encoding that the file is not in, a `.gitmodules` that would execute something.
    #[error("git does not take the work: {said}")]
    NotStorable {
        /// What it said.
        said: String,
    },
    /// A file was changed while it was read.
    #[error("`{path}` was changed while it was read; a process of the run is still at work")]
    Changing {
        /// The path, escaped.
        path: String,
    },
    /// A file or folder of the clone can't be read.
    #[error("reading `{path}` in the clone {clone} failed: {source}")]
    Unreadable {
        /// The clone.
        clone: PathBuf,
        /// The path in it, escaped.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}
