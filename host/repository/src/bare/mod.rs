//! The host's bare copy of a repository: the only repository in which the host runs git.
//!
//! ```text
//! refs/source/heads/*   the user's branches, as they were at the last fetch
//! refs/source/detached  the commit of a checkout that is on no branch
//! refs/host/heads/*     the same branches with the host's artifact commits, and work that was placed, on top
//! refs/host/placed-on/* where the user's branch was when work was placed on it that the user has not yet
//! refs/stagewright/work/*  what runs have left in their clones, by run
//! refs/tags/*           the user's tags
//! ```
//!
//! Objects are never pruned, because clones borrow them. Two processes may use one copy at the same time: what
//! changes it happens under its [lock](lock), everything else only reads.

mod commit;
mod deliver;
mod history;
mod lock;
mod merge;
mod refs;
mod shared;
pub mod work;

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagewright_engine::name::{BranchName, CommitId, RepoName};

pub use commit::{ArtifactCommit, Author};
pub use deliver::{Delivery, Refusal};
pub use merge::{Merge, MergeRefusal, Merged, OLDEST_TO_MERGE};

use crate::error::{Error, shown};
use crate::git::{self, Git};
use crate::source::{self, Facade, Head, Purpose, Source};
use lock::Lock;
use refs::Refs;
use shared::Looks;

/// The folder with the host's bare copies, one for each repository's name.
#[derive(Clone, Debug)]
pub struct Repositories {
    git: Git,
    folder: PathBuf,
    looks: Looks<(RepoName, PathBuf), Bare>,
}

/// One bare copy, brought up to date with the user's repository when it was opened.
#[derive(Clone, Debug)]
pub struct Bare {
    pub(crate) git: Git,
    pub(crate) path: PathBuf,
    pub(crate) source: Source,
    /// What the copy's refs were when it was opened.
    pub(crate) refs: Arc<Refs>,
}

impl Repositories {
    /// Keeps the copies in `folder`, which is made, closed to other users, if it is missing. It must be writable
    /// by the host only.
    ///
    /// # Errors
    /// [`Error::Files`] if the folder can't be made.
    pub fn new(git: Git, folder: &Path) -> Result<Self, Error> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| Error::files("creating", folder, source))?;
        let folder = folder.canonicalize().map_err(|source| Error::files("opening", folder, source))?;
        Ok(Self { git, folder, looks: Looks::default() })
    }

    /// The git that is used.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// Finds the user's repository at `path` or above it and brings the copy called `name` up to date with it.
    ///
    /// Nothing is written into the user's repository, and nothing that is configured in it is executed. Branches
    /// that were rewritten are followed, deleted ones are dropped. A process that is killed in the middle leaves a
    /// copy that the next call mends. Those who ask at the same time share one fetch that begins after they have asked.
    ///
    /// # Errors
    /// [`source::Error`] for a repository that can't be used, [`Error::Busy`] if another process holds the copy's
    /// lock for too long, and what git says.
    pub async fn open(&self, name: &RepoName, path: &Path) -> Result<Bare, Error> {
        // Boxed: looking waits in many places, and nobody above should carry all of them.
        let look = Box::pin(async { self.open_source(name, Source::find(&self.git, path).await?).await });
        self.looks.share((name.clone(), path.to_owned()), look).await
    }

    /// The same for a repository that was just found.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_source(&self, name: &RepoName, source: Source) -> Result<Bare, Error> {
        let (git, path) = (self.git.clone(), self.folder.join(format!("{name}.git")));
        let mut bare = Bare { git, path, source, refs: Arc::default() };
        let lock = Lock::take(&bare.path).await?;
        bare.make_if_missing(&lock).await?;
        bare.fetch(&lock).await?;
        lock.release();
        Ok(bare)
    }
}

impl Bare {
    /// The copy's folder. Clones read its objects, so a run must be able to read, and not to write, `objects` in it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The user's repository, as it was when this copy was opened.
    pub fn source(&self) -> &Source {
        &self.source
    }

    async fn make_if_missing(&self, lock: &Lock) -> Result<(), Error> {
        let format = &self.source.format.objects;
        if self.path.join("HEAD").exists() {
            let answer = self.git.quick(&self.path).args(["rev-parse", "--show-object-format"]).run().await?;
            let was = answer.line();
            if was != *format {
                let (path, now, copy) = (self.source.top.clone(), format.clone(), self.path.clone());
                return Err(source::Error::FormatChanged { path, now, was, copy }.into());
            }
            return Ok(());
        }
        // Made aside and moved into place, so that a copy that is there is whole; and under the lock, so that the git
        // of a host that was killed here is not still writing where the next one begins.
        let aside = self.path.with_extension("new");
        crate::removal::remove_blocking(&aside)?;
        let init =
            self.git.outside().holding(lock.file()?).args(["init", "--quiet", "--bare", "--template="]);
        init.arg(format!("--object-format={format}")).arg(&aside).run().await?;
        std::fs::rename(&aside, &self.path).map_err(|source| Error::files("creating", &self.path, source))
    }

