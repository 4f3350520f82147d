//! Runs and how they end without writing a stage.

use stagewright_engine::job::JobState;
use stagewright_engine::ledger::{Act, Entry, Ledger, Stream};
use stagewright_engine::outcome::{Cause, Judgement};
use stagewright_engine::task::TaskState;
use stagewright_engine::time::Span;

use super::Place;
use super::world::{World, artifact, commit, fault, report, run_of, stage, verdict};
use crate::request::run::{Attachment, EndRefused, EndRun, RunEnding};

pub async fn a_deferral_keeps_the_jobs_id_and_gives_the_next_run_its_own(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let ending = world.deferred(Span::ZERO);
    world.store.end_run(world.end(&claimed, run_of(&claimed), ending)).await.unwrap();
    let again = world.store.claim(world.claim_of(claimed.job.id)).await.unwrap();
    assert_ne!(run_of(&again), run_of(&claimed));
    assert_eq!(again.job.deferrals, 1);
    assert_eq!(again.epoch, claimed.epoch.next());
    let runs = world.store.runs(claimed.job.id).await.unwrap();
    let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
    assert_eq!(ids, [run_of(&claimed), run_of(&again)]);
    assert!(runs[0].ended.is_some() && runs[1].ended.is_none());
    let last = world.store.last_run(&world.task, &stage("testing")).await.unwrap().unwrap();
    assert_eq!(last.id, run_of(&again));
}

pub async fn a_held_run_holds_its_task(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let hold = world.hold();
    let end = world.end(&claimed, run_of(&claimed), RunEnding::Held(hold.clone()));
    world.store.end_run(end).await.unwrap();
    assert_eq!(world.task().await.state, TaskState::Held(hold));
    assert_eq!(world.store.live_job(&world.task).await.unwrap().unwrap().state, JobState::Held);
}

pub async fn a_run_that_was_overtaken_can_not_write_its_end(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let lease = world.lease().await;
    for ending in [world.deferred(Span::ZERO), RunEnding::Held(world.hold())] {
        let refused = world.store.end_run(world.end(&claimed, run_of(&claimed), ending)).await;
        assert_eq!(refused, Err(EndRefused::Fenced { held: claimed.epoch, actual: lease.epoch }));
    }
    assert_eq!(world.store.job(claimed.job.id).await.unwrap().unwrap(), claimed.job);
    assert_eq!(world.task().await.state, TaskState::Active);
}

pub async fn a_job_is_given_up_even_after_its_epoch_has_passed(place: &dyn Place) {
    for (ending, state) in [
        (RunEnding::Requeued, JobState::Queued),
        (RunEnding::Cancelled(Cause::Operator), JobState::Cancelled),
        (RunEnding::Superseded, JobState::Superseded),
    ] {
        let world = World::new(place).await;
        let task = world.add(&format!("{}-1", run_name(&state))).await.key;
        let job = world.store.enqueue(world.new_job(&task)).await.unwrap();
        let claimed = world.store.claim(world.claim_of(job.id)).await.unwrap();
        let mut take = world.take_lease(world.me, claimed.epoch);
        take.task = task;
        let lease = world.store.take_lease(take).await.unwrap();
        world.store.release_lease(&lease, world.now()).await.unwrap();
        world.store.end_run(world.end(&claimed, run_of(&claimed), ending)).await.unwrap();
        assert_eq!(world.store.job(job.id).await.unwrap().unwrap().state, state);
    }
}

fn run_name(state: &JobState) -> String {
    format!("{state:?}").to_uppercase()
}

pub async fn a_run_ends_once(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let run = run_of(&claimed);
    world.store.end_run(world.end(&claimed, run, RunEnding::Requeued)).await.unwrap();
    let again = world.store.end_run(world.end(&claimed, run, RunEnding::Cancelled(Cause::Operator))).await;
    assert_eq!(again, Err(EndRefused::NotRunning(run)));
    assert_eq!(world.store.job(claimed.job.id).await.unwrap().unwrap().state, JobState::Queued);
}

pub async fn what_a_run_did_is_kept_with_it(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let run = run_of(&claimed);
    assert_eq!(world.store.ledger(run).await.unwrap(), None);
    let content = Stream { bytes: 3, sha256: "0".repeat(64) };
    let mut ledger = Ledger::default();
    let act = Act::Attachment { name: "junit.xml".into(), content: content.clone() };
    ledger.record(Entry { at_ms: 5, duration_ms: 1, act });
    let attachments = vec![Attachment { name: "junit.xml".into(), content }];
    let mut end = world.end(&claimed, run, world.deferred(Span::ZERO));
    (end.ledger, end.attachments, end.outcome) =
        (ledger.clone(), attachments.clone(), report(Judgement::Fail));
    world.store.end_run(end).await.unwrap();
    assert_eq!(world.store.ledger(run).await.unwrap(), Some(ledger));
    assert_eq!(world.store.attachments(run).await.unwrap(), attachments);
    let kept = world.store.run(run).await.unwrap().unwrap();
    assert_eq!(kept.outcome, Some(report(Judgement::Fail)));
    let job = world.store.job(claimed.job.id).await.unwrap().unwrap();
    assert!(matches!(job.state, JobState::Deferred { fault: kept, .. } if kept == fault()));
}

pub async fn a_run_of_a_held_task_goes_back_to_the_held_ones(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    world.store.hold_task(&world.task, world.hold(), world.now()).await.unwrap();
    world.store.end_run(world.end(&claimed, run_of(&claimed), RunEnding::Requeued)).await.unwrap();
    assert_eq!(world.store.job(claimed.job.id).await.unwrap().unwrap().state, JobState::Held);
    world.store.resume_task(&world.task, world.now()).await.unwrap();
    assert_eq!(world.store.job(claimed.job.id).await.unwrap().unwrap().state, JobState::Queued);
}

pub async fn a_finished_job_is_about_the_commit_of_its_verdict(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let run = run_of(&claimed);
    let artifact = artifact("made");
    let mut verdict = verdict(Judgement::Pass, run, &artifact);
    verdict.commit = commit('e');
    let end = EndRun {
        job: claimed.job.id,
        run,
        epoch: claimed.epoch,
        outcome: report(Judgement::Pass),
        ending: RunEnding::Finished { artifact, verdict },
        ledger: Default::default(),
        attachments: Vec::new(),
        events: Vec::new(),
        now: world.now(),
    };
    world.store.end_run(end).await.unwrap();
    let job = world.store.job(claimed.job.id).await.unwrap().unwrap();
    assert_eq!(job.commit, commit('e'));
}
