//! The files of a run: reading clone and scratch, writing scratch, keeping files beside the artifact.
//!
//! Paths are resolved below an open folder by the kernel, so that neither `..` nor a link, nor a folder that
//! is exchanged for a link in the middle of it, leads out of the area. Only regular files are read; nothing
//! that blocks or acts when it is opened (a pipe, a device) is opened for good.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Component, Path};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, FileType, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use stagewright_engine::ledger;

use crate::{Failure, FailureKind, Place};

/// The longest piece of a file that is read at once, in bytes.
const MAX_READ: u32 = 4 << 20;
/// The most entries of a folder that are given at once.
const MAX_ENTRIES: u32 = 4_096;

/// The limits of the grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How much may be written to scratch by one run, in bytes.
    pub write_bytes: u64,
    /// The longest file that may be kept, in bytes.
    pub attachment_bytes: u64,
    /// How many files may be kept.
    pub attachments: u32,
}

impl Default for Grant {
    fn default() -> Self {
        Self { write_bytes: 64 << 20, attachment_bytes: 32 << 20, attachments: 32 }
    }
}

/// Which folder a path is below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The clone at the examined commit.
    Worktree,
    /// The run's own folder.
    Scratch,
}

/// What an entry of a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link. It is not followed to find this out.
    Link,
    /// Anything else.
    Other,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; characters that are no Unicode are replaced.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
}

/// The capability to reach the files of one run.
#[derive(Clone, Debug)]
pub struct Files {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    grant: Grant,
    place: Place,
    written: std::sync::Mutex<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    bytes: u64,
    attachments: u32,
}

/// A file that was kept beside the artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its plain name.
    pub name: String,
    /// Its size and digest.
    pub content: ledger::Stream,
}

impl Files {
    /// The capability that `grant` gives to the run at `place`.
    pub fn new(grant: Grant, place: Place) -> Self {
        Self { inner: Arc::new(Inner { grant, place, written: std::sync::Mutex::default() }) }
    }

    /// Reads at most `max` bytes from `offset` on. Fewer only at the end of the file.
    pub fn read(&self, area: Area, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, Failure> {
        let mut file = self.open(area, path)?;
        let failed = |error| failure("read", path, &error);
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(u64::from(max.min(MAX_READ))).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// The entries of a folder in the order of their names, those behind `after` only, at most `max`.
    pub fn entries(
        &self,
        area: Area,
        path: &str,
        after: Option<&str>,
        max: u32,
    ) -> Result<Vec<Entry>, Failure> {
        let failed = |error| failure("list", path, &error);
        let root = self.root(area)?;
        let folder = match relative(path)? {
            folder if folder.as_os_str().is_empty() => root,
            folder => root.open_dir(folder).map_err(failed)?,
        };
        let max = max.min(MAX_ENTRIES) as usize;
        // The first names only are held, however many there are.
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for entry in folder.entries().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let seen = after.is_some_and(|after| name.as_str() <= after);
            let beyond =
                entries.len() >= max && entries.last_key_value().is_none_or(|(last, _)| *last < name);
            if seen || beyond {
                continue;
            }
            // An entry that is gone by now is no entry.
            let Ok(facts) = entry.metadata() else { continue };
            let kind = kind(facts.file_type());
            entries.insert(name.clone(), Entry { name, kind, size: facts.len() });
            if entries.len() > max {
                entries.pop_last();
            }
        }
        Ok(entries.into_values().collect())
    }

    /// Writes a file of scratch, making the folders on the way.
    pub fn write(&self, path: &str, content: &[u8]) -> Result<(), Failure> {
        let failed = |error| failure("write", path, &error);
        let relative = relative(path)?;
        self.spend(content.len() as u64)?;
        let root = self.root(Area::Scratch)?;
        if let Some(parent) = relative.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            root.create_dir_all(parent).map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        let mut file = root.open_with(relative, &options).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(not_a_file(path));
        }
        file.write_all(content).map_err(failed)
    }

