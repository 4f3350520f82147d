//! A store in trouble: killed, locked, full, and used by several processes. Everything here is real.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use stagewright_engine::identity::{InstanceId, JobId, RunId, TaskKey};
use stagewright_engine::instance::Instance;
use stagewright_engine::name::{BranchName, CommitId, ProducerName, RepoName, StageName, WorkItem};
use stagewright_engine::time::Timestamp;
use stagewright_store::request::conclusion::{Attempts, Becomes, Ownership, StageChange};
use stagewright_store::request::job::{ClaimNext, Deference, Lane, NewJob};
use stagewright_store::request::lease::TakeLease;
use stagewright_store::request::repo::NewRepo;
use stagewright_store::request::task::{NewTask, TaskFilter};
use stagewright_store::sqlite::{Options, SqliteStore};
use stagewright_store::{Error, Store};
use uuid::Uuid;

/// Set in a child: the store's file. The child is this very program, told to run one test only.
const STORE: &str = "STAGEWRIGHT_STORE_TEST_FILE";

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, Options::default()).unwrap()
}

fn testing() -> StageName {
    StageName::new("testing").unwrap()
}

fn new_task(item: &str) -> NewTask {
    let key = TaskKey { repo: RepoName::new("shop").unwrap(), work_item: WorkItem::new(item).unwrap() };
    NewTask { key, stage: testing(), branch: BranchName::new("main").unwrap(), now: NOW }
}

async fn put_repo(store: &SqliteStore, source: &str) -> Result<(), Error> {
    let repo = NewRepo { name: RepoName::new("shop").unwrap(), source: source.into(), now: NOW };
    store.put_repo(repo).await.map(drop)
}

async fn register(store: &SqliteStore) -> InstanceId {
    let id = InstanceId::new(Uuid::now_v7());
    let text = || "x".to_owned();
    let instance = Instance {
        id,
        host: text(),
        boot: text(),
        pid_namespace: text(),
        pid: std::process::id(),
        process_start: 1,
        version: text(),
        started: NOW,
    };
    store.register_instance(instance).await.unwrap();
    id
}

/// The store's file, if this process is a child of a test.
fn as_child() -> Option<PathBuf> {
    std::env::var_os(STORE).map(PathBuf::from)
}

