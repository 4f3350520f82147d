use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::identity::{Epoch, JobId, RunId, TaskKey};
use crate::job::JobState;
use crate::name::{BranchName, RepoName, WorkItem};
use crate::outcome::{Report, Tally};
use crate::task::StageVerdict;

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

#[test]
fn a_pass_leads_on_and_spends_nothing() {
    let after =
        decide(&task("testing"), &job("testing"), &verdict(Judgement::Pass), Some(GateDecision::Pass), true);
    let AfterRun::Move(to) = after else { panic!("{after:?}") };
    assert_eq!((to.to.as_str(), to.spends_attempt, to.hold), ("deploy-staging", false, None));
}

#[test]
fn a_fail_leads_back_and_spends_an_attempt() {
    let after =
        decide(&task("testing"), &job("testing"), &verdict(Judgement::Fail), Some(GateDecision::Fail), true);
    let AfterRun::Move(to) = after else { panic!("{after:?}") };
    assert_eq!((to.to.as_str(), to.spends_attempt, to.hold), ("development", true, None));
}

#[test]
fn the_last_attempt_leads_back_and_holds_the_task() {
    let mut task = task("testing");
    task.attempts_spent = 2;
    let after = decide(&task, &job("testing"), &verdict(Judgement::Fail), Some(GateDecision::Fail), true);
    let AfterRun::Move(to) = after else { panic!("{after:?}") };
    assert_eq!(to.hold.unwrap().fault.code, "attempts-spent");
}

#[test]
fn a_pass_for_which_the_host_saw_no_work_is_not_believed() {
    let after =
        decide(&task("testing"), &job("testing"), &verdict(Judgement::Pass), Some(GateDecision::Pass), false);
    let AfterRun::Hold(hold) = after else { panic!("{after:?}") };
    assert_eq!(hold.fault.code, "verdict-without-work");
}

#[test]
fn an_artifact_that_the_gate_rejects_moves_nothing() {
    for gate in [None, Some(GateDecision::Rejected { reason: "x".into() }), Some(GateDecision::Fail)] {
        let after = decide(&task("testing"), &job("testing"), &verdict(Judgement::Pass), gate, true);
        let AfterRun::Hold(hold) = after else { panic!("{after:?}") };
        assert_eq!(hold.fault.code, "artifact-rejected");
    }
}

#[test]
fn the_fourth_fault_in_a_row_holds_the_task() {
    let mut job = job("testing");
    let outcome = Outcome::Deferred(Fault::new("spawn-failed", "no memory"));
    for deferrals in 0..3 {
        job.deferrals = deferrals;
        assert!(matches!(decide(&task("testing"), &job, &outcome, None, false), AfterRun::Defer { .. }));
    }
    job.deferrals = 3;
    let AfterRun::Hold(hold) = decide(&task("testing"), &job, &outcome, None, false) else { panic!() };
    assert_eq!(hold.fault.code, "spawn-failed");
}

#[test]
fn a_job_of_a_task_that_stands_elsewhere_is_stale() {
    let after =
        decide(&task("review"), &job("testing"), &verdict(Judgement::Pass), Some(GateDecision::Pass), true);
    assert_eq!(after, AfterRun::Supersede);
}

fn judged(task: &mut Task, at: &str, commit: CommitId) {
    let verdict = StageVerdict {
        judgement: Judgement::Pass,
        commit,
        artifact_sha256: String::new(),
        run: RunId::new(Uuid::from_u128(9)),
        at: NOW,
    };
    task.verdicts.insert(stage(at), verdict);
}

#[test]
fn a_push_leads_back_to_the_earliest_stage_that_judged_another_commit() {
    let pipeline = Pipeline::embedded().unwrap();
    let mut task = task("deploy-staging");
    judged(&mut task, "review", commit('a'));
    judged(&mut task, "testing", commit('a'));
    let back = after_push(&pipeline, &task, |known| *known == commit('b'));
    assert_eq!(back, AfterPush::Back { expected: stage("deploy-staging"), to: stage("review") });
    judged(&mut task, "review", commit('b'));
    let back = after_push(&pipeline, &task, |known| *known == commit('b'));
    assert_eq!(back, AfterPush::Back { expected: stage("deploy-staging"), to: stage("testing") });
}

#[test]
fn the_hosts_own_artifact_commit_voids_nothing() {
    let pipeline = Pipeline::embedded().unwrap();
    let mut task = task("deploy-staging");
    judged(&mut task, "testing", commit('a'));
    assert_eq!(after_push(&pipeline, &task, |_| true), AfterPush::Nothing);
}

#[test]
fn a_push_to_a_held_task_waits_for_a_person() {
    let pipeline = Pipeline::embedded().unwrap();
    let mut held = task("deploy-staging");
    judged(&mut held, "testing", commit('a'));
    let fault = Fault::new("x", "y");
    held.state = TaskState::Held(Hold { fault, stage: stage("deploy-staging"), job: None, since: NOW });
    assert_eq!(after_push(&pipeline, &held, |_| false), AfterPush::Nothing);
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let fault = || Fault::new("some-fault", "message");
    prop_oneof![
        Just(verdict(Judgement::Pass)),
        Just(verdict(Judgement::Fail)),
        Just(Outcome::Deferred(fault())),
        Just(Outcome::Held(fault())),
        prop::sample::select(vec![Cause::Superseded, Cause::Operator, Cause::Deadline, Cause::Shutdown])
            .prop_map(Outcome::Cancelled),
    ]
}

fn gates() -> impl Strategy<Value = Option<GateDecision>> {
    prop_oneof![
        Just(None),
        Just(Some(GateDecision::Pass)),
        Just(Some(GateDecision::Fail)),
        Just(Some(GateDecision::Rejected { reason: "r".into() })),
    ]
}

proptest! {
    #[test]
    fn the_rules_hold_whatever_happens(
        outcome in outcomes(),
        gate in gates(),
        saw_work in any::<bool>(),
        at in prop::sample::select(vec!["analysis", "development", "review", "testing", "deploy-staging", "deploy", "done"]),
        job_at in prop::sample::select(vec!["review", "testing", "deploy-staging", "done", "no-such-stage"]),
        held in any::<bool>(),
        attempts_spent in 0_u32..5,
        deferrals in 0_u32..6,
    ) {
        let mut task = task(at);
        task.attempts_spent = attempts_spent;
        if held {
            let fault = Fault::new("x", "y");
            task.state = TaskState::Held(Hold { fault, stage: stage(at), job: None, since: NOW });
        }
        let mut job = job(job_at);
        job.deferrals = deferrals;
        let after = decide(&task, &job, &outcome, gate.clone(), saw_work);
        if held || at != job_at {
            prop_assert_eq!(&after, &AfterRun::Supersede, "what is held or elsewhere stays");
        }
        if let AfterRun::Move(to) = &after {
            prop_assert!(matches!(outcome, Outcome::Verdict(_)), "only a verdict moves");
            prop_assert_eq!(&to.expected, &task.stage);
            prop_assert_eq!(to.spends_attempt, to.judgement == Judgement::Fail, "only a FAIL spends");
            if to.judgement == Judgement::Pass {
                prop_assert!(saw_work && gate == Some(GateDecision::Pass));
            }
        }
        if let AfterRun::Defer { until, .. } = after {
            prop_assert!(until > NOW && deferrals < 3);
        }
    }
}
