//! The transition lease.

use stagewright_engine::job::{JobState, PutOff};
use stagewright_engine::lease::Lease;
use stagewright_engine::name::WorkItem;
use stagewright_engine::task::TaskState;
use stagewright_engine::time::Span;

use super::Place;
use super::effects::{intend, new_effect};
use super::world::{World, fault, key, run_of, stage};
use crate::request::conclusion::{ConcludeRefused, Ownership};
use crate::request::effect::EffectEnding;
use crate::request::job::{ClaimRefused, Deference};
use crate::request::lease::{
    Fence, FenceRefused, ForceRelease, LeaseRefused, LeaveRefused, LeaveRegion, Leaving, ReleaseRefused,
};
use crate::request::run::EndRefused;

pub async fn a_lease_raises_the_epoch(place: &dyn Place) {
    let world = World::new(place).await;
    let before = world.task().await.epoch;
    let lease = world.lease().await;
    assert_eq!(lease.epoch, before.next());
    assert_eq!(world.task().await.epoch, lease.epoch);
    assert_eq!(world.store.lease(&world.task).await.unwrap(), Some(lease.clone()));
    assert_eq!(world.store.leases().await.unwrap(), [lease]);
}

pub async fn a_second_actor_gets_no_lease(place: &dyn Place) {
    let world = World::new(place).await;
    let lease = world.lease().await;
    let other = world.instance().await;
    for owner in [other, world.me] {
        let refused = world.store.take_lease(world.take_lease(owner, lease.epoch)).await;
        assert_eq!(refused, Err(LeaseRefused::Owned { by: world.me, since: lease.taken }));
    }
    assert_eq!(world.task().await.epoch, lease.epoch);
}

pub async fn a_lease_is_refused_at_another_stage(place: &dyn Place) {
    let world = World::new(place).await;
    let mut take = world.take_lease(world.me, world.task().await.epoch);
    take.expected_stage = stage("review");
    let refused = world.store.take_lease(take).await;
    assert_eq!(refused, Err(LeaseRefused::StageMoved { actual: stage("testing") }));
}

pub async fn a_lease_is_refused_for_an_epoch_that_has_passed(place: &dyn Place) {
    let world = World::new(place).await;
    let seen = world.task().await.epoch;
    let claimed = world.running().await;
    let refused = world.store.take_lease(world.take_lease(world.me, seen)).await;
    assert_eq!(refused, Err(LeaseRefused::EpochMoved { actual: claimed.epoch }));
    assert_eq!(world.store.lease(&world.task).await.unwrap(), None);
}

pub async fn a_released_lease_can_be_taken_again(place: &dyn Place) {
    let world = World::new(place).await;
    let lease = world.lease().await;
    world.store.release_lease(&lease, world.now()).await.unwrap();
    let again = world.lease().await;
    assert_eq!(again.epoch, lease.epoch.next());
}

pub async fn a_lease_is_released_by_its_owner_only_and_once(place: &dyn Place) {
    let world = World::new(place).await;
    let lease = world.lease().await;
    let other = Lease { owner: world.instance().await, ..lease.clone() };
    assert_eq!(world.store.release_lease(&other, world.now()).await, Err(ReleaseRefused::Gone));
    let mut foreign = lease.clone();
    foreign.task.work_item = WorkItem::new("ORCH-9").unwrap();
    assert_eq!(world.store.release_lease(&foreign, world.now()).await, Err(ReleaseRefused::Gone));
    world.store.release_lease(&lease, world.now()).await.unwrap();
    assert_eq!(world.store.release_lease(&lease, world.now()).await, Err(ReleaseRefused::Gone));
}

