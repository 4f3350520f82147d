//! The stage: written only from the expected one, with the current epoch, by the lease's owner.

use stagewright_engine::identity::Epoch;
use stagewright_engine::job::JobState;
use stagewright_engine::name::BranchName;
use stagewright_engine::outcome::Judgement;
use stagewright_engine::task::TaskState;

use super::Place;
use super::world::{World, artifact, commit, new_job_id, report, run_of, stage, verdict};
use crate::Error;
use crate::request::conclusion::{Attempts, Becomes, ConcludeRefused, Ownership};
use crate::request::job::NewJob;
use crate::request::lease::ForceRelease;
use crate::request::run::RunEnding;

pub async fn a_verdict_its_artifact_and_the_stage_are_written_together(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let run = run_of(&claimed);
    let conclusion = world.conclusion(&claimed, run);
    let task = world.store.conclude(conclusion.clone()).await.unwrap();
    assert_eq!(task, world.task().await);
    assert_eq!(task.stage, stage("deploy-staging"));
    assert_eq!(task.epoch, claimed.epoch.next());
    assert_eq!(task.examined, Some(commit('a')));
    assert_eq!(task.verdicts[&stage("testing")], conclusion.verdict);
    let stored = world.store.artifact(&world.task, &stage("testing")).await.unwrap().unwrap();
    assert_eq!((&stored.task, stored.run, &stored.artifact), (&world.task, run, &conclusion.artifact));
    assert_eq!(world.store.artifact_of_run(run).await.unwrap().as_ref(), Some(&stored));
    let (repo, branch) = (&world.task.repo, &task.branch);
    let on_branch = world.store.artifact_on_branch(repo, branch, &stage("testing")).await.unwrap();
    assert_eq!(on_branch, Some(stored));
    assert_eq!(world.store.artifact_on_branch(repo, branch, &stage("review")).await.unwrap(), None);
    let other = BranchName::new("another").unwrap();
    assert_eq!(world.store.artifact_on_branch(repo, &other, &stage("testing")).await.unwrap(), None);
    assert_eq!(world.store.job(claimed.job.id).await.unwrap().unwrap().state, JobState::Done { run });
    assert_eq!(world.store.run(run).await.unwrap().unwrap().outcome, Some(conclusion.outcome));
    assert_eq!(world.store.live_job(&world.task).await.unwrap(), None);
}

pub async fn a_stage_is_written_only_from_the_expected_one(place: &dyn Place) {
    let world = World::new(place).await;
    let before = world.task().await;
    let mut change = world.change("deploy", world.take_now(before.epoch));
    change.expected_stage = stage("review");
    let refused = world.store.move_stage(change).await;
    assert_eq!(refused, Err(ConcludeRefused::StageMoved { actual: stage("testing") }));
    assert_eq!(world.task().await, before);
}

pub async fn a_stage_is_written_only_with_the_current_epoch(place: &dyn Place) {
    let world = World::new(place).await;
    let seen = world.task().await.epoch;
    let claimed = world.running().await;
    let refused = world.store.move_stage(world.change("deploy", world.take_now(seen))).await;
    assert_eq!(refused, Err(ConcludeRefused::EpochMoved { actual: claimed.epoch }));
    assert_eq!(world.task().await, claimed.task);
}

pub async fn a_run_whose_task_was_entered_by_another_can_not_conclude(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let lease = world.lease().await;
    world.store.release_lease(&lease, world.now()).await.unwrap();
    let refused = world.store.conclude(world.conclusion(&claimed, run_of(&claimed))).await;
    assert_eq!(refused, Err(ConcludeRefused::EpochMoved { actual: lease.epoch }));
    assert_eq!(world.task().await.stage, stage("testing"));
    assert_eq!(world.store.artifact_of_run(run_of(&claimed)).await.unwrap(), None);
}

pub async fn a_stage_is_not_written_past_a_lease_of_another(place: &dyn Place) {
    let world = World::new(place).await;
    let lease = world.lease().await;
    // Stage and epoch are right: the caller has read the task after the lease was taken.
    let change = world.change("deploy", world.take_now(lease.epoch));
    let refused = world.store.move_stage(change).await;
    assert_eq!(refused, Err(ConcludeRefused::Owned { by: world.me, since: lease.taken }));
    assert_eq!(world.task().await.stage, stage("testing"));
    assert_eq!(world.store.lease(&world.task).await.unwrap(), Some(lease));
}

