//! Git and artifacts: the host's own bare copy of each repository, disposable clones for runs, and the
//! files and commits in which a stage's artifact is kept.
//!
//! ```text
//! source (the user's)  ──facade──▶  bare copy (the host's)  ──alternates──▶  clone (a run's, disposable)
//!        ▲                               │      ▲                                  │
//!        └────── deliver, merge ◀── artifact,   └────── work: a run's files, ──────┘
//!                                   work commit        compared and copied
//! ```
//!
//! Three things are never done here, whatever the caller wants:
//!
//! - git is never run *in* a checkout, the user's or a run's. It runs in the bare copy and in a
//!   [facade](source) that the host makes, so no configuration and no hook that somebody else wrote is ever
//!   read. What foreign code leaves in a clone is handled as files, to make a commit of copies of them, or to remove them.
//! - Nothing is written into the user's repository except by [`Bare::deliver`] and [`Bare::merge`], and then only objects
//!   and one branch that nobody has checked out.
//! - No link is followed and nothing above a folder is reached when an artifact is written, when one is read
//!   back, and when a clone is removed.
//!
//! Whatever runs git is async and bounded in time and output. Dropping such a future kills the git process.

pub mod artifact;
mod bare;
mod clone;
mod error;
pub mod git;
pub mod removal;
pub mod source;
mod suite_files;

pub use bare::work;
pub use bare::{
    ArtifactCommit, Author, Bare, Delivery, Merge, MergeRefusal, Merged, OLDEST_TO_MERGE, Refusal,
    Repositories,
};
pub use clone::DisposableClone;
pub use error::Error;
pub use suite_files::{SuiteFile, SuiteFileKind};