    /// Keeps a scratch file beside the artifact, under a plain name.
    pub fn attach(&self, path: &str, name: &str) -> Result<Attached, Failure> {
        check_name(name)?;
        let failed = |error| failure("attach", path, &error);
        let limit = self.inner.grant.attachment_bytes;
        let mut file = self.open(Area::Scratch, path)?.take(limit + 1);
        {
            let mut spent = self.inner.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if spent.attachments >= self.inner.grant.attachments {
                let message = format!("more than {} files are to be kept", self.inner.grant.attachments);
                return Err(Failure::new(FailureKind::Limit, "too-many-attachments", message));
            }
            spent.attachments += 1;
        }
        let folder = self.inner.place.logs.join("attachments");
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let target = folder.join(name);
        // The folder is out of reach for the run's processes, so plain calls are safe here.
        let mut copy = std::fs::File::options().write(true).create_new(true).open(&target).map_err(
            |error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    let message = format!("a file is kept under the name `{name}` already");
                    Failure::new(FailureKind::Permanent, "name-taken", message)
                }
                _ => failed(error),
            },
        )?;
        let mut hash = Sha256::new();
        let mut bytes = 0;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = file.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            bytes += read as u64;
            hash.update(&buffer[..read]);
            copy.write_all(&buffer[..read]).map_err(failed)?;
        }
        if bytes > limit {
            let _ = std::fs::remove_file(&target);
            let message = format!("`{path}` has more than {limit} bytes");
            return Err(Failure::new(FailureKind::Limit, "attachment-too-large", message));
        }
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Attached { name: name.to_owned(), content: ledger::Stream { bytes, sha256 } })
    }

    fn root(&self, area: Area) -> Result<Dir, Failure> {
        let path = match area {
            Area::Worktree => &self.inner.place.clone,
            Area::Scratch => &self.inner.place.scratch,
        };
        Dir::open_ambient_dir(path, ambient_authority()).map_err(|error| failure("open", "the area", &error))
    }

    fn open(&self, area: Area, path: &str) -> Result<File, Failure> {
        let failed = |error| failure("open", path, &error);
        let mut options = OpenOptions::new();
        // Without blocking: a pipe that nobody writes to would keep the call for ever.
        options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let file = self.root(area)?.open_with(relative(path)?, &options).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_file() { Ok(file) } else { Err(not_a_file(path)) }
    }

    fn spend(&self, bytes: u64) -> Result<(), Failure> {
        let mut spent = self.inner.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let limit = self.inner.grant.write_bytes;
        if spent.bytes.saturating_add(bytes) > limit {
            let message = format!("the component has written more than {limit} bytes");
            return Err(Failure::new(FailureKind::Limit, "too-much-written", message));
        }
        spent.bytes += bytes;
        Ok(())
    }
}

fn kind(kind: FileType) -> Kind {
    if kind.is_file() {
        Kind::File
    } else if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        Kind::Link
    } else {
        Kind::Other
    }
}

/// The path, if it is relative and does not climb. Links are the kernel's to look after.
fn relative(path: &str) -> Result<&Path, Failure> {
    let parts = Path::new(path);
    let climbs = parts.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
    if climbs || path.contains('\0') {
        let message = format!("`{path}` leads out of its area; paths are relative and without `..`");
        return Err(Failure::new(FailureKind::Denied, "outside-area", message));
    }
    Ok(parts)
}

fn check_name(name: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = (1..=80).contains(&name.len()) && name.chars().all(plain) && !name.starts_with(['.', '-']);
    if good {
        return Ok(());
    }
    let message =
        format!("`{}` is no plain name; use letters, digits, `-`, `_` and `.`", name.escape_debug());
    Err(Failure::new(FailureKind::Denied, "bad-name", message))
}

fn not_a_file(path: &str) -> Failure {
    Failure::new(FailureKind::Denied, "not-a-file", format!("`{path}` is not a regular file"))
}

fn failure(verb: &str, path: &str, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let message = format!("could not {verb} `{path}`: {error}");
    match error.kind() {
        ErrorKind::NotFound => Failure::new(FailureKind::NotFound, "no-such-file", message),
        // A path that leads out through a link is answered with this.
        ErrorKind::PermissionDenied => Failure::new(FailureKind::Denied, "permission-denied", message),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Failure::new(FailureKind::Transient, "disk-full", message)
        }
        _ => Failure::new(FailureKind::Other, "io-error", message),
    }
}

#[cfg(test)]
mod tests {
    use stagewright_engine::identity::RunId;

    use super::*;

