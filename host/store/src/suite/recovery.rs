//! What the dead leave behind.

use stagewright_engine::job::JobState;

use super::Place;
use super::effects::{intend, new_effect};
use super::world::{World, key, proof, run_of, stage};
use crate::request::conclusion::{ConcludeRefused, Ownership};
use crate::request::instance::RetireRefused;
use crate::request::lease::ReleaseRefused;
use crate::request::run::{EndRefused, RunEnding};

pub async fn running_jobs_of_the_dead_are_requeued_and_its_leases_released(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let lease = world.lease().await;
    intend(&world, new_effect(&world, &lease, claimed.job.id, "k")).await;
    let running = world.store.running_jobs(Some(world.me)).await.unwrap();
    assert_eq!(running, std::slice::from_ref(&claimed.job));
    let recovered = world.store.requeue_from_dead(&proof(world.me), world.now()).await.unwrap();
    assert_eq!(recovered.requeued.iter().map(|job| job.id).collect::<Vec<_>>(), [claimed.job.id]);
    assert_eq!(recovered.leases, std::slice::from_ref(&lease));
    assert_eq!(recovered.open_effects, std::slice::from_ref(&world.task));
    assert_eq!(world.store.job(claimed.job.id).await.unwrap().unwrap().state, JobState::Queued);
    assert_eq!(world.store.lease(&world.task).await.unwrap(), None);
    assert!(world.task().await.epoch > lease.epoch);
    let again = world.store.requeue_from_dead(&proof(world.me), world.now()).await.unwrap();
    assert_eq!(again, Default::default());
    world.store.retire_instance(world.me, world.now()).await.unwrap();
    assert!(world.store.instances().await.unwrap().is_empty());
}

pub async fn a_dead_owner_that_was_not_dead_writes_nothing(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let run = run_of(&claimed);
    world.store.requeue_from_dead(&proof(world.me), world.now()).await.unwrap();
    let other = world.instance().await;
    let mut claim = world.claim_of(claimed.job.id);
    claim.instance = other;
    let new = world.store.claim(claim).await.unwrap();
    let refused = world.store.conclude(world.conclusion(&claimed, run)).await;
    assert_eq!(refused, Err(ConcludeRefused::NotRunning(claimed.job.id)));
    let refused = world.store.end_run(world.end(&claimed, run, RunEnding::Requeued)).await;
    assert_eq!(refused, Err(EndRefused::NotRunning(run)));
    let refused = world.store.move_stage(world.change("review", world.take_now(claimed.epoch))).await;
    assert_eq!(refused, Err(ConcludeRefused::EpochMoved { actual: new.epoch }));
    assert_eq!(world.store.job(new.job.id).await.unwrap().unwrap(), new.job);
}

pub async fn the_living_keep_what_they_have(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let dead = world.instance().await;
    let recovered = world.store.requeue_from_dead(&proof(dead), world.now()).await.unwrap();
    assert_eq!(recovered, Default::default());
    assert_eq!(world.store.running_jobs(None).await.unwrap(), [claimed.job]);
    assert_eq!(world.task().await.epoch, claimed.epoch);
}

pub async fn a_lease_is_reclaimed_from_the_dead_only(place: &dyn Place) {
    let world = World::new(place).await;
    let lease = world.lease().await;
    let dead = world.instance().await;
    let refused = world.store.reclaim(&world.task, &proof(dead), world.now()).await;
    assert_eq!(refused, Err(ReleaseRefused::Gone));
    assert_eq!(world.store.lease(&world.task).await.unwrap(), Some(lease.clone()));
    let epoch = world.store.reclaim(&world.task, &proof(world.me), world.now()).await.unwrap();
    assert_eq!(epoch, lease.epoch.next());
    let refused = world.store.move_stage(world.change("review", Ownership::Lease(lease))).await;
    assert_eq!(refused, Err(ConcludeRefused::LeaseLost));
    let none = world.store.reclaim(&key("ORCH-9"), &proof(world.me), world.now()).await;
    assert_eq!(none, Err(ReleaseRefused::Gone));
    assert_eq!(world.task().await.stage, stage("testing"));
}

pub async fn an_instance_that_owns_something_is_not_retired(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let owns = RetireRefused::StillOwns { instance: world.me, jobs: 1, leases: 0 };
    assert_eq!(world.store.retire_instance(world.me, world.now()).await, Err(owns));
    world.store.end_run(world.end(&claimed, run_of(&claimed), RunEnding::Requeued)).await.unwrap();
    let lease = world.lease().await;
    let owns = RetireRefused::StillOwns { instance: world.me, jobs: 0, leases: 1 };
    assert_eq!(world.store.retire_instance(world.me, world.now()).await, Err(owns));
    world.store.release_lease(&lease, world.now()).await.unwrap();
    world.store.retire_instance(world.me, world.now()).await.unwrap();
}
