//! The commit from which a clone was made: what the files are compared with.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use stagewright_engine::name::CommitId;

use super::super::Bare;
use super::super::history::ARTIFACTS;
use crate::error::{Error, shown};

/// The most of one `.gitignore` that is read.
pub(super) const IGNORE_BYTES: u64 = 1 << 20;

/// What a commit has, by path.
pub(super) struct Base {
    pub(super) entries: HashMap<Vec<u8>, Entry>,
    /// Every folder that has something in it, without a trailing `/`.
    pub(super) folders: HashSet<Vec<u8>>,
    /// The folders in which submodules lie, at any depth.
    pub(super) around_submodules: HashSet<Vec<u8>>,
    /// The texts of those `.gitignore` files that are not in the clone any more.
    pub(super) lost_ignores: HashMap<Vec<u8>, Vec<u8>>,
}

/// One file, link or submodule of a commit.
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) object: String,
    pub(super) size: u64,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File { executable: bool },
    Link,
    Submodule,
}

impl Kind {
    /// The mode that git writes for it.
    pub(super) fn mode(self) -> &'static str {
        match self {
            Self::File { executable: false } => "100644",
            Self::File { executable: true } => "100755",
            Self::Link => "120000",
            Self::Submodule => "160000",
        }
    }
}

impl Bare {
    /// Everything that `commit` has, for a comparison with the files at `clone`.
    pub(super) async fn base(&self, commit: &CommitId, clone: &Path) -> Result<Base, Error> {
        let list = self.git.quick(&self.path).args(["ls-tree", "-r", "-l", "-z", commit.as_str()]);
        let answer = list.run().await?;
        let mut base = Base {
            entries: HashMap::new(),
            folders: HashSet::new(),
            around_submodules: HashSet::new(),
            lost_ignores: HashMap::new(),
        };
        for record in answer.records() {
            let (path, entry) = parse(record)
                .ok_or_else(|| Error::Unexpected { question: "ls-tree", answer: shown(record) })?;
            for folder in folders_of(&path) {
                base.folders.insert(folder.to_vec());
                if entry.kind == Kind::Submodule {
                    base.around_submodules.insert(folder.to_vec());
                }
            }
            base.entries.insert(path, entry);
        }
        self.read_lost_ignores(&mut base, clone).await?;
        Ok(base)
    }

    async fn read_lost_ignores(&self, base: &mut Base, clone: &Path) -> Result<(), Error> {
        let is_lost = |path: &[u8]| {
            let here = clone.join(name(path));
            here.symlink_metadata().is_err() && here.parent().is_some_and(Path::is_dir)
        };
        let lost: Vec<(&Vec<u8>, &Entry)> = base
            .entries
            .iter()
            .filter(|(path, entry)| {
                path.rsplit(|&byte| byte == b'/').next() == Some(b".gitignore")
                    && matches!(entry.kind, Kind::File { .. })
                    && entry.size <= IGNORE_BYTES
                    && is_lost(path)
            })
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        let questions: String = lost.iter().map(|(_, entry)| format!("{}\n", entry.object)).collect();
        let answer = self.git.quick(&self.path).args(["cat-file", "--batch=%(objectsize)"]).input(questions);
        let answer = answer.run().await?;
        let mut rest = answer.stdout.as_slice();
        let mut texts = HashMap::new();
        for (path, entry) in lost {
            // The size on a line, the text, a line end.
            let unexpected = || Error::Unexpected { question: "cat-file", answer: shown(rest) };
            let size = usize::try_from(entry.size).map_err(|_| unexpected())?;
            let line = rest.iter().position(|&byte| byte == b'\n').ok_or_else(unexpected)?;
            let text = rest.get(line + 1..line + 1 + size).ok_or_else(unexpected)?;
            texts.insert(path.clone(), text.to_vec());
            rest = rest.get(line + 2 + size..).ok_or_else(unexpected)?;
        }
        base.lost_ignores = texts;
        Ok(())
    }
}

impl Base {
    /// Whether git may have written a file of this commit otherwise than the commit has it: with other line ends, in
    /// another encoding, with an `$Id$` filled in.
    pub(super) fn may_convert(&self) -> bool {
        self.entries.keys().any(|path| is_attributes(path))
    }

    /// Whether a plain file of the commit is executable; `None` if there is none at the path.
    pub(super) fn was_executable(&self, path: &[u8]) -> Option<bool> {
        match self.entries.get(path)?.kind {
            Kind::File { executable } => Some(executable),
            _ => None,
        }
    }

    /// The objects, one on a line, that git reads settings from.
    pub(super) fn configuration_objects(&self) -> String {
        let of_git = |path: &[u8]| {
            path.rsplit(|&byte| byte == b'/').next().is_some_and(|name| name.starts_with(b".git"))
        };
        let objects = self.entries.iter().filter(|(path, _)| of_git(path));
        objects.map(|(_, entry)| format!("{}\n", entry.object)).collect()
    }

    /// Whether the host keeps the path as it is in the commit: below it lie the artifacts, or it is one.
    pub(super) fn is_the_hosts(path: &[u8]) -> bool {
        path.starts_with(ARTIFACTS.as_bytes())
    }
}

fn is_attributes(path: &[u8]) -> bool {
    path.rsplit(|&byte| byte == b'/').next() == Some(b".gitattributes")
}

/// The folders in which a path lies, the outermost first.
pub(super) fn folders_of(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(at, _)| at);
    ends.filter_map(|end| path.get(..end))
}

/// A path's bytes as a name for the system.
pub(super) fn name(path: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(path)
}

/// `100644 blob <object>    1234\t<path>`; a submodule has `-` for its size.
fn parse(record: &[u8]) -> Option<(Vec<u8>, Entry)> {
    let tab = record.iter().position(|&byte| byte == b'\t')?;
    let (facts, path) = (std::str::from_utf8(record.get(..tab)?).ok()?, record.get(tab + 1..)?.to_vec());
    let mut facts = facts.split_ascii_whitespace();
    let (mode, _, object, size) = (facts.next()?, facts.next()?, facts.next()?, facts.next()?);
    let kind = match mode {
        "160000" => Kind::Submodule,
        "120000" => Kind::Link,
        mode => Kind::File { executable: mode == "100755" },
    };
    Some((path, Entry { kind, object: object.to_owned(), size: size.parse().unwrap_or(0) }))
}
