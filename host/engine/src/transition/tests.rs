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

#[test]
fn a_pass_leads_on_and_spends_nothing() {
    let after =
        decide(&task("testing"), &job("testing"), &verdict(Judgement::Pass), Some(GateDecision::Pass), true);
    let AfterRun::Move(to) = after else { panic!("{after:?}") };
    assert_eq!((to.to.as_str(), to.spends_attempt, to.hold), ("deploy-staging", false, None));
}

/// A finished job and its task, with the verdict that a move carries.
fn finished(task: &Task, job: &Job, to: &Move) -> (Task, Job) {
    let run = RunId::new(Uuid::from_u128(2));
    let verdict = StageVerdict {
        judgement: to.judgement,
        fails_in_a_row: to.fails_in_a_row,
        commit: job.commit.clone(),
        artifact_sha256: String::new(),
        run,
        at: NOW,
    };
    let mut task = task.clone();
    task.verdicts.insert(job.stage.clone(), verdict);
    let state = JobState::Finished { run, put_off: None };
    (task, Job { state, ..job.clone() })
}

#[test]
fn a_finished_job_leads_where_the_end_of_its_run_led() {
    let pipeline = Pipeline::embedded().unwrap();
    for (at, judgement, gate) in [
        ("testing", Judgement::Pass, GateDecision::Pass),
        ("testing", Judgement::Fail, GateDecision::Fail),
        ("analysis", Judgement::Fail, GateDecision::Fail),
    ] {
        for spent in 0..4 {
            let before = Task { attempts_spent: spent, ..task(at) };
            let AfterRun::Move(to) = decide(&before, &job(at), &verdict(judgement), Some(gate.clone()), true)
            else {
                panic!("a verdict moves")
            };
            let (task, job) = finished(&before, &job(at), &to);
            assert_eq!(after_finish(&pipeline, &task, &job, NOW), Some(to));
        }
    }
}

