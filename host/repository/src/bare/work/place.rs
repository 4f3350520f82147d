//! Putting a run's kept work onto a branch of the bare copy.
//!
//! The user's branch is not touched; [`Bare::deliver`] does that. Until then the branch's head in this copy is the
//! host's as long as the user's branch stays where it was (`refs/host/placed-on/<branch>` says where): a user who moves
//! the branch in any way is the one who is followed, and the work stays under its run's ref.

use stagewright_engine::identity::RunId;
use stagewright_engine::name::{BranchName, CommitId};

use super::super::commit::PrivateIndex;
use super::super::history::ARTIFACTS;
use super::super::lock::Lock;
use super::super::{Bare, commit_id, host_ref, placed_on_ref};
use super::quarantine::index_info;
use super::{WORK, work_ref};
use crate::error::{Error, shown};

impl Bare {
    /// Puts a kept commit onto a branch, in the bare copy only, and answers with the branch's head, which has it then.
    ///
    /// `expected_head` is the work's base, or the base with the host's own reports on top. In the first case the branch goes
    /// forward to the work; in the second a commit with the same changes is made on top. Asked again, it finds that this
    /// was done.
    ///
    /// # Errors
    /// [`Error::HeadMoved`] if the branch is elsewhere, or has more on top of the work's base than reports;
    /// [`Error::Obstructed`] if the commit changes reports, which no kept work does.
    pub async fn place_work(
        &self,
        branch: &BranchName,
        expected_head: &CommitId,
        work: &CommitId,
    ) -> Result<CommitId, Error> {
        let lock = Lock::take(&self.path).await?;
        let placed = Box::pin(self.place_under(&lock, branch, expected_head, work)).await;
        lock.release();
        placed
    }

    async fn place_under(
        &self,
        lock: &Lock,
        branch: &BranchName,
        expected: &CommitId,
        work: &CommitId,
    ) -> Result<CommitId, Error> {
        let moved = |expected: &CommitId, actual: CommitId| {
            let (branch, expected) = (branch.to_string(), expected.clone());
            Err(Error::HeadMoved { branch, expected, actual: Some(actual) })
        };
        let head = self.head(branch).await?;
        if self.has_work(work, &head).await? {
            return Ok(head);
        }
        let base = self.parent(work).await?;
        let placed = if *expected == base {
            work.clone()
        } else {
            if !self.is_ancestor(&base, expected).await? || !self.only_artifacts(&base, expected).await? {
                return moved(&base, head);
            }
            self.on_top_of(expected, &base, work).await?
        };
        if head != *expected {
            return moved(expected, head);
        }
        self.move_with_work(lock, branch, &head, &placed).await?;
        Ok(placed)
    }

