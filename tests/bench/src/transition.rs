//! B2 and B3: a whole transition whose producer does nothing: claim, component, artifact, gate, decision, and the write
//! of the stage, durable at every step. One task after the other, and 64 at once, against single bare commits of SQLite
//! with `synchronous=FULL` into a file beside it.
//!
//! The tasks and their first jobs are in the queue before the clock starts, as they are in life: each conclusion
//! queues the job of the next stage itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rusqlite::Connection;
use sha2::{Digest, Sha256};
use stagewright_capability::Cancel;
use stagewright_engine::budget::DeferralBudget;
use stagewright_engine::gate::Gate;
use stagewright_engine::identity::{InstanceId, JobId, RunId, TaskKey};
use stagewright_engine::name::{BranchName, CommitId, RepoName, StageName, WorkItem};
use stagewright_engine::outcome::Outcome;
use stagewright_engine::pipeline::Pipeline;
use stagewright_engine::task::StageVerdict;
use stagewright_engine::time::Span;
use stagewright_engine::transition::{AfterRun, Move, RunEnd, after_run};
use stagewright_engine::verdict::{self, ArtifactFacts};
use stagewright_sandbox::{Capabilities, Produced};
use stagewright_store::request::artifact::Artifact;
use stagewright_store::request::conclusion::{Attempts, Becomes, Conclusion, Ownership, StageChange};
use stagewright_store::request::job::{Claim, Claimed, Deference, Due, Limits, NewJob};
use stagewright_store::request::repo::NewRepo;
use stagewright_store::request::task::NewTask;
use stagewright_store::sqlite::Options;
use stagewright_store::{SqliteStore, Store};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Setting;
use crate::clock::now;
use crate::component::Loaded;
use crate::filled;
use crate::measure::{Bar, Failed, Times, in_turns};

/// Two stages; the first needs no evidence, because its producer does nothing.
const PIPELINE: &str = r#"
[[stage]]
name = "testing"
producer = "returns"
gate = "check_tests_passed"
artifact = "13-test-report.md"
evidence = false
on_pass = "deploy-staging"
on_fail = "testing"

[[stage]]
name = "deploy-staging"
producer = "returns"
gate = "check_staging_status"
artifact = "15-staging-log.md"
on_pass = "done"
on_fail = "testing"

[[stage]]
name = "done"
"#;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

pub(crate) async fn one_by_one(setting: &Setting) -> Result<Bar, Failed> {
    const ROUNDS: usize = 10;
    const CALLS: usize = 100;
    let folder = setting.folder_on_disk()?;
    let host = Host::new(setting, folder.path()).await?;
    let jobs = host.queue(0, (ROUNDS + 1) * CALLS).await?;
    let mut next = jobs.into_iter();
    let bare = BareCommits::open(folder.path())?;
    let times = in_turns(
        ROUNDS,
        CALLS,
        async || host.transition(next.next().ok_or("no job is left")?).await,
        async || bare.commit(),
    );
    Ok(Bar {
        name: "B2",
        what: "a durable transition whose producer does nothing, one after the other",
        bare: "one bare commit of SQLite with `FULL`",
        ratio: 4.0,
        limit: None,
        times: times.await?,
    })
}

