//! Agents that don't end by themselves: nothing of them is left, and the purse hears of each.

use std::time::Duration;

use stagewright_capability::FailureKind;
use stagewright_engine::outcome::Cause;
use tokio::net::TcpListener;

use crate::run::LONG;
use crate::setting::{Setting, code, request, success, within};

const HANGS: &str = "signal.pause()\nsignal.pause()";

/// An agent that ignores TERM, has a child in another session, says that it is ready, prints this and hangs.
async fn family(prints: &str) -> (Setting, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
         subprocess.Popen(['sleep', '600'], start_new_session=True)\n\
         {prints}\nimport socket\nready = socket.create_connection(('127.0.0.1', {port}))\n{HANGS}"
    );
    (Setting::agent(&script), listener)
}

/// Waits until the agent has its family.
async fn ready(listener: &TcpListener) {
    tokio::time::timeout(LONG, listener.accept()).await.expect("the agent did not begin").unwrap();
}

#[tokio::test]
async fn an_agent_that_hangs_is_ended_with_all_that_came_of_it() {
    let (setting, listener) = family("").await;
    let llm = setting.llm();
    let (answered, ()) = tokio::join!(llm.ask(within(Duration::from_secs(5))), ready(&listener));
    let failure = answered.result.as_ref().unwrap_err();
    assert_eq!((failure.kind, failure.code), (FailureKind::TimedOut, "llm-timed-out"));
    assert_eq!(setting.run.left(), []);
    assert_eq!(setting.told()[0].answer, "llm-timed-out");
    assert_eq!(setting.told()[0].usage, stagewright_capability::llm::Usage::default(), "unknown, not 0");
    assert!(setting.kept("transcript-tester-1.jsonl").contains("llm-timed-out"));
}

#[tokio::test]
async fn an_agent_that_hangs_after_its_last_word_has_answered() {
    let setting = Setting::agent(&format!("{}\n{HANGS}", success()));
    assert_eq!(code(&setting.llm().ask(within(Duration::from_secs(4))).await), "ok");
    assert_eq!(setting.run.left(), []);
}

#[tokio::test]
async fn a_cancel_in_the_middle_ends_all_and_is_accounted_for() {
    let (setting, listener) = family(&success()).await;
    let (answered, ()) = tokio::join!(setting.ask(), async {
        ready(&listener).await;
        setting.run.cancel.cancel(Cause::Operator);
    });
    assert_eq!(answered.result.unwrap_err().kind, FailureKind::Cancelled);
    assert_eq!(setting.run.left(), []);
    assert_eq!(setting.told()[0].answer, "cancelled");
    let again = setting.ask().await;
    assert_eq!((code(&again), again.attachments.len()), ("cancelled", 0));
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_ended_and_accounted_for() {
    let (setting, listener) = family(&success()).await;
    let llm = setting.llm();
    tokio::select! {
        _ = llm.ask(request()) => panic!("it can't have ended"),
        () = ready(&listener) => {}
    }
    tokio::time::timeout(LONG, setting.purse.told.notified()).await.expect("the purse was not told");
    assert_eq!(setting.run.left(), []);
    assert_eq!(setting.told()[0].answer, "cancelled");
}
