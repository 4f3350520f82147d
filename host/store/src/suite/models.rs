//! Calls of language models, and what they cost.

use stagewright_engine::identity::RunId;
use stagewright_engine::ledger::ModelUsage;
use stagewright_engine::name::{ProducerName, StageName};
use stagewright_engine::time::{Span, Timestamp};

use super::Place;
use super::world::{World, key, run_of};
use crate::request::model::{ModelCall, Spending, SpendingOf};

fn call(world: &World, run: RunId, role: &str, cost: Option<u64>, at: Timestamp) -> ModelCall {
    ModelCall {
        run,
        task: world.task.clone(),
        stage: StageName::new("testing").unwrap(),
        producer: ProducerName::new("llm-fallback").unwrap(),
        role: role.to_owned(),
        answer: if cost.is_some() { "ok".to_owned() } else { "llm-timed-out".to_owned() },
        usage: ModelUsage {
            input_tokens: 10,
            output_tokens: 3,
            cache_read_tokens: 100,
            cache_write_tokens: 1,
            cost_micro_usd: cost,
        },
        duration: Span::from_millis(50),
        at,
    }
}

pub async fn what_models_cost_is_asked_by_task_and_by_time(place: &dyn Place) {
    let world = World::new(place).await;
    let run = run_of(&world.running().await);
    let (early, late) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
    for (cost, at) in [(Some(1_250_000), early), (None, early), (Some(7), late)] {
        world.store.write_model_call(call(&world, run, "tester", cost, at)).await.unwrap();
    }
    let spending = async |of: SpendingOf| world.store.spending(of).await.unwrap();
    let all = Spending { calls: 3, micro_usd: 1_250_007, unknown: 1 };
    assert_eq!(spending(SpendingOf::default()).await, all);
    assert_eq!(spending(SpendingOf { task: Some(world.task.clone()), since: None }).await, all);
    let since = SpendingOf { task: Some(world.task.clone()), since: Some(late) };
    assert_eq!(spending(since).await, Spending { calls: 1, micro_usd: 7, unknown: 0 });
    let other = SpendingOf { task: Some(key("ORCH-2")), since: None };
    assert_eq!(spending(other).await, Spending::default());
}

pub async fn what_models_cost_is_added_up_by_role(place: &dyn Place) {
    let world = World::new(place).await;
    let run = run_of(&world.running().await);
    let at = world.now();
    for (role, cost) in [("tester", Some(5)), ("deployer", Some(40)), ("tester", None), ("tester", Some(6))] {
        world.store.write_model_call(call(&world, run, role, cost, at)).await.unwrap();
    }
    let roles = world.store.spending_by_role().await.unwrap();
    let told: Vec<_> =
        roles.iter().map(|role| (role.role.as_str(), role.runs, role.failed, role.spending)).collect();
    let deployer = Spending { calls: 1, micro_usd: 40, unknown: 0 };
    let tester = Spending { calls: 3, micro_usd: 11, unknown: 1 };
    assert_eq!(told, [("deployer", 1, 0, deployer), ("tester", 1, 1, tester)]);
    assert_eq!((roles[1].tokens_in, roles[1].tokens_out), (333, 9));
    assert_eq!(roles[1].duration, Span::from_millis(150));
}

pub async fn a_call_for_a_task_that_is_not_there_is_refused(place: &dyn Place) {
    let world = World::new(place).await;
    let run = run_of(&world.running().await);
    let stray = ModelCall { task: key("ORCH-9"), ..call(&world, run, "tester", None, world.now()) };
    assert!(world.store.write_model_call(stray).await.is_err());
    assert_eq!(world.store.spending(SpendingOf::default()).await.unwrap(), Spending::default());
}
