//! Jobs: one live job a task, one owner a job, limits.

use stagewright_engine::identity::InstanceId;
use stagewright_engine::job::JobState;
use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_engine::time::{Span, Timestamp};
use uuid::Uuid;

use super::Place;
use super::world::{World, commit, key, new_job_id, run_of, stage};
use crate::request::job::{ClaimRefused, Due, EnqueueRefused, Lane, Limits};
use crate::request::repo::NewRepo;
use crate::request::run::RunEnding;

pub async fn a_second_job_for_a_task_is_answered_with_the_live_one(place: &dyn Place) {
    let world = World::new(place).await;
    let first = world.enqueue().await;
    assert_eq!(world.enqueue().await, first);
    let claimed = world.store.claim(world.claim_of(first.id)).await.unwrap();
    let mut other = world.new_job(&world.task);
    other.commit = commit('b');
    // A running job is answered even if it is for another commit: whoever asked decides what to do about it.
    assert_eq!(world.store.enqueue(other).await.unwrap(), claimed.job);
    assert_eq!(world.store.live_job(&world.task).await.unwrap(), Some(claimed.job));
}

pub async fn a_waiting_job_for_an_older_commit_is_superseded(place: &dyn Place) {
    let world = World::new(place).await;
    let old = world.enqueue().await;
    let mut new = world.new_job(&world.task);
    new.commit = commit('b');
    let job = world.store.enqueue(new.clone()).await.unwrap();
    assert_eq!((job.id, &job.commit, &job.state), (new.id, &new.commit, &JobState::Queued));
    assert_eq!(world.store.job(old.id).await.unwrap().unwrap().state, JobState::Superseded);
}

pub async fn a_job_for_another_stage_is_not_queued(place: &dyn Place) {
    let world = World::new(place).await;
    let mut job = world.new_job(&world.task);
    job.stage = stage("review");
    let refused = world.store.enqueue(job).await;
    assert_eq!(refused, Err(EnqueueRefused::StageMoved { actual: stage("testing") }));
    let missing = world.store.enqueue(world.new_job(&key("ORCH-9"))).await;
    assert_eq!(missing, Err(EnqueueRefused::NoSuchTask(key("ORCH-9"))));
    assert_eq!(world.store.live_job(&world.task).await.unwrap(), None);
}

pub async fn a_claim_raises_the_epoch_and_names_its_owner(place: &dyn Place) {
    let world = World::new(place).await;
    let before = world.task().await.epoch;
    let job = world.enqueue().await;
    let claim = world.claim_of(job.id);
    let claimed = world.store.claim(claim.clone()).await.unwrap();
    assert_eq!(claimed.epoch, before.next());
    assert_eq!(claimed.task, world.task().await);
    let running =
        JobState::Running { run: claim.run, instance: world.me, epoch: claimed.epoch, since: claim.now };
    assert_eq!(world.store.job(job.id).await.unwrap().unwrap().state, running);
    let run = world.store.run(claim.run).await.unwrap().unwrap();
    assert_eq!((run.job, run.instance, run.epoch, run.ended), (job.id, world.me, claimed.epoch, None));
}

pub async fn a_job_is_claimed_once(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let other = world.instance().await;
    let mut claim = world.claim_of(claimed.job.id);
    claim.instance = other;
    let refused = world.store.claim(claim).await.unwrap_err();
    let JobState::Running { since, .. } = claimed.job.state else { panic!() };
    let busy = ClaimRefused::Busy { owner: world.me, run: Some(run_of(&claimed)), since };
    assert_eq!(refused, busy);
    assert_eq!(world.task().await.epoch, claimed.epoch, "a refused claim has raised the epoch");
}

pub async fn a_claim_for_a_stage_that_has_moved_is_refused(place: &dyn Place) {
    let world = World::new(place).await;
    let job = world.enqueue().await;
    let mut claim = world.claim_of(job.id);
    claim.expected_stage = stage("review");
    let refused = world.store.claim(claim).await;
    assert_eq!(refused, Err(ClaimRefused::StageMoved { actual: stage("testing") }));
    let missing = new_job_id();
    let refused = world.store.claim(world.claim_of(missing)).await;
    assert_eq!(refused, Err(ClaimRefused::NoSuchJob(missing)));
}

