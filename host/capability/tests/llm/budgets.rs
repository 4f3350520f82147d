//! What may be spent, and what is told of it.

use std::sync::Arc;

use stagewright_capability::FailureKind;
use stagewright_capability::llm::{Budget, Request, budget_spent};

use crate::setting::{Setting, TestPurse, code, request, success};

#[tokio::test]
async fn a_run_stops_when_its_budget_is_spent_and_an_agent_knows_what_is_left() {
    let answer = success().replace("'done'", "sys.argv[-1]");
    let mut setting = Setting::agent(&answer);
    setting.grant.run_budget_micro_usd = Some(500_000);
    let llm = setting.llm();
    assert_eq!(llm.ask(request()).await.result, Ok("0.5".to_owned()));
    assert_eq!(llm.ask(request()).await.result, Ok("0.21".to_owned()));
    let refused = llm.ask(request()).await;
    let failure = refused.result.unwrap_err();
    assert_eq!((failure.kind, failure.code), (FailureKind::Limit, "llm-budget-spent"));
    assert_eq!(
        failure.message,
        "the budget of this run is spent: 0.58 of 0.5 USD; raise llm.budget_run_usd to go on"
    );
    assert!(refused.attachments.is_empty());
    assert_eq!(setting.told().len(), 2);
    assert!(setting.kept("transcript-tester-2.jsonl").contains("0.21"));
}

#[tokio::test]
async fn the_smaller_of_two_budgets_is_what_is_left() {
    let mut setting = Setting::agent(&success().replace("'done'", "sys.argv[-1]"));
    setting.grant.run_budget_micro_usd = Some(500_000);
    setting.purse = Arc::new(TestPurse { left: Some(20_000), ..TestPurse::default() });
    assert_eq!(setting.ask().await.result, Ok("0.02".to_owned()));
}

#[tokio::test]
async fn a_purse_that_refuses_keeps_the_model_from_being_asked() {
    let mut setting = Setting::agent("open('asked', 'w')");
    let refusal = budget_spent(Budget::Day, 20_000_000, 20_000_001);
    setting.purse = Arc::new(TestPurse { refusal: Some(refusal.clone()), ..TestPurse::default() });
    let answered = setting.ask().await;
    assert_eq!(answered.result, Err(refusal));
    assert!(
        answered
            .result
            .unwrap_err()
            .message
            .contains("this day is spent: 20.000001 of 20 USD; raise llm.budget_day_usd")
    );
    assert!(!setting.run.place.clone.join("asked").exists());
}

#[tokio::test]
async fn a_purse_with_nothing_left_is_a_spent_budget() {
    let mut setting = Setting::agent("open('asked', 'w')");
    setting.purse = Arc::new(TestPurse { left: Some(0), ..TestPurse::default() });
    assert_eq!(code(&setting.ask().await), "llm-budget-spent");
    assert!(!setting.run.place.clone.join("asked").exists());
}

#[tokio::test]
async fn a_run_asks_so_often_and_only_in_roles_that_it_was_granted() {
    let mut setting = Setting::agent(&success());
    setting.grant.run_calls = 1;
    let llm = setting.llm();
    let other = llm.ask(Request { role: "judge".into(), ..request() }).await;
    assert_eq!(code(&other), "role-not-granted");
    assert_eq!(code(&llm.ask(request()).await), "ok");
    assert_eq!(code(&llm.ask(request()).await), "llm-too-many-calls");
    let long = Request { prompt: "x".repeat((8 << 20) + 1), ..request() };
    assert_eq!(code(&setting.llm().ask(long).await), "llm-prompt-too-long");
}