    fn place() -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let place =
            Place::make(RunId::new(uuid::Uuid::from_u128(5)), folder.path(), folder.path().join("logs"))
                .unwrap();
        std::fs::create_dir(&place.clone).unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        (folder, Files::new(Grant::default(), place))
    }

    #[test]
    fn no_path_leads_out_of_its_area() {
        let (folder, files) = place();
        let outside = folder.path().join("secret");
        std::os::unix::fs::symlink(&outside, folder.path().join("clone/link")).unwrap();
        std::os::unix::fs::symlink("..", folder.path().join("clone/up")).unwrap();
        for path in ["../secret", "link", "up/secret", outside.to_str().unwrap(), "a/../../secret"] {
            assert_eq!(
                files.read(Area::Worktree, path, 0, 10).unwrap_err().kind,
                FailureKind::Denied,
                "{path}"
            );
        }
        std::os::unix::fs::symlink(&outside, folder.path().join("scratch/link")).unwrap();
        assert!(files.write("link", b"x").is_err());
        assert!(files.write("../clone/x", b"x").is_err());
        assert_eq!(std::fs::read(outside).unwrap(), b"secret");
    }

    #[test]
    fn a_pipe_is_refused_and_does_not_block() {
        let (folder, files) = place();
        let made =
            std::process::Command::new("mkfifo").arg(folder.path().join("clone/pipe")).status().unwrap();
        assert!(made.success());
        assert_eq!(files.read(Area::Worktree, "pipe", 0, 10).unwrap_err().code, "not-a-file");
    }

    #[test]
    fn what_was_written_can_be_read_in_pieces_and_listed() {
        let (_folder, files) = place();
        files.write("a/b.txt", b"0123456789").unwrap();
        assert_eq!(files.read(Area::Scratch, "a/b.txt", 4, 3).unwrap(), b"456");
        assert_eq!(files.read(Area::Scratch, "a/b.txt", 10, 3).unwrap(), b"");
        let entries = files.entries(Area::Scratch, "a", None, 10).unwrap();
        assert_eq!(entries, [Entry { name: "b.txt".into(), kind: Kind::File, size: 10 }]);
        assert_eq!(files.read(Area::Scratch, "a/c.txt", 0, 3).unwrap_err().kind, FailureKind::NotFound);
    }

    #[test]
    fn a_long_folder_is_listed_in_parts_and_in_order() {
        let (_folder, files) = place();
        for number in (0..30).rev() {
            files.write(&format!("{number:02}"), b"").unwrap();
        }
        let names = |after: Option<&str>, max| -> Vec<String> {
            let entries = files.entries(Area::Scratch, "", after, max).unwrap();
            entries.into_iter().map(|entry| entry.name).collect()
        };
        assert_eq!(names(None, 3), ["00", "01", "02"]);
        assert_eq!(names(Some("02"), 2), ["03", "04"]);
        assert_eq!(names(Some("27"), 100), ["28", "29"]);
        assert_eq!(names(None, 0), [""; 0]);
    }

    #[test]
    fn a_folder_that_is_exchanged_for_a_link_in_between_leads_nowhere() {
        let (folder, files) = place();
        let (clone, outside) = (folder.path().join("clone"), folder.path().join("outside"));
        for (folder, text) in [(clone.join("dir"), "inside"), (outside.clone(), "secret")] {
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("file"), text).unwrap();
        }
        std::os::unix::fs::symlink(&outside, clone.join("link")).unwrap();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    let exchange = rustix::fs::RenameFlags::EXCHANGE;
                    let (dir, link) = (clone.join("dir"), clone.join("link"));
                    rustix::fs::renameat_with(rustix::fs::CWD, dir, rustix::fs::CWD, link, exchange).unwrap();
                }
            });
            // Until both were met, the folder and the link; the number is only a safety net.
            let (mut inside, mut denied) = (0, 0);
            while (inside < 500 || denied < 500) && inside + denied < 5_000_000 {
                match files.read(Area::Worktree, "dir/file", 0, 10) {
                    Ok(text) => {
                        assert_eq!(text, b"inside");
                        inside += 1;
                    }
                    Err(failure) => {
                        assert_eq!(failure.kind, FailureKind::Denied, "{failure}");
                        denied += 1;
                    }
                }
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(inside > 0 && denied > 0, "only one of them was met: {inside}, {denied}");
        });
    }

    #[test]
    fn an_attachment_has_a_plain_name_that_is_used_once() {
        let (folder, files) = place();
        files.write("junit.xml", b"<x/>").unwrap();
        for name in ["../x", "a/b", "", ".x", "-x", "a\nb"] {
            assert_eq!(files.attach("junit.xml", name).unwrap_err().code, "bad-name", "{name:?}");
        }
        assert_eq!(files.attach("junit.xml", "junit.xml").unwrap().content.bytes, 4);
        assert_eq!(files.attach("junit.xml", "junit.xml").unwrap_err().code, "name-taken");
        assert_eq!(std::fs::read(folder.path().join("logs/attachments/junit.xml")).unwrap(), b"<x/>");
    }

    #[test]
    fn a_component_can_not_fill_the_disk_by_writing() {
        let (folder, _) = place();
        let place = Place::make(RunId::new(uuid::Uuid::from_u128(6)), folder.path(), folder.path().join("l"))
            .unwrap();
        let files = Files::new(Grant { write_bytes: 10, ..Grant::default() }, place);
        files.write("a", b"12345678").unwrap();
        assert_eq!(files.write("a", b"12345678").unwrap_err().kind, FailureKind::Limit);
    }
}
