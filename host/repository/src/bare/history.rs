//! Questions about branches, commits and what differs between them.

use stagewright_engine::name::{BranchName, CommitId, WorkItem};

use super::{Bare, SOURCE_HEADS, commit_id, host_ref, placed_on_ref, source_ref};
use crate::error::{Error, shown};
use crate::git::Command;
use crate::suite_files::{SuiteFile, kind_of};

/// Where all artifacts of a repository lie.
pub(crate) const ARTIFACTS: &str = "docs/work-items/";

/// Whether this is `docs/work-items/<KEY>/<name>.md`, and the folder `<KEY>/` is `ours`.
fn is_report(path: &[u8], ours: impl Fn(&[u8]) -> bool) -> bool {
    let Some(rest) = path.strip_prefix(ARTIFACTS.as_bytes()) else { return false };
    let Some(at) = rest.iter().position(|&byte| byte == b'/') else { return false };
    let (folder, name) = rest.split_at(at + 1);
    ours(folder) && name.ends_with(b".md") && !name.starts_with(b".") && !name.contains(&b'/')
}

impl Bare {
    /// The user's branches when the copy was opened, in alphabetical order. A name that the host can't use is left out.
    pub fn branches(&self) -> Vec<BranchName> {
        let names = self.refs.under(SOURCE_HEADS).filter_map(|(name, _)| std::str::from_utf8(name).ok());
        names.filter_map(|name| BranchName::new(name).ok()).collect()
    }

    /// The head of a branch when the copy was opened: the user's, or the host's artifact commits on top of it.
    ///
    /// The host's commits count as long as they stand on the user's head and differ from it by artifacts only, or by work
    /// that was [placed](Self::place_work) when the user's head was this very one. A user who commits, rewrites the branch or takes commits back is always the one who is followed.
    ///
    /// # Errors
    /// [`Error::NoSuchRevision`] if the user has no such branch.
    pub async fn head_when_opened(&self, branch: &BranchName) -> Result<CommitId, Error> {
        let user = self.source_head_when_opened(branch)?;
        let placed_on = self.refs.commit(&placed_on_ref(branch));
        self.with_the_hosts(user, self.refs.commit(&host_ref(branch)), async || Ok(placed_on)).await
    }

    /// The head of a branch in the user's repository when the copy was opened.
    ///
    /// # Errors
    /// [`Error::NoSuchRevision`] if the user had no such branch.
    pub fn source_head_when_opened(&self, branch: &BranchName) -> Result<CommitId, Error> {
        self.refs.commit(&source_ref(branch)).ok_or_else(|| self.no_such_revision(branch.as_str()))
    }

    /// The head of a branch, with what this host has committed and delivered since the copy was opened.
    ///
    /// # Errors
    /// As [`head_when_opened`](Self::head_when_opened).
    pub async fn head(&self, branch: &BranchName) -> Result<CommitId, Error> {
        let user = self.source_head(branch).await?;
        let host = self.reference(&host_ref(branch)).await?;
        self.with_the_hosts(user, host, async || self.reference(&placed_on_ref(branch)).await).await
    }

    /// The host's head if it is the user's with the host's own commits on top, else the user's.
    async fn with_the_hosts(
        &self,
        user: CommitId,
        host: Option<CommitId>,
        placed_on: impl AsyncFnOnce() -> Result<Option<CommitId>, Error>,
    ) -> Result<CommitId, Error> {
        match host {
            Some(host)
                if host != user
                    && self.is_ancestor(&user, &host).await?
                    && (self.only_artifacts(&user, &host).await?
                        || placed_on().await?.as_ref() == Some(&user)) =>
            {
                Ok(host)
            }
            _ => Ok(user),
        }
    }

    /// The head of a branch in the user's repository, as the last one who opened the copy has seen it, or as this host has
    /// delivered it since.
    ///
    /// # Errors
    /// [`Error::NoSuchRevision`] if the user has no such branch.
    pub async fn source_head(&self, branch: &BranchName) -> Result<CommitId, Error> {
        match self.reference(&source_ref(branch)).await? {
            Some(commit) => Ok(commit),
            None => Err(self.no_such_revision(branch.as_str())),
        }
    }

