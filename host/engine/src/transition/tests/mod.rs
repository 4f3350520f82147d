mod finish;
mod person;
mod push;
mod rules;
mod run_end;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::budget::DeferralBudget;
use crate::gate::GateDecision;
use crate::identity::{Epoch, JobId, RunId, TaskKey};
use crate::job::{Job, JobState};
use crate::name::{BranchName, CommitId, RepoName, StageName, WorkItem};
use crate::outcome::{Cause, Fault, Judgement, Outcome, Report, Tally};
use crate::pipeline::Pipeline;
use crate::task::{Hold, StageVerdict, Task, TaskState};
use crate::time::Timestamp;

fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

fn commit(digit: char) -> CommitId {
    CommitId::new(digit.to_string().repeat(40)).unwrap()
}

fn key() -> TaskKey {
    TaskKey { repo: RepoName::new("shop").unwrap(), work_item: WorkItem::new("A-1").unwrap() }
}

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn task(at: &str) -> Task {
    Task {
        key: key(),
        stage: stage(at),
        state: TaskState::Active,
        epoch: Epoch::new(1),
        branch: BranchName::new("main").unwrap(),
        examined: None,
        head: Some(commit('a')),
        attempts_spent: 0,
        verdicts: BTreeMap::new(),
        created: NOW,
        updated: NOW,
    }
}

fn job(at: &str) -> Job {
    Job {
        id: JobId::new(Uuid::from_u128(1)),
        task: key(),
        stage: stage(at),
        commit: commit('a'),
        state: JobState::Queued,
        deferrals: 0,
        attempt: 1,
        created: NOW,
        updated: NOW,
    }
}

fn verdict(judgement: Judgement) -> Outcome {
    Outcome::Verdict(Report {
        judgement,
        summary: String::new(),
        body: String::new(),
        tally: Tally::default(),
        checks: Vec::new(),
        facts: Vec::new(),
    })
}

fn decide(task: &Task, job: &Job, outcome: &Outcome, gate: Option<GateDecision>, saw_work: bool) -> AfterRun {
    let pipeline = Pipeline::embedded().unwrap();
    let end = RunEnd { outcome, gate: gate.as_ref(), saw_work };
    after_run(&pipeline, task, job, end, &DeferralBudget::default(), NOW)
}

fn held_since_before() -> Hold {
    Hold { fault: Fault::new("x", "y"), stage: stage("testing"), job: None, since: NOW }
}

fn judged(task: &mut Task, at: &str, commit: CommitId) {
    let verdict = StageVerdict {
        judgement: Judgement::Pass,
        fails_in_a_row: 0,
        commit,
        artifact_sha256: String::new(),
        run: RunId::new(Uuid::from_u128(9)),
        at: NOW,
    };
    task.verdicts.insert(stage(at), verdict);
}

fn in_state(at: &str, state: TaskState) -> Task {
    Task { state, ..task(at) }
}
