//! A repository and two folders of the host's own, in which a commit is made before the bare copy gets it.
//!
//! ```text
//! git/      a repository that borrows the bare copy's objects and has new ones of its own
//! files/    the new and changed files of a clone: its work tree
//! written/  files of the commit, as git wrote them into the clone
//! ```
//!
//! Nothing in it was written by a run: the files are copies, and git's configuration is the host's. So git may be run here,
//! and its own conversions (line ends, encodings) work as they do in a checkout, while a filter that some `.gitattributes`
//! names is configured nowhere and so is none.
//!
//! A process that is killed leaves it behind; the next one at the same path replaces it. The bare copy has none of it.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::base::{Kind, name};
use super::object::Format;
use super::opened;
use super::walk::{Changed, Difference};
use crate::error::{Error, shown};
use crate::removal;

/// The ref in the quarantine under which the bare copy finds the commit.
pub(super) const REF: &str = "refs/heads/work";

pub(super) struct Quarantine {
    folder: PathBuf,
}

impl Quarantine {
    /// Makes it at `folder`, in place of what a killed process left there. The caller holds the lock of the copy at `bare`.
    pub(super) fn make(folder: &Path, bare: &Path, format: &str) -> Result<Self, Error> {
        removal::remove_blocking(folder)?;
        let make = |path: &Path| {
            let made = std::fs::DirBuilder::new().mode(0o700).recursive(true).create(path);
            made.map_err(|source| Error::files("creating", path, source))
        };
        make(folder)?;
        let quarantine = Self { folder: folder.to_owned() };
        let git = quarantine.git();
        for path in ["objects/info", "objects/pack", "refs/heads"].map(|name| git.join(name)) {
            make(&path)?;
        }
        make(&quarantine.files())?;
        make(&quarantine.written())?;
        let write = |name: &str, bytes: &[u8]| {
            let path = git.join(name);
            std::fs::write(&path, bytes).map_err(|source| Error::files("writing", path, source))
        };
        write("HEAD", format!("ref: {REF}\n").as_bytes())?;
        write("config", configuration(format).as_bytes())?;
        write("objects/info/alternates", &crate::clone::alternates(&bare.join("objects")))?;
        match std::fs::read(bare.join("shallow")) {
            Ok(shallow) => write("shallow", &shallow)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::files("reading", bare.join("shallow"), source)),
        }
        Ok(quarantine)
    }

    /// The repository.
    pub(super) fn git(&self) -> PathBuf {
        self.folder.join("git")
    }

    /// Its work tree.
    pub(super) fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// Where files of the commit are written as they were in the clone.
    pub(super) fn written(&self) -> PathBuf {
        self.folder.join("written")
    }

    /// Notes what the bare copy is to fetch.
    pub(super) fn name(&self, commit: &str) -> Result<(), Error> {
        let path = self.git().join(REF);
        std::fs::write(&path, format!("{commit}\n")).map_err(|source| Error::files("writing", path, source))
    }

    /// Copies new and changed files out of the clone.
    ///
    /// First every folder and every file, then the links: so there is no link yet when a path is followed, whatever the
    /// clone has become meanwhile.
    pub(super) fn copy(&self, clone: &Path, changed: &[Changed]) -> Result<(), Error> {
        for one in changed {
            let target = self.files().join(name(&one.path));
            if let Some(folder) = target.parent() {
                let made = std::fs::create_dir_all(folder);
                made.map_err(|source| Error::files("creating", folder, source))?;
            }
            if let Kind::File { executable } = one.kind {
                copy_file(clone, one, &target, if executable { 0o755 } else { 0o644 })?;
            }
        }
        for one in changed.iter().filter(|one| one.kind == Kind::Link) {
            let target = self.files().join(name(&one.path));
            let leads_to = opened::link(clone, &one.path)?;
            symlink(name(&leads_to), &target).map_err(|source| Error::files("creating", target, source))?;
        }
        Ok(())
    }

    /// Takes out of the difference what only looks changed because git writes it into a checkout otherwise than the commit
    /// has it.
    pub(super) fn drop_untouched(
        &self,
        difference: &mut Difference,
        format: Format,
        was_executable: impl Fn(&[u8]) -> Option<bool>,
    ) -> Result<(), Error> {
        let mut changed = Vec::new();
        for one in std::mem::take(&mut difference.changed) {
            let (Kind::File { executable }, Some(was)) = (one.kind, was_executable(&one.path)) else {
                changed.push(one);
                continue;
            };
            let path = self.written().join(name(&one.path));
            let failed = |source| Error::files("reading", &path, source);
            let file = std::fs::File::open(&path).map_err(failed)?;
            let size = file.metadata().map_err(failed)?.len();
            let written = format.object_of(file, size).map_err(failed)?;
            match written == one.object && written.is_some() {
                false => changed.push(one),
                true if executable == was => {}
                true => difference.modes.push((one.path, executable)),
            }
        }
        difference.changed = changed;
        Ok(())
    }
}

