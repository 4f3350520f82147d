//! What a run leaves in its clone, as a commit: compared with what git itself would make of the same files.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use stagewright_engine::identity::RunId;
use stagewright_engine::name::CommitId;
use stagewright_engine::time::Timestamp;
use stagewright_repository::work::{Kept, Limits, Work};
use stagewright_repository::{Author, Bare, Error, work};

use crate::place::{Place, branch, fingerprint};

pub(crate) const RUN: &str = "01890000-0000-7000-8000-000000000001";

/// A user's repository and a run's clone of its checked-out head, which foreign code may change.
pub(crate) struct Desk {
    pub(crate) place: Place,
    pub(crate) bare: Bare,
    pub(crate) base: CommitId,
}

impl Desk {
    pub(crate) async fn new(place: Place) -> Self {
        let bare = place.open().await;
        let base = place.user_head("HEAD");
        bare.clone_at(&base, Some(&branch("main")), &place.path("clone")).await.unwrap();
        Self { place, bare, base }
    }

    /// With a repository in which there is a bit of everything.
    async fn shop() -> Self {
        let place = Place::new();
        place.write(".gitignore", "target/\n*.log\n");
        place.write("src/old.py", "OLD = 1\n");
        place.write("src/run.sh", "#!/bin/sh\n");
        place.write("docs/guide.md", "guide\n");
        place.write("docs/work-items/ORCH-1/01-analysis.md", "---\nresult: PASS\n---\n");
        symlink("old.py", place.shop().join("src/link.py")).unwrap();
        place.commit("more");
        Self::new(place).await
    }

    pub(crate) fn clone(&self) -> PathBuf {
        self.place.path("clone")
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.clone().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    async fn keep_within(&self, limits: Limits) -> Result<Kept, Error> {
        let author = Author { name: "developer".to_owned(), email: "developer@example.org".to_owned() };
        let work = Work {
            clone: &self.clone(),
            base: &self.base,
            run: RUN.parse::<RunId>().unwrap(),
            message: "ORCH-1: development\n",
            author: &author,
            when: Timestamp::from_millis(1_700_000_000_123),
            limits,
        };
        let kept = self.bare.keep_work(&work).await;
        assert_eq!(self.place.user_in(self.bare.path(), ["fsck", "--strict", "--no-dangling"]), "");
        assert!(!self.place.path("state/repos/shop.work").exists(), "the quarantine is still there");
        kept
    }

    pub(crate) async fn keep(&self) -> Kept {
        self.keep_within(Limits::default()).await.unwrap()
    }

    pub(crate) async fn commit(&self) -> CommitId {
        let kept = self.keep().await;
        assert_eq!(kept.left_out, []);
        kept.commit.unwrap()
    }

    async fn refused(&self) -> work::Error {
        match self.keep_within(Limits::default()).await {
            Err(Error::Work(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn tree(&self, commit: &CommitId) -> String {
        self.place.user_in(self.bare.path(), ["ls-tree", "-r", "-t", commit.as_str()])
    }

    /// The tree that the user's own git makes of the clone's files. It runs in the clone, so it comes last.
    pub(crate) fn tree_by_git(&self) -> String {
        self.place.user_in(&self.clone(), ["add", "-A"]);
        self.place.user_in(&self.clone(), ["reset", "-q", "--", "docs/work-items"]);
        let tree = self.place.user_in(&self.clone(), ["write-tree"]);
        self.place.user_in(&self.clone(), ["ls-tree", "-r", "-t", &tree])
    }
}

#[tokio::test]
async fn the_commit_is_what_git_would_have_made_of_the_files_and_no_branch_moves() {
    let desk = Desk::shop().await;
    let clone = desk.clone();
    desk.write("src/shop.py", "PRICE = 6\n");
    desk.write("src/new/deep/er.py", "NEW = 1\n");
    fs::set_permissions(clone.join("src/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(clone.join("src/old.py"), clone.join("src/renamed.py")).unwrap();
    fs::remove_file(clone.join("src/link.py")).unwrap();
    symlink("/nowhere/at all", clone.join("src/link.py")).unwrap();
    desk.write("tool", "#!/bin/sh\n");
    fs::set_permissions(clone.join("tool"), fs::Permissions::from_mode(0o711)).unwrap();
    fs::create_dir_all(clone.join("empty/folder")).unwrap();
    for name in ["-rf", "--help", "with space", "quo\"te's", "line\nend", "back\\slash", "ünïcode", ":(top)x"]
    {
        desk.write(name, name);
    }
    desk.write(OsStr::from_bytes(b"not-utf8-\xff\xfe"), "bytes");
    let before = fingerprint(&desk.place.shop());

    let commit = desk.commit().await;
    assert_eq!(desk.tree(&commit), desk.tree_by_git());
    let shown =
        desk.place.user_in(desk.bare.path(), ["log", "-1", "--format=%P|%an|%ae|%at|%s", commit.as_str()]);
    assert_eq!(
        shown,
        format!("{}|developer|developer@example.org|1700000000|ORCH-1: development", desk.base)
    );
    assert_eq!(desk.bare.head(&branch("main")).await.unwrap(), desk.base);
    let name = format!("refs/stagewright/work/{RUN}");
    assert_eq!(desk.place.user_in(desk.bare.path(), ["rev-parse", &name]), commit.as_str());
    assert_eq!(fingerprint(&desk.place.shop()), before);
    assert_eq!(desk.commit().await, commit, "asked again it is another commit");
}

#[tokio::test]
async fn nothing_changed_is_no_commit() {
    let desk = Desk::shop().await;
    assert_eq!(desk.keep().await, Kept { commit: None, left_out: Vec::new() });
    // Written again with the same bytes, and committed by the agent: the files are what counts.
    desk.write("src/shop.py", "PRICE = 3\n");
    desk.place.user_in(&desk.clone(), ["commit", "-q", "--allow-empty", "-m", "by the agent"]);
    assert_eq!(desk.keep().await.commit, None);
}
