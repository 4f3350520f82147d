//! Removing folders in which foreign code has been.
//!
//! A suite may leave anything: folders without permissions, a million files, a tree deeper than a path can be long,
//! links to the user's home, names in no encoding. All of it goes, and nothing outside is touched: every step is taken
//! from an open folder by a single name, and no link is followed. What can't be removed (files of another user, a mount)
//! is counted and named, and the rest goes all the same.
//!
//! It refuses to cross into another file system.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// How deep folders are entered before what lies deeper is moved up: bounds the open files and the stack.
const DEPTH: usize = 48;

/// Something could not be removed.
#[derive(Debug, thiserror::Error)]
#[error(
    "{count} entries of {root} can't be removed, the first is `{first}`: {reason}; remove the folder as the owner of its files"
)]
pub struct Error {
    /// What was to be removed.
    pub root: PathBuf,
    /// How many of its files and folders are left, not counting what lies in them.
    pub count: u64,
    /// The name of the first one, escaped.
    pub first: String,
    /// What the system said about it.
    pub reason: io::Error,
}

/// Removes `path` with everything in it, without following links. Nothing there is no error.
///
/// The work is done on a thread for blocking work and goes on if the future is dropped.
///
/// # Errors
/// [`Error`] if something is left.
pub async fn remove(path: &Path) -> Result<(), Error> {
    let owned = path.to_owned();
    let removal = tokio::task::spawn_blocking(move || remove_blocking(&owned));
    removal.await.unwrap_or_else(|error| Err(Error::of(path, io::Error::other(error))))
}

/// Removes what earlier runs left in `folder`: every entry whose name `is_live` does not claim. Answers how many
/// entries are gone; those that can't be removed are logged and left for the next sweep.
///
/// # Errors
/// If `folder` can't be read.
pub async fn sweep(folder: &Path, is_live: impl Fn(&std::ffi::OsStr) -> bool) -> io::Result<u64> {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if is_live(&entry.file_name()) {
            continue;
        }
        match remove(&entry.path()).await {
            Ok(()) => removed += 1,
            Err(error) => tracing::warn!(%error, "a leftover of an earlier run stays"),
        }
    }
    Ok(removed)
}

/// As [`remove`], on this thread.
pub(crate) fn remove_blocking(path: &Path) -> Result<(), Error> {
    let Some(name) = path.file_name() else {
        return Err(Error::of(path, io::Error::from(io::ErrorKind::InvalidInput)));
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent =
        match rustix::fs::open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(parent) => parent,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(error) => return Err(Error::of(path, error.into())),
        };
    let name = CString::new(name.as_encoded_bytes()).map_err(|error| Error::of(path, error.into()))?;
    // Most paths are folders; what is none is unlinked by this.
    let root = match rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(Error::of(path, error.into())),
        Ok(facts) if FileType::from_raw_mode(facts.st_mode) != FileType::Directory => {
            return rustix::fs::unlinkat(&parent, &name, AtFlags::empty())
                .map_err(|error| Error::of(path, error.into()));
        }
        Ok(_) => enter(parent.as_fd(), &name).map_err(|error| Error::of(path, error.into()))?,
    };
    let device = rustix::fs::fstat(&root).map_err(|error| Error::of(path, error.into()))?.st_dev;
    let mut removal = Removal { root, device, moved_up: 0, count: 0, first: None };
    // Emptying may move deep folders up into the root; then there is something to empty again.
    loop {
        let before = removal.moved_up;
        removal.count = 0;
        let root = removal.root.try_clone().map_err(|error| Error::of(path, error))?;
        removal.empty(root, 0);
        if removal.moved_up == before {
            break;
        }
    }
    if removal.count == 0 {
        match rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(error) => removal.left(&name, error),
        }
    }
    let (first, reason) = removal.first.unwrap_or_else(|| (String::new(), io::ErrorKind::Other.into()));
    Err(Error { root: path.to_owned(), count: removal.count, first, reason })
}

impl Error {
    fn of(path: &Path, reason: io::Error) -> Self {
        Self { root: path.to_owned(), count: 1, first: path.display().to_string(), reason }
    }
}

/// The emptying of one folder.
struct Removal {
    root: OwnedFd,
    device: u64,
    moved_up: u64,
    count: u64,
    first: Option<(String, io::Error)>,
}

impl Removal {
    fn left(&mut self, name: &CStr, reason: Errno) {
        self.count += 1;
        self.first.get_or_insert_with(|| (crate::error::shown(name.to_bytes()), reason.into()));
    }

    /// Removes what is in `folder`, as far as that is possible.
    fn empty(&mut self, folder: OwnedFd, depth: usize) {
        let mut entries = match Dir::read_from(&folder) {
            Ok(entries) => entries,
            Err(error) => return self.left(c"?", error),
        };
        while let Some(entry) = entries.read() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.left(c"?", error),
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if let Err(error) = self.remove_entry(folder.as_fd(), name, entry.file_type(), depth) {
                self.left(name, error);
            }
        }
    }

    fn remove_entry(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &CStr,
        kind: FileType,
        depth: usize,
    ) -> Result<(), Errno> {
        if !matches!(kind, FileType::Directory | FileType::Unknown) {
            return gone(rustix::fs::unlinkat(folder, name, AtFlags::empty()));
        }
        // An empty folder needs no look inside, and a file system that does not tell kinds gets its answer here.
        match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTDIR) => return gone(rustix::fs::unlinkat(folder, name, AtFlags::empty())),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ACCESS | Errno::PERM) => {}
            other => return gone(other),
        }
        let inner = enter(folder, name)?;
        if rustix::fs::fstat(&inner)?.st_dev != self.device {
            return Err(Errno::XDEV);
        }
        if depth >= DEPTH {
            return self.move_up(folder, name);
        }
        let before = (self.count, self.moved_up);
        self.empty(inner, depth + 1);
        match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
            // What is left inside was counted already.
            Err(Errno::NOTEMPTY | Errno::EXIST) if self.count > before.0 => Ok(()),
            other => gone(other),
        }
    }

    /// Moves a folder that lies too deep to the top, where the next round finds it.
    fn move_up(&mut self, folder: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        loop {
            self.moved_up += 1;
            let up = format!(".stagewright-deep-{}", self.moved_up);
            match rustix::fs::renameat_with(folder, name, &self.root, &up, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                other => return other,
            }
        }
    }
}

fn gone(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Opens a folder for reading, after giving its owner all rights in it. Never follows a link.
fn enter(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = rustix::fs::openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
    let facts = rustix::fs::fstat(&place)?;
    if facts.st_mode & 0o700 != 0o700 {
        // By the open folder and not by its name, which could have become a link meanwhile. A folder that was
        // opened only as a place takes no `fchmod`, hence this way.
        let itself = format!("/proc/self/fd/{}", place.as_raw_fd());
        // If this is not permitted, what follows fails and says so.
        let _ = rustix::fs::chmodat(CWD, itself, Mode::from_raw_mode(0o700), AtFlags::empty());
    }
    rustix::fs::openat(&place, c".", OFlags::RDONLY | flags, Mode::empty())
}

#[cfg(test)]
mod tests;
