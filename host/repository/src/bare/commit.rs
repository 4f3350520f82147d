//! Committing an artifact in the bare copy, with git's plumbing and without any checkout.

use std::path::PathBuf;

use stagewright_engine::name::{BranchName, CommitId};
use stagewright_engine::time::Timestamp;

use super::history::ARTIFACTS;
use super::lock::Lock;
use super::{Bare, commit_id, host_ref};
use crate::error::{Error, shown};

/// An artifact that is to be committed on top of a branch.
#[derive(Clone, Copy, Debug)]
pub struct ArtifactCommit<'a> {
    /// The branch.
    pub branch: &'a BranchName,
    /// Where the caller believes the branch to be, as [`Bare::head`] said. The commit's parent.
    pub expected_head: &'a CommitId,
    /// The artifact's path, such as `docs/work-items/ORCH-116/13-test-report.md`.
    pub path: &'a str,
    /// Its text.
    pub bytes: &'a [u8],
    /// The commit's message.
    pub message: &'a str,
    /// In whose name.
    pub author: &'a Author,
    /// When; the same input at the same time makes the same commit.
    pub when: Timestamp,
}

/// A commit object that is to be written.
pub(super) struct NewCommit<'a> {
    pub(super) tree: &'a CommitId,
    pub(super) parents: &'a [&'a CommitId],
    pub(super) message: &'a str,
    pub(super) author: &'a Author,
    pub(super) when: Timestamp,
}

/// In whose name the host commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// A name, such as `stagewright`.
    pub name: String,
    /// An address; it need not be one that receives mail.
    pub email: String,
}

impl Bare {
    /// Commits an artifact on top of a branch, in the bare copy only, and answers with the new head. If the branch
    /// has the very same artifact already, nothing is committed and the head is the answer.
    ///
    /// The branch is moved by compare-and-swap on `expected_head`. The user's repository does not see the commit until
    /// it is [delivered](Bare::deliver).
    ///
    /// # Errors
    /// [`Error::HeadMoved`] if the branch is elsewhere, [`Error::Obstructed`] if a file or a link is where the artifact's
    /// folder has to be, [`Error::BadPath`] for a path outside of `docs/work-items/<KEY>/`.
    pub async fn commit_artifact(&self, artifact: &ArtifactCommit<'_>) -> Result<CommitId, Error> {
        check_path(artifact.path)?;
        let lock = Lock::take(&self.path).await?;
        let committed = self.commit_under(&lock, artifact).await;
        lock.release();
        committed
    }

    async fn commit_under(&self, lock: &Lock, artifact: &ArtifactCommit<'_>) -> Result<CommitId, Error> {
        let (branch, parent) = (artifact.branch, artifact.expected_head);
        let head = self.head(branch).await?;
        if head != *parent {
            let (branch, expected) = (branch.to_string(), parent.clone());
            return Err(Error::HeadMoved { branch, expected, actual: Some(head) });
        }
        self.refuse_obstacles(parent, artifact.path).await?;
        let tree = self.tree_with(parent, artifact.path, artifact.bytes).await?;
        if self.tree(parent).await? == tree {
            return Ok(parent.clone());
        }
        let commit = NewCommit {
            tree: &tree,
            parents: &[parent],
            message: artifact.message,
            author: artifact.author,
            when: artifact.when,
        };
        let commit = self.commit_tree(&commit).await?;
        self.move_host_branch(lock, branch, &commit).await?;
        Ok(commit)
    }

    /// Moves the host's own version of a branch.
    pub(super) async fn move_host_branch(
        &self,
        lock: &Lock,
        branch: &BranchName,
        to: &CommitId,
    ) -> Result<(), Error> {
        // The user's branch can't move meanwhile, as far as this copy knows it: a fetch needs the lock.
        let name = host_ref(branch);
        let old = self.git.quick(&self.path).args(["for-each-ref", "--format=%(objectname)", &name]);
        let old = old.run().await?.line();
        let old = if old.is_empty() { "0".repeat(to.as_str().len()) } else { old };
        let update = self.git.quick(&self.path).holding(lock.file()?);
        update.args(["update-ref", "--no-deref", &name, to.as_str(), &old]).run().await?;
        Ok(())
    }

    /// The tree of a commit.
    pub(super) async fn tree(&self, commit: &CommitId) -> Result<CommitId, Error> {
        let ask = self.git.quick(&self.path).args(["rev-parse", "--verify", &format!("{commit}^{{tree}}")]);
        commit_id("rev-parse", &ask.run().await?)
    }