fn child(test: &str, store: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(STORE, store)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn what_was_answered_before_a_kill_is_there_afterwards() {
    if let Some(path) = as_child() {
        let store = open(&path);
        put_repo(&store, "/srv").await.unwrap();
        for number in 0.. {
            store.add_task(new_task(&format!("T{number:06}"))).await.unwrap();
            println!("\nanswered T{number:06}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite3");
    let mut answered: BTreeSet<String> = BTreeSet::new();
    for _ in 0..3 {
        let mut writer = child("what_was_answered_before_a_kill_is_there_afterwards", &path);
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut seen = 0;
        for line in lines {
            // After the kill the pipe still holds what was answered before it.
            let line = line.unwrap();
            let Some(item) = line.strip_prefix("answered ") else { continue };
            answered.insert(item.to_owned());
            seen += 1;
            if seen == 100 {
                writer.kill().unwrap();
            }
        }
        writer.wait().unwrap();
        assert!(seen >= 100, "the writer ended by itself after {seen} answers");
        let store = open(&path);
        let filter = TaskFilter { limit: u32::MAX, ..TaskFilter::default() };
        let there = store.tasks(filter).await.unwrap();
        let there: BTreeSet<String> = there.into_iter().map(|task| task.key.work_item.to_string()).collect();
        assert!(answered.is_subset(&there), "lost: {:?}", answered.difference(&there));
        let check: String = Connection::open(&path)
            .unwrap()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(check, "ok");
    }
}

#[tokio::test]
async fn two_processes_share_the_jobs_without_taking_one_twice() {
    if let Some(path) = as_child() {
        let store = open(&path);
        let instance = register(&store).await;
        let producer = ProducerName::new("test-runner").unwrap();
        loop {
            let lanes =
                vec![Lane { stage: testing(), repos: None, producer: producer.clone(), limit: u32::MAX }];
            let run = RunId::new(Uuid::now_v7());
            let claim = ClaimNext { instance, run, now: NOW, host_limit: u32::MAX, lanes };
            let Some(claimed) = store.claim_next(claim).await.unwrap() else { return };
            println!("\nclaimed {}", claimed.job.id);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite3");
    let store = open(&path);
    put_repo(&store, "/srv").await.unwrap();
    let mut jobs = Vec::new();
    for number in 0..200 {
        let task = store.add_task(new_task(&format!("T{number}"))).await.unwrap();
        let id = JobId::new(Uuid::now_v7());
        let commit = CommitId::new("a".repeat(40)).unwrap();
        store.enqueue(NewJob { id, task: task.key, stage: testing(), commit, now: NOW }).await.unwrap();
        jobs.push(id.to_string());
    }
    let name = "two_processes_share_the_jobs_without_taking_one_twice";
    let workers = [child(name, &path), child(name, &path)];
    let mut claimed = Vec::new();
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        assert!(output.status.success(), "a worker ended with {}", output.status);
        let text = String::from_utf8(output.stdout).unwrap();
        claimed.extend(text.lines().filter_map(|line| line.strip_prefix("claimed ")).map(str::to_owned));
    }
    claimed.sort();
    jobs.sort();
    assert_eq!(claimed, jobs);
}

#[tokio::test]
async fn of_two_processes_that_want_the_same_transition_one_gets_each() {
    const ROUNDS: usize = 300;
    let last = |name: &str| format!("T{name}");
    if let Some(path) = as_child() {
        let store = open(&path);
        let owner = register(&store).await;
        println!("\nready");
        for number in 0..ROUNDS {
            // The other one looks for the same task at the same time.
            let key = new_task(&last(&number.to_string())).key;
            let task = loop {
                match store.task(&key).await.unwrap() {
                    Some(task) => break task,
                    None => tokio::task::yield_now().await,
                }
            };
            let take = TakeLease {
                task: key.clone(),
                expected_stage: testing(),
                epoch: task.epoch,
                owner,
                exclusive: false,
                deference: Deference::ToOwner,
                now: NOW,
            };
            let Ok(lease) = store.take_lease(take).await else { continue };
            let change = StageChange {
                task: key,
                expected_stage: testing(),
                to: StageName::new("done").unwrap(),
                ownership: Ownership::Lease(lease),
                completes: None,
                attempts: Attempts::Keep,
                past_a_hold: false,
                becomes: Becomes::Done,
                reason: "raced".to_owned(),
                events: Vec::new(),
                now: NOW,
            };
            store.move_stage(change).await.unwrap();
            println!("\nwon {number}");
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite3");
    let store = open(&path);
    put_repo(&store, "/srv").await.unwrap();
    let name = "of_two_processes_that_want_the_same_transition_one_gets_each";
    let mut racers = [child(name, &path), child(name, &path)].map(|mut child| {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    });
    for (_, lines) in &mut racers {
        assert!(lines.any(|line| line.unwrap() == "ready"));
    }
    for number in 0..ROUNDS {
        store.add_task(new_task(&last(&number.to_string()))).await.unwrap();
    }
    let mut won: Vec<usize> = Vec::new();
    for (mut child, lines) in racers {
        let lines = lines.map_while(Result::ok);
        won.extend(lines.filter_map(|line| line.strip_prefix("won ")?.parse::<usize>().ok()));
        assert!(child.wait().unwrap().success());
    }
    won.sort_unstable();
    assert_eq!(won, (0..ROUNDS).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_store_that_another_process_keeps_locked_says_so_and_works_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite3");
    let options = Options { busy: Duration::from_millis(50), ..Options::default() };
    let store = SqliteStore::open(&path, options).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = put_repo(&store, "/srv").await.unwrap_err();
    assert!(matches!(error, Error::Locked { waited } if waited >= Duration::from_millis(50)), "{error:?}");
    // Reading goes on beside it.
    assert_eq!(store.repo(&RepoName::new("shop").unwrap()).await.unwrap(), None);
    other.execute_batch("ROLLBACK").unwrap();
    put_repo(&store, "/srv").await.unwrap();
}

/// On one thread, so that every writer has handed over its command before the lock is given up.
#[tokio::test(flavor = "current_thread")]
async fn commands_that_wait_together_are_committed_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite3");
    let store = open(&path);
    put_repo(&store, "/srv").await.unwrap();
    let before = store.metrics();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..64 {
        let store = store.clone();
        writers.spawn(async move { store.add_task(new_task(&format!("T{number}"))).await.unwrap() });
    }
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(writers.join_all().await.len(), 64);
    let after = store.metrics();
    assert_eq!(after.commands - before.commands, 64);
    assert!(after.commits - before.commits <= 2, "{} commits", after.commits - before.commits);
}

/// A file system of 2 MiB, unmounted when it is dropped.
struct Tiny(tempfile::TempDir);

impl Tiny {
    fn mount() -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(folder.path())
            .output()
            .map_err(|error| error.to_string())?;
        if mounted.status.success() {
            Ok(Self(folder))
        } else {
            Err(String::from_utf8_lossy(&mounted.stderr).into_owned())
        }
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_undoes_the_change_and_the_store_works_when_there_is_room_again() {
    let place = match Tiny::mount() {
        Ok(place) => place,
        Err(why) => {
            println!("skipped: no small file system can be mounted here: {why}");
            return;
        }
    };
    let path = place.0.path().join("store.sqlite3");
    let store = open(&path);
    let ballast = place.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let name = RepoName::new("shop").unwrap();
    let mut kept = None;
    let mut failure = None;
    for number in 0..1_000 {
        let source = format!("/{number}{}", "x".repeat(10_000));
        match put_repo(&store, &source).await {
            Ok(()) => kept = Some(source),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    let failure = failure.unwrap();
    assert!(matches!(failure, Error::Full { .. }), "{failure:?}");
    // The last change that was answered stands, and nothing of the one that failed.
    let there = store.repo(&name).await.unwrap().map(|repo| repo.source);
    assert_eq!(there, kept.clone().map(PathBuf::from));
    std::fs::remove_file(ballast).unwrap();
    put_repo(&store, "/again").await.unwrap();
    assert_eq!(store.repo(&name).await.unwrap().unwrap().source, PathBuf::from("/again"));
    let check: String =
        Connection::open(&path).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}
