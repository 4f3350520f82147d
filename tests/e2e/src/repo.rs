//! A real git repository in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A git repository that a test makes and fills.
pub struct Repo {
    folder: TempDir,
    name: String,
}

impl Repo {
    /// An empty repository on the branch `main`.
    pub fn empty() -> Self {
        Self::named("project")
    }

    /// An empty repository in a folder called `name`.
    pub fn named(name: &str) -> Self {
        let repo = Self { folder: tempfile::tempdir().unwrap(), name: name.to_owned() };
        std::fs::create_dir(repo.path()).unwrap();
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo.git(&["config", "user.name", "A Developer"]);
        repo.git(&["config", "user.email", "developer@example.invalid"]);
        repo
    }

    /// A repository with one commit of these files.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let repo = Self::empty();
        for (path, text) in files {
            repo.write(path, text);
        }
        repo.commit("Begin");
        repo
    }

    /// A repository with one commit of one passing test, and these files beside it.
    pub fn passing_with(files: &[(&str, &str)]) -> Self {
        let repo = Self::empty();
        repo.write("test_good.py", "def test_good():\n    assert 1 + 1 == 2\n");
        for (path, text) in files {
            repo.write(path, text);
        }
        repo.commit("Begin");
        repo
    }

    /// Where the checkout lies.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(&self.name)
    }

    /// Writes one file of the checkout, without committing it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits everything; gives the commit's id.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.head()
    }

    /// The commit that is checked out.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in the checkout, as its developer would; gives what it printed.
    pub fn git(&self, args: &[&str]) -> String {
        git_in(&self.path(), args)
    }
}

/// Runs git in a folder and gives what it printed.
pub(crate) fn git_in(folder: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .args(args)
        .output()
        .expect("git runs");
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
}