pub async fn a_deferred_job_is_not_claimed_before_its_time(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let end = world.end(&claimed, run_of(&claimed), world.deferred(Span::from_secs(600)));
    let RunEnding::Deferred { until, .. } = end.ending else { panic!() };
    world.store.end_run(end).await.unwrap();
    let early = world.store.claim(world.claim_of(claimed.job.id)).await;
    assert_eq!(early, Err(ClaimRefused::NotDue { until }));
    assert_eq!(world.store.claim_next(world.next_claim(9)).await.unwrap(), None);
    let mut due = world.next_claim(9);
    due.now = until;
    assert_eq!(world.store.claim_next(due).await.unwrap().unwrap().job.id, claimed.job.id);
}

pub async fn a_deferred_job_that_a_person_asks_for_is_claimed_at_once_and_its_deferrals_stay_counted(
    place: &dyn Place,
) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let end = world.end(&claimed, run_of(&claimed), world.deferred(Span::from_secs(600)));
    world.store.end_run(end).await.unwrap();
    let mut claim = world.claim_of(claimed.job.id);
    claim.due = Due::AtOnce;
    let now = claim.now;
    let again = world.store.claim(claim).await.unwrap();
    assert_eq!(again.job.deferrals, 1);
    let JobState::Running { since, .. } = again.job.state else { panic!() };
    assert_eq!(since, now, "it began when it was claimed, and not when it would have been due");
}

pub async fn a_held_job_is_not_claimed(place: &dyn Place) {
    let world = World::new(place).await;
    let job = world.enqueue().await;
    world.store.hold_task(&world.task, world.hold(), world.now()).await.unwrap();
    assert_eq!(world.store.claim(world.claim_of(job.id)).await, Err(ClaimRefused::Held));
    let refused = world.store.enqueue(world.new_job(&world.task)).await;
    assert!(matches!(refused, Err(EnqueueRefused::NotActive(_))), "{refused:?}");
}

pub async fn an_instance_that_is_not_registered_claims_nothing(place: &dyn Place) {
    let world = World::new(place).await;
    let job = world.enqueue().await;
    let mut claim = world.claim_of(job.id);
    claim.instance = InstanceId::new(Uuid::now_v7());
    let stranger = claim.instance;
    let refused = world.store.claim(claim).await;
    assert_eq!(refused, Err(ClaimRefused::NoSuchInstance(stranger)));
    let retired = world.instance().await;
    world.store.retire_instance(retired, world.now()).await.unwrap();
    let mut claim = world.claim_of(job.id);
    claim.instance = retired;
    assert_eq!(world.store.claim(claim).await, Err(ClaimRefused::NoSuchInstance(retired)));
}

pub async fn the_host_limit_counts_the_jobs_of_every_handle(place: &dyn Place) {
    let world = World::new(place).await;
    world.running().await;
    world.add("ORCH-2").await;
    let job = world.store.enqueue(world.new_job(&key("ORCH-2"))).await.unwrap();
    let mut claim = world.claim_of(job.id);
    claim.limits = Limits { host: 1, producer: None };
    let elsewhere = place.open();
    let refused = elsewhere.claim(claim).await;
    assert_eq!(refused, Err(ClaimRefused::LimitReached { producer: None, running: 1, limit: 1 }));
    let mut next = world.next_claim(9);
    next.host_limit = 1;
    assert_eq!(elsewhere.claim_next(next).await.unwrap(), None);
    assert!(elsewhere.claim_next(world.next_claim(9)).await.unwrap().is_some());
}

pub async fn a_producer_at_its_limit_does_not_hold_up_the_others(place: &dyn Place) {
    let world = World::new(place).await;
    for item in ["ORCH-2", "ORCH-3"] {
        world.add(item).await;
        world.store.enqueue(world.new_job(&key(item))).await.unwrap();
    }
    let mut review = world.new_task("ORCH-4");
    review.stage = stage("review");
    world.store.add_task(review).await.unwrap();
    let mut job = world.new_job(&key("ORCH-4"));
    job.stage = stage("review");
    let review = world.store.enqueue(job).await.unwrap();
    let both = || {
        let mut claim = world.next_claim(1);
        let producer = ProducerName::new("llm").unwrap();
        claim.lanes.push(Lane { stage: stage("review"), repos: None, producer, limit: 1 });
        claim
    };
    let first = world.store.claim_next(both()).await.unwrap().unwrap();
    assert_eq!(first.task.key, key("ORCH-2"));
    // ORCH-3 is older, but its producer is busy.
    assert_eq!(world.store.claim_next(both()).await.unwrap().unwrap().job.id, review.id);
    assert_eq!(world.store.claim_next(both()).await.unwrap(), None);
}