pub async fn a_forced_release_fences_the_owner_and_leaves_its_effects_unresolved(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    let effect = new_effect(&world, &lease, job, "merge-1");
    intend(&world, effect.clone()).await;
    let force =
        ForceRelease { task: world.task.clone(), epoch: lease.epoch, by: "anna".into(), now: world.now() };
    let released = world.store.force_release(force.clone()).await.unwrap();
    assert_eq!((released.owner, released.epoch), (world.me, lease.epoch.next()));
    assert_eq!(released.unresolved, [effect.id]);
    let record = world.store.effect(effect.id).await.unwrap().unwrap();
    assert!(matches!(record.ended, Some((EffectEnding::Unresolved(why), _)) if why.contains("anna")));
    // The owner comes back and finds that it can write nothing.
    let change = world.change("deploy", Ownership::Lease(lease));
    assert_eq!(world.store.move_stage(change).await, Err(ConcludeRefused::LeaseLost));
    assert_eq!(world.store.force_release(force.clone()).await, Err(ReleaseRefused::Gone));
    // Whoever has entered since is not meant.
    let next = world.lease().await;
    assert_eq!(world.store.force_release(force).await, Err(ReleaseRefused::Gone));
    assert_eq!(world.store.lease(&world.task).await.unwrap(), Some(next));
}

pub async fn nobody_claims_a_job_while_somebody_is_in_the_region(place: &dyn Place) {
    let world = World::new(place).await;
    let job = world.enqueue().await;
    let lease = world.lease().await;
    let refused = world.store.claim(world.claim_of(job.id)).await;
    assert_eq!(refused, Err(ClaimRefused::Busy { owner: world.me, run: None, since: lease.taken }));
    assert_eq!(world.task().await.epoch, lease.epoch, "the refused claim has fenced the lease's owner");
}

pub async fn without_deference_a_claim_fences_whoever_is_in_the_region(place: &dyn Place) {
    let world = World::new(place).await;
    let job = world.enqueue().await;
    let lease = world.lease().await;
    let mut claim = world.claim_of(job.id);
    claim.deference = Deference::ToNobody;
    let claimed = world.store.claim(claim).await.unwrap();
    assert!(claimed.epoch > lease.epoch);
    let late = world.store.move_stage(world.change("deploy", Ownership::Lease(lease))).await;
    assert!(late.is_err(), "{late:?}");
    assert_eq!(world.task().await.stage, stage("testing"));
}

pub async fn one_task_of_a_repository_is_in_a_region_with_effects(place: &dyn Place) {
    let world = World::new(place).await;
    let other = world.add("ORCH-2").await;
    let mut take = world.take_lease(world.me, world.task().await.epoch);
    take.exclusive = true;
    let lease = world.store.take_lease(take).await.unwrap();
    assert!(world.store.leases().await.unwrap()[0].exclusive);

    let mut second = world.take_lease(world.me, other.epoch);
    (second.task, second.exclusive) = (other.key.clone(), true);
    let refused = world.store.take_lease(second.clone()).await;
    let (task, by, since) = (world.task.clone(), world.me, lease.taken);
    assert_eq!(refused, Err(LeaseRefused::RegionBusy { task, by, since }));
    // A transition without effects goes on beside it.
    let plain =
        world.store.take_lease(crate::request::lease::TakeLease { exclusive: false, ..second.clone() });
    let plain = plain.await.unwrap();
    world.store.release_lease(&plain, world.now()).await.unwrap();

    world.store.release_lease(&lease, world.now()).await.unwrap();
    second.epoch = plain.epoch;
    world.store.take_lease(second).await.unwrap();
}

pub async fn nobody_enters_the_region_of_a_held_task(place: &dyn Place) {
    let world = World::new(place).await;
    let task = world.store.hold_task(&world.task, world.hold(), world.now()).await.unwrap();
    let refused = world.store.take_lease(world.take_lease(world.me, task.epoch)).await;
    assert_eq!(refused, Err(LeaseRefused::NotActive));
    world.store.resume_task(&world.task, world.now()).await.unwrap();
    world.lease().await;
}

pub async fn without_deference_a_lease_is_taken_over_and_its_owner_fenced(place: &dyn Place) {
    let world = World::new(place).await;
    let lease = world.lease().await;
    let other = world.instance().await;
    let mut take = world.take_lease(other, lease.epoch);
    take.deference = Deference::ToNobody;
    let new = world.store.take_lease(take).await.unwrap();
    assert_eq!(world.store.leases().await.unwrap(), std::slice::from_ref(&new));
    let late = world.store.move_stage(world.change("deploy", Ownership::Lease(lease))).await;
    assert_eq!(late, Err(ConcludeRefused::LeaseLost));
    world.store.move_stage(world.change("deploy", Ownership::Lease(new))).await.unwrap();
}

