//! A suite that waits, so that something can be done while it runs.

use std::time::Duration;

use crate::{Repo, processes};

const LIMIT: Duration = Duration::from_secs(60);

/// A suite that says that it has begun (by a file), then waits until another file is there.
pub struct SlowSuite {
    folder: tempfile::TempDir,
}

impl Default for SlowSuite {
    fn default() -> Self {
        Self::new()
    }
}

impl SlowSuite {
    /// A folder of its own for its two files.
    pub fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("suite").tempdir_in("/dev/shm").unwrap() }
    }

    /// A repository with this suite.
    pub fn repo(&self) -> Repo {
        let text = format!(
            "import os, pathlib, subprocess, sys, time\n\
             def test_a():\n    \
             folder = pathlib.Path({folder:?})\n    \
             if (folder / 'open').exists():\n        return\n    \
             child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', {mark:?}], start_new_session=True)\n    \
             (folder / 'begun').write_text(str(os.getpid()))\n    \
             while not (folder / 'open').exists():\n        time.sleep(0.02)\n",
            folder = self.folder.path(),
            mark = self.mark(),
        );
        Repo::with(&[("test_a.py", &text)])
    }

    /// What a process that it left in another session bears in its arguments.
    pub fn mark(&self) -> String {
        format!("{}-child", self.folder.path().display())
    }

    /// Waits until a test of it runs.
    pub fn wait_until_begun(&self) {
        let file = self.folder.path().join("begun");
        processes::wait_for(LIMIT, "the suite to begin", || {
            std::fs::read_to_string(&file).is_ok_and(|text| !text.is_empty())
        });
    }

    /// Lets it end, now and whenever it runs again.
    pub fn open(&self) {
        std::fs::write(self.folder.path().join("open"), "").unwrap();
    }
}
