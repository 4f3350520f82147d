//! Merging a task's branch in the user's repository.

use stagewright_engine::name::CommitId;
use stagewright_engine::time::Timestamp;
use stagewright_repository::{Author, Bare, Error, Merge, MergeRefusal, Merged};

use crate::commits::report;
use crate::place::{Place, branch};

/// A user's `main` that nobody has checked out, a task's branch with a commit of its own, and the host.
struct Task {
    place: Place,
    bare: Bare,
    head: CommitId,
}

impl Task {
    async fn new() -> Self {
        let place = Place::new();
        place.user(["checkout", "-q", "-b", "feature/x"]);
        place.write("src/x.py", "X = 1\n");
        let head = place.commit("add x");
        place.user(["checkout", "-q", "--detach"]);
        let bare = place.open().await;
        Self { place, bare, head }
    }

    /// A change on `main`, made as another user would who has no checkout here.
    fn change_main(&self, name: &str, text: &str) -> CommitId {
        self.place.user(["checkout", "-q", "main"]);
        self.place.write(name, text);
        let commit = self.place.commit("work on main");
        self.place.user(["checkout", "-q", "--detach"]);
        commit
    }

    async fn merge(&self) -> Result<Merged, Error> {
        self.merge_of("feature/x", &self.head, &self.head).await
    }

    async fn merge_of(&self, name: &str, expected: &CommitId, head: &CommitId) -> Result<Merged, Error> {
        let author = Author { name: "stagewright".into(), email: "stagewright@localhost".into() };
        let merge = Merge {
            branch: &branch(name),
            expected,
            head,
            into: &branch("main"),
            message: "Merge ORCH-1 into main\n",
            author: &author,
            when: Timestamp::from_millis(1_700_000_000_000),
        };
        self.bare.merge(&merge).await
    }
}

#[tokio::test]
async fn a_branch_is_merged_with_a_commit_of_both_and_merged_once() {
    let task = Task::new().await;
    let main = task.change_main("src/y.py", "Y = 1\n");
    let Merged::Merged(merged) = task.merge().await.unwrap() else { panic!("it is merged") };
    assert_eq!(task.place.user_head("main"), merged);
    let parents = task.place.user(["rev-list", "--parents", "-n", "1", "main"]);
    assert_eq!(parents, format!("{merged} {main} {}", task.head));
    let files = task.place.user(["ls-tree", "-r", "--name-only", "main"]);
    assert_eq!(files.lines().collect::<Vec<_>>(), ["README.md", "src/shop.py", "src/x.py", "src/y.py"]);
    assert_eq!(task.place.user(["fsck", "--full"]), "");
    assert_eq!(task.merge().await.unwrap(), Merged::AlreadyIn(merged.clone()));
    assert_eq!(task.place.user_head("main"), merged);
}

#[tokio::test]
async fn the_hosts_artifacts_are_merged_with_the_branch() {
    let task = Task::new().await;
    task.place.user(["checkout", "-q", "-b", "elsewhere"]);
    let head = task.bare.head(&branch("main")).await.unwrap();
    let artifact = report(&task.bare, &head).await.unwrap();
    // The report was made on `main`; as a branch of its own it is a task's.
    task.place.user(["branch", "reports", "main"]);
    let bare = task.place.open().await;
    let task = Task { bare, ..task };
    let merged = task.merge_of("reports", &head, &artifact).await.unwrap();
    assert!(matches!(merged, Merged::Merged(_)), "{merged:?}");
    let files = task.place.user(["ls-tree", "-r", "--name-only", "main", "docs/"]);
    assert!(files.contains("docs/work-items/"), "{files}");
}

#[tokio::test]
async fn a_branch_that_has_moved_is_not_merged() {
    let task = Task::new().await;
    task.place.user(["checkout", "-q", "feature/x"]);
    task.place.write("src/x.py", "X = 2\n");
    let moved = task.place.commit("not examined");
    task.place.user(["checkout", "-q", "--detach"]);
    let before = task.place.user_head("main");
    let refused = task.merge().await.unwrap();
    assert_eq!(refused, Merged::Refused(MergeRefusal::HeadMoved { actual: Some(moved) }));
    task.place.user(["branch", "-D", "feature/x"]);
    let refused = task.merge().await.unwrap();
    assert_eq!(refused, Merged::Refused(MergeRefusal::HeadMoved { actual: None }));
    assert_eq!(task.place.user_head("main"), before);
}

#[tokio::test]
async fn a_contradiction_is_told_with_its_files_and_changes_nothing() {
    let task = Task::new().await;
    let main = task.change_main("src/x.py", "X = 9\n");
    let refused = task.merge().await.unwrap();
    let files = vec!["src/x.py".to_owned()];
    assert_eq!(refused, Merged::Refused(MergeRefusal::Conflict { files }));
    assert_eq!(task.place.user_head("main"), main);
}

#[tokio::test]
async fn a_target_that_is_checked_out_or_missing_is_left_alone() {
    let task = Task::new().await;
    task.place.user(["checkout", "-q", "main"]);
    let before = task.place.user_head("main");
    let folder = task.place.shop();
    assert_eq!(task.merge().await.unwrap(), Merged::Refused(MergeRefusal::CheckedOut { folder }));
    assert_eq!(task.place.user_head("main"), before);
    task.place.user(["checkout", "-q", "--detach"]);
    task.place.user(["branch", "-D", "main"]);
    assert_eq!(task.merge().await.unwrap(), Merged::Refused(MergeRefusal::NoTarget));
}

#[tokio::test]
async fn two_hosts_that_merge_at_the_same_time_both_get_their_branch_in() {
    let task = Task::new().await;
    let mut heads = Vec::new();
    for number in 0..4 {
        task.place.user(["checkout", "-q", "-b", &format!("task/{number}"), "main"]);
        task.place.write(format!("src/{number}.py"), "N = 1\n");
        heads.push(task.place.commit("add a file"));
    }
    task.place.user(["checkout", "-q", "--detach"]);
    let merge = async |number: usize| {
        task.merge_of(&format!("task/{number}"), &heads[number], &heads[number]).await.unwrap()
    };
    let (first, second, third, fourth) = tokio::join!(merge(0), merge(1), merge(2), merge(3));
    for merged in [first, second, third, fourth] {
        assert!(matches!(merged, Merged::Merged(_)), "{merged:?}");
    }
    let files = task.place.user(["ls-tree", "-r", "--name-only", "main", "src/"]);
    assert_eq!(files.lines().count(), 5, "{files}");
}

#[tokio::test]
async fn no_hook_of_the_users_runs_for_a_merge() {
    let task = Task::new().await;
    for hook in ["reference-transaction", "post-update", "pre-receive", "post-merge"] {
        let trap = task.place.trap(&format!("shop/.git/hooks/{hook}"));
        assert!(trap.is_file());
    }
    assert!(matches!(task.merge().await.unwrap(), Merged::Merged(_)));
    assert_eq!(task.place.sprung(), "");
}
