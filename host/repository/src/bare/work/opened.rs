//! Opening what is in a clone, one name after the other and never through a link.

use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::Error;
use crate::error::shown;

/// A folder to be read, that is no link.
pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// A file to be read, that is no link; without blocking, so that a pipe does not stop the host.
pub(super) const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Opens a plain file of the clone by its path, one name after the other.
pub(super) fn file(clone: &Path, path: &[u8]) -> Result<std::fs::File, Error> {
    let failed = |error: Errno| unreadable(clone, path, error.into());
    let mut here = rustix::fs::openat(CWD, clone, FOLDER, Mode::empty()).map_err(failed)?;
    let mut names = path.split(|&byte| byte == b'/').peekable();
    while let Some(name) = names.next() {
        let flags = if names.peek().is_some() { FOLDER } else { FILE };
        here = rustix::fs::openat(&here, name, flags, Mode::empty()).map_err(failed)?;
    }
    Ok(here.into())
}

/// Where a link of the clone leads.
pub(super) fn link(clone: &Path, path: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |error: Errno| unreadable(clone, path, error.into());
    let (folder, name) = match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (&b""[..], path),
    };
    let mut here = rustix::fs::openat(CWD, clone, FOLDER, Mode::empty()).map_err(failed)?;
    for name in folder.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        here = rustix::fs::openat(&here, name, FOLDER, Mode::empty()).map_err(failed)?;
    }
    Ok(rustix::fs::readlinkat(&here, name, Vec::new()).map_err(failed)?.into_bytes())
}

pub(super) fn unreadable(clone: &Path, path: &[u8], source: std::io::Error) -> Error {
    Error::Unreadable { clone: clone.to_owned(), path: shown(path), source }
}