pub async fn without_deference_a_stage_is_written_past_a_lease_and_still_not_past_stage_and_epoch(
    place: &dyn Place,
) {
    let world = World::new(place).await;
    let lease = world.lease().await;
    let unleased = |epoch| Ownership::Unleased { owner: world.me, epoch };
    let mut elsewhere = world.change("deploy", unleased(lease.epoch));
    elsewhere.expected_stage = stage("review");
    let refused = world.store.move_stage(elsewhere).await;
    assert_eq!(refused, Err(ConcludeRefused::StageMoved { actual: stage("testing") }));
    let before = Epoch::new(lease.epoch.get() - 1);
    let refused = world.store.move_stage(world.change("deploy", unleased(before))).await;
    assert_eq!(refused, Err(ConcludeRefused::EpochMoved { actual: lease.epoch }));

    let moved = world.store.move_stage(world.change("deploy", unleased(lease.epoch))).await.unwrap();
    assert_eq!(moved.stage, stage("deploy"));
    // The owner that was passed over writes nothing any more.
    let late = world.store.move_stage(world.change("review", Ownership::Lease(lease))).await;
    assert_eq!(late, Err(ConcludeRefused::LeaseLost));
}

pub async fn a_stage_is_not_written_with_a_lease_that_is_gone(place: &dyn Place) {
    let world = World::new(place).await;
    let lease = world.lease().await;
    world.store.release_lease(&lease, world.now()).await.unwrap();
    // The epoch is still the lease's own; only the lease is missing.
    assert_eq!(world.task().await.epoch, lease.epoch);
    let refused = world.store.move_stage(world.change("deploy", Ownership::Lease(lease))).await;
    assert_eq!(refused, Err(ConcludeRefused::LeaseLost));
    assert_eq!(world.task().await.stage, stage("testing"));
}

pub async fn a_lease_of_an_earlier_epoch_writes_nothing(place: &dyn Place) {
    let world = World::new(place).await;
    let old = world.lease().await;
    let force =
        ForceRelease { task: world.task.clone(), epoch: old.epoch, by: "anna".into(), now: world.now() };
    world.store.force_release(force).await.unwrap();
    let new = world.lease().await;
    assert_eq!(new.owner, old.owner);
    let refused = world.store.move_stage(world.change("deploy", Ownership::Lease(old))).await;
    assert_eq!(refused, Err(ConcludeRefused::LeaseLost));
    let moved = world.store.move_stage(world.change("deploy", Ownership::Lease(new))).await.unwrap();
    assert_eq!(moved.stage, stage("deploy"));
}

pub async fn a_conclusion_releases_its_lease_and_queues_the_next_job(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let lease = world.lease().await;
    let mut conclusion = world.conclusion(&claimed, run_of(&claimed));
    conclusion.change.ownership = Ownership::Lease(lease);
    let next = NewJob {
        id: new_job_id(),
        task: world.task.clone(),
        stage: stage("deploy-staging"),
        commit: commit('a'),
        now: world.now(),
    };
    conclusion.change.becomes = Becomes::Active { next_job: Some(next.clone()) };
    world.store.conclude(conclusion).await.unwrap();
    assert_eq!(world.store.lease(&world.task).await.unwrap(), None);
    let live = world.store.live_job(&world.task).await.unwrap().unwrap();
    assert_eq!((live.id, live.stage, live.state), (next.id, next.stage, JobState::Queued));
}

pub async fn a_rollback_spends_an_attempt(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let mut conclusion = world.conclusion(&claimed, run_of(&claimed));
    conclusion.verdict.judgement = Judgement::Fail;
    conclusion.outcome = report(Judgement::Fail);
    conclusion.change.to = stage("development");
    conclusion.change.attempts = Attempts::Spend;
    let task = world.store.conclude(conclusion).await.unwrap();
    assert_eq!((task.stage, task.attempts_spent), (stage("development"), 1));
    let mut back = world.change("testing", world.take_now(task.epoch));
    (back.expected_stage, back.attempts) = (stage("development"), Attempts::Reset);
    assert_eq!(world.store.move_stage(back).await.unwrap().attempts_spent, 0);
}

