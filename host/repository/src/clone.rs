//! Disposable clones: a commit written out as files, with a `.git` of its own, for a run to do with as it likes.
//!
//! The clone borrows the bare copy's objects (`objects/info/alternates`), so making one costs the writing of the
//! files and nothing else. It has the whole history, the tags and the user's branches as `origin/*`, because suites
//! ask `git describe` and compare with `origin/main`. It has no remote to fetch from or to push to, no hooks, and no
//! credentials.
//!
//! git writes the files from the bare copy, in a folder into which nobody else has written yet. Afterwards the host
//! never runs git in the clone: what a suite plants there, a hook or `core.fsmonitor`, waits in vain.
//!
//! What a plain `git clone` without configuration leaves out is left out here too: submodules stay empty folders,
//! and files kept by Git LFS stay pointers. [`DisposableClone`] says so.

use std::fmt::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use stagewright_engine::name::{BranchName, CommitId};

use crate::bare::{Bare, SOURCE_HEADS};
use crate::error::Error;
use crate::removal;

/// A clone for one run.
#[derive(Debug)]
pub struct DisposableClone {
    path: PathBuf,
    submodules: Vec<String>,
    lfs_pointers: bool,
}

impl Bare {
    /// Writes out `commit` at `dest`, which must not exist, with `HEAD` on `branch`, or detached without one.
    ///
    /// Many clones can be made at the same time. If it fails, nothing is left at `dest`.
    ///
    /// # Errors
    /// [`Error::Files`] if `dest` exists or can't be made, and what git says: a commit that is not there, a full disk.
    pub async fn clone_at(
        &self,
        commit: &CommitId,
        branch: Option<&BranchName>,
        dest: &Path,
    ) -> Result<DisposableClone, Error> {
        let dest = std::path::absolute(dest).map_err(|source| Error::files("creating", dest, source))?;
        let made = std::fs::DirBuilder::new().mode(0o700).create(&dest);
        made.map_err(|source| Error::files("creating", &dest, source))?;
        let unfinished = Unfinished(Some(dest.clone()));
        self.write_git_folder(commit, branch, &dest.join(".git"))?;
        self.write_files(commit, &dest).await?;
        let (submodules, lfs_pointers) = self.what_is_left_out(commit, &dest).await?;
        unfinished.finished();
        Ok(DisposableClone { path: dest, submodules, lfs_pointers })
    }

