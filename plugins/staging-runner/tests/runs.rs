//! Each way in which a run of the staging suite ends, and what it becomes.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use serde_json::json;
use stagewright_sdk::testing::{Double, Run, job};
use stagewright_sdk::{
    Exit, Failure, FailureKind, Job, Judgement, Outcome, RemoteCommand, RemoteCompleted, RemoteExit,
    RemoteState, Report, StreamEnd, guest,
};
use stagewright_staging_runner::StagingRunner;

fn failure(kind: FailureKind, code: &str) -> Failure {
    Failure { kind, code: code.to_owned(), message: format!("the host says {code}") }
}

fn end(text: &str) -> StreamEnd {
    StreamEnd { tail: text.as_bytes().to_vec(), total: text.len() as u64 }
}

fn done(exit: RemoteExit, stdout: &str, stderr: &str) -> RemoteCompleted {
    RemoteCompleted { exit, stdout: end(stdout), stderr: end(stderr), duration_ms: 1_000 }
}

fn staging(settings: serde_json::Value) -> Job {
    let mut job = job();
    job.stage = "deploy-staging".to_owned();
    job.settings = settings.to_string();
    job
}

fn produce(settings: serde_json::Value, host: &Double) -> Outcome {
    guest::produce::<StagingRunner, _>(&staging(settings), host)
}

/// `pass:staging-passed`, `held:docker-missing` and the like.
fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Held(fault) => format!("held:{}", fault.code),
        Outcome::Deferred(fault) => format!("deferred:{}", fault.code),
        Outcome::Verdict(report) => {
            let word = if report.judgement == Judgement::Pass { "pass" } else { "fail" };
            format!("{word}:{}", fact(report, "rule"))
        }
    }
}

fn fact<'a>(report: &'a Report, key: &str) -> &'a str {
    report.facts.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
}

/// A host on which every remote command ends so.
fn remote(exit: RemoteExit, stdout: &'static str, stderr: &'static str) -> Double {
    Double::new().with_remote(move |_, _| Ok(done(exit.clone(), stdout, stderr)))
}

const APP: &str = "app";

#[track_caller]
fn marked(exit: RemoteExit, stdout: &'static str, stderr: &'static str, expected: &str) {
    let outcome =
        produce(json!({ "container": APP, "shell_in_container": "yes" }), &remote(exit, stdout, stderr));
    assert_eq!(told(&outcome), expected, "{stdout}{stderr}");
}

#[test]
fn a_host_without_the_docker_client_never_causes_a_rollback() {
    // The incident, as each shell tells it, over ssh with marks and without, and by a local client.
    for (code, words) in [
        (127, "sh: 1: docker: not found\n"),
        (127, "bash: line 1: docker: command not found\n"),
        (127, "sh: docker: not found\n"),
        (127, "setsid: failed to execute docker: No such file or directory\n"),
        (126, "sh: 1: docker: Permission denied\n"),
        (127, ""),
    ] {
        let outcome = produce(json!({ "container": APP }), &remote(RemoteExit::NotEntered(code), "", words));
        assert_eq!(told(&outcome), "held:docker-missing", "{words}");
        let bare = json!({ "container": APP, "shell_in_container": "no" });
        let outcome = produce(bare, &remote(RemoteExit::Exited(code), "", words));
        assert_eq!(told(&outcome), "held:docker-missing", "{words}");
    }
    let local = json!({ "container": APP, "exec_host_side": false });
    for (kind, code, expected) in [
        (FailureKind::NotFound, "program-missing", "held:docker-missing"),
        (FailureKind::Denied, "program-not-granted", "held:docker-not-granted"),
        (FailureKind::Permanent, "program-not-executable", "held:program-not-executable"),
        (FailureKind::Transient, "spawn-failed", "deferred:spawn-failed"),
    ] {
        let host = Double::new().with_program(move |_, _| Err(failure(kind, code)));
        let outcome = produce(local.clone(), &host);
        assert_eq!(told(&outcome), expected);
        let (Outcome::Held(fault) | Outcome::Deferred(fault)) = outcome else { panic!("a verdict") };
        assert!(fault.remedy.is_some());
    }
}

#[test]
fn a_suite_that_ran_is_judged_by_its_code_and_not_by_its_words() {
    let docker =
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n";
    let unknown = "Error response from daemon: No such container: app\n";
    for (code, stdout, stderr, expected) in [
        (0, "all is well", "", "pass:staging-passed"),
        (0, "", "", "pass:staging-passed"),
        (0, "[FAIL] health", docker, "pass:staging-passed"),
        (1, "", "", "fail:staging-failed"),
        (1, "", docker, "fail:staging-failed"),
        (1, "", unknown, "fail:staging-failed"),
        (1, "everything passed", "", "fail:staging-failed"),
        (2, "", "", "fail:staging-failed"),
        (125, "", "", "fail:staging-failed"),
        (139, "", "", "fail:staging-failed"),
        (255, "", "", "fail:staging-failed"),
        (-1, "", "", "fail:staging-failed"),
        (126, "", "sh: python3: Permission denied", "held:staging-suite-missing"),
        (127, "", "sh: python3: not found", "held:staging-suite-missing"),
        (129, "", "", "deferred:staging-killed"),
        (130, "", "", "deferred:staging-killed"),
        (137, "", "", "deferred:staging-killed"),
        (143, "", "", "deferred:staging-killed"),
    ] {
        marked(RemoteExit::Exited(code), stdout, stderr, expected);
    }
}

