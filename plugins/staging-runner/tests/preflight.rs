//! What the staging-runner says of itself, and of the channel before there is any work.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use serde_json::{Value, json};
use stagewright_sdk::testing::{Double, Run};
use stagewright_sdk::{
    Failure, FailureKind, Finding, FindingState, RemoteCommand, RemoteCompleted, RemoteExit, StreamEnd, guest,
};
use stagewright_staging_runner::StagingRunner;

fn done(exit: RemoteExit, stdout: &str, stderr: &str) -> RemoteCompleted {
    let end = |text: &str| StreamEnd { tail: text.as_bytes().to_vec(), total: text.len() as u64 };
    RemoteCompleted { exit, stdout: end(stdout), stderr: end(stderr), duration_ms: 10 }
}

/// A target where all is well but for one step, which ends so.
fn all_but(step: &'static str, answer: RemoteCompleted) -> Double {
    Double::new().with_remote(move |command, _| {
        let name = name(command);
        if name == step {
            return Ok(answer.clone());
        }
        let says = match name {
            "client" => "Docker version 28.2.2, build e6534b4\n",
            "engine" => "20.10.24\n",
            "container" => "running\n",
            _ => "",
        };
        Ok(done(RemoteExit::Exited(0), says, ""))
    })
}

fn name(command: &RemoteCommand) -> &'static str {
    match command.argv.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["true"] if command.enclosure.is_empty() => "target",
        ["true"] => "shell",
        ["docker", "--version"] => "client",
        ["docker", "version", ..] => "engine",
        _ => "container",
    }
}

fn look(settings: &Value, host: &Double) -> Vec<Finding> {
    guest::preflight::<StagingRunner, _>(&settings.to_string(), host)
}

#[track_caller]
fn stops(step: &'static str, answer: RemoteCompleted, state: FindingState, steps: usize, words: &str) {
    let findings = look(&json!({ "container": "app" }), &all_but(step, answer));
    let last = findings.last().unwrap();
    assert_eq!((findings.len(), last.state), (steps, state), "{findings:?}");
    assert!(last.message.contains(words), "{}", last.message);
    assert!(last.remedy.is_some());
}

#[test]
fn the_whole_channel_is_looked_at_step_by_step() {
    let findings =
        look(&json!({ "container": "app" }), &all_but("none", done(RemoteExit::Exited(0), "", "")));
    let checks: Vec<_> = findings.iter().map(|it| it.check.as_str()).collect();
    assert_eq!(checks, ["target", "docker client", "docker engine", "container", "shell in the container"]);
    assert!(findings.iter().all(|it| it.state == FindingState::Ok), "{findings:?}");
    assert_eq!(findings[2].message, "20.10.24");
}

#[test]
fn it_stops_at_the_first_step_that_does_not_work() {
    let refused = |kind, code: &str| {
        let message = format!("the host says {code}");
        done(RemoteExit::NotStarted(Failure { kind, code: code.to_owned(), message }), "", "")
    };
    let exits = |code, out: &str, err: &str| done(RemoteExit::Exited(code), out, err);
    let (defect, warning) = (FindingState::Defect, FindingState::Warning);
    stops("target", refused(FailureKind::Permanent, "ssh-key-refused"), defect, 1, "ssh-key-refused");
    stops("target", refused(FailureKind::Transient, "ssh-refused"), warning, 1, "ssh-refused");
    stops("client", exits(127, "", "sh: 1: docker: not found"), defect, 2, "no docker client");
    stops(
        "engine",
        exits(1, "\n", include_str!("recorded/docker/no-permission.err")),
        defect,
        3,
        "may not reach",
    );
    stops(
        "engine",
        exits(1, "\n", include_str!("recorded/docker/no-engine-tcp.err")),
        warning,
        3,
        "can't be reached",
    );
    stops(
        "container",
        exits(1, "\n", include_str!("recorded/docker/unknown.err")),
        defect,
        4,
        "is not there",
    );
    stops("container", exits(0, "paused\n", ""), warning, 4, "paused");
    let no_shell = done(RemoteExit::NotEntered(126), include_str!("recorded/docker/no-sh.out"), "");
    stops("shell", no_shell, warning, 5, "the engine's word");
}

#[test]
fn without_ssh_the_local_client_is_looked_at() {
    let settings = json!({ "container": "app", "exec_host_side": false });
    let host = Double::new();
    let findings = look(&settings, &host);
    assert_eq!((findings.len(), findings[0].state), (1, FindingState::Defect));
    assert_eq!(findings[0].check, "docker client");
    let host = Double::new().with_program(|_, _| Ok(Run::with_code(0).stdout("running\n")));
    let findings = look(&settings, &host);
    assert_eq!(findings.len(), 3);
    assert!(host.remote_commands().is_empty());
}

#[test]
fn settings_that_can_not_be_used_are_a_defect() {
    let findings = look(&json!({ "container": "-x" }), &Double::new());
    assert_eq!((findings[0].check.as_str(), findings[0].state), ("settings", FindingState::Defect));
}

#[test]
fn the_schema_names_every_setting_and_refuses_others() {
    let descriptor = guest::describe::<StagingRunner>();
    assert_eq!(descriptor.name, "staging-runner");
    assert_eq!(descriptor.stages, ["deploy-staging"]);
    let schema: Value = serde_json::from_str(&descriptor.settings_schema).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema.get("required").is_none(), "every setting has a default");
    for key in
        ["exec_host_side", "target", "container", "command", "timeout_s", "exit_codes", "infra_retry_max"]
    {
        assert!(!schema["properties"][key].is_null(), "{key}");
    }
}