pub async fn the_oldest_due_job_is_claimed_first(place: &dyn Place) {
    let world = World::new(place).await;
    for item in ["ORCH-9", "ORCH-2", "ORCH-5"] {
        world.add(item).await;
        world.store.enqueue(world.new_job(&key(item))).await.unwrap();
    }
    for item in ["ORCH-9", "ORCH-2", "ORCH-5"] {
        let claimed = world.store.claim_next(world.next_claim(9)).await.unwrap().unwrap();
        assert_eq!(claimed.task.key, key(item));
    }
    assert_eq!(world.store.claim_next(world.next_claim(9)).await.unwrap(), None);
}

pub async fn a_task_in_somebodys_region_is_passed_over(place: &dyn Place) {
    let world = World::new(place).await;
    world.enqueue().await;
    world.lease().await;
    world.add("ORCH-2").await;
    world.store.enqueue(world.new_job(&key("ORCH-2"))).await.unwrap();
    let claimed = world.store.claim_next(world.next_claim(9)).await.unwrap().unwrap();
    assert_eq!(claimed.task.key, key("ORCH-2"));
    assert_eq!(world.store.claim_next(world.next_claim(9)).await.unwrap(), None);
}

pub async fn a_job_that_was_given_back_waits_behind_those_that_were_there_before(place: &dyn Place) {
    let world = World::new(place).await;
    let first = world.running().await;
    world.add("ORCH-2").await;
    let second = world.store.enqueue(world.new_job(&key("ORCH-2"))).await.unwrap();
    world.store.end_run(world.end(&first, run_of(&first), RunEnding::Requeued)).await.unwrap();
    for id in [second.id, first.job.id] {
        let claimed = world.store.claim_next(world.next_claim(9)).await.unwrap().unwrap();
        assert_eq!(claimed.job.id, id);
    }
}

pub async fn a_queued_job_is_due_though_the_clock_was_set_back(place: &dyn Place) {
    let world = World::new(place).await;
    let job = world.enqueue().await;
    let mut claim = world.next_claim(9);
    claim.now = Timestamp::from_millis(0);
    assert_eq!(world.store.claim_next(claim).await.unwrap().unwrap().job.id, job.id);
}

pub async fn a_worker_takes_only_jobs_of_the_repositories_of_its_lane(place: &dyn Place) {
    let world = World::new(place).await;
    let elsewhere = RepoName::new("elsewhere").unwrap();
    let repo = NewRepo { name: elsewhere.clone(), source: "/srv/elsewhere".into(), now: world.now() };
    world.store.put_repo(repo).await.unwrap();
    let mut other = world.new_task("ORCH-1");
    other.key.repo = elsewhere.clone();
    let other = world.store.add_task(other).await.unwrap().key;
    world.enqueue().await;
    let job = world.store.enqueue(world.new_job(&other)).await.unwrap();
    let names: Vec<_> = world.store.repos().await.unwrap().into_iter().map(|repo| repo.name).collect();
    assert_eq!(names, [elsewhere.clone(), world.task.repo.clone()]);

    let claim = |repos: &[&RepoName]| {
        let mut claim = world.next_claim(9);
        claim.lanes[0].repos = Some(repos.iter().map(|&name| name.clone()).collect());
        claim
    };
    // The other one was queued last.
    let first = world.store.claim_next(claim(&[&elsewhere])).await.unwrap().unwrap();
    assert_eq!(first.job.id, job.id);
    assert_eq!(world.store.claim_next(claim(&[])).await.unwrap(), None);
    let both = world.store.claim_next(claim(&[&elsewhere, &world.task.repo])).await.unwrap().unwrap();
    assert_eq!(both.task.key, world.task);
}
