//! The user's repository, read as files.
//!
//! Finding it, its format and what it has checked out needs no git in it: the layout of a `.git` is
//! documented and small. Its configuration is read by `git config --file`, which follows no include and
//! executes nothing, and only a handful of keys is looked at.
//!
//! To fetch from it or to move a branch in it, git gets a *facade*: a repository made by the host whose
//! objects and refs are links to the user's, and whose configuration is the host's own. So no
//! `core.fsmonitor`, no hook, no `uploadpack.packObjectsHook` and no `core.sshCommand` of a hostile
//! repository is ever read, let alone obeyed.
//!
//! It refuses to say whether the checkout is dirty: to know that, git would have to refresh the checkout's
//! index with the checkout's own filters and monitors.

mod checked_out;
mod error;
mod facade;

use std::io;
use std::path::{Path, PathBuf};

use stagewright_engine::name::{BranchName, CommitId};

use crate::error::shown;
use crate::git::Git;
pub(crate) use checked_out::who_has_checked_out;
pub use error::Error;
pub(crate) use facade::{Facade, Purpose};

/// A repository of the user that was found and can be read.
#[derive(Clone, Debug)]
pub struct Source {
    /// The top folder of its checkout, or the repository itself if it is bare.
    pub top: PathBuf,
    /// Whether it has no checkout.
    pub bare: bool,
    /// What was checked out when it was looked at.
    pub head: Head,
    /// Whether its history is cut off (`git clone --depth`), so that descriptions by tags may fail.
    pub shallow: bool,
    pub(crate) common_dir: PathBuf,
    /// Whether the main repository has no checkout of its own; a linked worktree's may have none.
    pub(crate) main_bare: bool,
    pub(crate) format: Format,
}

/// What a checkout stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// On a branch.
    Branch {
        /// Which.
        name: BranchName,
        /// Its commit; `None` for a branch without a commit so far.
        commit: Option<CommitId>,
    },
    /// On a commit without a branch.
    Detached {
        /// Which.
        commit: CommitId,
    },
}

/// How a repository keeps its data, as far as a facade has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// `sha1` or `sha256`.
    pub(crate) objects: String,
    /// `files` or `reftable`.
    pub(crate) refs: String,
    /// Objects may be missing here and be fetched from elsewhere when they are needed.
    pub(crate) partial: bool,
    /// `core.sharedRepository`: with which permissions new files are made.
    pub(crate) shared: Option<String>,
}

impl Source {
    /// Finds the repository at `path` or above it. Reads only.
    ///
    /// # Errors
    /// See [`Error`]; each says what to do.
    pub async fn find(git: &Git, path: &Path) -> Result<Self, Error> {
        let place = Place::find(path)?;
        let (format, configured_bare) = Format::read(git, &place.common_dir).await?;
        // A linked worktree has a checkout even where its main repository is bare.
        let bare = place.looks_bare && configured_bare.unwrap_or(true);
        if !bare && place.looks_bare {
            return Err(Error::InsideGitDir { path: place.git_dir });
        }
        let main_bare = configured_bare.unwrap_or_else(|| !place.common_dir.ends_with(".git"));
        let shallow = place.common_dir.join("shallow").exists();
        let head = match format.refs.as_str() {
            "files" => read_head(&place.git_dir)?,
            _ => facade::reftable_head(git, &place.git_dir, &place.common_dir, &format).await?,
        };
        Ok(Self { top: place.top, bare, head, shallow, common_dir: place.common_dir, main_bare, format })
    }

    /// The branch that is checked out, if one is.
    pub fn branch(&self) -> Option<&BranchName> {
        match &self.head {
            Head::Branch { name, .. } => Some(name),
            Head::Detached { .. } => None,
        }
    }
}

/// Where a repository lies.
struct Place {
    top: PathBuf,
    git_dir: PathBuf,
    common_dir: PathBuf,
    looks_bare: bool,
}

impl Place {
    fn find(path: &Path) -> Result<Self, Error> {
        let start =
            path.canonicalize().map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
        for folder in start.ancestors() {
            let dot_git = folder.join(".git");
            if let Some(git_dir) = git_dir_at(&dot_git)? {
                return Self::new(folder, git_dir, false);
            }
            if is_git_dir(folder) {
                // Somebody stands in the `.git` of a checkout: the checkout is meant.
                return match folder.parent() {
                    Some(top) if folder.file_name().is_some_and(|name| name == ".git") => {
                        Self::new(top, folder.to_owned(), false)
                    }
                    _ => Self::new(folder, folder.to_owned(), true),
                };
            }
        }
        Err(Error::NotARepository { path: start })
    }

