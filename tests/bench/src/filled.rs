//! Stores with many tasks in them, made at once: rows of the store's own schema, in one transaction, without waiting for
//! the disk. What is measured on them afterwards goes through the store or the daemon.
//!
//! Rows are as the program would have left them: each ended task has its verdict, its job with run and artifact, and its
//! events.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use stagewright_engine::identity::{InstanceId, JobId, RunId};
use stagewright_engine::instance::Instance;
use stagewright_engine::name::{CommitId, RepoName, StageName};
use stagewright_engine::outcome::{Fault, Judgement};
use stagewright_engine::task::{Hold, StageVerdict};
use stagewright_engine::time::Timestamp;
use stagewright_store::request::repo::NewRepo;
use stagewright_store::sqlite::Options;
use stagewright_store::{SqliteStore, Store as _};
use uuid::Uuid;

use crate::clock::now;
use crate::measure::Failed;

/// The stage at which the tasks stand.
pub(crate) const STAGE: &str = "testing";
/// The only repository.
pub(crate) const REPO: &str = "bench";
/// The machine of those that only write rows, which is none.
pub(crate) const HOST: &str = "bench";
/// How long a dropped store may take to let go of its file.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon it is tried again.
const AGAIN: Duration = Duration::from_millis(10);
/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// In which state a task and its job are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Due, and nobody is at it.
    Queued,
    /// Tried again tomorrow.
    Deferred,
    /// Waits for a person.
    Held,
    /// The task is done, and its job with it.
    Ended,
}

/// A store's file that is being filled.
pub(crate) struct Filled {
    path: PathBuf,
    instance: InstanceId,
    commit: CommitId,
    tasks: i64,
}

impl Filled {
    /// A new store whose one repository is at `source`; its tasks are about `commit`.
    pub(crate) async fn new(path: &Path, source: &Path, commit: CommitId) -> Result<Self, Failed> {
        let store = SqliteStore::open(path, Options::default())?;
        let instance = InstanceId::new(Uuid::now_v7());
        store.register_instance(this(instance)).await?;
        let repo = NewRepo { name: RepoName::new(REPO)?, source: source.to_owned(), now: now() };
        store.put_repo(repo).await?;
        // Who ran what has ended is known, and gone in order.
        store.retire_instance(instance, now()).await?;
        Ok(Self { path: path.to_owned(), instance, commit, tasks: 0 })
    }

