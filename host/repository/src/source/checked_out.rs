//! Who has a branch checked out.
//!
//! A branch that is checked out somewhere must not be moved from outside: index and files of that checkout
//! would stay where they are, and look like changes of the user's. A rebase or bisection that will come back to
//! the branch counts as well.

use std::path::{Path, PathBuf};

use stagewright_engine::name::BranchName;

use super::{Error, Head, Source, facade, path_of, read_head, read_small};
use crate::git::Git;

/// The folder of a checkout that stands on `branch`, or is in the middle of something that will return to it.
pub(crate) async fn who_has_checked_out(
    git: &Git,
    source: &Source,
    branch: &BranchName,
) -> Result<Option<PathBuf>, Error> {
    let common = &source.common_dir;
    if !source.main_bare && holds(git, source, common, branch).await? {
        return Ok(Some(main_checkout(common)));
    }
    let worktrees = match std::fs::read_dir(common.join("worktrees")) {
        Ok(worktrees) => worktrees,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::Unreadable { path: common.join("worktrees"), source: error }),
    };
    for worktree in worktrees {
        let worktree = worktree
            .map_err(|error| Error::Unreadable { path: common.join("worktrees"), source: error })?
            .path();
        if worktree.join("HEAD").exists() && holds(git, source, &worktree, branch).await? {
            return Ok(Some(linked_checkout(&worktree)));
        }
    }
    Ok(None)
}

async fn holds(git: &Git, source: &Source, git_dir: &Path, branch: &BranchName) -> Result<bool, Error> {
    let head = match source.format.refs.as_str() {
        "files" => read_head(git_dir)?,
        _ => facade::reftable_head(git, git_dir, &source.common_dir, &source.format).await?,
    };
    if matches!(&head, Head::Branch { name, .. } if name == branch) {
        return Ok(true);
    }
    let full = format!("refs/heads/{branch}");
    let names = [
        ("rebase-merge/head-name", &*full),
        ("rebase-apply/head-name", &*full),
        ("BISECT_START", branch.as_str()),
    ];
    Ok(names.iter().any(|(file, name)| {
        read_small(&git_dir.join(file)).is_ok_and(|text| text.trim_ascii_end() == name.as_bytes())
    }))
}

/// The checkout of the main repository: the folder around `.git`. For a separate git folder or a submodule, whose
/// checkout is named in its configuration only, the git folder itself has to do.
fn main_checkout(common: &Path) -> PathBuf {
    match common.parent() {
        Some(top) if common.file_name().is_some_and(|name| name == ".git") => top.to_owned(),
        _ => common.to_owned(),
    }
}

/// The checkout of a linked worktree: its git folder says where the `.git` file is.
fn linked_checkout(git_dir: &Path) -> PathBuf {
    read_small(&git_dir.join("gitdir"))
        .ok()
        .and_then(|text| git_dir.join(path_of(text.trim_ascii_end())).parent().map(Path::to_owned))
        .unwrap_or_else(|| git_dir.to_owned())
}
