//! What a run left in its clone, as a commit of the bare copy.
//!
//! An agent that writes code works in a disposable clone. Its processes have ended when this begins, but everything that they wrote
//! is foreign: hooks, `core.fsmonitor`, attributes, nested repositories. So git is not run there, and what the agent
//! committed itself does not count. The files are what counts:
//!
//! ```text
//! the base commit ──compare── files of the clone        no git, no link followed
//!        │                          │ new, changed, gone
//!        └────▶ quarantine ◀────────┘                   git, in a folder of the host's own
//!                   │ a commit on the base
//!                   ▼
//!   bare copy: refs/stagewright/work/<run>              fetched, checked as `git fsck --strict` does; no branch moves
//! ```
//!
//! The tree is the one that `git add -A` would make in an ordinary checkout, except that
//!
//! - what lies below `docs/work-items/` stays as in the base: the host writes the reports itself;
//! - submodules stay as in the base, and a nested repository is refused;
//! - a file that the agent has not touched stays the very same object, whatever line ends git gave it in the clone;
//! - where a `.gitignore` is missing in the clone, the base's counts, so that tidying up too much does not bring in `target/`.
//!
//! git's own conversions (`text`, `eol`, `ident`, `working-tree-encoding`) are made for new and changed files, since
//! without them every checkout would show the files as modified. They are git's own code; a `filter` needs a configured
//! program, and none is.

mod base;
mod error;
mod ignored;
mod object;
mod opened;
mod place;
mod quarantine;
mod walk;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use stagewright_engine::identity::RunId;
use stagewright_engine::name::CommitId;
use stagewright_engine::time::Timestamp;

pub use error::Error;

use super::commit::{Author, NewCommit};
use super::lock::Lock;
use super::{Bare, commit_id};
use crate::error::shown;
use base::{Base, Kind};
use object::Format;
use quarantine::{Quarantine, index_info, listing};
use walk::{Changed, Difference};

/// What a run left in its clone. All of its processes have ended.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// The clone's top folder.
    pub clone: &'a Path,
    /// The commit at which the clone was made: what it is compared with, and the new commit's parent.
    pub base: &'a CommitId,
    /// The run.
    pub run: RunId,
    /// The commit's message.
    pub message: &'a str,
    /// In whose name.
    pub author: &'a Author,
    /// When; the same files at the same time make the same commit.
    pub when: Timestamp,
    /// How much is taken.
    pub limits: Limits,
}

/// How much of a clone is taken. What the run has not changed does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of one file.
    pub file_bytes: u64,
    /// The bytes of all files together.
    pub total_bytes: u64,
    /// The new files and folders, and the changed files.
    pub files: u64,
}

impl Default for Limits {
    /// 100 MiB a file, which is also where well-known forges stop; 512 MiB together; 100,000 files.
    fn default() -> Self {
        Self { file_bytes: 100 << 20, total_bytes: 512 << 20, files: 100_000 }
    }
}

/// What became of a run's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The commit; `None` if nothing was changed.
    pub commit: Option<CommitId>,
    /// What can't be in a commit or is not the agent's to change.
    pub left_out: Vec<LeftOut>,
}

/// Something in a clone that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its path, escaped and cut.
    pub path: String,
    /// What it is, such as `a named pipe`.
    pub what: &'static str,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` ({})", self.path, self.what)
    }
}

/// Where the copy keeps the work of runs.
const WORK: &str = "refs/stagewright/work/";

/// Where it keeps that of one run.
pub(super) fn work_ref(run: RunId) -> String {
    format!("{WORK}{run}")
}

impl Bare {
    /// Makes a commit of what a run left in its clone, and keeps it. No branch is moved.
    ///
    /// Killed at any moment it leaves the copy whole, and asked again it makes the same commit.
    ///
    /// # Errors
    /// [`Error`] if what is in the clone can't become a commit, and what git says.
    pub async fn keep_work(&self, work: &Work<'_>) -> Result<Kept, crate::Error> {
        let format = match self.source.format.objects.as_str() {
            "sha256" => Format::Sha256,
            _ => Format::Sha1,
        };
        let base = Arc::new(self.base(work.base, work.clone).await?);
        let (clone, limits, with) = (work.clone.to_owned(), work.limits, Arc::clone(&base));
        let difference = blocking(move || Ok(walk::compare(&clone, &with, format, &limits)?)).await?;
        if difference.is_empty() {
            return Ok(Kept { commit: None, left_out: difference.left_out });
        }
        let lock = Lock::take(&self.path).await?;
        let kept = Box::pin(self.keep_under(&lock, work, base, difference, format)).await;
        lock.release();
        kept
    }

