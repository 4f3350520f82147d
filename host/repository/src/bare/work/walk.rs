//! Reading the clone: what is other than in the commit from which it was made.
//!
//! Whatever foreign code left there is looked at as files. Each folder is opened by a single name from the one above,
//! no link is followed, no pipe is waited for, and no other file system is entered. Ignored folders are entered only for the sake of
//! tracked files in them.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, Stat};
use rustix::io::Errno;

use super::base::{Base, IGNORE_BYTES, Kind};
use super::ignored::Ignored;
use super::object::Format;
use super::opened::{FILE, FOLDER, unreadable};
use super::{Error, LeftOut, Limits};
use crate::error::shown;

/// How deep folders are entered: each one is an open file.
pub(super) const DEPTH: usize = 200;
/// How long a path may be; git warns of longer ones.
pub(super) const PATH_BYTES: usize = 4096;
/// How many nested repositories are named.
const NAMED: usize = 5;

/// How a clone differs from the commit.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// New files, and those whose bytes or kind are other than the commit's.
    pub(super) changed: Vec<Changed>,
    /// Files of which only the x bit is another, with what it is now.
    pub(super) modes: Vec<(Vec<u8>, bool)>,
    /// Paths of the commit at which there is nothing any more.
    pub(super) gone: Vec<Vec<u8>>,
    pub(super) left_out: Vec<LeftOut>,
}

/// A new file or link, or one that is not as the commit has it.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// The object that its bytes would be as they are. Not asked of a new file.
    pub(super) object: Option<String>,
}

impl Difference {
    pub(super) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.modes.is_empty() && self.gone.is_empty()
    }
}

/// Compares the clone with what it was made from.
pub(super) fn compare(
    clone: &Path,
    base: &Base,
    format: Format,
    limits: &Limits,
) -> Result<Difference, Error> {
    let failed = |error: Errno| unreadable(clone, b"", error.into());
    let root = rustix::fs::openat(CWD, clone, FOLDER, Mode::empty()).map_err(failed)?;
    let device = rustix::fs::fstat(&root).map_err(failed)?.st_dev;
    let mut walk = Walk {
        clone: clone.to_owned(),
        base,
        format,
        limits,
        device,
        ignored: Ignored::default(),
        kept: HashSet::new(),
        new: 0,
        nested: Vec::new(),
        found: Difference::default(),
    };
    walk.folder(root, b"", 0, Want::All)?;
    if !walk.nested.is_empty() {
        return Err(Error::NestedRepositories { folders: walk.nested });
    }
    let Walk { kept, mut found, .. } = walk;
    for (path, entry) in &base.entries {
        if entry.kind != Kind::Submodule && !kept.contains(path) && !Base::is_the_hosts(path) {
            found.gone.push(path.clone());
        }
    }
    // The order of a folder's entries is the file system's; what is told of them should not depend on it.
    found.changed.sort_by(|a, b| a.path.cmp(&b.path));
    found.left_out.sort_by(|a, b| a.path.cmp(&b.path));
    found.gone.sort();
    Ok(found)
}

/// What of a folder matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    All,
    /// It is ignored: only what the commit has.
    Tracked,
}

struct Walk<'a> {
    clone: PathBuf,
    base: &'a Base,
    format: Format,
    limits: &'a Limits,
    device: u64,
    ignored: Ignored,
    /// The commit's paths that stay in some way.
    kept: HashSet<Vec<u8>>,
    /// How many files and folders there are that the commit has not.
    new: u64,
    nested: Vec<String>,
    found: Difference,
}

/// One entry of a folder.
struct Entry<'a> {
    folder: &'a OwnedFd,
    name: &'a CStr,
    path: Vec<u8>,
    facts: Stat,
}