pub async fn a_move_supersedes_the_job_of_the_old_stage(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let lease = world.lease().await;
    world.store.move_stage(world.change("review", Ownership::Lease(lease))).await.unwrap();
    assert_eq!(world.store.job(claimed.job.id).await.unwrap().unwrap().state, JobState::Superseded);
    let refused = world.store.conclude(world.conclusion(&claimed, run_of(&claimed))).await;
    assert_eq!(refused, Err(ConcludeRefused::StageMoved { actual: stage("review") }));
    assert_eq!(world.task().await.stage, stage("review"));
}

pub async fn a_refused_conclusion_leaves_nothing_behind(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let run = run_of(&claimed);
    let before = world.store.events(0, 1_000).await.unwrap();
    let mut conclusion = world.conclusion(&claimed, run);
    // The stage is written, and then it shows that the next job is for another one.
    let mut next = world.new_job(&world.task);
    next.stage = stage("review");
    conclusion.change.becomes = Becomes::Active { next_job: Some(next) };
    let refused = world.store.conclude(conclusion).await;
    assert!(matches!(refused, Err(ConcludeRefused::Store(Error::Rejected { .. }))), "{refused:?}");
    assert_eq!(world.task().await, claimed.task);
    assert_eq!(world.store.job(claimed.job.id).await.unwrap().unwrap(), claimed.job);
    assert_eq!(world.store.artifact_of_run(run).await.unwrap(), None);
    assert_eq!(world.store.run(run).await.unwrap().unwrap().ended, None);
    assert_eq!(world.store.events(0, 1_000).await.unwrap(), before);
}

pub async fn a_finished_job_is_completed_later(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let run = run_of(&claimed);
    let artifact = artifact("---\nresult: PASS\n---\n");
    let verdict = verdict(Judgement::Pass, run, &artifact);
    let ending = RunEnding::Finished { artifact: artifact.clone(), verdict: verdict.clone() };
    world.store.end_run(world.end(&claimed, run, ending)).await.unwrap();
    let finished = world.store.finished_jobs(world.now(), 10).await.unwrap();
    assert_eq!(finished.len(), 1);
    assert_eq!(
        (finished[0].id, &finished[0].state),
        (claimed.job.id, &JobState::Finished { run, put_off: None })
    );
    // It is still the live one, so that no second job is made for the same verdict.
    assert_eq!(world.store.enqueue(world.new_job(&world.task)).await.unwrap().id, claimed.job.id);
    let task = world.task().await;
    assert_eq!((&task.stage, task.verdicts.get(&stage("testing"))), (&stage("testing"), Some(&verdict)));
    let stored = world.store.artifact(&world.task, &stage("testing")).await.unwrap().unwrap();
    assert_eq!(stored.artifact, artifact);

    let lease = world.lease().await;
    let mut change = world.change("deploy", Ownership::Lease(lease));
    change.completes = Some(claimed.job.id);
    world.store.move_stage(change).await.unwrap();
    assert_eq!(world.store.job(claimed.job.id).await.unwrap().unwrap().state, JobState::Done { run });
    assert!(world.store.finished_jobs(world.now(), 10).await.unwrap().is_empty());

    let mut again = world.change("review", world.take_now(world.task().await.epoch));
    (again.expected_stage, again.completes) = (stage("deploy"), Some(claimed.job.id));
    assert_eq!(world.store.move_stage(again).await, Err(ConcludeRefused::NotRunning(claimed.job.id)));
}

pub async fn a_held_task_is_moved_by_a_person_only(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    world.store.hold_task(&world.task, world.hold(), world.now()).await.unwrap();
    let refused = world.store.conclude(world.conclusion(&claimed, run_of(&claimed))).await;
    assert!(matches!(refused, Err(ConcludeRefused::NotActive(_))), "{refused:?}");
    let mut moved = world.change("review", world.take_now(claimed.epoch));
    // A push that was decided on before the hold.
    let refused = world.store.move_stage(moved.clone()).await;
    assert!(matches!(refused, Err(ConcludeRefused::NotActive(_))), "{refused:?}");
    moved.past_a_hold = true;
    let task = world.store.move_stage(moved).await.unwrap();
    assert_eq!((task.stage, task.state), (stage("review"), TaskState::Active));
}

pub async fn an_artifact_that_is_not_its_digest_is_refused(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let mut conclusion = world.conclusion(&claimed, run_of(&claimed));
    conclusion.artifact.bytes.push(b'x');
    let refused = world.store.conclude(conclusion).await;
    assert!(matches!(refused, Err(ConcludeRefused::Store(Error::Rejected { .. }))), "{refused:?}");
    assert_eq!(world.task().await, claimed.task);
}