pub(crate) async fn at_once(setting: &Setting) -> Result<Bar, Failed> {
    const ROUNDS: usize = 5;
    const WORKERS: usize = 64;
    const EACH: usize = 20;
    let folder = setting.folder_on_disk()?;
    let host = Arc::new(Host::new(setting, folder.path()).await?);
    let bare = BareCommits::open(folder.path())?;
    let (mut ours, mut bares) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let mut jobs = host.queue(round * WORKERS * EACH, WORKERS * EACH).await?;
        let begun = Instant::now();
        let mut workers = JoinSet::new();
        while !jobs.is_empty() {
            let (host, own) = (Arc::clone(&host), jobs.split_off(jobs.len() - EACH));
            workers.spawn(async move {
                for job in own {
                    host.transition(job).await?;
                }
                Ok::<_, Failed>(())
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker??;
        }
        ours.push(begun.elapsed() / u32::try_from(WORKERS * EACH)?);
        let begun = Instant::now();
        for _ in 0..WORKERS * EACH {
            bare.commit()?;
        }
        bares.push(begun.elapsed() / u32::try_from(WORKERS * EACH)?);
    }
    Ok(Bar {
        name: "B3",
        what: "the same with 64 tasks at once, time for each",
        bare: "one bare commit of SQLite with `FULL`",
        ratio: 1.0,
        limit: None,
        times: Times::of_rounds(ours, bares),
    })
}

/// A store, a component, and what belongs to every transition.
struct Host {
    store: SqliteStore,
    component: Loaded,
    pipeline: Pipeline,
    instance: InstanceId,
    repo: RepoName,
    stage: StageName,
}

impl Host {
    async fn new(setting: &Setting, folder: &Path) -> Result<Self, Failed> {
        let store = SqliteStore::open(&folder.join("store.sqlite3"), Options::default())?;
        let instance = InstanceId::new(Uuid::now_v7());
        store.register_instance(filled::this(instance)).await?;
        let repo = RepoName::new("bench")?;
        store.put_repo(NewRepo { name: repo.clone(), source: folder.to_owned(), now: now() }).await?;
        Ok(Self {
            store,
            component: Loaded::new(&setting.components, "returns")?,
            pipeline: Pipeline::parse("the bench's pipeline", PIPELINE)?,
            instance,
            repo,
            stage: StageName::new("testing")?,
        })
    }

    /// Puts `count` tasks into the store, numbered from `first`, each with a job. Returns the jobs.
    async fn queue(&self, first: usize, count: usize) -> Result<Vec<JobId>, Failed> {
        let mut adding = JoinSet::new();
        for number in first..first + count {
            let key = TaskKey {
                repo: self.repo.clone(),
                work_item: WorkItem::new(format!("BENCH-{}", number + 1))?,
            };
            let (store, stage, branch) = (self.store.clone(), self.stage.clone(), BranchName::new("main")?);
            let (id, commit) = (JobId::new(Uuid::now_v7()), CommitId::new(COMMIT)?);
            // Together, so that they share their commits: this is not what is measured.
            adding.spawn(async move {
                let task = NewTask { key: key.clone(), stage: stage.clone(), branch, now: now() };
                store.add_task(task).await?;
                store.enqueue(NewJob { id, task: key, stage, commit, now: now() }).await?;
                Ok::<_, Failed>(id)
            });
        }
        let mut waiting = Vec::with_capacity(count);
        while let Some(added) = adding.join_next().await {
            waiting.push(added??);
        }
        Ok(waiting)
    }

    /// From the claim to the written stage.
    async fn transition(&self, job: JobId) -> Result<(), Failed> {
        let run = RunId::new(Uuid::now_v7());
        let claim = Claim {
            job,
            expected_stage: self.stage.clone(),
            instance: self.instance,
            run,
            due: Due::InTime,
            deference: Deference::ToOwner,
            now: now(),
            limits: Limits { host: 1_000, producer: None },
        };
        let claimed = self.store.claim(claim).await?;
        let produced = self.component.pass(Capabilities::default(), Cancel::new()).await?;
        let artifact = self.artifact(&claimed, run, &produced)?;
        // The gate reads the bytes that are kept, as a worker's does.
        let gate = Gate::CheckTestsPassed.judge(std::str::from_utf8(&artifact.bytes)?);
        let end =
            RunEnd { outcome: &produced.outcome, gate: Some(&gate), saw_work: produced.ledger.shows_work() };
        let decided =
            after_run(&self.pipeline, &claimed.task, &claimed.job, end, &DeferralBudget::default(), now());
        let AfterRun::Move(step) = decided else { return Err(format!("{decided:?}").into()) };
        let moved = self.store.conclude(self.conclusion(&claimed, run, produced, artifact, step)).await?;
        if moved.stage.as_str() == "deploy-staging" { Ok(()) } else { Err(format!("{moved:?}").into()) }
    }

    fn artifact(&self, claimed: &Claimed, run: RunId, produced: &Produced) -> Result<Artifact, Failed> {
        let Outcome::Verdict(report) = &produced.outcome else { return Err("no verdict".into()) };
        let facts = ArtifactFacts {
            work_item: claimed.task.key.work_item.clone(),
            stage: self.stage.clone(),
            commit: claimed.job.commit.clone(),
            branch: claimed.task.branch.as_str().to_owned(),
            producer: "returns".to_owned(),
            producer_version: "1.0.0".to_owned(),
            producer_sha256: self.component.digest().to_owned(),
            job: claimed.job.id,
            run,
            epoch: claimed.epoch,
            started: "2026-01-01T00:00:00Z".to_owned(),
            duration: Span::ZERO,
            isolation: "none".to_owned(),
            ledger_sha256: produced.ledger.digest(),
        };
        let text = verdict::write(&facts, report, Gate::CheckTestsPassed.key());
        let sha256 = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        let path = verdict::artifact_path(&claimed.task.key.work_item, "13-test-report.md");
        Ok(Artifact { path, bytes: text.into_bytes(), sha256 })
    }

    fn conclusion(
        &self,
        claimed: &Claimed,
        run: RunId,
        produced: Produced,
        artifact: Artifact,
        step: Move,
    ) -> Conclusion {
        let (task, commit) = (claimed.task.key.clone(), claimed.job.commit.clone());
        let next_job = NewJob {
            id: JobId::new(Uuid::now_v7()),
            task: task.clone(),
            stage: step.to.clone(),
            commit: commit.clone(),
            now: now(),
        };
        Conclusion {
            job: claimed.job.id,
            run,
            outcome: produced.outcome,
            verdict: StageVerdict {
                judgement: step.judgement,
                fails_in_a_row: 0,
                commit,
                artifact_sha256: artifact.sha256.clone(),
                run,
                at: now(),
            },
            artifact,
            ledger: produced.ledger,
            attachments: Vec::new(),
            change: StageChange {
                task,
                expected_stage: step.expected,
                to: step.to,
                ownership: Ownership::TakeNow { owner: self.instance, epoch: claimed.epoch },
                completes: None,
                past_a_hold: false,
                attempts: Attempts::Keep,
                becomes: Becomes::Active { next_job: Some(next_job) },
                reason: step.reason,
                events: Vec::new(),
                now: now(),
            },
        }
    }
}

/// The least that a durable write costs on this disk: one row, one commit.
struct BareCommits(Connection);

impl BareCommits {
    fn open(folder: &Path) -> Result<Self, Failed> {
        let connection = Connection::open(folder.join("bare.sqlite3"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch("CREATE TABLE written (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")?;
        Ok(Self(connection))
    }

    fn commit(&self) -> Result<(), Failed> {
        self.0.prepare_cached("INSERT INTO written (text) VALUES ('a row of some length')")?.execute([])?;
        Ok(())
    }
}