    /// Each part of the path but the last must be a folder or not be there.
    async fn refuse_obstacles(&self, commit: &CommitId, path: &str) -> Result<(), Error> {
        let ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).chain([path.len()]).collect();
        let parts: Vec<&str> = ends.iter().filter_map(|&end| path.get(..end)).collect();
        let ask = self.git.quick(&self.path).args(["ls-tree", "-t", "-z", commit.as_str(), "--"]);
        let answer = ask.args(&parts).run().await?;
        for record in answer.records() {
            let text = String::from_utf8_lossy(record);
            let Some((facts, entry)) = text.split_once('\t') else { continue };
            let is_last = entry == path;
            let what = match facts.split(' ').next().unwrap_or_default() {
                "040000" if !is_last => continue,
                "100644" | "100755" if is_last => continue,
                _ if !parts.contains(&entry) => continue,
                "040000" => "a folder",
                "120000" => "a symbolic link",
                "160000" => "a submodule",
                _ => "a file",
            };
            let (path, obstacle) = (path.to_owned(), entry.to_owned());
            return Err(Error::Obstructed { path, obstacle, what, commit: commit.clone() });
        }
        Ok(())
    }

    /// The tree of `commit` with one file more or changed.
    async fn tree_with(&self, commit: &CommitId, path: &str, bytes: &[u8]) -> Result<CommitId, Error> {
        let hash = self.git.quick(&self.path).args(["hash-object", "-w", "--stdin", "--no-filters"]);
        let blob = commit_id("hash-object", &hash.input(bytes).run().await?)?;
        let index = PrivateIndex::beside(&self.path)?;
        let with_index = || self.git.quick(&self.path).env("GIT_INDEX_FILE", &index.path);
        with_index().args(["read-tree", commit.as_str()]).run().await?;
        let entry = format!("100644,{blob},{path}");
        with_index().args(["update-index", "--add", "--cacheinfo", &entry]).run().await?;
        commit_id("write-tree", &with_index().arg("write-tree").run().await?)
    }

    /// Writes a commit object into the bare copy.
    pub(super) async fn commit_tree(&self, new: &NewCommit<'_>) -> Result<CommitId, Error> {
        let date = format!("@{} +0000", new.when.as_millis().div_euclid(1_000));
        let Author { name, email } = new.author;
        let parents = new.parents.iter().flat_map(|parent| ["-p", parent.as_str()]);
        let commit = self
            .git
            .quick(&self.path)
            .setting("commit.gpgSign=false")
            .env("GIT_AUTHOR_NAME", name)
            .env("GIT_AUTHOR_EMAIL", email)
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_NAME", name)
            .env("GIT_COMMITTER_EMAIL", email)
            .env("GIT_COMMITTER_DATE", &date)
            .args(["commit-tree", new.tree.as_str()])
            .args(parents)
            .args(["-F", "-"])
            .input(new.message);
        commit_id("commit-tree", &commit.run().await?)
    }
}

/// `docs/work-items/<KEY>/<name>`, possibly with further folders, and nothing that git or a file system could
/// take for something else.
fn check_path(path: &str) -> Result<(), Error> {
    let bad = |reason| Err(Error::BadPath { path: shown(path.as_bytes()), reason });
    let Some(rest) = path.strip_prefix(ARTIFACTS) else {
        return bad("it does not begin with docs/work-items/");
    };
    if !rest.contains('/') {
        return bad("it is not in a work item's folder");
    }
    if path.len() > 512 {
        return bad("it is longer than 512 bytes");
    }
    if path.chars().any(char::is_control) {
        return bad("it has control characters");
    }
    if rest.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        return bad("a part of it is empty or begins with `.`");
    }
    Ok(())
}

/// An index file that only one command sequence uses; removed when it is dropped.
pub(super) struct PrivateIndex {
    pub(super) path: PathBuf,
}

impl PrivateIndex {
    /// In the bare copy, under a fixed name: the lock is held, so nobody else uses it.
    pub(super) fn beside(bare: &std::path::Path) -> Result<Self, Error> {
        let path = bare.join("artifact-index");
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::files("removing", &path, source))
            }
            _ => Ok(Self { path }),
        }
    }
}

impl Drop for PrivateIndex {
    fn drop(&mut self) {
        // One that stays is removed by the next commit.
        let _ = std::fs::remove_file(&self.path);
    }
}
