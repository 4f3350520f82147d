//! A store with an instance, a repository and a task in it, and requests that are right unless a case makes
//! them wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use sha2::{Digest as _, Sha256};
use stagewright_engine::identity::{Epoch, InstanceId, JobId, RunId, TaskKey};
use stagewright_engine::instance::Instance;
use stagewright_engine::job::Job;
use stagewright_engine::lease::{Evidence, Lease, LockProbe, ProcessProbe, ProofOfDeath};
use stagewright_engine::ledger::Ledger;
use stagewright_engine::name::{BranchName, CommitId, ProducerName, RepoName, StageName, WorkItem};
use stagewright_engine::outcome::{Fault, Judgement, Outcome, Report, Tally};
use stagewright_engine::task::{Hold, StageVerdict, Task};
use stagewright_engine::time::{Span, Timestamp};
use uuid::Uuid;

use super::Place;
use crate::Store;
use crate::request::artifact::Artifact;
use crate::request::conclusion::{Attempts, Becomes, Conclusion, Ownership, StageChange};
use crate::request::job::{Claim, ClaimNext, Claimed, Deference, Due, Lane, Limits, NewJob};
use crate::request::lease::TakeLease;
use crate::request::repo::NewRepo;
use crate::request::run::{EndRun, RunEnding};
use crate::request::task::NewTask;

pub(super) fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

pub(super) fn commit(digit: char) -> CommitId {
    CommitId::new(digit.to_string().repeat(40)).unwrap()
}

pub(super) fn key(item: &str) -> TaskKey {
    TaskKey { repo: RepoName::new("shop").unwrap(), work_item: WorkItem::new(item).unwrap() }
}

pub(super) fn new_job_id() -> JobId {
    JobId::new(Uuid::now_v7())
}

pub(super) fn new_run_id() -> RunId {
    RunId::new(Uuid::now_v7())
}

pub(super) fn fault() -> Fault {
    Fault::new("runner-missing", "pytest is not there").with_remedy("install it")
}

pub(super) fn proof(dead: InstanceId) -> ProofOfDeath {
    let evidence = Evidence { lock: LockProbe::Free, process: ProcessProbe::Gone, earlier_boot: false };
    ProofOfDeath::from_evidence(dead, evidence).unwrap()
}

pub(super) fn artifact(text: &str) -> Artifact {
    let sha256 = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    Artifact {
        path: "docs/work-items/ORCH-1/13-test-report.md".into(),
        bytes: text.as_bytes().to_vec(),
        sha256,
    }
}

pub(super) fn verdict(judgement: Judgement, run: RunId, artifact: &Artifact) -> StageVerdict {
    StageVerdict {
        judgement,
        fails_in_a_row: u32::from(judgement == Judgement::Fail),
        commit: commit('a'),
        artifact_sha256: artifact.sha256.clone(),
        run,
        at: Timestamp::from_millis(1),
    }
}

pub(super) fn report(judgement: Judgement) -> Outcome {
    Outcome::Verdict(Report {
        judgement,
        summary: "2 tests".into(),
        body: "two".into(),
        tally: Tally { passed: 2, ..Tally::default() },
        checks: Vec::new(),
        facts: Vec::new(),
    })
}

/// A store with one registered instance and one task, `ORCH-1` at `testing`.
pub(super) struct World {
    pub(super) store: Arc<dyn Store>,
    pub(super) me: InstanceId,
    pub(super) task: TaskKey,
    clock: AtomicI64,
}

impl World {
    pub(super) async fn new(place: &dyn Place) -> Self {
        let store = place.open();
        let clock = AtomicI64::new(1_700_000_000_000);
        let mut world = Self { store, me: InstanceId::new(Uuid::nil()), task: key("ORCH-1"), clock };
        world.me = world.instance().await;
        let repo = NewRepo { name: world.task.repo.clone(), source: "/srv/shop".into(), now: world.now() };
        world.store.put_repo(repo).await.unwrap();
        world.add("ORCH-1").await;
        world
    }

