//! Where a run takes place: the folders that are its own.

use std::io;
use std::path::{Path, PathBuf};

use stagewright_engine::identity::RunId;

/// The folders of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The run.
    pub run: RunId,
    /// The disposable clone at the examined commit.
    pub clone: PathBuf,
    /// Empty at its start; the component and its processes may write here.
    pub scratch: PathBuf,
    /// The home folder of its processes.
    pub home: PathBuf,
    /// The folder for temporary files of its processes. It has a short path outside of the state folder:
    /// sockets are made below it, and a socket's path has at most 107 bytes.
    pub tmp: PathBuf,
    /// The host's log folder of the run: output and attachments. Out of reach for its processes.
    pub logs: PathBuf,
}

impl Place {
    /// The folders below `root`, with logs in `logs`. Makes all but the clone.
    pub fn make(run: RunId, root: &Path, logs: PathBuf) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let place = Self {
            run,
            clone: root.join("clone"),
            scratch: root.join("scratch"),
            home: root.join("home"),
            tmp: Self::tmp_of(run),
            logs,
        };
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for folder in [&place.scratch, &place.home, &place.logs, &place.tmp] {
            builder.create(folder)?;
        }
        Ok(place)
    }

    /// The folder for temporary files of a run, whether or not it exists.
    pub fn tmp_of(run: RunId) -> PathBuf {
        // The end of the id is its random part.
        let id = run.uuid().simple().to_string();
        std::env::temp_dir().join(format!("stagewright-{}", &id[id.len() - 12..]))
    }
}