    /// Adds `count` tasks.
    pub(crate) fn add(&mut self, kind: Kind, count: usize) -> Result<(), Failed> {
        let mut connection = Connection::open(&self.path)?;
        // Nobody else uses the file, and one that a crash spoils is thrown away.
        out_of_the_log(&connection)?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "foreign_keys", false)?;
        connection.pragma_update(None, "cache_size", -262_144)?;
        connection.set_prepared_statement_cache_capacity(32);
        let transaction = connection.transaction()?;
        for _ in 0..count {
            self.tasks += 1;
            self.one(&transaction, kind)?;
        }
        transaction.commit()?;
        drop(connection);
        // Else the disk would still be at it while something is measured.
        Ok(File::open(&self.path)?.sync_all()?)
    }

    fn one(&self, to: &Connection, kind: Kind) -> Result<(), Failed> {
        let (task, at) = (self.tasks, now());
        let (job, run) = (JobId::new(Uuid::now_v7()), RunId::new(Uuid::now_v7()));
        let fault = Fault::new("not-now", "it was made so for a measurement").with_remedy("wait for its end");
        let hold = Hold { fault: fault.clone(), stage: StageName::new(STAGE)?, job: Some(job), since: at };
        let (stage, task_state, job_state) = match kind {
            Kind::Queued => (STAGE, "active", "queued"),
            Kind::Deferred => (STAGE, "active", "deferred"),
            Kind::Held => (STAGE, "held", "held"),
            Kind::Ended => ("done", "done", "done"),
        };
        let (hold, fault, due) = match kind {
            Kind::Held => (Some(serde_json::to_string(&hold)?), None, 0),
            Kind::Deferred => (None, Some(serde_json::to_string(&fault)?), DAY),
            Kind::Queued | Kind::Ended => (None, None, 0),
        };
        let (has_run, at) = (kind == Kind::Ended, at.as_millis());
        to.prepare_cached(
            "INSERT INTO tasks (id, repo, work_item, stage, state, hold, epoch, branch, head, created, updated)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'main', ?8, ?9, ?9)",
        )?
        .execute(params![
            task,
            REPO,
            format!("BENCH-{task}"),
            stage,
            task_state,
            hold,
            i64::from(has_run),
            self.commit.as_str(),
            at
        ])?;
        to.prepare_cached(
            "INSERT INTO jobs (id, task, stage, commit_id, state, due, run, deferrals, attempt, fault, created, updated)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?10, ?10)",
        )?
        .execute(params![
            job.uuid().as_bytes(),
            task,
            STAGE,
            self.commit.as_str(),
            job_state,
            at + due,
            has_run.then_some(run.uuid().as_bytes()),
            u32::from(fault.is_some()),
            fault,
            at
        ])?;
        self.event(to, "task-added", at, job, None)?;
        self.event(to, "job-queued", at, job, None)?;
        if has_run {
            self.run(to, at, job, run)?;
        }
        Ok(())
    }

    /// What an ended job has left.
    fn run(&self, to: &Connection, at: i64, job: JobId, run: RunId) -> Result<(), Failed> {
        let report = "---\nverdict: PASS\n---\n# Test report\n\nThe suite passed: 12 of 12 tests.\n";
        let sha256 = "0".repeat(64);
        let verdict = StageVerdict {
            judgement: Judgement::Pass,
            fails_in_a_row: 0,
            commit: self.commit.clone(),
            artifact_sha256: sha256.clone(),
            run,
            at: Timestamp::from_millis(at),
        };
        to.prepare_cached(
            "INSERT INTO runs (id, job, instance, epoch, started, ended, outcome, ledger, attachments)
             VALUES (?1, ?2, ?3, 1, ?4, ?4, '{}', '[]', '[]')",
        )?
        .execute(params![
            run.uuid().as_bytes(),
            job.uuid().as_bytes(),
            self.instance.uuid().as_bytes(),
            at
        ])?;
        to.prepare_cached(
            "INSERT INTO artifacts (run, task, stage, path, sha256, made, bytes)
             VALUES (?1, ?2, ?3, '13-test-report.md', ?4, ?5, ?6)",
        )?
        .execute(params![
            run.uuid().as_bytes(),
            self.tasks,
            STAGE,
            sha256,
            at,
            report.as_bytes()
        ])?;
        to.prepare_cached("INSERT INTO verdicts (task, stage, verdict) VALUES (?1, ?2, ?3)")?
            .execute(params![self.tasks, STAGE, serde_json::to_string(&verdict)?])?;
        self.event(to, "job-claimed", at, job, Some(run))?;
        self.event(to, "stage-moved", at, job, Some(run))
    }

    fn event(
        &self,
        to: &Connection,
        kind: &str,
        at: i64,
        job: JobId,
        run: Option<RunId>,
    ) -> Result<(), Failed> {
        to.prepare_cached(
            "INSERT INTO events (at, kind, task, job, run, epoch, detail, batch) VALUES (?1, ?2, ?3, ?4, ?5, 1, '{}', 1)",
        )?
        .execute(params![
            at,
            kind,
            self.tasks,
            job.uuid().as_bytes(),
            run.as_ref().map(|run| run.uuid().into_bytes())
        ])?;
        Ok(())
    }
}

/// Lets the file be written without a log. SQLite refuses that while somebody else has it open, and a store that was dropped
/// ends its connections on threads of its own.
fn out_of_the_log(connection: &Connection) -> Result<(), Failed> {
    let begun = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "MEMORY") {
            Ok(()) => return Ok(()),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => std::thread::sleep(AGAIN),
        }
    }
}

/// An instance of this process.
pub(crate) fn this(id: InstanceId) -> Instance {
    Instance {
        id,
        host: HOST.to_owned(),
        boot: "bench".to_owned(),
        pid_namespace: "bench".to_owned(),
        pid: std::process::id(),
        process_start: 0,
        version: "0.0.0".to_owned(),
        started: now(),
    }
}
