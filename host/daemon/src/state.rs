//! The state folder: where everything durable and everything disposable of this host lies.
//!
//! ```text
//! store.sqlite3        tasks, jobs, leases, events, artifacts
//! instances/           one lock file for each running instance
//! repos/<name>.git     the host's bare copies
//! runs/<run>/          clone, scratch and home of a run; removed when it ends
//! logs/<run>/          output of its processes, and what it attached
//! reports/…            the artifacts as files; the store has them too
//! cache/               compiled components, and the caches of suites' tools
//! token                the API token
//! http.json            where the daemon is, while one runs
//! ```
//!
//! The folder is closed to other users, and a suite's processes can't read it where isolation works. It
//! refuses to be created inside the repository that is examined: a run would then examine its own state.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use stagewright_engine::identity::{RunId, TaskKey};
use stagewright_engine::name::StageName;

/// A state folder that exists and is ours alone.
#[derive(Clone, Debug)]
pub struct StateDir {
    root: PathBuf,
}

/// Why a state folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither a flag, a variable nor a home folder says where it is.
    #[error(
        "no state folder: neither --state-dir, ORCH_STATE_DIR, XDG_STATE_HOME nor HOME is set; name one with --state-dir <folder>"
    )]
    Nowhere,
    /// It is not a folder, or it can't be made or opened.
    #[error("the state folder {path} can't be used: {source}")]
    Unusable {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It belongs to somebody else.
    #[error(
        "the state folder {path} belongs to uid {owner}, not to uid {us}; use another with --state-dir <folder>"
    )]
    ForeignOwner {
        /// The folder.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who this program runs as.
        us: u32,
    },
    /// It lies in the repository under examination.
    #[error(
        "the state folder {path} lies inside the repository {repo}; use a folder outside of it with --state-dir <folder>"
    )]
    InsideRepository {
        /// The folder.
        path: PathBuf,
        /// The repository.
        repo: PathBuf,
    },
}

/// Where the state folder is when no flag names it: the user's state folder of the XDG rules.
pub fn default_location(var: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| var(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|base| base.join("stagewright"))
}

/// Refuses a state folder at `path` that would lie inside `repo`. Looks only, so that nothing is made there.
pub fn outside_of(path: &Path, repo: &Path) -> Result<(), Error> {
    let absolute =
        std::path::absolute(path).map_err(|source| Error::Unusable { path: path.to_owned(), source })?;
    // The part of it that exists tells where it really is, behind links.
    let existing = absolute.ancestors().find_map(|ancestor| ancestor.canonicalize().ok()).unwrap_or_default();
    match repo.canonicalize() {
        Ok(repo) if existing.starts_with(&repo) => Err(Error::InsideRepository { path: absolute, repo }),
        _ => Ok(()),
    }
}

impl StateDir {
    /// Opens the folder, making it if it is missing, closed to other users. Its parts are made by
    /// [`make_parts`](Self::make_parts), once it is known that the store in it can be used.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let unusable = |source| Error::Unusable { path: path.to_owned(), source };
        make_private(path).map_err(unusable)?;
        // The canonical path, so that nothing later depends on the current folder or on a link.
        let root = path.canonicalize().map_err(unusable)?;
        let facts = fs::metadata(&root).map_err(unusable)?;
        let us = rustix::process::geteuid().as_raw();
        if facts.uid() != us {
            return Err(Error::ForeignOwner { path: root, owner: facts.uid(), us });
        }
        if facts.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).map_err(unusable)?;
        }
        Ok(Self { root })
    }

    /// Makes what is missing of its parts.
    pub fn make_parts(&self) -> Result<(), Error> {
        for part in ["instances", "repos", "runs", "logs", "reports", "cache/components", "cache/tools"] {
            let path = self.root.join(part);
            make_private(&path).map_err(|source| Error::Unusable { path, source })?;
        }
        Ok(())
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.root.join("store.sqlite3")
    }

    /// The lock files of running instances.
    pub fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }

    /// The host's bare copies.
    pub fn repos(&self) -> PathBuf {
        self.root.join("repos")
    }

    /// The disposable folders of all runs.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// The disposable folders of one run.
    pub fn run(&self, run: RunId) -> PathBuf {
        self.runs().join(run.to_string())
    }

    /// The disposable folders of what the daemon has done beside runs: comments, and looks around.
    pub fn aside(&self) -> PathBuf {
        self.root.join("aside")
    }

    /// What one run's processes printed, and what it attached.
    pub fn log(&self, run: RunId) -> PathBuf {
        self.root.join("logs").join(run.to_string())
    }

    /// Where the artifact of one run is kept as a file.
    pub fn report(&self, task: &TaskKey, stage: &StageName, run: RunId) -> PathBuf {
        self.root
            .join("reports")
            .join(task.repo.as_str())
            .join(task.work_item.as_str())
            .join(stage.as_str())
            .join(run.to_string())
    }

    /// The API token.
    pub fn token(&self) -> PathBuf {
        self.root.join("token")
    }

    /// Where the daemon of this folder can be asked.
    pub fn address(&self) -> PathBuf {
        self.root.join("http.json")
    }

    /// Compiled components.
    pub fn component_cache(&self) -> PathBuf {
        self.root.join("cache/components")
    }

    /// Caches of the suites' own tools (pip, cargo, go, npm).
    pub fn tool_cache(&self) -> PathBuf {
        self.root.join("cache/tools")
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(io::ErrorKind::NotADirectory.into())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_state_folder_is_closed_to_others() {
        let place = tempfile::tempdir().unwrap();
        let state = StateDir::open(&place.path().join("a/b")).unwrap();
        let mode = fs::metadata(state.root()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn an_open_state_folder_is_closed_when_it_is_used() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let state = StateDir::open(place.path()).unwrap();
        assert_eq!(fs::metadata(state.root()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_in_its_place_is_named_in_the_error() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("state");
        fs::write(&file, "").unwrap();
        let error = StateDir::open(&file).unwrap_err();
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    }

    #[test]
    fn a_state_folder_inside_the_repository_is_refused() {
        let repo = tempfile::tempdir().unwrap();
        let state = repo.path().join("deep/state");
        assert!(matches!(outside_of(&state, repo.path()), Err(Error::InsideRepository { .. })));
        assert!(!repo.path().join("deep").exists(), "looking has made it");
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(outside_of(elsewhere.path(), repo.path()).is_ok());
    }

    #[test]
    fn a_relative_home_is_not_taken() {
        assert_eq!(default_location(|name| (name == "HOME").then(|| "relative".into())), None);
        assert_eq!(
            default_location(|name| (name == "HOME").then(|| "/h".into())),
            Some(PathBuf::from("/h/.local/state/stagewright"))
        );
    }
}
