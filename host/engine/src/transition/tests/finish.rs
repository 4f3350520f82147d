//! Where a finished job leads.

use super::*;

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
