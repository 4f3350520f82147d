//! The transition lease.

use stagewright_engine::lease::Lease;
use stagewright_engine::name::WorkItem;

use super::Place;
use super::effects::{intend, new_effect};
use super::world::{World, stage};
use crate::request::conclusion::{ConcludeRefused, Ownership};
use crate::request::effect::EffectEnding;
use crate::request::job::{ClaimRefused, Deference};
use crate::request::lease::{ForceRelease, LeaseRefused, ReleaseRefused};

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
    let lease = world.lease().await;
    let effect = new_effect(&world, &lease, "merge-1");
    intend(&world, effect.clone()).await;
    let force = ForceRelease { task: world.task.clone(), by: "anna".into(), now: world.now() };
    let released = world.store.force_release(force.clone()).await.unwrap();
    assert_eq!((released.owner, released.epoch), (world.me, lease.epoch.next()));
    assert_eq!(released.unresolved, [effect.id]);
    let record = world.store.effect(effect.id).await.unwrap().unwrap();
    assert!(matches!(record.ended, Some((EffectEnding::Unresolved(why), _)) if why.contains("anna")));
    // The owner comes back and finds that it can write nothing.
    let change = world.change("deploy", Ownership::Lease(lease));
    assert_eq!(world.store.move_stage(change).await, Err(ConcludeRefused::LeaseLost));
    assert_eq!(world.store.force_release(force).await, Err(ReleaseRefused::Gone));
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