    fn new(top: &Path, git_dir: PathBuf, looks_bare: bool) -> Result<Self, Error> {
        let common_dir = match read_small(&git_dir.join("commondir")) {
            Ok(text) => {
                let common = git_dir.join(path_of(text.trim_ascii_end()));
                common.canonicalize().map_err(|source| Error::Unreadable { path: common, source })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => git_dir.clone(),
            Err(source) => return Err(Error::Unreadable { path: git_dir.join("commondir"), source }),
        };
        Ok(Self { top: top.to_owned(), git_dir, common_dir, looks_bare })
    }
}

/// The repository that `.git` is or names; `None` if there is no `.git`.
fn git_dir_at(dot_git: &Path) -> Result<Option<PathBuf>, Error> {
    let facts = match dot_git.metadata() {
        Ok(facts) => facts,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(source) => return Err(Error::Unreadable { path: dot_git.to_owned(), source }),
    };
    if facts.is_dir() {
        let git_dir = dot_git
            .canonicalize()
            .map_err(|source| Error::Unreadable { path: dot_git.to_owned(), source })?;
        // As git does: a `.git` that is no repository does not end the search.
        return Ok(is_git_dir(&git_dir).then_some(git_dir));
    }
    // A linked worktree, a submodule or a separate git folder: a file that says where.
    let text =
        read_small(dot_git).map_err(|source| Error::Unreadable { path: dot_git.to_owned(), source })?;
    let broken = || Error::BrokenLink { path: dot_git.to_owned(), text: shown(&text) };
    let target = text.strip_prefix(b"gitdir:").map(<[u8]>::trim_ascii).ok_or_else(broken)?;
    let folder = dot_git.parent().unwrap_or(Path::new("/"));
    let git_dir = folder.join(path_of(target)).canonicalize().map_err(|_| broken())?;
    if is_git_dir(&git_dir) { Ok(Some(git_dir)) } else { Err(broken()) }
}

/// Whether a folder has what every git folder has. `commondir` stands for the parts that a linked worktree
/// shares with its main repository.
fn is_git_dir(path: &Path) -> bool {
    let has_head = path.join("HEAD").symlink_metadata().is_ok();
    let is_linked = path.join("commondir").is_file();
    has_head && (is_linked || (path.join("objects").is_dir() && path.join("refs").is_dir()))
}

/// What the `HEAD` of a repository with plain ref files says. The branch's commit is not looked up here.
pub(crate) fn read_head(git_dir: &Path) -> Result<Head, Error> {
    let path = git_dir.join("HEAD");
    let unreadable = |source| Error::Unreadable { path: path.clone(), source };
    // Very old gits made HEAD a symbolic link.
    if let Ok(target) = path.read_link() {
        return parse_head(target.as_os_str().as_encoded_bytes(), &path);
    }
    let text = read_small(&path).map_err(unreadable)?;
    let text = text.trim_ascii_end();
    parse_head(text.strip_prefix(b"ref:").map_or(text, <[u8]>::trim_ascii_start), &path)
}

fn parse_head(text: &[u8], path: &Path) -> Result<Head, Error> {
    let odd = || Error::OddHead { path: path.to_owned(), text: shown(text) };
    let text = std::str::from_utf8(text).map_err(|_| odd())?;
    if let Some(name) = text.strip_prefix("refs/heads/") {
        let name = BranchName::new(name).map_err(|_| odd())?;
        return Ok(Head::Branch { name, commit: None });
    }
    CommitId::new(text).map(|commit| Head::Detached { commit }).map_err(|_| odd())
}

impl Format {
    /// Reads it from the repository's configuration, with `core.bare` if it is set.
    async fn read(git: &Git, common_dir: &Path) -> Result<(Self, Option<bool>), Error> {
        let mut format =
            Self { objects: "sha1".to_owned(), refs: "files".to_owned(), partial: false, shared: None };
        let mut bare = None;
        for name in ["config", "config.worktree"] {
            let file = common_dir.join(name);
            if !file.exists() {
                continue;
            }
            let listing = git
                .outside()
                .args(["config", "--no-includes", "--list", "-z", "--file"])
                .arg(&file)
                .run()
                .await;
            let listing = listing.map_err(|source| Error::Configuration { path: file.clone(), source })?;
            for record in listing.records() {
                let record = String::from_utf8_lossy(record);
                // A key without a value means true.
                let (key, value) = record.split_once('\n').unwrap_or((&record, "true"));
                format.take(key, value, &file)?;
                if key == "core.bare" {
                    bare = Some(is_true(value));
                }
            }
        }
        Ok((format, bare))
    }

    fn take(&mut self, key: &str, value: &str, file: &Path) -> Result<(), Error> {
        // Extensions that change nothing about how objects and refs are read.
        const HARMLESS: [&str; 6] = [
            "noop",
            "preciousobjects",
            "worktreeconfig",
            "relativeworktrees",
            "compatobjectformat",
            "submodulepathconfig",
        ];
        let unknown = || Error::Extension {
            path: file.to_owned(),
            extension: format!("{}={}", shown(key.as_bytes()), shown(value.as_bytes())),
        };
        match key.strip_prefix("extensions.") {
            Some("objectformat") if matches!(value, "sha1" | "sha256") => self.objects = value.to_owned(),
            Some("refstorage") if matches!(value, "files" | "reftable") => self.refs = value.to_owned(),
            Some("partialclone") => self.partial = true,
            Some(name) if HARMLESS.contains(&name) => {}
            Some(_) => return Err(unknown()),
            None if key.starts_with("remote.") && key.ends_with(".promisor") => {
                self.partial |= is_true(value)
            }
            None if key == "core.sharedrepository" => self.shared = Some(value.to_owned()),
            None => {}
        }
        Ok(())
    }
}

fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "1")
}

/// The beginning of a file that is known to be small in every sound repository.
pub(crate) fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    // Without blocking, so that a FIFO in a hostile repository does not stop the host.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut bytes = Vec::new();
    file.take(16 << 10).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn path_of(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt as _;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}
