//! Putting a finished file where programs look for it, at one stroke.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Puts a file for reading in its place.
pub(crate) fn file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    at_once(path, bytes, 0o644)
}

/// Puts a program in its place.
pub(crate) fn program(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    at_once(path, bytes, 0o755)
}

/// A rename: who is reading or running the old file keeps the old file, and nobody sees half of the new one. A file
/// that is already right is left alone, so that its time says when it last changed.
fn at_once(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(name);
    fs::write(&unfinished, bytes).map_err(Error::file(&unfinished))?;
    fs::set_permissions(&unfinished, Permissions::from_mode(mode)).map_err(Error::file(&unfinished))?;
    fs::rename(&unfinished, path).map_err(Error::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_replaced_leaves_nothing_unfinished_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        program(&path, b"one").unwrap();
        program(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