    /// Whether a branch at `head` has the work: the commit itself, or the one that placing has made of it on top of reports.
    ///
    /// # Errors
    /// What git says.
    pub async fn has_work(&self, work: &CommitId, head: &CommitId) -> Result<bool, Error> {
        if self.is_ancestor(work, head).await? {
            return Ok(true);
        }
        let base = self.parent(work).await?;
        if !self.is_ancestor(&base, head).await? {
            return Ok(false);
        }
        // The one on top of reports makes the same changes, and its text is the work's but for tree and parent.
        let (changes, text) = (self.raw_diff(&base, work).run().await?.stdout, self.rest_of(work).await?);
        // Only commits of the same second are looked at closer: a branch may have gone far since.
        let log = |range: String| {
            let ask = self.git.quick(&self.path).args(["log", "--no-merges", "--no-show-signature"]);
            ask.args(["--format=%at %H %P", &range])
        };
        let own = log(format!("{base}..{work}")).run().await?.line();
        let time = own.split(' ').next();
        let behind = log(format!("{base}..{head}")).run().await?;
        for line in String::from_utf8_lossy(&behind.stdout).lines() {
            let mut words = line.split(' ');
            if words.next() != time {
                continue;
            }
            let ids = words.next().and_then(|id| CommitId::new(id).ok());
            let ids = ids.zip(words.next().and_then(|id| CommitId::new(id).ok()));
            let Some((commit, parent)) = ids else {
                return Err(Error::Unexpected { question: "log", answer: shown(line.as_bytes()) });
            };
            if self.rest_of(&commit).await? == text
                && self.only_artifacts(&base, &parent).await?
                && self.raw_diff(&parent, &commit).run().await?.stdout == changes
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The work that is kept of a run; `None` if it made none, or if it was forgotten.
    ///
    /// # Errors
    /// What git says.
    pub async fn kept_work(&self, run: RunId) -> Result<Option<CommitId>, Error> {
        self.reference(&work_ref(run)).await
    }

    /// Where the branch was from which a kept commit was made: its base. `None` for a commit that is no run's kept work.
    ///
    /// # Errors
    /// What git says.
    pub async fn base_of_work(&self, commit: &CommitId) -> Result<Option<CommitId>, Error> {
        let ask = self.git.quick(&self.path).args(["for-each-ref", "--count=1", "--format=%(objectname)"]);
        let ask = ask.args(["--points-at", commit.as_str(), WORK]);
        match ask.run().await?.line().is_empty() {
            true => Ok(None),
            false => self.parent(commit).await.map(Some),
        }
    }

    /// Forgets a run's kept work. If it was placed, the branch still has it.
    ///
    /// # Errors
    /// What git says; work that was never kept is no error.
    pub async fn forget_work(&self, run: RunId) -> Result<(), Error> {
        let lock = Lock::take(&self.path).await?;
        let delete = self.git.quick(&self.path).holding(lock.file()?);
        let deleted = delete.args(["update-ref", "--no-deref", "-d", &work_ref(run)]).run().await;
        lock.release();
        deleted?;
        Ok(())
    }

    /// Moves the host's branch from `head` to `placed`, in steps of which each leaves the same head as before until the last.
    async fn move_with_work(
        &self,
        lock: &Lock,
        branch: &BranchName,
        head: &CommitId,
        placed: &CommitId,
    ) -> Result<(), Error> {
        // The host's branch may be one that does not count any more. It must not begin to count with the next step.
        if self.reference(&host_ref(branch)).await?.is_some_and(|host| host != *head) {
            self.move_host_branch(lock, branch, head).await?;
        }
        let user = self.source_head(branch).await?;
        let update = self.git.quick(&self.path).holding(lock.file()?);
        update.args(["update-ref", "--no-deref", &placed_on_ref(branch), user.as_str()]).run().await?;
        self.move_host_branch(lock, branch, placed).await
    }

    /// The one parent of a kept commit.
    async fn parent(&self, work: &CommitId) -> Result<CommitId, Error> {
        let ask = self.git.quick(&self.path).args(["rev-parse", "--verify", &format!("{work}^")]);
        commit_id("rev-parse", &ask.run().await?)
    }

    /// The commit that makes the same changes to `head` as `work` makes to `base`. It is the same one whenever it is made:
    /// author, time and message are the work's.
    async fn on_top_of(&self, head: &CommitId, base: &CommitId, work: &CommitId) -> Result<CommitId, Error> {
        let answer = self.raw_diff(base, work).run().await?;
        let (mut gone, mut set) = (Vec::new(), Vec::new());
        let mut records = answer.records();
        while let (Some(facts), Some(path)) = (records.next(), records.next()) {
            // `:<old mode> <new mode> <old object> <new object> <status>`
            let facts = String::from_utf8_lossy(facts).into_owned();
            let mut words = facts.split(' ').skip(1);
            let (mode, object) = (words.next().map(str::to_owned), words.nth(1).map(str::to_owned));
            let (Some(mode), Some(object)) = (mode, object) else {
                return Err(Error::Unexpected { question: "diff-tree", answer: shown(facts.as_bytes()) });
            };
            if path.starts_with(ARTIFACTS.as_bytes()) {
                let obstacle = shown(path);
                let (path, what) = (ARTIFACTS.to_owned(), "changed by the work");
                return Err(Error::Obstructed { path, obstacle, what, commit: work.clone() });
            }
            match mode.as_str() {
                "000000" => gone.push(path),
                _ => set.push((mode, object, path)),
            }
        }
        let set = set.iter().map(|(mode, object, path)| (mode.as_str(), object.as_str(), *path));
        let info = index_info(gone.into_iter(), set, head.as_str().len());
        let index = PrivateIndex::beside(&self.path)?;
        let with_index = || self.git.quick(&self.path).env("GIT_INDEX_FILE", &index.path);
        with_index().args(["read-tree", head.as_str()]).run().await?;
        with_index().args(["update-index", "-z", "--index-info"]).input(info).run().await?;
        let tree = commit_id("write-tree", &with_index().arg("write-tree").run().await?)?;

        let rest = self.rest_of(work).await?;
        let text = [format!("tree {tree}\nparent {head}\n").as_bytes(), &rest].concat();
        let write = self.git.quick(&self.path).args(["hash-object", "-w", "-t", "commit", "--stdin"]);
        commit_id("hash-object", &write.input(text).run().await?)
    }

    /// The text of a commit with one parent, but for its tree and its parent.
    async fn rest_of(&self, commit: &CommitId) -> Result<Vec<u8>, Error> {
        let text =
            self.git.quick(&self.path).args(["cat-file", "commit", commit.as_str()]).run().await?.stdout;
        let rest = after_line(&text, b"tree ").and_then(|rest| after_line(rest, b"parent "));
        rest.map(<[u8]>::to_vec)
            .ok_or_else(|| Error::Unexpected { question: "cat-file", answer: shown(&text) })
    }
}

/// What follows the first line, if it begins like this.
fn after_line<'a>(text: &'a [u8], begins: &[u8]) -> Option<&'a [u8]> {
    let end = text.iter().position(|&byte| byte == b'\n')?;
    text.starts_with(begins).then_some(())?;
    text.get(end + 1..)
}