    /// The commit that a text names: a branch first, then a tag, then any revision that git understands, such as an
    /// abbreviated commit.
    ///
    /// # Errors
    /// [`Error::NoSuchRevision`], with branches that there are.
    pub async fn resolve(&self, revision: &str) -> Result<CommitId, Error> {
        if let Ok(branch) = BranchName::new(revision)
            && self.reference(&source_ref(&branch)).await?.is_some()
        {
            return self.head(&branch).await;
        }
        // A leading dash, a NUL or an empty text can't name anything, and a NUL can't be an argument.
        if !revision.is_empty() && !revision.starts_with('-') && !revision.contains('\0') {
            for name in [format!("refs/tags/{revision}"), revision.to_owned()] {
                // An ambiguous abbreviation makes git fail and not answer "no": that is no commit either.
                if let Ok(Some(commit)) = self.reference(&name).await {
                    return Ok(commit);
                }
            }
        }
        Err(self.no_such_revision(revision))
    }

    /// The newest commit that both have in their history, if there is one.
    pub async fn merge_base(&self, a: &CommitId, b: &CommitId) -> Result<Option<CommitId>, Error> {
        if a == b {
            return Ok(Some(a.clone()));
        }
        let answer = self.git.quick(&self.path).args(["merge-base", a.as_str(), b.as_str()]).answer().await?;
        match answer.status.code() {
            Some(0) => Ok(Some(commit_id("merge-base", &answer)?)),
            Some(1) => Ok(None),
            _ => Err(answer.into_error().into()),
        }
    }