    /// A time later than every one before.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.fetch_add(1_000, Ordering::Relaxed))
    }

    /// Another registered instance.
    pub(super) async fn instance(&self) -> InstanceId {
        let id = InstanceId::new(Uuid::now_v7());
        let instance = Instance {
            id,
            host: "host".into(),
            boot: "boot".into(),
            pid_namespace: "pid:[1]".into(),
            pid: 1,
            process_start: 1,
            version: "0".into(),
            started: self.now(),
        };
        self.store.register_instance(instance).await.unwrap();
        id
    }

    pub(super) fn new_task(&self, item: &str) -> NewTask {
        NewTask {
            key: key(item),
            stage: stage("testing"),
            branch: BranchName::new("feature/x").unwrap(),
            now: self.now(),
        }
    }

    pub(super) async fn add(&self, item: &str) -> Task {
        self.store.add_task(self.new_task(item)).await.unwrap()
    }

    /// The task as it is now.
    pub(super) async fn task(&self) -> Task {
        self.store.task(&self.task).await.unwrap().unwrap()
    }

    pub(super) fn new_job(&self, task: &TaskKey) -> NewJob {
        NewJob {
            id: new_job_id(),
            task: task.clone(),
            stage: stage("testing"),
            commit: commit('a'),
            now: self.now(),
        }
    }

    pub(super) async fn enqueue(&self) -> Job {
        self.store.enqueue(self.new_job(&self.task)).await.unwrap()
    }

    pub(super) fn claim_of(&self, job: JobId) -> Claim {
        Claim {
            job,
            expected_stage: stage("testing"),
            instance: self.me,
            run: new_run_id(),
            due: Due::InTime,
            deference: Deference::ToOwner,
            now: self.now(),
            limits: Limits { host: 1_000, producer: None },
        }
    }

    /// A claim of whatever is due at `testing`.
    pub(super) fn next_claim(&self, limit: u32) -> ClaimNext {
        ClaimNext {
            instance: self.me,
            run: new_run_id(),
            now: self.now(),
            host_limit: 1_000,
            lanes: vec![Lane {
                stage: stage("testing"),
                repos: None,
                producer: ProducerName::new("test-runner").unwrap(),
                limit,
            }],
        }
    }

    /// Queues a job for the task and claims it.
    pub(super) async fn running(&self) -> Claimed {
        let job = self.enqueue().await;
        self.store.claim(self.claim_of(job.id)).await.unwrap()
    }

    /// A finished job, and the lease under which its transition is completed.
    pub(super) async fn region(&self) -> (JobId, Lease) {
        let claimed = self.running().await;
        let run = run_of(&claimed);
        let artifact = artifact("---\nresult: PASS\n---\n");
        let verdict = verdict(Judgement::Pass, run, &artifact);
        let ending = RunEnding::Finished { artifact, verdict };
        self.store.end_run(self.end(&claimed, run, ending)).await.unwrap();
        (claimed.job.id, self.lease().await)
    }

    /// The end of a claimed run.
    pub(super) fn end(&self, claimed: &Claimed, run: RunId, ending: RunEnding) -> EndRun {
        EndRun {
            job: claimed.job.id,
            run,
            epoch: claimed.epoch,
            outcome: Outcome::Deferred(fault()),
            ending,
            ledger: Ledger::default(),
            attachments: Vec::new(),
            events: Vec::new(),
            now: self.now(),
        }
    }

    pub(super) fn deferred(&self, span: Span) -> RunEnding {
        RunEnding::Deferred { until: self.now().plus(span), fault: fault() }
    }

    pub(super) fn hold(&self) -> Hold {
        Hold { fault: fault(), stage: stage("testing"), job: None, since: self.now() }
    }

    pub(super) async fn lease(&self) -> Lease {
        let take = self.take_lease(self.me, self.task().await.epoch);
        self.store.take_lease(take).await.unwrap()
    }

    pub(super) fn take_lease(&self, owner: InstanceId, epoch: Epoch) -> TakeLease {
        TakeLease {
            task: self.task.clone(),
            expected_stage: stage("testing"),
            epoch,
            owner,
            exclusive: false,
            deference: Deference::ToOwner,
            now: self.now(),
        }
    }

    /// A move of the task from `testing` to another stage.
    pub(super) fn change(&self, to: &str, ownership: Ownership) -> StageChange {
        StageChange {
            task: self.task.clone(),
            expected_stage: stage("testing"),
            to: stage(to),
            ownership,
            completes: None,
            past_a_hold: false,
            attempts: Attempts::Keep,
            becomes: Becomes::Active { next_job: None },
            reason: "test".into(),
            events: Vec::new(),
            now: self.now(),
        }
    }

    pub(super) fn take_now(&self, epoch: Epoch) -> Ownership {
        Ownership::TakeNow { owner: self.me, epoch }
    }

    /// The conclusion of a claimed run with a PASS, onward to `deploy-staging`.
    pub(super) fn conclusion(&self, claimed: &Claimed, run: RunId) -> Conclusion {
        let artifact = artifact("---\nresult: PASS\n---\ntwo");
        Conclusion {
            job: claimed.job.id,
            run,
            outcome: report(Judgement::Pass),
            verdict: verdict(Judgement::Pass, run, &artifact),
            artifact,
            ledger: Ledger::default(),
            attachments: Vec::new(),
            change: self.change("deploy-staging", self.take_now(claimed.epoch)),
        }
    }
}

/// The run of a claimed job.
pub(super) fn run_of(claimed: &Claimed) -> RunId {
    match claimed.job.state {
        stagewright_engine::job::JobState::Running { run, .. } => run,
        ref other => panic!("a claimed job is {other:?}"),
    }
}
