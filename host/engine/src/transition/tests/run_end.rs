//! What follows from the end of a run.

use super::*;

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
