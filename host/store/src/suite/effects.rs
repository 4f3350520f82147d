//! The journal of edge effects.

use serde_json::json;
use stagewright_engine::effect::EffectClass;
use stagewright_engine::lease::Lease;
use uuid::Uuid;

use super::Place;
use super::world::World;
use crate::request::effect::{
    EffectEnding, EffectId, EffectRecord, IntendRefused, Intended, NewEffect, SettleEffect, SettleRefused,
};
use crate::request::lease::ForceRelease;

pub(super) fn new_effect(world: &World, lease: &Lease, key: &str) -> NewEffect {
    NewEffect {
        id: EffectId::new(Uuid::now_v7()),
        lease: lease.clone(),
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
    let lease = world.lease().await;
    let effect = new_effect(&world, &lease, "k");
    let record = intend(&world, effect.clone()).await;
    assert_eq!((record.id, record.epoch, &record.ended), (effect.id, lease.epoch, &None));
    assert_eq!(world.store.effects(&world.task).await.unwrap(), [record]);
    world.store.release_lease(&lease, world.now()).await.unwrap();
    let late = world.store.intend(new_effect(&world, &lease, "other")).await;
    assert_eq!(late, Err(IntendRefused::LeaseLost));
    assert_eq!(world.store.effects(&world.task).await.unwrap().len(), 1);
}

pub async fn the_same_key_is_intended_once(place: &dyn Place) {
    let world = World::new(place).await;
    let lease = world.lease().await;
    let record = intend(&world, new_effect(&world, &lease, "k")).await;
    let again = world.store.intend(new_effect(&world, &lease, "k")).await.unwrap();
    assert_eq!(again, Intended::Known(record.clone()));
    let settled = world.store.settle(settle(&world, &record, done())).await.unwrap();
    let after = world.store.intend(new_effect(&world, &lease, "k")).await.unwrap();
    assert_eq!(after, Intended::Known(settled));
}

pub async fn an_effect_is_settled_once(place: &dyn Place) {
    let world = World::new(place).await;
    let record = intend(&world, new_effect(&world, &world.lease().await, "k")).await;
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
    let record = intend(&world, new_effect(&world, &world.lease().await, "k")).await;
    let doubt = EffectEnding::Unresolved("the connection was cut".into());
    world.store.settle(settle(&world, &record, doubt)).await.unwrap();
    let settled = world.store.settle(settle(&world, &record, done())).await.unwrap();
    assert_eq!(settled.ended.map(|(ending, _)| ending), Some(done()));
}

pub async fn a_fenced_owner_settles_nothing(place: &dyn Place) {
    let world = World::new(place).await;
    let record = intend(&world, new_effect(&world, &world.lease().await, "k")).await;
    let force = ForceRelease { task: world.task.clone(), by: "anna".into(), now: world.now() };
    let released = world.store.force_release(force).await.unwrap();
    let refused = world.store.settle(settle(&world, &record, done())).await;
    assert_eq!(refused, Err(SettleRefused::Fenced { actual: released.epoch }));
}