fn leave(
    world: &World,
    lease: &Lease,
    job: stagewright_engine::identity::JobId,
    leaving: Leaving,
) -> LeaveRegion {
    LeaveRegion { lease: lease.clone(), job, leaving, events: Vec::new(), now: world.now() }
}

pub async fn a_transition_that_is_put_off_is_found_again_when_it_is_due(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    assert!(world.store.finished_jobs(world.now(), 10).await.unwrap().is_empty(), "somebody is at it");
    let until = world.now().plus(Span::from_secs(3_600));
    let leaving = Leaving::Deferred { until, fault: fault() };
    world.store.leave_region(leave(&world, &lease, job, leaving.clone())).await.unwrap();
    assert_eq!(world.store.lease(&world.task).await.unwrap(), None);
    assert!(world.store.finished_jobs(world.now(), 10).await.unwrap().is_empty(), "it is not due yet");
    let due = world.store.finished_jobs(until, 10).await.unwrap();
    let put_off = Some(PutOff { until, fault: fault() });
    assert!(
        matches!(&due[0].state, JobState::Finished { put_off: found, .. } if *found == put_off),
        "{due:?}"
    );
    assert_eq!((due[0].id, due[0].deferrals), (job, 1));
    let again = world.store.leave_region(leave(&world, &lease, job, leaving)).await;
    assert_eq!(again, Err(LeaveRefused::LeaseLost));
}

pub async fn a_held_transition_goes_on_when_the_hold_is_taken_off(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    let leaving = Leaving::Held(world.hold());
    world.store.leave_region(leave(&world, &lease, job, leaving)).await.unwrap();
    assert!(matches!(world.task().await.state, TaskState::Held(_)));
    assert!(world.store.finished_jobs(world.now(), 10).await.unwrap().is_empty(), "it is held");
    let task = world.store.resume_task(&world.task, world.now()).await.unwrap();
    assert_eq!(task.state, TaskState::Active);
    let due = world.store.finished_jobs(world.now(), 10).await.unwrap();
    assert_eq!(due.iter().map(|job| job.id).collect::<Vec<_>>(), [job]);
}

pub async fn the_region_is_left_for_a_finished_job_of_its_task_only(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let lease = world.lease().await;
    let leaving = Leaving::Held(world.hold());
    let refused = world.store.leave_region(leave(&world, &lease, claimed.job.id, leaving)).await;
    assert_eq!(refused, Err(LeaveRefused::NotFinished(claimed.job.id)));
    assert_eq!(world.store.lease(&world.task).await.unwrap(), Some(lease));
    assert_eq!(world.task().await.state, TaskState::Active);
}

pub async fn a_fenced_task_takes_nothing_from_who_had_it(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let run = run_of(&claimed);
    let fence =
        |epoch| Fence { task: world.task.clone(), epoch, reason: "it is too old".into(), now: world.now() };
    let epoch = world.store.fence(fence(claimed.epoch)).await.unwrap();
    assert!(epoch > claimed.epoch);
    assert_eq!(
        world.store.fence(fence(claimed.epoch)).await,
        Err(FenceRefused::EpochMoved { actual: epoch })
    );
    let refused = world.store.conclude(world.conclusion(&claimed, run)).await;
    assert_eq!(refused, Err(ConcludeRefused::EpochMoved { actual: epoch }));
    // Whoever has fenced it may end the run in its owner's place.
    let late = world.store.end_run(world.end(&claimed, run, world.deferred(Span::ZERO))).await;
    assert_eq!(late, Err(EndRefused::Fenced { held: claimed.epoch, actual: epoch }));
    let mut end = world.end(&claimed, run, world.deferred(Span::ZERO));
    end.epoch = epoch;
    world.store.end_run(end).await.unwrap();
    let missing = Fence { task: key("ORCH-9"), ..fence(epoch) };
    assert_eq!(world.store.fence(missing).await, Err(FenceRefused::NoSuchTask(key("ORCH-9"))));
}
