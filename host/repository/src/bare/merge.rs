//! Merging a task's branch in the user's repository, without any checkout (X1).
//!
//! The merge is *conditional at its target*: one transaction of git moves the target branch only if that branch and
//! the task's branch are both where they were looked at. So it takes place once however often it is asked for, and a
//! caller who was stopped meanwhile and wakes up late merges nothing that was not examined.
//!
//! ```text
//! before the transaction   objects without a name; the next try makes the same ones again
//! after it                 the target has the branch in its history: "already in"
//! ```
//!
//! It refuses to touch a branch that somebody has checked out, and it resolves no conflict.

use std::path::PathBuf;

use stagewright_engine::name::{BranchName, CommitId};
use stagewright_engine::time::Timestamp;

use super::commit::{Author, NewCommit};
use super::lock::Lock;
use super::{Bare, source_ref};
use crate::error::{Error, shown};
use crate::git::Version;
use crate::source::{Facade, Purpose, Source, who_has_checked_out};

/// The oldest git that merges without a checkout.
pub const OLDEST_TO_MERGE: Version = Version { major: 2, minor: 38 };

/// How often it is tried again when the target branch moves meanwhile.
const TRIES: u32 = 3;

/// A branch that is to be merged.
#[derive(Clone, Copy, Debug)]
pub struct Merge<'a> {
    /// The task's branch.
    pub branch: &'a BranchName,
    /// Where the user's repository must have it.
    pub expected: &'a CommitId,
    /// What is merged: the same commit, or artifact commits of the host's on top of it.
    pub head: &'a CommitId,
    /// The branch that gets it.
    pub into: &'a BranchName,
    /// The merge commit's message.
    pub message: &'a str,
    /// In whose name.
    pub author: &'a Author,
    /// When.
    pub when: Timestamp,
}

/// What became of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// The target branch is at this merge commit now.
    Merged(CommitId),
    /// The target branch, which is at this commit, had it already.
    AlreadyIn(CommitId),
    /// Nothing was changed.
    Refused(MergeRefusal),
}

/// Why nothing was merged, and what the user can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeRefusal {
    /// The task's branch is elsewhere: other commits than the examined ones would be merged.
    HeadMoved {
        /// Where it is; `None` if it is gone.
        actual: Option<CommitId>,
    },
    /// There is no such target branch.
    NoTarget,
    /// Somebody has the target branch checked out.
    CheckedOut {
        /// In which folder.
        folder: PathBuf,
    },
    /// Both sides changed the same places.
    Conflict {
        /// The files, as git names them.
        files: Vec<String>,
    },
    /// The target branch moved again and again meanwhile.
    Busy,
}

impl Bare {
    /// Merges a branch, with a merge commit of its own.
    ///
    /// # Errors
    /// What git says, and [`Error::GitTooOld`]; whether the merge took place is not known after one. Asking again finds out.
    pub async fn merge(&self, merge: &Merge<'_>) -> Result<Merged, Error> {
        if self.git.version() < OLDEST_TO_MERGE {
            let (found, needed) = (self.git.version(), OLDEST_TO_MERGE);
            return Err(Error::GitTooOld { what: "merging without a checkout", found, needed });
        }
        let lock = Lock::take(&self.path).await?;
        let merged = self.merge_under(&lock, merge).await;
        lock.release();
        merged
    }

    async fn merge_under(&self, lock: &Lock, merge: &Merge<'_>) -> Result<Merged, Error> {
        let mut again = self.clone();
        again.source = Source::find(&self.git, &self.source.top).await?;
        for _ in 0..TRIES {
            // What both branches are at now, with their objects.
            again.fetch(lock).await?;
            if let Some(merged) = again.merge_once(lock, merge).await? {
                return Ok(merged);
            }
        }
        Ok(Merged::Refused(MergeRefusal::Busy))
    }

    /// `None`: the target branch has moved since it was fetched.
    async fn merge_once(&self, lock: &Lock, merge: &Merge<'_>) -> Result<Option<Merged>, Error> {
        let refused = |why| Ok(Some(Merged::Refused(why)));
        let Some(base) = self.reference(&source_ref(merge.into)).await? else {
            return refused(MergeRefusal::NoTarget);
        };
        if self.is_ancestor(merge.head, &base).await? {
            return Ok(Some(Merged::AlreadyIn(base)));
        }
        let actual = self.reference(&source_ref(merge.branch)).await?;
        if actual.as_ref() != Some(merge.expected) {
            return refused(MergeRefusal::HeadMoved { actual });
        }
        if let Some(folder) = who_has_checked_out(&self.git, &self.source, merge.into).await? {
            return refused(MergeRefusal::CheckedOut { folder });
        }
        let tree = match self.merged_tree(&base, merge.head).await? {
            Ok(tree) => tree,
            Err(files) => return refused(MergeRefusal::Conflict { files }),
        };
        let commit = NewCommit {
            tree: &tree,
            parents: &[&base, merge.head],
            message: merge.message,
            author: merge.author,
            when: merge.when,
        };
        let commit = self.commit_tree(&commit).await?;
        Ok(self.move_target(lock, merge, &base, &commit).await?.then_some(Merged::Merged(commit)))
    }

    /// The tree that both sides make together, or the files in which they contradict each other.
    async fn merged_tree(
        &self,
        base: &CommitId,
        head: &CommitId,
    ) -> Result<Result<CommitId, Vec<String>>, Error> {
        let ask = self.git.transfer(&self.path).args([
            "merge-tree",
            "--write-tree",
            "--no-messages",
            "--name-only",
            "-z",
            base.as_str(),
            head.as_str(),
        ]);
        let answer = ask.answer().await?;
        match answer.status.code() {
            // The tree's id comes first; then, after a contradiction, the names of the files.
            Some(0) => {
                let tree = answer.records().next().and_then(|tree| std::str::from_utf8(tree).ok());
                let tree = tree.and_then(|tree| CommitId::new(tree.trim_end()).ok());
                tree.map(Ok).ok_or_else(|| Error::Unexpected {
                    question: "merge-tree",
                    answer: shown(&answer.stdout),
                })
            }
            Some(1) => Ok(Err(answer.records().skip(1).map(shown).collect())),
            _ => Err(answer.into_error().into()),
        }
    }

    /// Moves the target branch in the user's repository, if both branches are where they were. `false` if one is not.
    async fn move_target(
        &self,
        lock: &Lock,
        merge: &Merge<'_>,
        base: &CommitId,
        commit: &CommitId,
    ) -> Result<bool, Error> {
        let facade = Facade::make(&self.source, &self.path.with_extension("source"), Purpose::Write)?;
        self.bring_objects(lock, &facade, commit).await?;
        let (branch, into) = (format!("refs/heads/{}", merge.branch), format!("refs/heads/{}", merge.into));
        let transaction = format!(
            "start\nverify {branch} {}\nupdate {into} {commit} {base}\nprepare\ncommit\n",
            merge.expected
        );
        let update = self.git.quick(facade.path()).holding(lock.file()?);
        let update = update
            .args(["update-ref", "--no-deref", "-m", "stagewright: merge", "--stdin"])
            .env("GIT_COMMITTER_NAME", &merge.author.name)
            .env("GIT_COMMITTER_EMAIL", &merge.author.email)
            .input(transaction);
        let answer = update.answer().await?;
        if answer.status.success() {
            return Ok(true);
        }
        let moved = self.branch_in(&facade, &into).await?.as_ref() != Some(base)
            || self.branch_in(&facade, &branch).await?.as_ref() != Some(merge.expected);
        if moved { Ok(false) } else { Err(answer.into_error().into()) }
    }
}
