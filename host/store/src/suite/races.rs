//! Many at once, over several handles of one store: one winner each time.

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::Place;
use super::world::{World, key, new_run_id, stage};
use crate::Store;
use crate::request::conclusion::{ConcludeRefused, Ownership};

/// How many want the same thing at once.
const RACERS: usize = 32;
/// Over how many handles they are spread.
const HANDLES: usize = 2;

fn handles(place: &dyn Place) -> Vec<Arc<dyn Store>> {
    (0..HANDLES).map(|_| place.open()).collect()
}

/// Lets every racer begin at the same moment, and gathers what they say.
async fn race<T, F>(racers: usize, racer: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(racers));
    let mut set = JoinSet::new();
    for number in 0..racers {
        let (start, run) = (Arc::clone(&start), racer(number));
        set.spawn(async move {
            start.wait().await;
            run.await
        });
    }
    set.join_all().await
}

pub async fn of_many_that_want_one_transition_one_wins(place: &dyn Place) {
    let world = World::new(place).await;
    let handles = handles(place);
    let mut at = stage("testing");
    for round in 0..1_000 {
        let task = world.task().await;
        let to = stage(if at == stage("testing") { "review" } else { "testing" });
        // Half of them take the lease first, half of them take it in the same transaction.
        let answers = race(RACERS, |number| {
            let store = Arc::clone(&handles[number % HANDLES]);
            let mut take = world.take_lease(world.me, task.epoch);
            take.expected_stage = at.clone();
            let mut change = world.change(to.as_str(), world.take_now(task.epoch));
            change.expected_stage = at.clone();
            async move {
                if number % 4 < 2 {
                    let Ok(lease) = store.take_lease(take).await else { return false };
                    change.ownership = Ownership::Lease(lease);
                    store.move_stage(change).await.unwrap();
                    return true;
                }
                store.move_stage(change).await.is_ok()
            }
        })
        .await;
        assert_eq!(answers.iter().filter(|won| **won).count(), 1, "winners in round {round}");
        assert_eq!(world.task().await.stage, to);
        at = to;
    }
}

pub async fn of_many_that_enqueue_one_job_is_made(place: &dyn Place) {
    let world = World::new(place).await;
    let handles = handles(place);
    for round in 0..20 {
        let task = world.add(&format!("RACE-{round}")).await.key;
        let jobs = race(RACERS, |number| {
            let (store, job) = (Arc::clone(&handles[number % HANDLES]), world.new_job(&task));
            async move { store.enqueue(job).await.unwrap().id }
        })
        .await;
        assert!(jobs.iter().all(|job| *job == jobs[0]), "round {round}: {jobs:?}");
    }
}

pub async fn of_many_that_claim_one_gets_each_job(place: &dyn Place) {
    let world = World::new(place).await;
    let handles = handles(place);
    for number in 0..RACERS / 2 {
        let task = world.add(&format!("RACE-{number}")).await.key;
        world.store.enqueue(world.new_job(&task)).await.unwrap();
    }
    let claims = race(RACERS, |number| {
        let (store, mut claim) = (Arc::clone(&handles[number % HANDLES]), world.next_claim(1_000));
        claim.run = new_run_id();
        async move { store.claim_next(claim).await.unwrap().map(|claimed| claimed.task.key) }
    })
    .await;
    let mut won: Vec<_> = claims.into_iter().flatten().collect();
    won.sort();
    let mut all: Vec<_> = (0..RACERS / 2).map(|number| key(&format!("RACE-{number}"))).collect();
    all.sort();
    assert_eq!(won, all);
}

pub async fn an_advance_and_a_rollback_never_both_happen(place: &dyn Place) {
    let world = World::new(place).await;
    let handles = handles(place);
    for round in 0..50 {
        let task = world.task().await;
        let answers = race(2, |number| {
            let store = Arc::clone(&handles[number]);
            let to = if number == 0 { "done" } else { "development" };
            let change = world.change(to, world.take_now(task.epoch));
            async move { store.move_stage(change).await }
        })
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 1), "round {round}");
        assert!(matches!(lost[0], Err(ConcludeRefused::StageMoved { .. })), "{lost:?}");
        let winner = won.into_iter().next().unwrap().unwrap();
        assert_eq!(world.task().await, winner);
        let mut back = world.change("testing", world.take_now(winner.epoch));
        back.expected_stage = winner.stage;
        world.store.move_stage(back).await.unwrap();
    }
}
