//! A container without a shell: there the engine's events stand for the host's marks.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use serde_json::json;
use stagewright_sdk::testing::{Double, job};
use stagewright_sdk::{
    Failure, FailureKind, Outcome, RemoteCompleted, RemoteExit, RemoteState, StreamEnd, guest,
};
use stagewright_staging_runner::StagingRunner;

const NO_SH: &str = include_str!("recorded/docker/no-sh.out");
const NO_COMMAND: &str = include_str!("recorded/docker/no-command.out");
const NO_ENGINE: &str = include_str!("recorded/docker/no-engine-tcp.err");

const BEGUN: &str =
    "[\"e1\",\"\",\"exec_create: /suite --all\"]\n[\"e1\",\"\",\"exec_start: /suite --all\"]\n";

fn ended(code: i32) -> String {
    format!("{BEGUN}[\"e2\",\"0\",\"exec_die\"]\n[\"e1\",\"{code}\",\"exec_die\"]\n")
}

fn done(exit: RemoteExit, stdout: &str, stderr: &str) -> RemoteCompleted {
    let end = |text: &str| StreamEnd { tail: text.as_bytes().to_vec(), total: text.len() as u64 };
    RemoteCompleted { exit, stdout: end(stdout), stderr: end(stderr), duration_ms: 1_000 }
}

/// A target whose container has no shell: how the docker client ends there, and what the engine tells afterwards.
fn target(exit: RemoteExit, stdout: &'static str, stderr: &'static str, events: Option<String>) -> Double {
    target_with("[]\n", exit, stdout, stderr, events)
}

/// The same, with these commands in the container before.
fn target_with(
    left: &'static str,
    exit: RemoteExit,
    stdout: &'static str,
    stderr: &'static str,
    events: Option<String>,
) -> Double {
    Double::new().with_remote(move |command, _| {
        if !command.enclosure.is_empty() {
            return Ok(done(RemoteExit::NotEntered(126), NO_SH, ""));
        }
        Ok(match (command.argv[1].as_str(), &events) {
            ("exec", _) => done(exit.clone(), stdout, stderr),
            ("events", Some(events)) => done(RemoteExit::Exited(0), events, ""),
            ("container", _) => done(RemoteExit::Exited(0), left, ""),
            _ => done(RemoteExit::Exited(1), "", NO_ENGINE),
        })
    })
}

fn produce(host: &Double) -> String {
    let mut job = job();
    job.settings = json!({ "container": "app", "command": ["/suite"], "args": ["--all"] }).to_string();
    match guest::produce::<StagingRunner, _>(&job, host) {
        Outcome::Held(fault) => format!("held:{}", fault.code),
        Outcome::Deferred(fault) => format!("deferred:{}", fault.code),
        Outcome::Verdict(report) => format!("{:?}: {}", report.judgement, report.summary),
    }
}

#[track_caller]
fn becomes(exit: RemoteExit, out: &'static str, err: &'static str, events: Option<String>, expected: &str) {
    let told = produce(&target(exit.clone(), out, err, events.clone()));
    assert!(told.starts_with(expected), "{exit:?} {out}{err} {events:?}: {told}");
}

#[test]
fn the_engines_word_of_beginning_and_end_is_a_verdict() {
    becomes(RemoteExit::Exited(0), "fine", "", Some(ended(0)), "Judgement::Pass");
    becomes(RemoteExit::Exited(0), "", "", Some(ended(0)), "Judgement::Pass");
    becomes(RemoteExit::Exited(1), "", "", Some(ended(1)), "Judgement::Fail");
    becomes(RemoteExit::Exited(1), "", NO_ENGINE, Some(ended(1)), "Judgement::Fail");
    becomes(RemoteExit::Exited(255), "", "", Some(ended(3)), "Judgement::Fail");
    becomes(RemoteExit::Exited(137), "", "", Some(ended(137)), "deferred:staging-killed");
}

#[test]
fn a_client_that_ends_with_0_before_the_suite_does_is_no_pass() {
    // Docker's client ends so when the engine's stream is cut; seen with client 28.2.
    becomes(RemoteExit::Exited(0), "began", "", Some(BEGUN.to_owned()), "deferred:staging-interrupted");
    becomes(RemoteExit::Exited(0), "began", "", None, "deferred:staging-untold");
    becomes(RemoteExit::Exited(0), "began", "", Some(String::new()), "deferred:staging-untold");
    becomes(
        RemoteExit::Exited(0),
        "began",
        "",
        Some(format!("{}{}", ended(0), ended(0))),
        "deferred:staging-untold",
    );
    becomes(RemoteExit::Exited(0), "began", "", Some("no events".to_owned()), "deferred:staging-untold");
}

#[test]
fn without_the_engines_word_only_dockers_own_lines_count() {
    becomes(RemoteExit::Exited(1), "", NO_ENGINE, None, "deferred:docker-no-engine");
    becomes(
        RemoteExit::Exited(1),
        "",
        include_str!("recorded/docker/unknown.err"),
        None,
        "held:container-unknown",
    );
    becomes(RemoteExit::Exited(126), NO_COMMAND, "", None, "held:staging-suite-missing");
    becomes(RemoteExit::Exited(126), NO_COMMAND, "", Some(BEGUN.to_owned()), "held:staging-suite-missing");
    becomes(RemoteExit::Exited(127), "", "sh: 1: docker: not found", None, "held:docker-missing");
    for (code, out, err) in [
        (1, "checking", NO_ENGINE),
        (1, "", "the app says: No such container: app"),
        (1, "checking", ""),
        (2, "", ""),
        (126, "checking\nOCI runtime exec failed: exec: \"x\"", ""),
        (127, "", ""),
        (137, "checking", ""),
        (255, "checking", ""),
    ] {
        becomes(RemoteExit::Exited(code), out, err, None, "deferred:staging-untold");
    }
}

#[test]
fn what_was_lost_may_still_run_in_the_container() {
    let cut =
        Failure { kind: FailureKind::Transient, code: "ssh-closed".to_owned(), message: "cut".to_owned() };
    let cut = RemoteExit::Interrupted((cut, RemoteState::Ended));
    becomes(cut, "", "", Some(BEGUN.to_owned()), "deferred:staging-interrupted");
    let over = || RemoteExit::TimedOut(RemoteState::Ended);
    becomes(over(), "", "", Some(BEGUN.to_owned()), "deferred:staging-still-running");
    becomes(over(), "", "", Some(ended(1)), "Judgement::Fail");
    becomes(over(), "", "", Some(String::new()), "deferred:staging-interrupted");
    becomes(over(), "", "", None, "deferred:staging-interrupted");
}

#[test]
fn a_further_run_starts_nothing_while_an_earlier_suite_is_still_there_whatever_the_jobs_numbers_say() {
    let host = target_with("[\"e1\"]\n", RemoteExit::Exited(0), "", "", Some(ended(0)));
    assert_eq!(produce(&host), "deferred:staging-still-running");
    let started = host.remote_commands().iter().any(|it| it.enclosure.is_empty() && it.argv[1] == "exec");
    assert!(!started, "the suite was started again beside itself");
}

#[test]
fn the_engine_is_asked_for_the_time_of_this_run_only() {
    let host = target(RemoteExit::Exited(0), "", "", Some(ended(0)));
    produce(&host);
    let sent = host.remote_commands();
    assert_eq!(sent[2].argv, ["docker", "exec", "app", "/suite", "--all"]);
    assert_eq!(sent[3].argv[..5], ["docker", "events", "--since", "31s", "--until=-1s"]);
    assert!(sent[3].argv.contains(&"container=app".to_owned()));
}