#[test]
fn a_finished_job_of_a_task_that_a_person_has_or_that_went_on_leads_nowhere() {
    let pipeline = Pipeline::embedded().unwrap();
    let pass =
        decide(&task("testing"), &job("testing"), &verdict(Judgement::Pass), Some(GateDecision::Pass), true);
    let AfterRun::Move(to) = pass else { panic!("{pass:?}") };
    let (good, job) = finished(&task("testing"), &job("testing"), &to);
    let elsewhere = Task { stage: stage("review"), ..good.clone() };
    let cancelled = Task { state: TaskState::Cancelled, ..good.clone() };
    let mut judged_again = good.clone();
    judged_again.verdicts.get_mut(&job.stage).unwrap().run = RunId::new(Uuid::from_u128(3));
    for task in [elsewhere, cancelled, judged_again] {
        assert_eq!(after_finish(&pipeline, &task, &job, NOW), None);
    }
    let queued = Job { state: JobState::Queued, ..job };
    assert_eq!(after_finish(&pipeline, &good, &queued, NOW), None);
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
    assert_eq!(hold.fault.code, "verdict-without-evidence");
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

#[test]
fn a_fail_for_which_the_host_saw_no_work_is_not_believed_either() {
    let after =
        decide(&task("testing"), &job("testing"), &verdict(Judgement::Fail), Some(GateDecision::Fail), false);
    let AfterRun::Hold(hold) = after else { panic!("{after:?}") };
    assert_eq!(hold.fault.code, "verdict-without-evidence");
}

#[test]
fn a_stage_that_needs_no_evidence_is_believed_without() {
    let text =
        crate::pipeline::DEFAULT.replace("gate = \"check_tests", "evidence = false\ngate = \"check_tests");
    let pipeline = Pipeline::parse("p.toml", &text).unwrap();
    let end = RunEnd { outcome: &verdict(Judgement::Pass), gate: Some(&GateDecision::Pass), saw_work: false };
    let after = after_run(&pipeline, &task("testing"), &job("testing"), end, &DeferralBudget::default(), NOW);
    assert!(matches!(after, AfterRun::Move(_)), "{after:?}");
}

#[test]
fn a_creative_stage_repeats_itself_and_spends_no_attempt_of_the_developer() {
    let mut task = task("analysis");
    for fails in 1..=3 {
        let after =
            decide(&task, &job("analysis"), &verdict(Judgement::Fail), Some(GateDecision::Fail), true);
        let AfterRun::Move(to) = after else { panic!("{after:?}") };
        assert_eq!((to.to.as_str(), to.spends_attempt, to.fails_in_a_row), ("analysis", false, fails));
        assert_eq!(to.hold.map(|hold| hold.fault.code), (fails == 3).then(|| "attempts-spent".to_owned()));
        judged(&mut task, "analysis", commit('a'));
        task.verdicts.get_mut(&stage("analysis")).unwrap().fails_in_a_row = fails;
    }
    let after = decide(&task, &job("analysis"), &verdict(Judgement::Pass), Some(GateDecision::Pass), true);
    let AfterRun::Move(to) = after else { panic!("{after:?}") };
    assert_eq!((to.to.as_str(), to.fails_in_a_row), ("architecture", 0));
}

#[test]
fn the_last_pass_arrives() {
    let after =
        decide(&task("deploy"), &job("deploy"), &verdict(Judgement::Pass), Some(GateDecision::Pass), true);
    let AfterRun::Move(to) = after else { panic!("{after:?}") };
    assert!(to.arrives && to.to.as_str() == "done");
}

#[test]
fn a_run_that_overran_its_time_is_a_tool_error_and_no_cancel() {
    let overran = Outcome::Cancelled(Cause::Deadline);
    let mut job = job("testing");
    assert!(matches!(decide(&task("testing"), &job, &overran, None, true), AfterRun::Defer { .. }));
    job.deferrals = 3;
    let AfterRun::Hold(hold) = decide(&task("testing"), &job, &overran, None, true) else { panic!() };
    assert_eq!(hold.fault.code, "deadline");
}

#[test]
fn a_run_whose_task_was_held_meanwhile_waits_under_that_hold() {
    let mut held = task("testing");
    let hold = held_since_before();
    held.state = TaskState::Held(hold.clone());
    let after = decide(&held, &job("testing"), &verdict(Judgement::Pass), Some(GateDecision::Pass), true);
    assert_eq!(after, AfterRun::Hold(hold));
}

#[test]
fn a_stopping_host_puts_the_job_back_and_a_person_ends_it() {
    let after = |cause| decide(&task("testing"), &job("testing"), &Outcome::Cancelled(cause), None, true);
    assert_eq!(after(Cause::Shutdown), AfterRun::Requeue);
    assert_eq!(after(Cause::Operator), AfterRun::Cancel(Cause::Operator));
    assert_eq!(after(Cause::Superseded), AfterRun::Supersede);
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

#[test]
fn a_push_leads_back_to_the_earliest_stage_that_judged_another_commit() {
    let pipeline = Pipeline::embedded().unwrap();
    let mut task = task("deploy-staging");
    judged(&mut task, "development", commit('a'));
    judged(&mut task, "review", commit('a'));
    judged(&mut task, "testing", commit('a'));
    let back = after_push(&pipeline, &task, None, |known| *known == commit('b'));
    assert_eq!(back, AfterPush::Back { expected: stage("deploy-staging"), to: stage("review") });
    judged(&mut task, "review", commit('b'));
    let back = after_push(&pipeline, &task, None, |known| *known == commit('b'));
    assert_eq!(back, AfterPush::Back { expected: stage("deploy-staging"), to: stage("testing") });
}

#[test]
fn a_push_makes_a_job_for_the_old_commit_stale_and_leaves_the_stage() {
    let pipeline = Pipeline::embedded().unwrap();
    let mut task = task("testing");
    judged(&mut task, "review", commit('b'));
    // A verdict of a stage that is still to come is no reason to go anywhere.
    judged(&mut task, "deploy-staging", commit('a'));
    let after = |live| after_push(&pipeline, &task, live, |known| *known == commit('b'));
    let (old, newer) = (job("testing"), Job { commit: commit('b'), ..job("testing") });
    assert_eq!(after(Some(&old)), AfterPush::Restart);
    assert_eq!(after(None), AfterPush::Nothing);
    assert_eq!(after(Some(&newer)), AfterPush::Nothing);
}

#[test]
fn the_hosts_own_artifact_commit_voids_nothing() {
    let pipeline = Pipeline::embedded().unwrap();
    let mut task = task("deploy-staging");
    judged(&mut task, "testing", commit('a'));
    assert_eq!(after_push(&pipeline, &task, Some(&job("deploy-staging")), |_| true), AfterPush::Nothing);
}

#[test]
fn a_push_to_a_held_done_or_cancelled_task_moves_nothing() {
    let pipeline = Pipeline::embedded().unwrap();
    let mut task = task("deploy-staging");
    judged(&mut task, "testing", commit('a'));
    for state in [TaskState::Held(held_since_before()), TaskState::Done, TaskState::Cancelled] {
        task.state = state;
        assert_eq!(after_push(&pipeline, &task, None, |_| false), AfterPush::Nothing);
    }
}

fn ask(task: &Task, request: &Request) -> Result<AfterRequest, Refused> {
    after_request(&Pipeline::embedded().unwrap(), task, request, NOW)
}

fn in_state(at: &str, state: TaskState) -> Task {
    Task { state, ..task(at) }
}

#[test]
fn only_a_held_task_is_resumed() {
    let held = in_state("testing", TaskState::Held(held_since_before()));
    assert_eq!(ask(&held, &Request::Resume), Ok(AfterRequest::Resume));
    for state in [TaskState::Active, TaskState::Done, TaskState::Cancelled] {
        assert_eq!(ask(&in_state("testing", state), &Request::Resume), Err(Refused::NotHeld));
    }
}

#[test]
fn a_person_holds_a_task_once() {
    let request = Request::Hold { reason: "wait for the release".into() };
    let Ok(AfterRequest::Hold(hold)) = ask(&task("testing"), &request) else { panic!() };
    assert_eq!(hold.fault.code, "held-by-person");
    assert!(hold.fault.message.contains("wait for the release"));
    let held = in_state("testing", TaskState::Held(hold));
    assert_eq!(ask(&held, &request), Ok(AfterRequest::Nothing));
    assert_eq!(ask(&in_state("done", TaskState::Done), &request), Err(Refused::Ended("done")));
}

#[test]
fn a_person_moves_a_task_also_out_of_a_hold_and_back_from_the_end() {
    let to_testing = Request::Move { to: stage("testing") };
    for state in [TaskState::Held(held_since_before()), TaskState::Done, TaskState::Cancelled] {
        let after = ask(&in_state("done", state), &to_testing);
        let expected =
            PersonMove { expected: stage("done"), to: stage("testing"), becomes: Standing::Active };
        assert_eq!(after, Ok(AfterRequest::Move(expected)));
    }
    assert_eq!(ask(&task("testing"), &to_testing), Ok(AfterRequest::Nothing));
    let Ok(AfterRequest::Move(to)) = ask(&task("testing"), &Request::Move { to: stage("done") }) else {
        panic!()
    };
    assert_eq!(to.becomes, Standing::Done);
}

#[test]
fn a_stage_that_is_not_there_is_refused_with_the_near_one() {
    let refused = ask(&task("testing"), &Request::Move { to: stage("deploy-stagin") }).unwrap_err();
    assert_eq!(refused.to_string(), "there is no stage `deploy-stagin`; did you mean `deploy-staging`?");
}

#[test]
fn a_task_is_given_up_once_and_not_after_its_end() {
    let held = in_state("testing", TaskState::Held(held_since_before()));
    for task in [task("testing"), held] {
        let Ok(AfterRequest::Move(to)) = ask(&task, &Request::Cancel) else { panic!() };
        assert_eq!((to.to, to.becomes), (stage("testing"), Standing::Cancelled));
    }
    let cancelled = in_state("testing", TaskState::Cancelled);
    assert_eq!(ask(&cancelled, &Request::Cancel), Ok(AfterRequest::Nothing));
    assert_eq!(ask(&cancelled, &Request::Retry), Err(Refused::Ended("cancelled")));
    assert_eq!(ask(&in_state("done", TaskState::Done), &Request::Cancel), Err(Refused::Ended("done")));
}

/// How a run may end: in half of the cases with a verdict that the gate has read as it was given.
fn ends() -> impl Strategy<Value = (Outcome, Option<GateDecision>)> {
    let fault = || Fault::new("some-fault", "message");
    let outcomes = prop_oneof![
        Just(verdict(Judgement::Pass)),
        Just(verdict(Judgement::Fail)),
        Just(Outcome::Deferred(fault())),
        Just(Outcome::Held(fault())),
        prop::sample::select(vec![Cause::Superseded, Cause::Operator, Cause::Deadline, Cause::Shutdown])
            .prop_map(Outcome::Cancelled),
    ];
    let gates = prop::option::of(prop::sample::select(vec![
        GateDecision::Pass,
        GateDecision::Fail,
        GateDecision::Rejected { reason: "r".into() },
    ]));
    prop_oneof![
        1 => Just((verdict(Judgement::Pass), Some(GateDecision::Pass))),
        1 => Just((verdict(Judgement::Fail), Some(GateDecision::Fail))),
        2 => (outcomes, gates),
    ]
}

fn states() -> impl Strategy<Value = TaskState> {
    prop_oneof![
        4 => Just(TaskState::Active),
        1 => Just(TaskState::Held(held_since_before())),
        1 => Just(TaskState::Done),
        1 => Just(TaskState::Cancelled),
    ]
}

fn stages() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "analysis",
        "development",
        "review",
        "testing",
        "deploy-staging",
        "deploy",
        "done",
        "no-such-stage",
    ])
}

