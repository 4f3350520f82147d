//! Who and which: the ids of instances, tasks, jobs and runs, and the epoch that fences them.
//!
//! Ids are made outside (UUID version 7) and only carried here. None is ever used twice; none is a process id.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::{RepoName, WorkItem};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes an id that was made outside.
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// The bare id.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id! {
    /// One start of one host program. New at every start, so a restarted container is another instance
    /// though its pid is 1 again.
    InstanceId
}

id! {
    /// The producing of one stage's artifact for one commit. A deferred job keeps its id.
    JobId
}

id! {
    /// One attempt at a job.
    RunId
}

/// A task's identity: one work item in one repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// The repository's name.
    pub repo: RepoName,
    /// The work item's key in the tracker.
    pub work_item: WorkItem,
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.work_item, self.repo)
    }
}

/// The fence of a task: every claim and every lease raises it, and it never falls or is deleted (O4).
///
/// A write that carries an epoch takes effect only while the task still has that epoch. An owner that was
/// stopped, reclaimed from and woken up again therefore holds an old number and can write nothing. The
/// epoch does not say who the owner is and does not prove that the former owner is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of a task that nobody has owned yet.
    pub const INITIAL: Self = Self(0);

    /// An epoch that was kept in a store.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// As a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The epoch that the next owner gets.
    ///
    /// At one claim a nanosecond this counts for five centuries; it saturates instead of going round.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
