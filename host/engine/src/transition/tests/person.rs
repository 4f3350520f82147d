//! What follows from a person's wish.

use super::*;

fn ask(task: &Task, request: &Request) -> Result<AfterRequest, Refused> {
    after_request(&Pipeline::embedded().unwrap(), task, request, NOW)
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
