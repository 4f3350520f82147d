//! Components that attack the host (R3): each ends as a named outcome, and the host is well afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use stagewright_engine::outcome::{Cause, Judgement, Outcome};
use stagewright_sandbox::{Assignment, Level, Limits, Observer};
use support::{Bench, Run, deferred, left_behind, limits, verdict};

/// The attack ends as this fault, and a component that does no harm runs right after it on the same sandbox.
async fn ends_as(attack: &str, code: &str) {
    let bench = Bench::shared();
    let produced = bench.attack(attack).await;
    assert_eq!(deferred(&produced).code, code, "{attack}: {produced:?}");
    bench.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_loop_is_ended_when_it_has_computed_for_long_enough() {
    let bench = Bench::shared();
    let produced = bench.attack("endless-loop").await;
    assert_eq!(deferred(&produced).code, "component-overran", "{produced:?}");
    // By the limit on computing, and not by the run's time, which is forty times as long.
    assert!(deferred(&produced).message.contains("computed for more than"), "{produced:?}");
    assert!(produced.usage.computing >= limits().computing, "{:?}", produced.usage);
    bench.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deep_recursion_traps() {
    ends_as("deep-recursion", "component-trapped").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_bomb_runs_out_of_memory() {
    let bench = Bench::shared();
    let produced = bench.attack("memory-bomb").await;
    assert_eq!(deferred(&produced).code, "component-out-of-memory", "{produced:?}");
    assert!(produced.usage.peak_memory <= limits().memory);
    assert!(produced.usage.peak_memory > limits().memory / 2, "it was ended early: {:?}", produced.usage);
    bench.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_traps_and_its_message_is_heard() {
    let bench = Bench::shared();
    let run = Run::new("panic");
    let heard = run.heard.clone();
    let produced = run.on(&bench.hostile(), limits()).await;
    assert_eq!(deferred(&produced).code, "component-trapped", "{produced:?}");
    assert!(heard.lines().iter().any(|line| line.contains("for no reason")), "{:?}", heard.lines());
    bench.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_storm_passes_the_limit_and_only_so_many_lines_are_heard() {
    let bench = Bench::shared();
    let run = Run::new("log-storm");
    let heard = run.heard.clone();
    let produced = run.on(&bench.hostile(), Limits { log_lines: 100, ..limits() }).await;
    assert_eq!(deferred(&produced).code, "component-over-limit", "{produced:?}");
    let lines = heard.lines();
    assert_eq!(lines.len(), 101, "a hundred lines, and that the rest is dropped");
    assert!(lines[100].contains("dropped"), "{:?}", lines[100]);
    bench.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_component_logs_can_not_steer_a_terminal() {
    let bench = Bench::shared();
    let run = Run::new("log-escapes");
    let heard = run.heard.clone();
    let produced = run.on(&bench.hostile(), limits()).await;
    assert_eq!(verdict(&produced).judgement, Judgement::Pass);
    assert_eq!(heard.lines().len(), 2);
    assert!(heard.lines().iter().all(|line| !line.contains(char::is_control)), "{:?}", heard.lines());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_host_in_the_midst_of_a_run_ends_that_run_and_nothing_else() {
    struct Panics;
    impl Observer for Panics {
        fn log(&self, _: Level, _: &str) {
            panic!("the observer broke");
        }
        fn progress(&self, _: u64, _: u64, _: &str) {}
    }
    let bench = Bench::shared();
    let run = Run::new("log-escapes");
    let assignment = Assignment {
        job: run.job.clone(),
        capabilities: run.capabilities.clone(),
        limits: limits(),
        cancel: run.cancel.clone(),
        observer: Arc::new(Panics),
    };
    let produced = bench.hostile().produce(assignment).await;
    assert_eq!(deferred(&produced).code, "sandbox-failed", "{produced:?}");
    assert!(deferred(&produced).evidence.contains("the observer broke"));
    bench.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_host_calls_passes_the_limit() {
    ends_as("call-storm", "component-over-limit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_hands_over_too_much_passes_the_limit() {
    let bench = Bench::shared();
    let produced = bench.attack_with("huge-call", Limits { memory: 512 << 20, ..limits() }).await;
    assert_eq!(deferred(&produced).code, "component-over-limit", "{produced:?}");
    bench.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_keep_every_handle_passes_the_limit() {
    let bench = Bench::shared();
    let run = Run::new("keep-handles");
    let id = run.id;
    let produced = run.on(&bench.hostile(), Limits { handles: 8, ..limits() }).await;
    assert_eq!(deferred(&produced).code, "component-over-limit", "{produced:?}");
    assert_eq!(left_behind(id), [""; 0]);
    bench.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_make_no_sense_are_no_verdicts() {
    let bench = Bench::shared();
    for attack in [
        "contradictory-pass",
        "pass-with-a-failed-check",
        "many-checks",
        "no-summary",
        "fact-that-breaks-out",
        "odd-fault-code",
        "fault-of-the-host",
        "bad-text",
    ] {
        let produced = bench.attack(attack).await;
        assert_eq!(deferred(&produced).code, "component-answered-nonsense", "{attack}: {produced:?}");
    }
    bench.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_answer_passes_the_limit_and_a_long_one_is_cut() {
    let bench = Bench::shared();
    let roomy = || Limits { memory: 512 << 20, ..limits() };
    let huge = bench.attack_with("huge-body", roomy()).await;
    assert_eq!(deferred(&huge).code, "component-over-limit", "{:?}", huge.outcome);
    let long = bench.attack_with("long-body", roomy()).await;
    assert_eq!(verdict(&long).body.len(), roomy().body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_without_work_comes_with_a_ledger_that_shows_none() {
    let bench = Bench::shared();
    let idle = bench.attack("idle-pass").await;
    assert_eq!(verdict(&idle).judgement, Judgement::Pass);
    assert!(!idle.ledger.shows_work(), "{:?}", idle.ledger);
    let worked = bench.attack("run-true").await;
    assert_eq!(verdict(&worked).summary, "it ran", "{worked:?}");
    assert!(worked.ledger.shows_work());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sleep_past_the_deadline_overruns_after_the_grace_period() {
    let bench = Bench::shared();
    let begun = Instant::now();
    let wall = Duration::from_millis(200);
    let produced = bench.attack_with("sleep-for-a-day", Limits { wall, calls: u64::MAX, ..limits() }).await;
    assert_eq!(deferred(&produced).code, "component-overran", "{produced:?}");
    assert!(begun.elapsed() >= wall);
    bench.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_ends_when_its_time_is_over_has_no_verdict_all_the_same() {
    let bench = Bench::shared();
    let wall = Duration::from_millis(200);
    let grace = Duration::from_secs(30);
    let produced = bench.attack_with("end-when-told", Limits { wall, grace, ..limits() }).await;
    assert_eq!(deferred(&produced).code, "component-overran", "{produced:?}");
    assert!(produced.usage.wall < grace, "it was not told that its time is over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_is_cancelled_whether_or_not_the_component_follows() {
    let bench = Bench::shared();
    for (attack, cause) in [("end-when-told", Cause::Operator), ("sleep-for-a-day", Cause::Superseded)] {
        let run = Run::new(attack);
        run.cancel.cancel(cause);
        let produced = run.on(&bench.hostile(), Limits { calls: u64::MAX, ..limits() }).await;
        assert_eq!(produced.outcome, Outcome::Cancelled(cause), "{attack}");
    }
    bench.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_in_the_midst_of_a_process_ends_its_tree_before_the_run_is_over() {
    let bench = Bench::shared();
    let run = Run::new("wait-for-a-child");
    let (id, cancel, heard) = (run.id, run.cancel.clone(), run.heard.clone());
    let producer = bench.hostile();
    let going = tokio::spawn(async move { run.on(&producer, limits()).await });
    heard.something().await;
    cancel.cancel(Cause::Operator);
    let produced = going.await.unwrap();
    assert_eq!(produced.outcome, Outcome::Cancelled(Cause::Operator), "{produced:?}");
    assert_eq!(left_behind(id), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_a_component_leaves_ends_with_its_run_and_is_on_the_ledger() {
    let bench = Bench::shared();
    for attack in ["leave-a-child", "panic-with-a-child"] {
        let run = Run::new(attack);
        let id = run.id;
        let produced = run.on(&bench.hostile(), limits()).await;
        assert_eq!(left_behind(id), [""; 0], "{attack}");
        assert_eq!(produced.ledger.entries().len(), 1, "{attack}: {:?}", produced.ledger);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_whose_handles_are_dropped_end_and_are_on_the_ledger() {
    let bench = Bench::shared();
    let run = Run::new("drop-handles");
    let id = run.id;
    let produced = run.on(&bench.hostile(), limits()).await;
    assert_eq!(verdict(&produced).judgement, Judgement::Pass, "{produced:?}");
    assert_eq!(left_behind(id), [""; 0]);
    assert_eq!(produced.ledger.entries().len(), 20, "{:?}", produced.ledger);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_kills_ends_the_process_once() {
    let bench = Bench::shared();
    let run = Run::new("kill-storm");
    let id = run.id;
    let produced = run.on(&bench.hostile(), limits()).await;
    assert_eq!(verdict(&produced).judgement, Judgement::Pass, "{produced:?}");
    assert_eq!(left_behind(id), [""; 0]);
    assert_eq!(produced.ledger.entries().len(), 1, "{:?}", produced.ledger);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_wait_for_a_process_is_not_to_compute() {
    let bench = Bench::shared();
    let run = Run::new("wait-for-a-child");
    let computing = Duration::from_millis(300);
    let wall = Duration::from_secs(2);
    let produced = run.on(&bench.hostile(), Limits { computing, wall, ..limits() }).await;
    assert!(deferred(&produced).message.contains("ran for more than"), "{produced:?}");
    assert!(produced.usage.computing < computing, "{:?}", produced.usage);
    assert!(produced.usage.wall >= wall);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_call_the_host_between_times_is_no_way_around_the_limit_on_computing() {
    let bench = Bench::shared();
    let computing = Duration::from_millis(100);
    let produced = bench.attack_with("call-storm", Limits { computing, calls: u64::MAX, ..limits() }).await;
    assert!(deferred(&produced).message.contains("computed for more than"), "{produced:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_runs_at_once_share_sixteen_places_and_two_threads_with_endless_loops() {
    let bench = Bench::shared();
    let producer = bench.hostile();
    let runs: Vec<_> = (0..50)
        .map(|number| {
            let producer = producer.clone();
            let attack = if number % 5 == 0 { "endless-loop" } else { "idle-pass" };
            let limits = Limits { computing: Duration::from_millis(100), ..limits() };
            tokio::spawn(async move { (number, Run::new(attack).on(&producer, limits).await) })
        })
        .collect();
    for run in runs {
        match run.await.unwrap() {
            (number, produced) if number % 5 == 0 => {
                assert_eq!(deferred(&produced).code, "component-overran")
            }
            (_, produced) => assert_eq!(verdict(&produced).judgement, Judgement::Pass),
        }
    }
    bench.is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_cancelled_while_it_waits_for_room_does_not_wait_for_it() {
    let bench = Bench::with_room(1);
    let producer = bench.hostile();
    let first = Run::new("end-when-told");
    let stop_first = first.cancel.clone();
    let holder = producer.clone();
    let first = tokio::spawn(async move { first.on(&holder, limits()).await });
    let second = Run::new("idle-pass");
    second.cancel.cancel(Cause::Shutdown);
    assert_eq!(second.on(&producer, limits()).await.outcome, Outcome::Cancelled(Cause::Shutdown));
    stop_first.cancel(Cause::Operator);
    assert_eq!(first.await.unwrap().outcome, Outcome::Cancelled(Cause::Operator));
}
