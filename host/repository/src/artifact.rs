//! Artifacts as files: written whole or not at all, and read back with their digest (A2).
//!
//! The folder is the host's; the names below it come from outside. Each name is walked to from an open folder, no link is
//! followed and nothing above is reached, and what is read has to be a plain file of a bounded size.
//!
//! Nothing is flushed to the disk: the store has the bytes too, and a file that a power cut took is written again.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

/// Why an artifact's file can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path below the folder is absolute, empty, or goes upwards.
    #[error("`{path}` is not a path below a folder")]
    BadPath {
        /// The path.
        path: PathBuf,
    },
    /// A link is where a folder or the file itself has to be.
    #[error("{path} can't be used: `{part}` is a symbolic link or no folder; remove it")]
    Link {
        /// The whole path.
        path: PathBuf,
        /// The part that is in the way.
        part: PathBuf,
    },
    /// What is there is no plain file.
    #[error("{path} is not a plain file")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file has more bytes than the caller allows.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The path.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The system says no.
    #[error("{action} {path} failed: {source}")]
    Files {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A file's bytes and their digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their SHA-256, in lower-case hex.
    pub sha256: String,
}

/// The SHA-256 of some bytes, in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Writes `bytes` to `relative` below `folder`, which must exist, and answers with their digest. Missing folders
/// between are made. Readers see the old file or the new one, never a part of it.
///
/// # Errors
/// See [`Error`]. A file that was there before is untouched then.
pub fn write(folder: &Path, relative: &Path, bytes: &[u8]) -> Result<String, Error> {
    let path = folder.join(relative);
    let failed = |action, source: Errno| Error::Files { action, path: path.clone(), source: source.into() };
    let (parent, name) = walk(folder, relative, Missing::Make)?;
    let (mut file, temporary) = loop {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let temporary = format!(".artifact-{}-{number}.tmp", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&parent, &temporary, flags, Mode::from_raw_mode(0o644)) {
            Ok(file) => break (std::fs::File::from(file), temporary),
            // Left by a killed process with the same number.
            Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("creating", error)),
        }
    };
    let written = file.write_all(bytes).map_err(|source| Error::Files {
        action: "writing",
        path: path.clone(),
        source,
    });
    let renamed = written.and_then(|()| {
        // A rename replaces a link itself and never what it points to.
        rustix::fs::renameat(&parent, &temporary, &parent, name).map_err(|error| failed("replacing", error))
    });
    if let Err(error) = renamed {
        // Nothing more can be done about a file that can't be removed either.
        let _ = rustix::fs::unlinkat(&parent, &temporary, AtFlags::empty());
        return Err(error);
    }
    Ok(sha256(bytes))
}

/// Reads the plain file at `relative` below `folder`; `None` if it is not there.
///
/// # Errors
/// See [`Error`]. A file that grows beyond `limit` bytes while it is read is too large as well.
pub fn read(folder: &Path, relative: &Path, limit: u64) -> Result<Option<Content>, Error> {
    let path = folder.join(relative);
    let failed = |source: io::Error| Error::Files { action: "reading", path: path.clone(), source };
    let (parent, name) = match walk(folder, relative, Missing::Refuse) {
        Err(Error::Files { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    // Without blocking, so that a FIFO does not stop the host.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&parent, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(Error::Link { part: path.clone(), path }),
        // A socket, or a device without a driver.
        Err(Errno::NXIO) => return Err(Error::NotAFile { path }),
        Err(error) => return Err(failed(error.into())),
    };
    let facts = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
        return Err(Error::NotAFile { path });
    }
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
        return Err(Error::TooLarge { path, limit });
    }
    Ok(Some(Content { sha256: sha256(&bytes), bytes }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Make,
    Refuse,
}

/// Opens the folder in which `relative` lies, one name after the other, and answers with it and the last name.
fn walk<'a>(
    folder: &Path,
    relative: &'a Path,
    missing: Missing,
) -> Result<(OwnedFd, &'a std::ffi::OsStr), Error> {
    let path = folder.join(relative);
    let failed = |error: Errno| Error::Files { action: "opening", path: path.clone(), source: error.into() };
    let mut names = Vec::new();
    for component in relative.components() {
        match component {
            Component::Normal(name) => names.push(name),
            _ => return Err(Error::BadPath { path: relative.to_owned() }),
        }
    }
    let Some((last, folders)) = names.split_last() else {
        return Err(Error::BadPath { path: relative.to_owned() });
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = rustix::fs::openat(CWD, folder, flags, Mode::empty()).map_err(failed)?;
    let mut walked = folder.to_owned();
    for name in folders {
        walked.push(name);
        if missing == Missing::Make {
            match rustix::fs::mkdirat(&here, *name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        here = match rustix::fs::openat(&here, *name, flags | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(Error::Link { path, part: walked }),
            Err(error) => return Err(failed(error)),
        };
    }
    Ok((here, last))
}

#[cfg(test)]
mod tests;