    async fn keep_under(
        &self,
        lock: &Lock,
        work: &Work<'_>,
        base: Arc<Base>,
        mut difference: Difference,
        format: Format,
    ) -> Result<Kept, crate::Error> {
        let folder = self.path.with_extension("work");
        let mut quarantine = Quarantine::make(&folder, &self.path, &self.source.format.objects)?;
        let apart = Self { path: quarantine.git(), ..self.clone() };
        apart.git.quick(&apart.path).args(["read-tree", work.base.as_str()]).run().await?;

        if base.may_convert() {
            apart.write_again(&quarantine, &base, &difference).await?;
            let known = Arc::clone(&base);
            // Whoever copies or compares holds the lock too: a thread goes on when this future is dropped.
            let held = lock.file()?;
            (quarantine, difference) = blocking(move || {
                quarantine.drop_untouched(&mut difference, format, |path| known.was_executable(path))?;
                drop(held);
                Ok((quarantine, difference))
            })
            .await?;
        }
        check(&difference, &work.limits)?;

        let (held, clone) = (lock.file()?, work.clone.to_owned());
        (quarantine, difference) = blocking(move || {
            quarantine.copy(&clone, &difference.changed)?;
            drop(held);
            Ok((quarantine, difference))
        })
        .await?;
        let tree = apart.tree_of(&quarantine, &base, &difference).await?;
        let left_out = difference.left_out;
        if tree == self.tree(work.base).await? {
            return Ok(Kept { commit: None, left_out });
        }
        let Work { message, author, when, .. } = *work;
        let commit = NewCommit { tree: &tree, parents: &[work.base], message, author, when };
        let commit = apart.commit_tree(&commit).await?;
        quarantine.name(commit.as_str())?;
        self.take_from(lock, &quarantine, work.run, &base).await?;
        Ok(Kept { commit: Some(commit), left_out })
    }

    /// Writes the commit's own version of every changed file as it was written into the clone.
    async fn write_again(
        &self,
        quarantine: &Quarantine,
        base: &Base,
        difference: &Difference,
    ) -> Result<(), crate::Error> {
        let files = difference
            .changed
            .iter()
            .filter(|one| matches!(one.kind, Kind::File { .. }) && base.was_executable(&one.path).is_some());
        let paths = listing(files.map(|one| one.path.as_slice()));
        let write = self.in_work_tree(&quarantine.written()).args(["checkout-index", "-z", "--stdin"]);
        write.input(paths).run().await?;
        Ok(())
    }

    /// The tree of the base with the difference. This is the quarantine's repository, and the base is in its index.
    async fn tree_of(
        &self,
        quarantine: &Quarantine,
        base: &Base,
        difference: &Difference,
    ) -> Result<CommitId, crate::Error> {
        let id_length = base.entries.values().next().map_or(40, |entry| entry.object.len());
        let modes = difference.modes.iter().filter_map(|(path, executable)| {
            let mode = Kind::File { executable: *executable }.mode();
            Some((mode, base.entries.get(path)?.object.as_str(), path.as_slice()))
        });
        let info = index_info(difference.gone.iter().map(Vec::as_slice), modes, id_length);
        let update = self.git.quick(&self.path).args(["update-index", "-z", "--index-info"]);
        update.input(info).run().await?;
        if !difference.changed.is_empty() {
            let paths = listing(difference.changed.iter().map(|one| one.path.as_slice()));
            let add = self.in_work_tree(&quarantine.files()).args(["update-index", "--add", "-z", "--stdin"]);
            let answer = add.input(paths).answer().await?;
            if !answer.status.success() {
                let said = answer.said();
                // git's words for a file that is not in the encoding that `.gitattributes` says.
                let is_encoding = said.contains("failed to encode") || said.contains("BOM is ");
                return Err(match is_encoding {
                    true => Error::NotStorable { said }.into(),
                    false => answer.into_error().into(),
                });
            }
            self.refuse_forbidden(&difference.changed).await?;
        }
        commit_id("write-tree", &self.git.quick(&self.path).arg("write-tree").run().await?)
    }

