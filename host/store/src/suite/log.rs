//! The append-only event log.

use serde_json::json;

use super::Place;
use super::effects::{intend, new_effect};
use super::world::{World, run_of, stage};
use crate::request::event::NewEvent;
use crate::request::lease::ForceRelease;

pub async fn every_change_writes_an_event(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let mut conclusion = world.conclusion(&claimed, run_of(&claimed));
    conclusion.change.events =
        vec![NewEvent { kind: "advisory-written".into(), detail: json!({ "file": "a.md" }) }];
    let task = world.store.conclude(conclusion).await.unwrap();
    let events = world.store.events(0, 1_000).await.unwrap();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    let expected = [
        "instance-registered",
        "repo-put",
        "task-added",
        "job-queued",
        "job-claimed",
        "job-done",
        "stage-written",
        "advisory-written",
    ];
    assert_eq!(kinds, expected);
    assert!(events.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    let written = &events[6];
    assert_eq!((written.task.as_ref(), written.epoch), (Some(&world.task), Some(task.epoch)));
    assert_eq!(written.detail["from"], json!("testing"));
    assert_eq!(written.detail["to"], json!("deploy-staging"));
    assert_eq!(events[4].run, Some(run_of(&claimed)));
    assert_eq!(events[4].job, Some(claimed.job.id));
}

pub async fn a_refused_change_writes_none(place: &dyn Place) {
    let world = World::new(place).await;
    let before = world.store.events(0, 1_000).await.unwrap();
    let mut change = world.change("deploy", world.take_now(world.task().await.epoch));
    change.expected_stage = stage("review");
    world.store.move_stage(change).await.unwrap_err();
    // What is asked again and changes nothing is no event either.
    world.add("ORCH-1").await;
    assert_eq!(world.store.events(0, 1_000).await.unwrap(), before);
}

pub async fn events_are_read_on_from_where_one_was(place: &dyn Place) {
    let world = World::new(place).await;
    let all = world.store.events(0, 1_000).await.unwrap();
    let first = world.store.events(0, 2).await.unwrap();
    assert_eq!(first, all[..2]);
    let rest = world.store.events(first[1].seq, 1_000).await.unwrap();
    assert_eq!(rest, all[2..]);
    assert!(world.store.events(u64::MAX, 10).await.unwrap().is_empty());
}

pub async fn what_becomes_of_a_lease_and_of_its_effects_is_told(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    let events = world.store.events(0, 1_000).await.unwrap();
    let before = events.iter().rfind(|event| event.kind != "lease-taken").map_or(0, |event| event.seq);
    let effect = intend(&world, new_effect(&world, &lease, job, "k")).await;
    let force =
        ForceRelease { task: world.task.clone(), epoch: lease.epoch, by: "anna".into(), now: world.now() };
    let released = world.store.force_release(force).await.unwrap();
    let events = world.store.events(before, 1_000).await.unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.kind.as_str(), event.task.as_ref(), event.epoch, event.detail.clone()))
        .collect();
    let (task, owner) = (Some(&world.task), json!({ "owner": world.me }));
    let intended = json!({ "effect": effect.id, "name": "merge", "class": "conditional" });
    let given_up = json!({ "effect": effect.id, "state": "unresolved" });
    let expected = [
        ("lease-taken", task, Some(lease.epoch), owner.clone()),
        ("effect-intended", task, Some(lease.epoch), intended),
        ("lease-forced", task, Some(released.epoch), owner),
        ("effect-settled", task, Some(released.epoch), given_up),
    ];
    assert_eq!(told, expected);
}