impl Walk<'_> {
    fn folder(&mut self, folder: OwnedFd, prefix: &[u8], depth: usize, want: Want) -> Result<(), Error> {
        if want == Want::All && !prefix.is_empty() && exists(&folder, c".git") {
            if self.nested.len() < NAMED {
                self.nested.push(shown(prefix));
            }
            return Ok(());
        }
        self.read_ignore(&folder, prefix)?;
        let mut inner: Vec<(CString, Want)> = Vec::new();
        let failed = |error: Errno| unreadable(&self.clone, prefix, error.into());
        let mut entries = Dir::read_from(&folder).map_err(failed)?;
        while let Some(entry) = entries.read() {
            let entry = entry.map_err(|error| unreadable(&self.clone, prefix, error.into()))?;
            let name = entry.file_name();
            let path = [prefix, name.to_bytes()].concat();
            if matches!(name.to_bytes(), b"." | b"..") || path == b".git" {
                continue;
            }
            let facts = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| unreadable(&self.clone, &path, error.into()))?;
            let entry = Entry { folder: &folder, name, path, facts };
            if let Some(want) = self.entry(entry, want)? {
                inner.push((name.to_owned(), want));
            }
        }
        // Closed before the next level is opened, so that a level costs one open file.
        drop(entries);
        for (name, want) in inner {
            let prefix = [prefix, name.to_bytes(), b"/"].concat();
            if depth >= DEPTH || prefix.len() > PATH_BYTES {
                return Err(Error::TooDeep { path: shown(&prefix) });
            }
            let failed = |error: Errno| unreadable(&self.clone, &prefix, error.into());
            let below = rustix::fs::openat(&folder, &name, FOLDER, Mode::empty()).map_err(failed)?;
            if rustix::fs::fstat(&below).map_err(failed)?.st_dev != self.device {
                return Err(failed(Errno::XDEV));
            }
            self.folder(below, &prefix, depth + 1, want)?;
        }
        self.ignored.leave(prefix);
        Ok(())
    }

    fn read_ignore(&mut self, folder: &OwnedFd, prefix: &[u8]) -> Result<(), Error> {
        let path = [prefix, b".gitignore"].concat();
        match rustix::fs::openat(folder, c".gitignore", FILE, Mode::empty()) {
            Ok(file) => {
                let mut text = Vec::new();
                let file = std::fs::File::from(file);
                let facts = file.metadata().map_err(|error| unreadable(&self.clone, &path, error))?;
                if facts.is_file() && facts.len() <= IGNORE_BYTES {
                    let read = file.take(IGNORE_BYTES).read_to_end(&mut text);
                    read.map_err(|error| unreadable(&self.clone, &path, error))?;
                    self.ignored.enter(prefix, &text);
                }
            }
            // Without its `.gitignore` a folder is full of garbage, most of all if that file was cleaned away by accident.
            Err(Errno::NOENT) => {
                if let Some(text) = self.base.lost_ignores.get(&path) {
                    self.ignored.enter(prefix, text);
                }
            }
            Err(Errno::LOOP | Errno::NXIO) => {}
            Err(error) => return Err(unreadable(&self.clone, &path, error.into())),
        }
        Ok(())
    }

    /// Takes down what an entry is. Answers, for a folder that has to be entered, what of it matters.
    fn entry(&mut self, entry: Entry<'_>, want: Want) -> Result<Option<Want>, Error> {
        let kind = FileType::from_raw_mode(entry.facts.st_mode);
        if self.base.entries.get(&entry.path).is_some_and(|known| known.kind == Kind::Submodule) {
            self.submodule(entry, kind);
            return Ok(None);
        }
        if kind == FileType::Directory {
            return self.inner_folder(entry, want);
        }
        let is_tracked = self.base.entries.contains_key(&entry.path);
        if !is_tracked && (want == Want::Tracked || self.ignored.matches(&entry.path, false)) {
            return Ok(None);
        }
        if !is_tracked {
            self.count(&entry.path)?;
        }
        match kind {
            FileType::RegularFile => {
                let executable = entry.facts.st_mode & 0o100 != 0;
                self.file(entry, Kind::File { executable })?;
            }
            FileType::Symlink => self.file(entry, Kind::Link)?,
            other => self.leave_out(&entry.path, special(other)),
        }
        Ok(None)
    }

    fn inner_folder(&mut self, entry: Entry<'_>, want: Want) -> Result<Option<Want>, Error> {
        // What is below is the host's; a file of the commit with this very name gives way to the folder.
        if entry.path == REPORTS {
            return Ok(None);
        }
        let is_tracked = self.base.folders.contains(&entry.path);
        if want == Want::Tracked || self.ignored.matches(&entry.path, true) {
            return Ok(is_tracked.then_some(Want::Tracked));
        }
        if !is_tracked {
            self.count(&entry.path)?;
        }
        Ok(Some(Want::All))
    }

    fn file(&mut self, entry: Entry<'_>, kind: Kind) -> Result<(), Error> {
        let known = self.base.entries.get(&entry.path);
        // A file or link where the reports or a submodule have to be would take their place.
        let is_in_the_way =
            is_above_reports(&entry.path) || self.base.around_submodules.contains(&entry.path);
        let size = u64::try_from(entry.facts.st_size).unwrap_or(0);
        let object = match known {
            Some(known) => Some(self.object(&entry, kind, size, known.size)?),
            None => None,
        };
        let same = known.is_some_and(|known| Some(&known.object) == object.as_ref());
        let Entry { path, .. } = entry;
        if is_in_the_way {
            if !same || known.map(|known| known.kind) != Some(kind) {
                self.leave_out(&path, "a file or link where a folder has to stay");
            }
            if known.is_some() {
                self.kept.insert(path);
            }
            return Ok(());
        }
        match (known.map(|known| known.kind), kind) {
            (Some(was), now) if same && was == now => {}
            (Some(Kind::File { .. }), Kind::File { executable }) if same => {
                self.found.modes.push((path.clone(), executable));
            }
            _ => self.found.changed.push(Changed { path: path.clone(), kind, size, object }),
        }
        if known.is_some() {
            self.kept.insert(path);
        }
        Ok(())
    }

    /// The object that a tracked file's bytes would be.
    fn object(&self, entry: &Entry<'_>, kind: Kind, size: u64, was: u64) -> Result<String, Error> {
        let failed = |error| unreadable(&self.clone, &entry.path, error);
        if kind == Kind::Link {
            let target = rustix::fs::readlinkat(entry.folder, entry.name, Vec::new());
            return Ok(self.format.object(target.map_err(|error| failed(error.into()))?.as_bytes()));
        }
        // No conversion makes a file more than four times as large; so a sparse file of a terabyte is not read.
        let limit = self.limits.file_bytes.max(was.saturating_mul(4));
        if size > limit {
            return Err(Error::FileTooLarge { path: shown(&entry.path), bytes: size, limit });
        }
        let file = rustix::fs::openat(entry.folder, entry.name, FILE, Mode::empty());
        let file = std::fs::File::from(file.map_err(|error| failed(error.into()))?);
        let object = self.format.object_of(file, size).map_err(failed)?;
        object.ok_or_else(|| Error::Changing { path: shown(&entry.path) })
    }

    /// A submodule stays as the commit has it, whatever is in its place.
    fn submodule(&mut self, entry: Entry<'_>, kind: FileType) {
        let is_untouched = kind == FileType::Directory && is_empty(entry.folder, entry.name);
        if !is_untouched {
            self.leave_out(&entry.path, "in the place of a submodule");
        }
        self.kept.insert(entry.path);
    }

    fn leave_out(&mut self, path: &[u8], what: &'static str) {
        self.found.left_out.push(LeftOut { path: shown(path), what });
    }

    fn count(&mut self, path: &[u8]) -> Result<(), Error> {
        self.new += 1;
        if self.new > self.limits.files {
            return Err(Error::TooMany { limit: self.limits.files, path: shown(path) });
        }
        Ok(())
    }
}

/// The folder of the reports, without its `/`.
const REPORTS: &[u8] = b"docs/work-items";

fn is_above_reports(path: &[u8]) -> bool {
    path == REPORTS || REPORTS.strip_prefix(path).is_some_and(|rest| rest.starts_with(b"/"))
}

fn special(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        _ => "a device",
    }
}

fn exists(folder: &OwnedFd, name: &CStr) -> bool {
    rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

fn is_empty(folder: &OwnedFd, name: &CStr) -> bool {
    let Ok(folder) = rustix::fs::openat(folder.as_fd(), name, FOLDER, Mode::empty()) else { return false };
    let Ok(entries) = Dir::new(folder) else { return false };
    entries.flatten().all(|entry| matches!(entry.file_name().to_bytes(), b"." | b".."))
}
