//! What is watched: counts, pages of live jobs, how far the log has come.

use std::collections::BTreeMap;

use stagewright_engine::name::ProducerName;
use stagewright_engine::time::Span;

use super::Place;
use super::effects::{intend, new_effect};
use super::world::{World, key, run_of};
use crate::request::effect::{EffectEnding, SettleEffect};
use crate::request::lease::ForceRelease;
use crate::request::queue::{LiveFilter, LiveState, Overview};
use crate::request::task::TaskStateKind;

const ALL: LiveFilter = LiveFilter { state: None, after: None, limit: 100 };

/// Five tasks: one running, one deferred, one held, two queued; and one that is done with its job.
async fn many(place: &dyn Place) -> World {
    let world = World::new(place).await;
    for item in ["ORCH-2", "ORCH-3", "ORCH-4", "ORCH-5"] {
        world.add(item).await;
    }
    let claimed = world.running().await;
    world.store.conclude(world.conclusion(&claimed, run_of(&claimed))).await.unwrap();
    world.store.enqueue(world.new_job(&key("ORCH-2"))).await.unwrap();
    let deferred = world.store.claim_next(world.next_claim(9)).await.unwrap().unwrap();
    let ending = world.deferred(Span::from_secs(600));
    world.store.end_run(world.end(&deferred, run_of(&deferred), ending)).await.unwrap();
    world.store.enqueue(world.new_job(&key("ORCH-3"))).await.unwrap();
    world.store.claim_next(world.next_claim(9)).await.unwrap().unwrap();
    world.store.enqueue(world.new_job(&key("ORCH-4"))).await.unwrap();
    world.store.hold_task(&key("ORCH-4"), world.hold(), world.now()).await.unwrap();
    world.store.enqueue(world.new_job(&key("ORCH-5"))).await.unwrap();
    world
}

pub async fn an_overview_counts_what_is_live_and_every_task(place: &dyn Place) {
    let empty = place.open().overview().await.unwrap();
    assert_eq!(empty, Overview::default());
    let world = many(place).await;
    let overview = world.store.overview().await.unwrap();
    assert_eq!(overview.tasks, BTreeMap::from([(TaskStateKind::Active, 4), (TaskStateKind::Held, 1)]));
    let one_each = [LiveState::Running, LiveState::Held, LiveState::Deferred, LiveState::Queued];
    assert_eq!(overview.jobs, one_each.map(|state| (state, 1)).into());
    let producer = ProducerName::new("test-runner").unwrap();
    assert_eq!(overview.running, BTreeMap::from([(Some(producer), 1)]));
    assert_eq!((overview.open_effects, overview.unresolved_effects), (0, 0));
    let held = world.store.held_by_fault().await.unwrap();
    assert_eq!(held, BTreeMap::from([("runner-missing".to_owned(), 1)]));
}

pub async fn an_overview_counts_open_and_unresolved_effects(place: &dyn Place) {
    let world = World::new(place).await;
    let (job, lease) = world.region().await;
    for name in ["merge-1", "merge-2", "merge-3"] {
        let effect = new_effect(&world, &lease, job, name);
        intend(&world, effect.clone()).await;
        if name == "merge-1" {
            let ending = EffectEnding::Done("merged".into());
            let settle = SettleEffect { id: effect.id, epoch: lease.epoch, ending, now: world.now() };
            world.store.settle(settle).await.unwrap();
        }
    }
    let counted = |overview: Overview| (overview.open_effects, overview.unresolved_effects);
    assert_eq!(counted(world.store.overview().await.unwrap()), (2, 0));
    let force =
        ForceRelease { task: world.task.clone(), epoch: lease.epoch, by: "anna".into(), now: world.now() };
    world.store.force_release(force).await.unwrap();
    assert_eq!(counted(world.store.overview().await.unwrap()), (0, 2));
}

pub async fn live_jobs_come_page_by_page_running_ones_first(place: &dyn Place) {
    let world = many(place).await;
    let all = world.store.live_jobs(ALL).await.unwrap();
    let items: Vec<&str> = all.iter().map(|live| live.job.task.work_item.as_str()).collect();
    assert_eq!(items, ["ORCH-3", "ORCH-4", "ORCH-2", "ORCH-5"]);
    assert_eq!(all[0].producer.as_ref().map(ProducerName::as_str), Some("test-runner"));
    assert_eq!(all[1].hold.as_ref().map(|hold| hold.fault.code.as_str()), Some("runner-missing"));
    assert!(all[2].producer.is_none() && all[2].hold.is_none());
    let mut paged = Vec::new();
    let mut filter = LiveFilter { limit: 1, ..ALL };
    while let Some(live) = world.store.live_jobs(filter.clone()).await.unwrap().pop() {
        filter.after = Some((LiveState::of(&live.job.state).unwrap(), live.job.id));
        paged.push(live);
    }
    assert_eq!(paged, all);
    let queued = LiveFilter { state: Some(LiveState::Queued), ..ALL };
    assert_eq!(world.store.live_jobs(queued).await.unwrap(), all[3..]);
}

pub async fn jobs_of_a_state_are_paged_by_their_ids(place: &dyn Place) {
    let world = World::new(place).await;
    for number in 2..=6 {
        let item = format!("ORCH-{number}");
        world.add(&item).await;
        world.store.enqueue(world.new_job(&key(&item))).await.unwrap();
    }
    let first = world.store.live_jobs(LiveFilter { limit: 2, ..ALL }).await.unwrap();
    let after = Some((LiveState::Queued, first[1].job.id));
    let rest = world.store.live_jobs(LiveFilter { after, ..ALL }).await.unwrap();
    let mut ids: Vec<_> = first.iter().chain(&rest).map(|live| live.job.id).collect();
    assert_eq!(ids.len(), 5);
    ids.dedup();
    assert!(ids.is_sorted() && ids.len() == 5, "{ids:?}");
}

pub async fn the_jobs_of_a_task_come_newest_first(place: &dyn Place) {
    let world = World::new(place).await;
    let claimed = world.running().await;
    let mut again = world.conclusion(&claimed, run_of(&claimed));
    again.change.to = super::world::stage("testing");
    world.store.conclude(again).await.unwrap();
    let second = world.enqueue().await;
    let jobs = world.store.jobs_of(&world.task, 10).await.unwrap();
    let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
    assert_eq!(ids, [second.id, claimed.job.id]);
    assert_eq!(world.store.jobs_of(&world.task, 1).await.unwrap(), [second]);
    assert_eq!(world.store.jobs_of(&key("ORCH-9"), 10).await.unwrap(), []);
}

pub async fn events_are_counted_by_kind_from_where_one_was(place: &dyn Place) {
    let world = World::new(place).await;
    let begun = world.store.last_event().await.unwrap();
    assert_eq!(begun, world.store.events(0, 100).await.unwrap().last().unwrap().seq);
    world.enqueue().await;
    world.add("ORCH-2").await;
    world.add("ORCH-3").await;
    let counted = world.store.event_counts(begun).await.unwrap();
    assert_eq!(counted.kinds, BTreeMap::from([("job-queued".to_owned(), 1), ("task-added".to_owned(), 2)]));
    assert_eq!(counted.last, world.store.last_event().await.unwrap());
    let nothing = world.store.event_counts(counted.last).await.unwrap();
    assert_eq!((nothing.last, nothing.kinds.len()), (counted.last, 0));
}
