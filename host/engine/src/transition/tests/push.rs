//! What follows from a new head.

use super::*;

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