#[test]
fn a_module_that_is_not_there_is_no_fault_of_the_code() {
    let missing = include_str!("recorded/python/pymod.err");
    marked(RemoteExit::Exited(1), "", missing, "held:staging-suite-missing");
    marked(RemoteExit::Exited(1), "checking", missing, "fail:staging-failed");
    marked(
        RemoteExit::Exited(1),
        "",
        "trace\n/usr/bin/python3: No module named staging_check\n",
        "fail:staging-failed",
    );
    marked(RemoteExit::Exited(1), "", "/usr/bin/python3: No module named requests\n", "fail:staging-failed");
    for (module, words) in [
        ("staging_check.all", include_str!("recorded/python/pymod-dotted.err")),
        ("p", "/usr/bin/python3: No module named p\n"),
    ] {
        let settings = json!({ "container": APP, "command": ["/usr/bin/python3", "-m", module] });
        let outcome = produce(settings, &remote(RemoteExit::Exited(1), "", words));
        assert_eq!(told(&outcome), "held:staging-suite-missing", "{module}");
    }
}

#[test]
fn the_operators_map_goes_before_what_a_code_means_by_default() {
    let map = json!({ "0": "fail", "1": "held", "3": "deferred", "4": "pass", "127": "fail", "137": "fail" });
    for (code, expected) in [
        (0, "fail:staging-failed"),
        (1, "held:staging-held"),
        (3, "deferred:staging-deferred"),
        (4, "pass:staging-passed"),
        (5, "fail:staging-failed"),
        (127, "fail:staging-failed"),
        (137, "fail:staging-failed"),
    ] {
        let settings = json!({ "container": APP, "exit_codes": map });
        assert_eq!(told(&produce(settings, &remote(RemoteExit::Exited(code), "", ""))), expected, "{code}");
    }
}

#[test]
fn what_kept_the_suite_from_beginning_is_held_or_deferred() {
    for (code, stdout, stderr, expected) in [
        (1, "", include_str!("recorded/docker/unknown.err"), "held:container-unknown"),
        (1, "", include_str!("recorded/docker/stopped.err"), "deferred:container-not-running"),
        (1, "", include_str!("recorded/docker/paused.err"), "deferred:container-not-running"),
        (1, "", include_str!("recorded/docker/no-engine-tcp.err"), "deferred:docker-no-engine"),
        (1, "", include_str!("recorded/docker/no-permission.err"), "held:docker-denied"),
        (125, "", include_str!("recorded/docker/bad-flag.err"), "held:docker-usage"),
        (1, "", include_str!("recorded/docker/no-context.err"), "held:docker-configuration"),
        (126, include_str!("recorded/docker/no-sh.out"), "", "held:container-no-shell"),
        (1, "", "something new", "deferred:docker-unexplained"),
        (0, "", "", "deferred:docker-unexplained"),
        (137, "", "", "deferred:docker-unexplained"),
    ] {
        marked(RemoteExit::NotEntered(code), stdout, stderr, expected);
    }
    for (kind, code, expected) in [
        (FailureKind::Transient, "ssh-refused", "deferred:ssh-refused"),
        (FailureKind::TimedOut, "ssh-timed-out", "deferred:ssh-timed-out"),
        (FailureKind::Transient, "remote-busy", "deferred:remote-busy"),
        (FailureKind::Other, "", "deferred:channel-fault"),
        (FailureKind::Limit, "too-many", "deferred:too-many"),
        (FailureKind::Permanent, "ssh-key-refused", "held:ssh-key-refused"),
        (FailureKind::Denied, "target-not-granted", "held:target-not-granted"),
        (FailureKind::NotFound, "ssh-missing", "held:ssh-missing"),
        (FailureKind::Cancelled, "cancelled", "deferred:cancelled"),
    ] {
        marked(RemoteExit::NotStarted(failure(kind, code)), "", "", expected);
        let host = Double::new().with_remote(move |_, _| Err(failure(kind, code)));
        assert_eq!(told(&produce(json!({}), &host)), expected);
    }
}

#[test]
fn an_end_that_was_not_seen_is_no_verdict_and_says_what_is_left() {
    for (state, words) in [
        (RemoteState::Ended, "nothing of it runs any more"),
        (RemoteState::Running, "it still runs there"),
        (RemoteState::Unknown, "whether it still runs there is not known"),
    ] {
        let cut = || RemoteExit::Interrupted((failure(FailureKind::Transient, "ssh-closed"), state));
        marked(cut(), "[PASS] all", "", "deferred:staging-interrupted");
        let Outcome::Deferred(fault) = produce(json!({ "container": APP }), &remote(cut(), "", "")) else {
            panic!("not deferred")
        };
        assert!(fault.message.contains(words), "{}", fault.message);
        assert!(fault.evidence.contains("the host says ssh-closed"), "{}", fault.evidence);
        marked(RemoteExit::Cancelled(state), "", "", "deferred:cancelled");
    }
}