    /// Whether `old` is `new` or in its history.
    pub async fn is_ancestor(&self, old: &CommitId, new: &CommitId) -> Result<bool, Error> {
        let ask =
            self.git.quick(&self.path).args(["merge-base", "--is-ancestor", old.as_str(), new.as_str()]);
        let answer = ask.answer().await?;
        match answer.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(answer.into_error().into()),
        }
    }

    /// The paths that differ between two commits' trees, as git has them: any bytes but NUL. A renamed file counts
    /// with both names.
    pub async fn changed_paths(&self, a: &CommitId, b: &CommitId) -> Result<Vec<Vec<u8>>, Error> {
        let ask = self.git.quick(&self.path).args([
            "diff-tree",
            "-r",
            "-z",
            "--name-only",
            "--no-renames",
            "--no-ext-diff",
        ]);
        let answer =
            ask.args(["--no-textconv", "--ignore-submodules=none", a.as_str(), b.as_str()]).run().await?;
        Ok(answer.records().map(<[u8]>::to_vec).collect())
    }

    /// Whether the trees of two commits differ in nothing but artifacts of these work items (E5): those of the tasks that
    /// stand on the branch. Equal trees do.
    ///
    /// This is the proof that a commit is one of the host's own; its author's name is none.
    pub async fn only_artifacts_between(
        &self,
        a: &CommitId,
        b: &CommitId,
        work_items: &[WorkItem],
    ) -> Result<bool, Error> {
        if a == b {
            return Ok(true);
        }
        let folders: Vec<String> = work_items.iter().map(|item| format!("{item}/")).collect();
        self.only_reports(a, b, |item| folders.iter().any(|folder| folder.as_bytes() == item)).await
    }

    /// The same for the artifacts of any work item.
    pub(crate) async fn only_artifacts(&self, a: &CommitId, b: &CommitId) -> Result<bool, Error> {
        self.only_reports(a, b, |_| true).await
    }

    /// What differs between the trees of two commits: for each file `:<old mode> <new mode> <old object> <new object>
    /// <status>`, NUL, its path, NUL.
    pub(super) fn raw_diff(&self, a: &CommitId, b: &CommitId) -> Command {
        let ask = self.git.quick(&self.path).args(["diff-tree", "-r", "-z", "--raw", "--no-renames"]);
        let ask = ask.args(["--no-abbrev", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none"]);
        ask.args([a.as_str(), b.as_str()])
    }

    /// Whether nothing differs but plain markdown files right in the folder of a work item that is `ours`.
    ///
    /// No program, link or submodule, and nothing that a program could load: whatever the tests see of a report, it is text
    /// under a name that no suite collects. A commit that is not there any more differs in everything.
    async fn only_reports(
        &self,
        a: &CommitId,
        b: &CommitId,
        ours: impl Fn(&[u8]) -> bool,
    ) -> Result<bool, Error> {
        let answer = self.raw_diff(a, b).answer().await?;
        if !answer.status.success() {
            for commit in [a, b] {
                if self.reference(commit.as_str()).await?.is_none() {
                    return Ok(false);
                }
            }
            return Err(answer.into_error().into());
        }
        let mut records = answer.records();
        while let (Some(facts), Some(path)) = (records.next(), records.next()) {
            // `:<old mode> <new mode> …`; a mode of zeros: the file is not there.
            let mut modes = facts.split(|&byte| byte == b' ').map(|mode| mode.trim_ascii());
            let is_text = modes.nth(1).is_some_and(|mode| matches!(mode, b"100644" | b"000000"));
            if !is_text || !is_report(path, &ours) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The files that differ between two commits and decide how a suite runs: `conftest.py`, runner
    /// configuration, lock files, CI files.
    pub async fn touched_suite_files(
        &self,
        base: &CommitId,
        commit: &CommitId,
    ) -> Result<Vec<SuiteFile>, Error> {
        let changed = self.changed_paths(base, commit).await?;
        let files = changed.iter().filter_map(|path| {
            let path = String::from_utf8_lossy(path);
            kind_of(&path).map(|kind| SuiteFile { kind, path: path.into_owned() })
        });
        Ok(files.collect())
    }

    /// The names of what lies in a folder of a commit, folders with a trailing `/`. An empty `folder` is the top;
    /// a folder that is not there has nothing in it.
    pub async fn list(&self, commit: &CommitId, folder: &str) -> Result<Vec<String>, Error> {
        let folder = folder.trim_matches('/');
        let mut ask = self.git.quick(&self.path).args(["ls-tree", "-z", commit.as_str()]);
        if !folder.is_empty() {
            ask = ask.arg("--").arg(format!("{folder}/"));
        }
        let answer = ask.run().await?;
        let names = answer.records().filter_map(|record| {
            let text = String::from_utf8_lossy(record);
            let (facts, path) = text.split_once('\t')?;
            let name = path.rsplit('/').next()?;
            Some(if facts.contains(" tree ") { format!("{name}/") } else { name.to_owned() })
        });
        Ok(names.collect())
    }

    /// The text of a file in a commit; `None` if there is no such file. A symbolic link's text is its target.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if it has more than `limit` bytes.
    pub async fn read_file(
        &self,
        commit: &CommitId,
        path: &str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, Error> {
        // git takes `./x` and `../x` for paths in a checkout, and its questions come one on a line.
        if path.contains(['\0', '\n']) || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Ok(None);
        }
        let object = format!("{commit}:{path}");
        let ask = self.git.quick(&self.path).args(["cat-file", "--batch-check=%(objecttype) %(objectsize)"]);
        let answer = ask.input(format!("{object}\n")).run().await?.line();
        let Some(size) = answer.strip_prefix("blob ") else { return Ok(None) };
        let size: u64 = size
            .parse()
            .map_err(|_| Error::Unexpected { question: "cat-file", answer: shown(answer.as_bytes()) })?;
        if size > limit {
            return Err(Error::TooLarge { path: shown(path.as_bytes()), commit: commit.clone(), limit });
        }
        Ok(Some(self.git.quick(&self.path).args(["cat-file", "blob", &object]).run().await?.stdout))
    }

    fn no_such_revision(&self, name: &str) -> Error {
        let branches = self.branches();
        let shown_branches: Vec<&str> = branches.iter().take(8).map(BranchName::as_str).collect();
        let more = if branches.len() > 8 { ", …" } else { "" };
        let near = match shown_branches.is_empty() {
            true => String::new(),
            false => format!("; its branches are {}{more}", shown_branches.join(", ")),
        };
        Error::NoSuchRevision { repository: self.source.top.clone(), name: shown(name.as_bytes()), near }
    }
}
