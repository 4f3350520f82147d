//! Bringing the host's commits, artifacts and work that was placed, to the user's branch.
//!
//! The user's branch moves only if nobody has it checked out, if it is where it was when the stage was judged, and if the
//! commits are the host's: artifacts, and work that it has placed. Otherwise the commits stay in the bare copy, and the user
//! gets the one command that fetches them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use stagewright_engine::identity::RunId;
use stagewright_engine::name::{BranchName, CommitId};

use super::lock::Lock;
use super::work::work_ref;
use super::{Bare, host_ref, placed_on_ref, source_ref};
use crate::error::Error;
use crate::source::{Facade, Purpose, Source, who_has_checked_out};

/// What became of commits that were to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The user's branch is at the commit now.
    Delivered,
    /// It was there already.
    AlreadyThere,
    /// The branch was left alone.
    Refused(Refusal),
}

/// Why the user's branch was left alone, and what the user can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Somebody has it checked out, or will return to it after a rebase or bisection.
    CheckedOut {
        /// In which folder.
        folder: PathBuf,
        /// The command with which the user takes the commits there.
        command: String,
    },
    /// It is not where it was expected: the user has committed meanwhile.
    Moved {
        /// Where it is; `None` if it is gone.
        actual: Option<CommitId>,
    },
    /// The commits change more than artifacts and the work that this host has placed, or do not stand on the expected head.
    NotTheHosts,
}

impl Bare {
    /// Moves the user's branch from `expected` to `commit`, a head that [`Bare::commit_artifact`] or [`Bare::place_work`] made.
    ///
    /// Adds the objects to the user's repository and moves that one branch by compare-and-swap, with a line in its
    /// reflog if it keeps one. No hook runs and no configuration of the user's is read. Between looking who has the
    /// branch checked out and moving it lie some milliseconds in which a checkout of it is not noticed; such a checkout sees
    /// the artifact as deleted, and work as taken back, in its files and its index, until it is reset. It loses nothing.
    ///
    /// # Errors
    /// What git says; a branch that can't be moved is no error but [`Delivery::Refused`].
    pub async fn deliver(
        &self,
        branch: &BranchName,
        commit: &CommitId,
        expected: &CommitId,
    ) -> Result<Delivery, Error> {
        let lock = Lock::take(&self.path).await?;
        let delivered = self.deliver_under(&lock, branch, commit, expected).await;
        lock.release();
        delivered
    }

    /// Whether everything between the user's head and the commit is work that this host has placed, and its reports: only the
    /// host moves its own branch, and only on top of what was the head.
    async fn is_placed(
        &self,
        branch: &BranchName,
        commit: &CommitId,
        user: &CommitId,
    ) -> Result<bool, Error> {
        let Some(host) = self.reference(&host_ref(branch)).await? else { return Ok(false) };
        Ok(self.reference(&placed_on_ref(branch)).await?.as_ref() == Some(user)
            && self.is_ancestor(commit, &host).await?)
    }

    async fn deliver_under(
        &self,
        lock: &Lock,
        branch: &BranchName,
        commit: &CommitId,
        expected: &CommitId,
    ) -> Result<Delivery, Error> {
        // Looked at again: since the copy was opened the user may have gone elsewhere.
        let source = Source::find(&self.git, &self.source.top).await?;
        let facade = Facade::make(&source, &self.path.with_extension("source"), Purpose::Write)?;
        let name = format!("refs/heads/{branch}");
        let actual = self.branch_in(&facade, &name).await?;
        if actual.as_ref() == Some(commit) {
            return Ok(Delivery::AlreadyThere);
        }
        if actual.as_ref() != Some(expected) {
            return Ok(Delivery::Refused(Refusal::Moved { actual }));
        }
        let on_top = self.is_ancestor(expected, commit).await?;
        let reason = if on_top && self.only_artifacts(expected, commit).await? {
            "stagewright: artifact"
        } else if on_top && self.is_placed(branch, commit, expected).await? {
            "stagewright: work"
        } else {
            return Ok(Delivery::Refused(Refusal::NotTheHosts));
        };
        if let Some(folder) = who_has_checked_out(&self.git, &source, branch).await? {
            let command = self.pull_command(&folder, branch);
            return Ok(Delivery::Refused(Refusal::CheckedOut { folder, command }));
        }
        self.bring_objects(lock, &facade, commit).await?;
        let update = self.git.quick(facade.path()).holding(lock.file()?);
        let update = update.args([
            "update-ref",
            "--no-deref",
            "-m",
            reason,
            &name,
            commit.as_str(),
            expected.as_str(),
        ]);
        let answer = update
            .env("GIT_COMMITTER_NAME", "stagewright")
            .env("GIT_COMMITTER_EMAIL", "stagewright@localhost");
        let answer = answer.answer().await?;
        if answer.status.success() {
            // What the copy knows of the user's branch is no older than what it has done to it.
            let known = self.git.quick(&self.path).holding(lock.file()?);
            known.args(["update-ref", "--no-deref", &source_ref(branch), commit.as_str()]).run().await?;
            // The user has the work now; whoever takes it back from here on is followed.
            let placed = self.git.quick(&self.path).holding(lock.file()?);
            placed.args(["update-ref", "--no-deref", "-d", &placed_on_ref(branch)]).run().await?;
            return Ok(Delivery::Delivered);
        }
        match self.branch_in(&facade, &name).await? {
            actual if actual.as_ref() != Some(expected) => Ok(Delivery::Refused(Refusal::Moved { actual })),
            _ => Err(answer.into_error().into()),
        }
    }

    /// Adds a commit of the copy, with all that it stands on, to the user's repository. No name leads to it yet.
    pub(super) async fn bring_objects(
        &self,
        lock: &Lock,
        facade: &Facade,
        commit: &CommitId,
    ) -> Result<(), Error> {
        let fetch = self.git.transfer(facade.path()).holding(lock.file()?).args([
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
        ]);
        fetch.arg(&self.path).arg(commit.as_str()).run().await?;
        Ok(())
    }

    pub(super) async fn branch_in(&self, facade: &Facade, name: &str) -> Result<Option<CommitId>, Error> {
        let elsewhere = Self { path: facade.path().to_owned(), ..self.clone() };
        elsewhere.reference(name).await
    }

    /// The command with which the user takes the host's commits of a branch into the checkout at `folder`.
    pub fn pull_command(&self, folder: &Path, branch: &BranchName) -> String {
        format!(
            "git -C {} pull --ff-only {} {}",
            quoted(folder),
            quoted(&self.path),
            quoted(host_ref(branch))
        )
    }

    /// The command with which the user takes a run's kept work into the branch that is checked out.
    pub fn take_work_command(&self, run: RunId) -> String {
        format!("git pull --no-rebase {} {}", quoted(&self.path), quoted(work_ref(run)))
    }
}

/// A word for a POSIX shell.
fn quoted(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref().to_string_lossy();
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | '@' | '=' | ':' | ',')
    };
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_for_the_user_is_safe_to_paste() {
        assert_eq!(quoted("/srv/shop.git"), "/srv/shop.git");
        assert_eq!(quoted("/srv/my shop"), "'/srv/my shop'");
        assert_eq!(quoted("/srv/it's $(here)"), "'/srv/it'\\''s $(here)'");
        assert_eq!(quoted(""), "''");
    }
}
