//! The append-only event log.

use serde_json::json;

use super::Place;
use super::world::{World, run_of, stage};
use crate::request::event::NewEvent;

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
