//! One writer at a time in a bare copy, whatever happens to the processes that write.
//!
//! The lock is a kernel lock on a file beside the copy. git gets the same open file as its standard input, so the
//! lock is free only when the host *and* the git that it started are done with it: a host that is killed does not let
//! the next one in while its git still writes. The file holds a mark while somebody is at work; whoever takes the
//! lock and finds the mark knows that a writer died, and removes what dead gits leave behind.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::Error;

/// How long to wait for another process. A first fetch of a very large repository may take longer; whoever waits for it
/// is told and can come back.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// The lock of one bare copy, held.
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits for the lock of the copy at `bare`.
    pub(super) async fn take(bare: &Path) -> Result<Self, Error> {
        let path = bare.with_extension("lock");
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(|source| Error::files("opening", &path, source))?;
        let since = Instant::now();
        let mut pause = Duration::from_millis(2);
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(source)) => return Err(Error::files("locking", &path, source)),
                Err(TryLockError::WouldBlock) if since.elapsed() > PATIENCE => {
                    return Err(Error::Busy { path: bare.to_owned(), waited_s: PATIENCE.as_secs() });
                }
                // The kernel tells nobody when a lock becomes free, except a thread that blocks for it, and that
                // can't be given up. So ask again, ever more rarely.
                Err(TryLockError::WouldBlock) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_millis(100));
        }
        let mut lock = Self { file, path };
        lock.mend_after_a_death(bare)?;
        lock.mark(true)?;
        Ok(lock)
    }

    /// The locked file, for a git that writes.
    pub(super) fn file(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(|source| Error::files("opening", &self.path, source))
    }

    /// Gives the lock back after the work was done.
    ///
    /// A lock that is dropped instead is free as well, but leaves its mark: the next owner cleans up.
    pub(super) fn release(mut self) {
        if let Err(error) = self.mark(false) {
            tracing::debug!(%error, "the mark of a lock stays, and the next owner cleans up for nothing");
        }
    }

    fn mark(&mut self, at_work: bool) -> Result<(), Error> {
        let text: &[u8] = if at_work { b"at work\n" } else { b"" };
        let written =
            self.file.set_len(0).and_then(|()| self.file.rewind()).and_then(|()| self.file.write_all(text));
        written.map_err(|source| Error::files("writing", &self.path, source))
    }

    fn mend_after_a_death(&self, bare: &Path) -> Result<(), Error> {
        let facts = self.file.metadata().map_err(|source| Error::files("reading", &self.path, source))?;
        if facts.len() > 0 && bare.exists() {
            remove_leftovers(bare).map_err(|source| Error::files("cleaning up", bare, source))?;
        }
        Ok(())
    }
}

/// Removes the lock files and half-written packs of gits that were killed. Nobody else writes: the lock is held.
fn remove_leftovers(bare: &Path) -> std::io::Result<()> {
    let mut folders = vec![bare.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let kind = entry.file_type()?;
            let is_fan_out = folder.ends_with("objects") && name.len() == 2;
            if kind.is_dir() && !is_fan_out {
                folders.push(entry.path());
            } else if kind.is_file() && (name.ends_with(".lock") || name.starts_with("tmp_")) {
                match std::fs::remove_file(entry.path()) {
                    // A helper of a killed git may still be on its way out and remove its own file.
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                    _ => {
                        tracing::info!(file = %entry.path().display(), "removed what a killed git left behind")
                    }
                }
            }
        }
    }
    Ok(())
}