#[test]
fn a_suite_that_overran_its_time_has_failed_once_it_is_known_to_be_gone() {
    marked(RemoteExit::TimedOut(RemoteState::Ended), "", "", "fail:timed-out");
    marked(RemoteExit::TimedOut(RemoteState::Running), "", "", "deferred:staging-still-running");
    marked(RemoteExit::TimedOut(RemoteState::Unknown), "", "", "deferred:staging-still-running");
    let settings = json!({ "container": APP, "timeout_is": "deferred" });
    let host = remote(RemoteExit::TimedOut(RemoteState::Ended), "", "");
    assert_eq!(told(&produce(settings, &host)), "deferred:timed-out");
}

#[test]
fn the_suite_is_sent_as_words_with_the_container_around_it() {
    let host = remote(RemoteExit::Exited(0), "", "");
    let settings =
        json!({ "container": APP, "target": "blue", "args": ["a b; $(x)", "-q"], "timeout_s": 60 });
    produce(settings, &host);
    let sent = host.remote_commands();
    assert_eq!(
        sent,
        [RemoteCommand {
            target: "blue".to_owned(),
            argv: ["python3", "-m", "staging_check", "--mode", "stub", "a b; $(x)", "-q"]
                .map(str::to_owned)
                .to_vec(),
            enclosure: ["docker", "exec", "-i", "app"].map(str::to_owned).to_vec(),
            timeout_ms: Some(60_000),
        }]
    );
    let host = remote(RemoteExit::Exited(1), "", "");
    assert_eq!(told(&produce(json!({ "command": ["/opt/check"] }), &host)), "fail:staging-failed");
    assert_eq!(
        host.remote_commands()[0].enclosure,
        [""; 0],
        "without a container it runs on the target itself"
    );
}

#[test]
fn settings_that_can_not_be_used_hold_the_task_and_nothing_runs() {
    for settings in
        [json!({ "container": "--privileged" }), json!({ "exec_host_side": false }), json!({ "x": 1 })]
    {
        let host = remote(RemoteExit::Exited(0), "", "");
        assert_eq!(told(&produce(settings, &host)), "held:settings-invalid");
        assert!(host.remote_commands().is_empty());
    }
}

#[test]
fn a_report_shows_command_place_and_last_lines_and_keeps_the_output() {
    let host = remote(RemoteExit::Exited(1), "[PASS] health\n[FAIL] queue\n```\n", "\u{1b}[31mred\n");
    let Outcome::Verdict(report) = produce(json!({ "container": APP }), &host) else { panic!("no verdict") };
    assert_eq!(report.summary, "the staging suite failed (exit code 1 in 1.0 s)");
    assert_eq!((report.tally.passed, report.tally.failed), (1, 1));
    assert_eq!(report.checks[0].name, "queue");
    for part in [
        "docker exec -i app python3 -m staging_check --mode stub",
        "container app",
        "````text\n[PASS] health",
        "[31mred",
    ] {
        assert!(report.body.contains(part), "{part} is not in {}", report.body);
    }
    assert!(!report.body.contains('\u{1b}'), "control sequences are left out");
    for (key, value) in
        [("target", "staging"), ("container", "app"), ("exit-code", "1"), ("exec-host-side", "true")]
    {
        assert_eq!(fact(&report, key), value);
    }
    assert_eq!(host.attached(), [("staging-output.txt".to_owned(), "staging-output.txt".to_owned())]);
}

#[test]
fn a_pass_with_lines_that_say_otherwise_is_one_check_and_shows_them() {
    let host = remote(RemoteExit::Exited(0), "[PASS] health\n[FAIL] queue\n", "");
    let Outcome::Verdict(report) = produce(json!({ "container": APP }), &host) else { panic!("no verdict") };
    assert_eq!((report.tally.passed, report.tally.failed, report.checks.len()), (1, 0, 1));
    assert!(report.body.contains("its exit code counts"), "{}", report.body);
}

#[test]
fn a_local_client_that_was_lost_is_no_verdict() {
    let settings = json!({ "container": APP, "exec_host_side": false });
    for (exit, expected) in [
        (Exit::Signal(9), "deferred:staging-interrupted"),
        (Exit::Lost("why".to_owned()), "deferred:staging-interrupted"),
        (Exit::Limit("output".to_owned()), "deferred:staging-interrupted"),
        (Exit::TimedOut, "deferred:staging-interrupted"),
        (Exit::Cancelled, "deferred:cancelled"),
    ] {
        let host = Double::new().with_program(move |_, _| Ok(Run::exits(exit.clone())));
        assert_eq!(told(&produce(settings.clone(), &host)), expected);
        assert!(host.remote_commands().is_empty(), "ssh is left alone");
    }
}