    fn write_git_folder(
        &self,
        commit: &CommitId,
        branch: Option<&BranchName>,
        git_dir: &Path,
    ) -> Result<(), Error> {
        let refs = self.packed_refs(commit, branch);
        let head = match branch {
            Some(branch) => format!("ref: refs/heads/{branch}\n"),
            None => format!("{commit}\n"),
        };
        let write = |name: &str, bytes: &[u8]| {
            let path = git_dir.join(name);
            std::fs::write(&path, bytes).map_err(|source| Error::files("writing", path, source))
        };
        for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info"] {
            let path = git_dir.join(folder);
            std::fs::create_dir_all(&path).map_err(|source| Error::files("creating", path, source))?;
        }
        write("HEAD", head.as_bytes())?;
        write("config", self.clone_configuration().as_bytes())?;
        write("packed-refs", &refs)?;
        write("objects/info/alternates", &alternates(&self.path.join("objects")))?;
        match std::fs::read(self.path.join("shallow")) {
            Ok(shallow) => write("shallow", &shallow),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(Error::files("reading", self.path.join("shallow"), source)),
        }
    }

    fn clone_configuration(&self) -> String {
        let (version, extension) = match self.source.format.objects.as_str() {
            "sha1" => (0, String::new()),
            other => (1, format!("[extensions]\n\tobjectFormat = {other}\n")),
        };
        format!(
            "[core]\n\trepositoryFormatVersion = {version}\n\tfileMode = true\n\tbare = false\n\
             \tlogAllRefUpdates = true\n{extension}"
        )
    }

    /// The clone's refs in the format of `packed-refs`: one file instead of one for each ref.
    fn packed_refs(&self, commit: &CommitId, branch: Option<&BranchName>) -> Vec<u8> {
        let mut refs = b"# pack-refs with: peeled fully-peeled sorted \n".to_vec();
        // Sorted by name: refs/heads, refs/remotes, refs/tags.
        if let Some(branch) = branch {
            refs.extend_from_slice(format!("{commit} refs/heads/{branch}\n").as_bytes());
        }
        for (from, to) in [(SOURCE_HEADS, "refs/remotes/origin/"), ("refs/tags/", "refs/tags/")] {
            for (name, known) in self.refs.under(from) {
                refs.extend([known.object.as_slice(), b" ", to.as_bytes(), name, b"\n"].concat());
                if !known.peeled.is_empty() {
                    refs.extend([b"^", known.peeled.as_slice(), b"\n"].concat());
                }
            }
        }
        refs
    }

    async fn write_files(&self, commit: &CommitId, dest: &Path) -> Result<(), Error> {
        let mut work_tree = std::ffi::OsString::from("--work-tree=");
        work_tree.push(dest);
        let write = self
            .git
            .transfer(&self.path)
            .setting("core.bare=false")
            .setting("checkout.workers=0")
            .env("GIT_INDEX_FILE", dest.join(".git/index"))
            .arg(work_tree)
            .args(["read-tree", "-m", "-u", commit.as_str()]);
        write.run().await?;
        Ok(())
    }

    /// The submodules of the commit, and whether it says that Git LFS keeps some of its files.
    async fn what_is_left_out(&self, commit: &CommitId, dest: &Path) -> Result<(Vec<String>, bool), Error> {
        // Looked up in the commit, and only where the written files say that there is something to look for.
        let mut submodules = Vec::new();
        if dest.join(".gitmodules").symlink_metadata().is_ok() {
            let answer =
                self.git.quick(&self.path).args(["ls-tree", "-r", "-z", commit.as_str()]).run().await?;
            let links = answer.records().filter_map(|record| record.strip_prefix(b"160000 "));
            submodules.extend(links.filter_map(|link| {
                let at = link.iter().position(|&byte| byte == b'\t')?;
                link.get(at + 1..).map(|path| String::from_utf8_lossy(path).into_owned())
            }));
        }
        let mut lfs_pointers = false;
        if dest.join(".gitattributes").symlink_metadata().is_ok_and(|facts| facts.is_file()) {
            let text = self.read_file(commit, ".gitattributes", 1 << 20).await?.unwrap_or_default();
            lfs_pointers = String::from_utf8_lossy(&text).contains("filter=lfs");
        }
        Ok((submodules, lfs_pointers))
    }
}

impl DisposableClone {
    /// The clone's top folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Folders that are empty because they are submodules, which are not fetched.
    pub fn submodules(&self) -> &[String] {
        &self.submodules
    }

    /// Whether the repository's top `.gitattributes` keeps files in Git LFS: they are pointers in the clone.
    pub fn has_lfs_pointers(&self) -> bool {
        self.lfs_pointers
    }

    /// Removes it, whatever a run has made of it.
    ///
    /// # Errors
    /// [`removal::Error`] if something can't be removed; everything else is gone then, and
    /// [`removal::sweep`] tries again later.
    pub async fn remove(self) -> Result<(), removal::Error> {
        removal::remove(&self.path).await
    }
}

/// Where objects are borrowed from, as git's file for it wants a path.
pub(crate) fn alternates(objects: &Path) -> Vec<u8> {
    let bytes = objects.as_os_str().as_encoded_bytes();
    // A path with a line end, or that begins as a comment or a quotation does, is quoted as in C.
    let quote = bytes.iter().any(|&byte| byte < b' ' || byte == 0x7f);
    if !quote {
        return [bytes, b"\n"].concat();
    }
    let mut text = String::from("\"");
    for &byte in bytes {
        // Octal escapes for everything unusual. Writing to a String can't fail.
        let _ = match byte {
            b'"' | b'\\' => write!(text, "\\{}", char::from(byte)),
            b' '..=b'~' => write!(text, "{}", char::from(byte)),
            _ => write!(text, "\\{byte:03o}"),
        };
    }
    text.push_str("\"\n");
    text.into_bytes()
}

/// Removes a clone that was begun and not finished, also when its future was dropped.
struct Unfinished(Option<PathBuf>);

impl Unfinished {
    fn finished(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = removal::remove_blocking(path)
        {
            tracing::warn!(%error, "an unfinished clone stays behind until the next sweep");
        }
    }
}
