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

    /// The desk of another process, at the same place.
    pub(crate) async fn at(place: Place) -> Self {
        let bare = place.open().await;
        let base = place.user_head("HEAD");
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

    pub(crate) async fn keep_unchecked(&self, limits: Limits) -> Result<Kept, Error> {
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
        self.bare.keep_work(&work).await
    }

    async fn keep_within(&self, limits: Limits) -> Result<Kept, Error> {
        let kept = self.keep_unchecked(limits).await;
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

    pub(crate) async fn try_keep(&self) -> Result<Kept, Error> {
        self.keep_within(Limits::default()).await
    }

    pub(crate) async fn refused(&self) -> work::Error {
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

#[tokio::test]
async fn folders_files_and_links_can_take_each_others_place() {
    let desk = Desk::shop().await;
    let clone = desk.clone();
    fs::remove_file(clone.join("README.md")).unwrap();
    desk.write("README.md/part/one", "1");
    fs::remove_dir_all(clone.join("src")).unwrap();
    symlink("docs", clone.join("src")).unwrap();
    fs::remove_file(clone.join(".gitignore")).unwrap();
    symlink("README.md", clone.join(".gitignore")).unwrap();
    let commit = desk.commit().await;
    assert_eq!(desk.tree(&commit), desk.tree_by_git());
}

#[tokio::test]
async fn a_file_of_which_only_the_x_bit_changed_keeps_its_object() {
    let desk = Desk::shop().await;
    fs::set_permissions(desk.clone().join("src/shop.py"), fs::Permissions::from_mode(0o700)).unwrap();
    let commit = desk.commit().await;
    let changed = ["diff-tree", "-r", "--raw", "--no-commit-id", commit.as_str()];
    let changed = desk.place.user_in(desk.bare.path(), changed);
    assert!(changed.starts_with(":100644 100755 ") && changed.ends_with(" M\tsrc/shop.py"), "{changed}");
    assert_eq!(desk.tree(&commit), desk.tree_by_git());
}

#[tokio::test]
async fn deleting_everything_leaves_the_reports() {
    let desk = Desk::shop().await;
    for entry in fs::read_dir(desk.clone()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    let commit = desk.commit().await;
    let left = desk.place.user_in(desk.bare.path(), ["ls-tree", "-r", "--name-only", commit.as_str()]);
    assert_eq!(left, "docs/work-items/ORCH-1/01-analysis.md");

    let place = Place::new();
    let desk = Desk::new(place).await;
    fs::remove_dir_all(desk.clone().join("src")).unwrap();
    fs::remove_file(desk.clone().join("README.md")).unwrap();
    let commit = desk.commit().await;
    assert_eq!(desk.tree(&commit), "");
}

#[tokio::test]
async fn reports_stay_as_they_were_whatever_became_of_their_folder() {
    let desk = Desk::shop().await;
    desk.write("docs/work-items/ORCH-1/01-analysis.md", "---\nresult: FAIL\n---\n");
    desk.write("docs/work-items/ORCH-1/13-test-report.md", "---\nresult: PASS\n---\n");
    desk.write("docs/work-items/ORCH-2/x.py", "");
    assert_eq!(desk.keep().await.commit, None);

    fs::remove_dir_all(desk.clone().join("docs/work-items")).unwrap();
    symlink("/etc", desk.clone().join("docs/work-items")).unwrap();
    let kept = desk.keep().await;
    assert_eq!((kept.commit, kept.left_out.len()), (None, 1));
    assert_eq!(kept.left_out[0].path, "docs/work-items");

    // Of a whole `docs` that became a file only what is not a report is gone.
    fs::remove_dir_all(desk.clone().join("docs")).unwrap();
    desk.write("docs", "no folder");
    let kept = desk.keep().await;
    assert_eq!(kept.left_out[0].path, "docs");
    let commit = kept.commit.unwrap();
    assert_eq!(desk.bare.changed_paths(&desk.base, &commit).await.unwrap(), [b"docs/guide.md".to_vec()]);
}

#[tokio::test]
async fn ignored_files_stay_out_and_tracked_ones_in_ignored_folders_stay_in() {
    let place = Place::new();
    place.write("target/kept.txt", "tracked\n");
    place.write("target/deep/gone.txt", "tracked\n");
    place.write("was.log", "tracked\n");
    place.commit("tracked before it was ignored");
    place.write(".gitignore", "target/\n*.log\n!keep.log\n/only-top\n__pycache__/\n");
    place.write("sub/.gitignore", "*.tmp\n!*.log\n");
    place.commit("ignore");
    let desk = Desk::new(place).await;
    desk.write("target/kept.txt", "changed\n");
    desk.write("target/new.txt", "garbage\n");
    desk.write("target/nested/.git/HEAD", "garbage\n");
    fs::remove_file(desk.clone().join("target/deep/gone.txt")).unwrap();
    desk.write("was.log", "changed\n");
    for name in ["new.log", "keep.log", "only-top", "sub/only-top", "sub/a.log", "sub/a.tmp", "a.tmp"] {
        desk.write(name, name);
    }
    desk.write("sub/__pycache__/x.pyc", "garbage");
    desk.write("new/.gitignore", "*\n!.gitignore\n");
    desk.write("new/garbage", "garbage");
    desk.write(".git/info/exclude", "a.tmp\n");
    let commit = desk.commit().await;
    fs::remove_file(desk.clone().join(".git/info/exclude")).unwrap();
    assert_eq!(desk.tree(&commit), desk.tree_by_git());
    let tree = desk.tree(&commit);
    assert!(tree.contains("sub/a.log") && !tree.contains("target/new.txt"), "{tree}");
}

#[tokio::test]
async fn where_the_gitignore_was_cleaned_away_the_commits_own_counts() {
    let desk = Desk::shop().await;
    fs::remove_file(desk.clone().join(".gitignore")).unwrap();
    desk.write("target/debug/shop", "garbage");
    let commit = desk.commit().await;
    let changed = desk.bare.changed_paths(&desk.base, &commit).await.unwrap();
    assert_eq!(changed, [b".gitignore".to_vec()]);
}

/// Files that git writes into a checkout otherwise than a commit has them.
async fn converted() -> Desk {
    let place = Place::new();
    // Committed before the attributes were, and never made to fit them.
    place.write("unfit.bat", "one\r\ntwo\r\n");
    place.commit("before");
    place.write(
        ".gitattributes",
        "*.bat text eol=crlf\n*.id ident\n*.rc text working-tree-encoding=UTF-16LE-BOM\n*.bin filter=lfs diff=lfs -text\n",
    );
    place.user(["update-index", "--assume-unchanged", "unfit.bat"]);
    place.write("run.bat", "echo\r\n");
    place.write("other.bat", "other\r\n");
    place.write("what.id", "$Id$\n");
    place.write("who.id", "$Id$\n");
    let utf16: Vec<u8> = "\u{feff}menu\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    place.write("menu.rc", utf16);
    place.write("large.bin", "version https://git-lfs.github.com/spec/v1\r\n");
    place.commit("attributes");
    Desk::new(place).await
}

#[tokio::test]
async fn files_that_git_wrote_with_other_line_ends_or_encodings_are_unchanged_until_somebody_changes_them() {
    let desk = converted().await;
    assert_eq!(fs::read(desk.clone().join("run.bat")).unwrap(), b"echo\r\n");
    assert!(fs::read_to_string(desk.clone().join("what.id")).unwrap().starts_with("$Id: "));
    assert_eq!(fs::read(desk.clone().join("menu.rc")).unwrap()[..2], [0xff, 0xfe]);
    assert_eq!(desk.keep().await.commit, None);

    // The x bit alone: still the same object.
    fs::set_permissions(desk.clone().join("run.bat"), fs::Permissions::from_mode(0o755)).unwrap();
    let commit = desk.commit().await;
    let shown = desk.place.user_in(desk.bare.path(), ["show", "--raw", "--format=", commit.as_str()]);
    assert!(shown.contains(":100644 100755") && shown.lines().count() == 1, "{shown}");
}

#[tokio::test]
async fn changed_files_are_committed_with_the_line_ends_and_encodings_that_the_attributes_say() {
    let desk = converted().await;
    desk.write("run.bat", "echo\r\nagain\r\n");
    desk.write("new.bat", "new\r\n");
    let id = fs::read_to_string(desk.clone().join("what.id")).unwrap();
    desk.write("what.id", format!("{id}more\n"));
    let utf16: Vec<u8> = "\u{feff}menu two\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    desk.write("menu.rc", utf16);
    desk.write("large.bin", "version https://git-lfs.github.com/spec/v1\r\nchanged\r\n");
    let commit = desk.commit().await;
    for (path, text) in [
        ("run.bat", "echo\nagain\n"),
        ("new.bat", "new\n"),
        ("what.id", "$Id$\nmore\n"),
        ("menu.rc", "menu two\n"),
        ("large.bin", "version https://git-lfs.github.com/spec/v1\r\nchanged\r\n"),
        ("unfit.bat", "one\r\ntwo\r\n"),
    ] {
        let kept = desk.bare.read_file(&commit, path, 1000).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(kept).unwrap(), text, "{path}");
    }
    // What git says of the file that never fitted depends on whether it looks into it.
    let fit =
        |tree: String| tree.lines().filter(|line| !line.ends_with("unfit.bat")).map(str::to_owned).collect();
    let (ours, gits): (Vec<String>, Vec<String>) = (fit(desk.tree(&commit)), fit(desk.tree_by_git()));
    assert_eq!(ours, gits);
    // A checkout of it is clean.
    let again = desk.place.path("again");
    desk.bare.clone_at(&commit, None, &again).await.unwrap();
    fs::remove_file(again.join("unfit.bat")).unwrap();
    assert_eq!(desk.place.user_in(&again, ["status", "--porcelain"]), " D unfit.bat");
}

#[tokio::test]
async fn attributes_that_the_work_itself_brings_count_for_its_new_files_and_leave_the_others_alone() {
    let desk = Desk::shop().await;
    desk.write(".gitattributes", "*.py text eol=crlf\n");
    desk.write("src/new.py", "NEW = 1\r\n");
    let commit = desk.commit().await;
    assert_eq!(desk.bare.read_file(&commit, "src/new.py", 100).await.unwrap().unwrap(), b"NEW = 1\n");
    assert_eq!(desk.tree(&commit), desk.tree_by_git());
}

#[tokio::test]
async fn a_file_that_is_not_in_the_encoding_of_its_attributes_is_told_with_its_name() {
    let desk = converted().await;
    desk.write("menu.rc", "plain text\n");
    let error = desk.refused().await;
    assert!(matches!(&error, work::Error::NotStorable { said } if said.contains("menu.rc")), "{error}");
}

#[tokio::test]
async fn submodules_stay_as_they_were() {
    let place = Place::new();
    let add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add"].map(OsStr::new);
    let url = place.path("shop");
    place.user(add.into_iter().chain([url.as_os_str(), OsStr::new("vendor/inner")]));
    place.commit("a submodule");
    let desk = Desk::new(place).await;
    assert_eq!(desk.keep().await, Kept { commit: None, left_out: Vec::new() });

    fs::remove_dir(desk.clone().join("vendor/inner")).unwrap();
    assert_eq!(desk.keep().await.commit, None);
    for what in ["vendor/inner", "vendor/inner/file", "vendor"] {
        let _ = fs::remove_dir_all(desk.clone().join("vendor"));
        desk.write(what, "in its place");
        let kept = desk.keep().await;
        assert_eq!(kept.commit, None, "{what}");
        assert_eq!(kept.left_out.len(), 1, "{what}");
        assert!(what.starts_with(&kept.left_out[0].path), "{what}");
        let _ = fs::remove_file(desk.clone().join("vendor"));
    }
}

#[tokio::test]
async fn sha256_and_shallow_repositories_work_too() {
    let place = Place::empty();
    place.user(["init", "-q", "-b", "main", "--object-format=sha256", "."]);
    place.write("a", "a\n");
    place.write("gone", "gone\n");
    place.commit("begin");
    let desk = Desk::new(place).await;
    assert_eq!(desk.keep().await.commit, None);
    desk.write("b", "b\n");
    fs::remove_file(desk.clone().join("gone")).unwrap();
    let commit = desk.commit().await;
    assert_eq!(desk.tree(&commit), desk.tree_by_git());

    let full = Place::new();
    full.commit("second");
    let place = Place::empty();
    let url = format!("file://{}", full.shop().display());
    place.user(["clone", "-q", "--depth=1", &url, "."]);
    let desk = Desk::new(place).await;
    desk.write("b", "b\n");
    let commit = desk.commit().await;
    assert_eq!(desk.tree(&commit), desk.tree_by_git());
}

#[tokio::test]
async fn too_much_is_refused_with_the_name_of_what_is_too_much() {
    let desk = Desk::shop().await;
    let small = Limits { file_bytes: 1000, total_bytes: 2500, files: 5 };
    desk.write("big", "x".repeat(1001));
    let error = desk.keep_within(small).await.unwrap_err();
    assert!(
        matches!(&error, Error::Work(work::Error::FileTooLarge { path, .. }) if path == "big"),
        "{error}"
    );
    fs::remove_file(desk.clone().join("big")).unwrap();
    // A hole of a terabyte takes no space and is not read.
    let sparse = fs::File::create(desk.clone().join("src/shop.py")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let error = desk.keep_within(small).await.unwrap_err();
    assert!(error.to_string().contains("src/shop.py"), "{error}");
    sparse.set_len(0).unwrap();
    for name in ["a", "b", "c"] {
        desk.write(name, "x".repeat(1000));
    }
    let error = desk.keep_within(small).await.unwrap_err();
    assert!(matches!(error, Error::Work(work::Error::TooLarge { bytes: 3000, .. })), "{error}");
    for name in ["a", "b", "c", "d", "e", "f"] {
        desk.write(name, "");
    }
    let error = desk.keep_within(small).await.unwrap_err();
    assert!(matches!(error, Error::Work(work::Error::TooMany { limit: 5, .. })), "{error}");
}

#[tokio::test]
async fn a_large_file_that_was_there_before_does_not_count() {
    let place = Place::new();
    place.write("large", "x".repeat(100_000));
    place.commit("large");
    let desk = Desk::new(place).await;
    desk.write("small", "x");
    let limits = Limits { file_bytes: 1000, total_bytes: 1000, files: 1 };
    assert!(desk.keep_within(limits).await.unwrap().commit.is_some());
}

#[tokio::test]
async fn ten_thousand_unchanged_files_are_compared_fast() {
    let place = Place::new();
    for number in 0..10_000 {
        place.write(format!("data/{}/{number}", number % 100), format!("{number}").repeat(500));
    }
    place.commit("much");
    let desk = Desk::new(place).await;
    desk.write("data/7/7", "changed");
    let began = std::time::Instant::now();
    desk.keep().await.commit.unwrap();
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(30), "{took:?}");
}
