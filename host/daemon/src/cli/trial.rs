//! A folder for something that is only tried out.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::clock;

/// A folder of our own, closed to others, that goes with the value.
#[derive(Debug)]
pub(super) struct Trial(PathBuf);

impl Trial {
    /// Makes one in `place`. Its name says whose it is.
    pub(super) fn within(place: &Path) -> io::Result<Self> {
        let folder = place.join(format!(".stagewright-trial-{}", clock::new_id()));
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // What can't be removed harms nobody: it is closed, and its name says whose it is.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
