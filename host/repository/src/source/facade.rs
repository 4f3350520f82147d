//! A repository of the host's own that shows the user's objects and refs, and nothing else of it.
//!
//! ```text
//! HEAD         a copy, or what the caller chooses
//! config       the host's
//! objects      → the user's     packed-refs  → the user's     logs  → the user's (only to write)
//! refs         → the user's     shallow      → the user's     reftable → the user's
//! ```
//!
//! git takes such a folder for a repository and follows the links; locks are made where the real refs are, so
//! it excludes the user's own git as usual. Grafts, hooks, `info/` and the configuration stay out of sight.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use super::{Error, Format, Head, Source, parse_head};
use crate::git::Git;
use crate::removal;

/// What a facade is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Git reads only.
    Read,
    /// Git adds objects and moves a branch.
    Write,
}

/// A facade on disk; removed when it is dropped.
pub(crate) struct Facade {
    path: PathBuf,
}

impl Facade {
    /// Makes the facade of `source` at `path`, in place of whatever a killed process left there. The caller
    /// holds the lock of the bare copy to which this path belongs.
    pub(crate) fn make(source: &Source, path: &Path, purpose: Purpose) -> Result<Self, Error> {
        let head = match &source.head {
            Head::Branch { name, .. } => format!("ref: refs/heads/{name}\n"),
            Head::Detached { commit } => format!("{commit}\n"),
        };
        Self::build(path, &source.common_dir, &source.common_dir, &source.format, &head, purpose)
            .map_err(|error| Error::Facade { path: source.top.clone(), source: error })
    }

    fn build(
        path: &Path,
        refs: &Path,
        objects: &Path,
        format: &Format,
        head: &str,
        purpose: Purpose,
    ) -> io::Result<Self> {
        removal::remove_blocking(path).map_err(io::Error::other)?;
        std::fs::DirBuilder::new().mode(0o700).create(path)?;
        let facade = Self { path: path.to_owned() };
        std::fs::write(path.join("HEAD"), head)?;
        std::fs::write(path.join("config"), configuration(format, purpose))?;
        symlink(objects.join("objects"), path.join("objects"))?;
        // A reftable repository has a `refs` folder too, with nothing in it that matters.
        for name in ["refs", "packed-refs", "shallow", "reftable"] {
            let target = refs.join(name);
            if target.symlink_metadata().is_ok() {
                symlink(target, path.join(name))?;
            }
        }
        if !path.join("refs").exists() {
            std::fs::create_dir(path.join("refs"))?;
        }
        if purpose == Purpose::Write && refs.join("logs").is_dir() {
            symlink(refs.join("logs"), path.join("logs"))?;
        }
        Ok(facade)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Facade {
    fn drop(&mut self) {
        // What is left is replaced by the next facade at the same path.
        if let Err(error) = removal::remove_blocking(&self.path) {
            tracing::debug!(%error, "a facade stays behind");
        }
    }
}

/// The configuration that the commands read which git starts by itself, such as `upload-pack`: they do not get
/// the `-c` settings of their parent.
///
/// No new deltas are looked for (`pack.window`): the pack goes from one disk to the same disk, and the search is
/// most of the time of a first fetch. Deltas that are there are used.
fn configuration(format: &Format, purpose: Purpose) -> String {
    let shared = match (&format.shared, purpose) {
        // Only words and numbers are taken over, so that a value can't begin a section of its own.
        (Some(value), Purpose::Write) if value.chars().all(|c| c.is_ascii_alphanumeric()) => {
            format!("\tsharedRepository = {value}\n")
        }
        _ => String::new(),
    };
    let refs = match format.refs.as_str() {
        // Named only where it has to be: a git older than 2.45 does not know the word.
        "files" => String::new(),
        other => format!("\trefStorage = {other}\n"),
    };
    let objects = match format.objects.as_str() {
        "sha1" => String::new(),
        other => format!("\tobjectFormat = {other}\n"),
    };
    format!(
        "[core]\n\trepositoryFormatVersion = 1\n\tbare = true\n\thooksPath = /dev/null\n\tfsmonitor = false\n\
         \tuseReplaceRefs = false\n{shared}[extensions]\n{objects}{refs}[pack]\n\twindow = 0\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
    )
}

/// What `HEAD` says where refs are not plain files: git reads it through a facade of its own.
pub(super) async fn reftable_head(
    git: &Git,
    git_dir: &Path,
    common_dir: &Path,
    format: &Format,
) -> Result<Head, Error> {
    let failed = |source| Error::Facade { path: git_dir.to_owned(), source };
    let folder = private_folder().map_err(failed)?;
    // The name that such a repository's HEAD file always has; the real one is in the table.
    let stub = "ref: refs/heads/.invalid\n";
    let facade = Facade::build(&folder, git_dir, common_dir, format, stub, Purpose::Read).map_err(failed)?;
    let answer = git.quick(facade.path()).args(["symbolic-ref", "--quiet", "HEAD"]).answer().await?;
    if answer.status.success() {
        return parse_head(answer.line().as_bytes(), &git_dir.join("HEAD"));
    }
    let answer = git.quick(facade.path()).args(["rev-parse", "--verify", "HEAD"]).run().await?;
    parse_head(answer.line().as_bytes(), &git_dir.join("HEAD"))
}

/// A path in the system's folder for temporary files that nobody else uses.
fn private_folder() -> io::Result<PathBuf> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let parent = std::env::temp_dir();
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("stagewright-facade-{}-{number}", std::process::id()));
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}