impl Drop for Quarantine {
    fn drop(&mut self) {
        // What is left is replaced by the next one at the same path.
        if let Err(error) = removal::remove_blocking(&self.folder) {
            tracing::debug!(%error, "a quarantine stays behind");
        }
    }
}

fn copy_file(clone: &Path, one: &Changed, target: &Path, mode: u32) -> Result<(), Error> {
    let unreadable =
        |source| super::Error::Unreadable { clone: clone.to_owned(), path: shown(&one.path), source };
    let failed = |source| Error::files("writing", target, source);
    let from = opened::file(clone, &one.path)?;
    // A pipe or device that has just come to be here would not end.
    if !from.metadata().map_err(unreadable)?.is_file() {
        return Err(super::Error::Changing { path: shown(&one.path) }.into());
    }
    let mut from = from.take(one.size.saturating_add(1));
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(target);
    let mut to = made.map_err(failed)?;
    // With a umask that takes rights away git would see no x bit.
    to.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode)).map_err(failed)?;
    let mut buffer = vec![0; 64 << 10];
    let mut copied = 0;
    loop {
        let count = from.read(&mut buffer).map_err(unreadable)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        to.write_all(bytes).map_err(failed)?;
        copied += bytes.len() as u64;
    }
    match copied == one.size {
        true => Ok(()),
        false => Err(super::Error::Changing { path: shown(&one.path) }.into()),
    }
}

/// The paths one after the other, each with a NUL behind it.
pub(super) fn listing<'a>(paths: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut all = Vec::new();
    for path in paths {
        all.extend_from_slice(path);
        all.push(0);
    }
    all
}

/// What `update-index --index-info` wants: first what goes, so that a folder can take a file's place.
pub(super) fn index_info<'a>(
    gone: impl Iterator<Item = &'a [u8]>,
    set: impl Iterator<Item = (&'a str, &'a str, &'a [u8])>,
    id_length: usize,
) -> Vec<u8> {
    let mut all = Vec::new();
    let mut line = |mode: &str, object: &str, path: &[u8]| {
        all.extend([mode.as_bytes(), b" ", object.as_bytes(), b"\t", path, b"\0"].concat());
    };
    let nothing = "0".repeat(id_length);
    gone.for_each(|path| line("0", &nothing, path));
    set.for_each(|(mode, object, path)| line(mode, object, path));
    all
}

fn configuration(format: &str) -> String {
    let (version, extension) = match format {
        "sha1" => (0, String::new()),
        other => (1, format!("[extensions]\n\tobjectFormat = {other}\n")),
    };
    // What `upload-pack` reads, which does not get the `-c` settings of the fetch that starts it. No deltas are looked for: the
    // objects go from one folder to the next.
    format!(
        "[core]\n\trepositoryFormatVersion = {version}\n\tfileMode = true\n\tbare = true\n\thooksPath = /dev/null\n\
         \tfsmonitor = false\n{extension}[pack]\n\twindow = 0\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
    )
}