    async fn fetch(&mut self, lock: &Lock) -> Result<(), Error> {
        let facade = Facade::make(&self.source, &self.path.with_extension("source"), Purpose::Read)?;
        let mut fetch = self.git.transfer(&self.path).holding(lock.file()?).args([
            "fetch",
            "--quiet",
            "--force",
            "--prune",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "--update-shallow",
        ]);
        if self.path.join("shallow").exists() && !self.source.shallow {
            fetch = fetch.arg("--unshallow");
        }
        fetch =
            fetch.arg(facade.path()).args(["+refs/heads/*:refs/source/heads/*", "+refs/tags/*:refs/tags/*"]);
        if matches!(self.source.head, Head::Detached { .. }) {
            fetch = fetch.arg("+HEAD:refs/source/detached");
        }
        let answer = fetch.answer().await?;
        if !answer.status.success() {
            let (path, said) = (self.source.top.clone(), answer.said());
            return Err(match self.source.format.partial {
                true => source::Error::Partial { path, said }.into(),
                false => answer.into_error().into(),
            });
        }
        self.refs = Arc::new(self.read_refs().await?);
        self.drop_stale_host_branches(lock).await?;
        self.drop_stale_placements(lock).await?;
        self.look_up_head()
    }

    /// Forgets artifact commits of branches that the user has deleted: such a branch's name must be free for a
    /// branch below it (`a` and `a/b` can't both be).
    async fn drop_stale_host_branches(&self, lock: &Lock) -> Result<(), Error> {
        for (name, host) in self.refs.under(HOST_HEADS) {
            // A name that the host can't use is none that it has given.
            let name = String::from_utf8_lossy(name);
            if self.refs.commit(&format!("{SOURCE_HEADS}{name}")).is_none() {
                let delete = self.git.quick(&self.path).holding(lock.file()?);
                let host = String::from_utf8_lossy(&host.name);
                delete.args(["update-ref", "--no-deref", "-d", host.as_ref()]).run().await?;
            }
        }
        Ok(())
    }

    /// Forgets where work was placed as soon as the user's branch is elsewhere. Were it kept, a user who takes the work
    /// and then takes it back would be overruled.
    async fn drop_stale_placements(&self, lock: &Lock) -> Result<(), Error> {
        for (name, placed) in self.refs.under(PLACED_ON) {
            let user = self.refs.commit(&format!("{SOURCE_HEADS}{}", String::from_utf8_lossy(name)));
            if user.as_ref().map(CommitId::as_str).map(str::as_bytes) != Some(placed.object.as_slice()) {
                let delete = self.git.quick(&self.path).holding(lock.file()?);
                let placed = String::from_utf8_lossy(&placed.name);
                delete.args(["update-ref", "--no-deref", "-d", placed.as_ref()]).run().await?;
            }
        }
        Ok(())
    }

    fn look_up_head(&mut self) -> Result<(), Error> {
        let name = match &self.source.head {
            Head::Detached { .. } => return Ok(()),
            Head::Branch { name, .. } => name.clone(),
        };
        let commit = self.refs.commit(&source_ref(&name));
        if commit.is_none() && self.branches().is_empty() {
            return Err(source::Error::Empty { path: self.source.top.clone() }.into());
        }
        self.source.head = Head::Branch { name, commit };
        Ok(())
    }

    /// The commit that a full ref name stands on, if there is one.
    pub(crate) async fn reference(&self, name: &str) -> Result<Option<CommitId>, Error> {
        let question = format!("{name}^{{commit}}");
        let ask = self.git.quick(&self.path).args(["rev-parse", "--verify", "--quiet", "--end-of-options"]);
        let answer = ask.arg(question).answer().await?;
        match answer.status.code() {
            Some(0) => Ok(Some(commit_id("rev-parse", &answer)?)),
            Some(1) => Ok(None),
            _ => Err(answer.into_error().into()),
        }
    }
}

/// Where the copy has the user's branches.
pub(crate) const SOURCE_HEADS: &str = "refs/source/heads/";
/// Where it has the same ones with the host's artifact commits.
const HOST_HEADS: &str = "refs/host/heads/";

/// Where the user's branch was when the host placed work on it.
const PLACED_ON: &str = "refs/host/placed-on/";

pub(crate) fn source_ref(branch: &BranchName) -> String {
    format!("{SOURCE_HEADS}{branch}")
}

pub(crate) fn host_ref(branch: &BranchName) -> String {
    format!("{HOST_HEADS}{branch}")
}

fn placed_on_ref(branch: &BranchName) -> String {
    format!("{PLACED_ON}{branch}")
}

/// The commit or object that git answered with.
pub(crate) fn commit_id(question: &'static str, answer: &git::Output) -> Result<CommitId, Error> {
    CommitId::new(answer.line()).map_err(|_| Error::Unexpected { question, answer: shown(&answer.stdout) })
}
