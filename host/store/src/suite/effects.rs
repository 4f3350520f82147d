//! The journal of edge effects.

use serde_json::json;
use stagewright_engine::effect::EffectClass;
use stagewright_engine::identity::JobId;
use stagewright_engine::lease::Lease;
use uuid::Uuid;

use super::Place;
use super::world::World;
use crate::request::conclusion::Ownership;
use crate::request::effect::{
    EffectEnding, EffectId, EffectRecord, IntendAgain, IntendRefused, Intended, NewEffect, SettleEffect,
    SettleRefused,
};
use crate::request::lease::ForceRelease;

pub(super) fn new_effect(world: &World, lease: &Lease, job: JobId, key: &str) -> NewEffect {
    NewEffect {
        id: EffectId::new(Uuid::now_v7()),
        lease: lease.clone(),
        job,
        name: "merge".into(),
        class: EffectClass::Conditional,
        idempotency_key: key.into(),
        detail: json!({ "into": "main" }),
        now: world.now(),
    }
}

pub(super) async fn intend(world: &World, effect: NewEffect) -> EffectRecord {
    match world.store.intend(effect).await.unwrap() {
        Intended::New(record) => record,
        Intended::Known(record) => panic!("it is known: {record:?}"),
    }
}

fn settle(world: &World, record: &EffectRecord, ending: EffectEnding) -> SettleEffect {
    SettleEffect { id: record.id, epoch: record.epoch, ending, now: world.now() }
}

fn done() -> EffectEnding {
    EffectEnding::Done("merged as abc".into())
}

pub async fn an_effect_is_intended_under_the_lease_only(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    let effect = new_effect(&world, &lease, job, "k");
    let record = intend(&world, effect.clone()).await;
    assert_eq!((record.id, record.epoch, &record.ended), (effect.id, lease.epoch, &None));
    assert_eq!((record.job, record.owner), (job, world.me));
    assert_eq!(world.store.effects(&world.task).await.unwrap(), [record]);
    world.store.release_lease(&lease, world.now()).await.unwrap();
    let late = world.store.intend(new_effect(&world, &lease, job, "other")).await;
    assert_eq!(late, Err(IntendRefused::LeaseLost));
    assert_eq!(world.store.effects(&world.task).await.unwrap().len(), 1);
}

pub async fn of_a_held_task_nothing_new_is_intended(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    let begun = intend(&world, new_effect(&world, &lease, job, "begun")).await;
    let failed = intend(&world, new_effect(&world, &lease, job, "failed")).await;
    let ending = EffectEnding::Failed("the target was shut".into());
    world.store.settle(settle(&world, &failed, ending)).await.unwrap();
    world.store.hold_task(&world.task, world.hold(), world.now()).await.unwrap();
    let new = world.store.intend(new_effect(&world, &lease, job, "new")).await;
    assert_eq!(new, Err(IntendRefused::NotActive));
    let again = IntendAgain { id: failed.id, lease: lease.clone(), now: world.now() };
    assert_eq!(world.store.intend_again(again).await, Err(IntendRefused::NotActive));
    // What was begun before the hold can still be found, and its end be written.
    let known = world.store.intend(new_effect(&world, &lease, job, "begun")).await.unwrap();
    assert_eq!(known, Intended::Known(begun.clone()));
    world.store.settle(settle(&world, &begun, done())).await.unwrap();
}

pub async fn the_same_key_is_intended_once(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    let record = intend(&world, new_effect(&world, &lease, job, "k")).await;
    let again = world.store.intend(new_effect(&world, &lease, job, "k")).await.unwrap();
    assert_eq!(again, Intended::Known(record.clone()));
    let settled = world.store.settle(settle(&world, &record, done())).await.unwrap();
    let after = world.store.intend(new_effect(&world, &lease, job, "k")).await.unwrap();
    assert_eq!(after, Intended::Known(settled));
}

pub async fn an_effect_is_settled_once(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    let record = intend(&world, new_effect(&world, &lease, job, "k")).await;
    let settled = world.store.settle(settle(&world, &record, done())).await.unwrap();
    assert_eq!(world.store.effect(record.id).await.unwrap(), Some(settled.clone()));
    // The same again is an answer that was lost; another one is a contradiction.
    assert_eq!(world.store.settle(settle(&world, &record, done())).await.unwrap(), settled);
    let other = world.store.settle(settle(&world, &record, EffectEnding::Failed("no".into()))).await;
    assert_eq!(other, Err(SettleRefused::Settled(Box::new(settled))));
    let mut missing = settle(&world, &record, done());
    missing.id = EffectId::new(Uuid::now_v7());
    assert_eq!(world.store.settle(missing).await, Err(SettleRefused::NoSuchEffect));
}

pub async fn an_unresolved_effect_can_be_settled_by_who_looked(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    let record = intend(&world, new_effect(&world, &lease, job, "k")).await;
    let doubt = EffectEnding::Unresolved("the connection was cut".into());
    world.store.settle(settle(&world, &record, doubt)).await.unwrap();
    let settled = world.store.settle(settle(&world, &record, done())).await.unwrap();
    assert_eq!(settled.ended.map(|(ending, _)| ending), Some(done()));
}