proptest! {
    #[test]
    fn the_rules_hold_however_a_run_ends(
        (outcome, gate) in ends(),
        saw_work in prop::bool::weighted(0.7),
        at in stages(),
        elsewhere in prop::option::weighted(0.2, stages()),
        state in states(),
        attempts_spent in prop_oneof![0_u32..5, Just(u32::MAX)],
        fails_in_a_row in prop_oneof![0_u32..5, Just(u32::MAX)],
        deferrals in prop_oneof![0_u32..6, Just(u32::MAX)],
    ) {
        let mut task = in_state(at, state);
        task.attempts_spent = attempts_spent;
        judged(&mut task, at, commit('a'));
        task.verdicts.get_mut(&stage(at)).unwrap().fails_in_a_row = fails_in_a_row;
        let mut job = job(elsewhere.unwrap_or(at));
        job.deferrals = deferrals;
        let after = decide(&task, &job, &outcome, gate.clone(), saw_work);

        if task.stage != job.stage {
            prop_assert_eq!(&after, &AfterRun::Supersede, "a job for another stage is stale");
        }
        match &task.state {
            TaskState::Active => {}
            TaskState::Held(hold) => prop_assert!(
                after == AfterRun::Supersede || after == AfterRun::Hold(hold.clone()), "a hold stays as it is"
            ),
            TaskState::Done | TaskState::Cancelled => prop_assert_eq!(&after, &AfterRun::Supersede),
        }
        let ran = matches!(outcome, Outcome::Verdict(_));
        match after {
            AfterRun::Move(to) => {
                prop_assert!(ran && saw_work, "only a verdict with evidence moves");
                prop_assert_eq!(&to.expected, &task.stage);
                let read = if to.judgement == Judgement::Pass { GateDecision::Pass } else { GateDecision::Fail };
                prop_assert_eq!(gate, Some(read), "the gate has read the same");
                let pipeline = Pipeline::embedded().unwrap();
                let order = pipeline.position(&to.to).cmp(&pipeline.position(&to.expected));
                prop_assert_eq!(to.judgement == Judgement::Pass, order == Ordering::Greater, "only a PASS leads on");
                prop_assert_eq!(to.spends_attempt, order == Ordering::Less, "only what leads back spends");
                prop_assert!(to.hold.is_none() || to.judgement == Judgement::Fail);
            }
            AfterRun::Defer { until, .. } => prop_assert!(until > NOW && deferrals < 3 && !ran),
            AfterRun::Requeue | AfterRun::Cancel(_) => prop_assert!(!ran, "no verdict is thrown away"),
            AfterRun::Hold(_) | AfterRun::Supersede => {}
        }
    }

    #[test]
    fn a_push_never_leads_on_and_never_moves_what_is_not_on_its_way(
        at in stages(),
        state in states(),
        verdicts in prop::collection::vec((stages(), any::<bool>()), 0..6),
        job_is_old in prop::option::of(any::<bool>()),
    ) {
        let pipeline = Pipeline::embedded().unwrap();
        let mut task = in_state(at, state);
        let about = |old: bool| commit(if old { 'a' } else { 'b' });
        for (stage, old) in &verdicts {
            judged(&mut task, stage, about(*old));
        }
        let live = job_is_old.map(|old| Job { commit: about(old), ..job(at) });
        match after_push(&pipeline, &task, live.as_ref(), |known| *known == about(false)) {
            AfterPush::Back { expected, to } => {
                prop_assert_eq!(&task.state, &TaskState::Active);
                prop_assert_eq!(&expected, &task.stage);
                prop_assert!(pipeline.position(&to) < pipeline.position(&expected));
                prop_assert_eq!(&task.verdicts[&to].commit, &about(true));
            }
            AfterPush::Restart => prop_assert!(task.state == TaskState::Active && job_is_old == Some(true)),
            AfterPush::Nothing => {}
        }
    }

    #[test]
    fn a_person_can_not_put_a_task_where_its_pipeline_has_no_stage(
        at in stages(),
        to in stages(),
        state in states(),
    ) {
        let pipeline = Pipeline::embedded().unwrap();
        let task = in_state(at, state);
        for request in [Request::Retry, Request::Move { to: stage(to) }] {
            if let Ok(AfterRequest::Move(person)) = after_request(&pipeline, &task, &request, NOW) {
                let stage = pipeline.stage(&person.to).unwrap();
                prop_assert_eq!(person.becomes == Standing::Done, stage.is_end());
                prop_assert_eq!(&person.expected, &task.stage);
            }
        }
    }
}