    /// git passes over a name that it forbids, with a word on its standard error: `.git` and what some file system takes for it.
    async fn refuse_forbidden(&self, changed: &[Changed]) -> Result<(), crate::Error> {
        let answer = self.git.quick(&self.path).args(["ls-files", "-z"]).run().await?;
        let taken: HashSet<&[u8]> = answer.records().collect();
        match changed.iter().find(|one| !taken.contains(one.path.as_slice())) {
            Some(one) => Err(Error::ForbiddenName { path: shown(&one.path) }.into()),
            None => Ok(()),
        }
    }

    fn in_work_tree(&self, folder: &Path) -> crate::git::Command {
        let mut work_tree = std::ffi::OsString::from("--work-tree=");
        work_tree.push(folder);
        self.git
            .transfer(&self.path)
            .setting("core.bare=false")
            // Names that are `.git` on somebody else's system are refused everywhere.
            .setting("core.protectHFS=true")
            .setting("core.protectNTFS=true")
            .arg(work_tree)
    }

    /// Brings the commit from the quarantine into the copy, with a look at each new object.
    async fn take_from(
        &self,
        lock: &Lock,
        quarantine: &Quarantine,
        run: RunId,
        base: &Base,
    ) -> Result<(), crate::Error> {
        // What the base has in its own `.gitmodules` and `.gitattributes` is not the agent's fault.
        let known = quarantine.git().join("known");
        std::fs::write(&known, base.configuration_objects())
            .map_err(|source| crate::Error::files("writing", &known, source))?;
        let fetch = self
            .git
            .transfer(&self.path)
            .holding(lock.file()?)
            .setting("fetch.fsckObjects=true")
            .setting(format!("fetch.fsck.skipList={}", known.display()))
            .args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"])
            .args(["--no-recurse-submodules", "--update-shallow"])
            .arg(quarantine.git())
            .arg(format!("+{}:{}", quarantine::REF, work_ref(run)));
        let answer = fetch.answer().await?;
        if answer.status.success() {
            return Ok(());
        }
        let said = answer.said();
        // `error: object <id>: gitmodulesUpdate: …`, then `fatal: fsck error in packed object`.
        Err(match said.contains("fsck error") || said.contains("error: object ") {
            true => Error::NotStorable { said }.into(),
            false => answer.into_error().into(),
        })
    }
}

/// Whether what is taken is within the limits.
fn check(difference: &Difference, limits: &Limits) -> Result<(), Error> {
    let (mut bytes, mut number) = (0u64, 0);
    for one in &difference.changed {
        if one.size > limits.file_bytes {
            let (bytes, limit) = (one.size, limits.file_bytes);
            return Err(Error::FileTooLarge { path: shown(&one.path), bytes, limit });
        }
        bytes = bytes.saturating_add(one.size);
        number += 1;
        if number > limits.files {
            return Err(Error::TooMany { limit: limits.files, path: shown(&one.path) });
        }
    }
    match difference.changed.iter().max_by_key(|one| one.size) {
        Some(largest) if bytes > limits.total_bytes => {
            let (limit, largest) = (limits.total_bytes, shown(&largest.path));
            Err(Error::TooLarge { bytes, limit, largest })
        }
        _ => Ok(()),
    }
}

/// Does what blocks on a thread for it.
async fn blocking<T: Send + 'static>(
    what: impl FnOnce() -> Result<T, crate::Error> + Send + 'static,
) -> Result<T, crate::Error> {
    match tokio::task::spawn_blocking(what).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is ending, and this future with it.
            Err(error) => Err(crate::Error::files("reading", "the clone", std::io::Error::other(error))),
        },
    }
}