pub async fn a_fenced_owner_settles_nothing(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    let record = intend(&world, new_effect(&world, &lease, job, "k")).await;
    let force =
        ForceRelease { task: world.task.clone(), epoch: lease.epoch, by: "anna".into(), now: world.now() };
    let released = world.store.force_release(force).await.unwrap();
    let refused = world.store.settle(settle(&world, &record, done())).await;
    assert_eq!(refused, Err(SettleRefused::Fenced { actual: released.epoch }));
}

fn again(world: &World, record: &EffectRecord, lease: &Lease) -> IntendAgain {
    IntendAgain { id: record.id, lease: lease.clone(), now: world.now() }
}

pub async fn an_effect_that_was_not_done_is_intended_again_by_who_holds_the_lease(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    let record = intend(&world, new_effect(&world, &lease, job, "k")).await;
    let failed = EffectEnding::Failed("the target is locked".into());
    world.store.settle(settle(&world, &record, failed)).await.unwrap();
    let open = world.store.intend_again(again(&world, &record, &lease)).await.unwrap();
    assert_eq!((open.id, &open.ended), (record.id, &None));

    // The owner is gone before it was settled; the next one does it under its own lease.
    world.store.release_lease(&lease, world.now()).await.unwrap();
    let other = world.instance().await;
    let next = world.store.take_lease(world.take_lease(other, world.task().await.epoch)).await.unwrap();
    let late = world.store.intend_again(again(&world, &record, &lease)).await;
    assert_eq!(late, Err(IntendRefused::LeaseLost));
    let open = world.store.intend_again(again(&world, &record, &next)).await.unwrap();
    assert_eq!((open.owner, open.epoch), (other, next.epoch));
    assert_eq!(world.store.effect(record.id).await.unwrap(), Some(open));
}

pub async fn an_effect_that_was_done_or_is_unresolved_is_not_intended_again(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    for (key, ending) in [("a", done()), ("b", EffectEnding::Unresolved("the connection was cut".into()))] {
        let record = intend(&world, new_effect(&world, &lease, job, key)).await;
        let settled = world.store.settle(settle(&world, &record, ending)).await.unwrap();
        let refused = world.store.intend_again(again(&world, &record, &lease)).await;
        assert_eq!(refused, Err(IntendRefused::Settled(Box::new(settled))));
    }
    let unknown = IntendAgain { id: EffectId::new(Uuid::now_v7()), lease, now: world.now() };
    assert_eq!(world.store.intend_again(unknown).await, Err(IntendRefused::NoSuchEffect));
}

pub async fn what_a_stale_transition_has_done_is_unresolved(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    let merged = intend(&world, new_effect(&world, &lease, job, "a")).await;
    world.store.settle(settle(&world, &merged, done())).await.unwrap();
    let refused = intend(&world, new_effect(&world, &lease, job, "b")).await;
    world.store.settle(settle(&world, &refused, EffectEnding::Failed("no".into()))).await.unwrap();
    let begun = intend(&world, new_effect(&world, &lease, job, "c")).await;
    // A person moves the task past the owner of the region.
    let moved = world.change("review", Ownership::Unleased { owner: world.me, epoch: lease.epoch });
    world.store.move_stage(moved).await.unwrap();
    let unresolved = world.store.unresolved_effects(10).await.unwrap();
    assert_eq!(unresolved.iter().map(|record| record.id).collect::<Vec<_>>(), [merged.id, begun.id]);
    let why = |record: &EffectRecord| match &record.ended {
        Some((EffectEnding::Unresolved(why), _)) => why.clone(),
        other => panic!("{other:?}"),
    };
    assert!(why(&unresolved[0]).contains("merged as abc"), "{unresolved:?}");
    assert_eq!(world.store.unresolved_effects(1).await.unwrap().len(), 1);
}

pub async fn the_effects_of_a_completed_transition_stay_as_they_ended(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    let record = intend(&world, new_effect(&world, &lease, job, "a")).await;
    let settled = world.store.settle(settle(&world, &record, done())).await.unwrap();
    let mut change = world.change("deploy", Ownership::Lease(lease));
    change.completes = Some(job);
    world.store.move_stage(change).await.unwrap();
    assert_eq!(world.store.effects(&world.task).await.unwrap(), [settled]);
    assert!(world.store.unresolved_effects(10).await.unwrap().is_empty());
}

pub async fn what_was_done_or_certainly_not_done_stays_so(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    for (key, first) in [("k", done()), ("l", EffectEnding::Failed("the target refused".into()))] {
        let record = intend(&world, new_effect(&world, &lease, job, key)).await;
        let settled = world.store.settle(settle(&world, &record, first)).await.unwrap();
        let doubt = EffectEnding::Unresolved("somebody is not sure".into());
        for other in [doubt, EffectEnding::Failed("another reason".into())] {
            let refused = world.store.settle(settle(&world, &record, other)).await;
            assert_eq!(refused, Err(SettleRefused::Settled(Box::new(settled.clone()))));
        }
        assert_eq!(world.store.effect(record.id).await.unwrap(), Some(settled));
    }
}
