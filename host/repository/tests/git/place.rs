//! A folder with a user's repository in it, a user's git, and the host beside them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use stagewright_engine::name::{BranchName, CommitId, RepoName, WorkItem};
use stagewright_repository::git::Git;
use stagewright_repository::{Bare, Error, Repositories};

pub(crate) struct Place {
    folder: PathBuf,
    /// Removes the folder at the end; nothing where another process does.
    _owned: Option<tempfile::TempDir>,
}

impl Place {
    /// With a repository `shop` that has one commit on `main`, which is checked out.
    pub(crate) fn new() -> Self {
        let place = Self::empty();
        place.user(["init", "-q", "-b", "main", "."]);
        place.write("README.md", "a shop\n");
        place.write("src/shop.py", "PRICE = 3\n");
        place.commit("begin");
        place
    }

    /// With a folder `shop` that is no repository.
    pub(crate) fn empty() -> Self {
        let owned = tempfile::tempdir().unwrap();
        let place = Self { folder: owned.path().to_owned(), _owned: Some(owned) };
        fs::create_dir(place.shop()).unwrap();
        place
    }

    /// The place of another process.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder, _owned: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.canonicalize().unwrap().join(name)
    }

    /// The user's checkout.
    pub(crate) fn shop(&self) -> PathBuf {
        self.path("shop")
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.shop().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A program that leaves a mark when it is executed.
    pub(crate) fn trap(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\necho \"$0\" >> '{}'\n", self.path("sprung").display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// What traps have been executed.
    pub(crate) fn sprung(&self) -> String {
        fs::read_to_string(self.path("sprung")).unwrap_or_default()
    }

    /// Runs git in the user's checkout as the user would.
    pub(crate) fn user<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> String {
        self.user_in(&self.shop(), args)
    }

    pub(crate) fn user_in<A: AsRef<OsStr>>(
        &self,
        folder: &Path,
        args: impl IntoIterator<Item = A>,
    ) -> String {
        let mut git = Command::new("git");
        git.current_dir(folder).args(args).env("HOME", &self.folder);
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "XDG_CONFIG_HOME"] {
            git.env_remove(name);
        }
        git.env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "A User").env(format!("GIT_{who}_EMAIL"), "user@example.org");
        }
        let output = git.output().unwrap();
        assert!(output.status.success(), "{:?}: {}", git, String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Commits everything in the user's checkout.
    pub(crate) fn commit(&self, message: &str) -> CommitId {
        self.user(["add", "-A"]);
        self.user(["commit", "-q", "--allow-empty", "-m", message]);
        self.user_head("HEAD")
    }

    pub(crate) fn user_head(&self, revision: &str) -> CommitId {
        CommitId::new(self.user(["rev-parse", revision])).unwrap()
    }

    pub(crate) async fn host(&self) -> Repositories {
        let git = Git::find(std::env::var_os("PATH").as_deref()).await.unwrap();
        Repositories::new(git, &self.path("state/repos")).unwrap()
    }

    pub(crate) async fn open(&self) -> Bare {
        self.try_open(&self.shop()).await.unwrap()
    }

    pub(crate) async fn try_open(&self, path: &Path) -> Result<Bare, Error> {
        self.host().await.open(&RepoName::new("shop").unwrap(), path).await
    }
}

pub(crate) fn branch(name: &str) -> BranchName {
    BranchName::new(name).unwrap()
}

pub(crate) fn key(name: &str) -> WorkItem {
    WorkItem::new(name).unwrap()
}

/// Everything about a tree that somebody could notice: names, kinds, modes, contents, link targets, and when each
/// was last changed, in nanoseconds.
pub(crate) fn fingerprint(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let facts = path.symlink_metadata().unwrap();
            let content = if facts.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else if facts.is_symlink() {
                path.read_link().unwrap().as_os_str().as_bytes().to_vec()
            } else {
                fs::read(&path).unwrap()
            };
            let digest = stagewright_repository::artifact::sha256(&content);
            let (mode, size, inode) = (facts.mode(), facts.size(), facts.ino());
            let times = (facts.mtime(), facts.mtime_nsec(), facts.ctime(), facts.ctime_nsec());
            lines.push(format!("{} {digest} {mode:o} {size} {inode} {times:?}", path.display()));
        }
    }
    lines.sort();
    lines
}
