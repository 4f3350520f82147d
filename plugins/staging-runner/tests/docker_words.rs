//! Docker's words, as real ones were written: client 28.2 with engine 20.10, and what shells and starters say of a client that
//! is not there. The files in `recorded/` are their output, with folders and containers renamed.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::collections::BTreeSet;
use std::path::Path;

use stagewright_staging_runner::docker::{self, NO_SHELL, Said};

fn recorded(name: &str, stream: &str) -> String {
    let file = format!("tests/recorded/docker/{name}.{stream}");
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default()
}

const RECORDED: &[(&str, i32, &str)] = &[
    ("unknown", 1, "container-unknown"),
    ("stopped", 1, "container-not-running"),
    ("created", 1, "container-not-running"),
    ("paused", 1, "container-not-running"),
    ("restarting", 1, "container-not-running"),
    ("no-engine-tcp", 1, "docker-no-engine"),
    ("no-engine-unix", 1, "docker-no-engine"),
    ("engine-name", 1, "docker-no-engine"),
    ("no-permission", 1, "docker-denied"),
    ("bad-host", 1, "docker-configuration"),
    ("no-context", 1, "docker-configuration"),
    ("bad-flag", 125, "docker-usage"),
    ("bad-flag-short", 125, "docker-usage"),
    ("bad-global", 125, "docker-usage"),
    ("no-args", 1, "docker-usage"),
    ("plugin", 1, "docker-usage"),
    ("no-sh", 126, "container-no-shell"),
    ("no-command", 126, "container-no-shell"),
    ("no-command-path", 126, "container-no-shell"),
    ("not-executable-file", 126, "container-no-shell"),
    ("exec-format", 1, "docker-unexplained"),
    ("bad-user", 126, "docker-unexplained"),
    ("bad-workdir", 126, "docker-unexplained"),
    ("empty-name", 1, "docker-unexplained"),
    ("missing-dash", 127, "docker-missing"),
    ("missing-dash-exec", 127, "docker-missing"),
    ("missing-bash", 127, "docker-missing"),
    ("missing-bash-exec", 127, "docker-missing"),
    ("missing-bash-path", 127, "docker-missing"),
    ("missing-dash-path", 127, "docker-missing"),
    ("missing-busybox", 127, "docker-missing"),
    ("missing-setsid", 127, "docker-missing"),
    ("missing-busybox-setsid", 127, "docker-missing"),
    ("missing-timeout", 127, "docker-missing"),
    ("missing-env", 127, "docker-missing"),
    ("notexec-dash", 126, "docker-missing"),
    ("notexec-bash", 126, "docker-missing"),
    ("notexec-busybox", 126, "docker-missing"),
];

/// Words of other versions, as their sources and users give them.
const DOCUMENTED: &[(&str, i32, &str, &str)] = &[
    (
        "docker 29, no engine",
        1,
        "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and if the daemon is running",
        "docker-no-engine",
    ),
    (
        "docker 29, no permission",
        1,
        "permission denied while trying to connect to the docker API at unix:///var/run/docker.sock",
        "docker-denied",
    ),
    (
        "docker 19, no permission",
        1,
        "Got permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
        "docker-denied",
    ),
    ("docker 19, unknown", 1, "Error: No such container: app", "container-unknown"),
    (
        "an old runc, stopped",
        1,
        "Error response from daemon: cannot exec in a stopped state: unknown",
        "container-not-running",
    ),
    (
        "a new engine, no shell",
        127,
        "OCI runtime exec failed: exec failed: unable to start container process: exec: \"sh\": executable file not found in $PATH",
        "container-no-shell",
    ),
    ("bash, by sudo", 1, "sudo: docker: command not found", "docker-missing"),
    ("zsh", 127, "zsh:1: command not found: docker", "docker-missing"),
    ("nothing at all", 127, "", "docker-missing"),
    ("nothing at all", 1, "", "docker-unexplained"),
    ("nothing at all", 0, "", "docker-unexplained"),
];

#[test]
fn every_word_of_docker_has_its_rule_and_every_rule_its_word() {
    let mut reached = BTreeSet::new();
    let mut is = |case: &str, said: Said<'_>, expected: &str| {
        let rule = docker::classify(said, NO_SHELL);
        assert_eq!(rule.code, expected, "{case}: {said:?}");
        reached.insert(rule.code);
    };
    for (name, code, expected) in RECORDED {
        let (stdout, stderr) = (recorded(name, "out"), recorded(name, "err"));
        assert!(!stdout.is_empty() || !stderr.is_empty(), "nothing is recorded of {name}");
        is(name, Said { client: "docker", code: *code, stdout: &stdout, stderr: &stderr }, expected);
    }
    for (case, code, stderr, expected) in DOCUMENTED {
        is(case, Said { client: "docker", code: *code, stdout: "", stderr }, expected);
    }
    for rule in docker::TABLE {
        assert!(reached.contains(rule.code), "nothing reaches {}", rule.code);
    }
}

#[test]
fn a_client_by_its_path_is_missing_by_its_name() {
    let stderr = recorded("missing-dash-path", "err");
    let said = Said { client: "/opt/docker", code: 1, stdout: "", stderr: &stderr };
    assert_eq!(docker::classify(said, NO_SHELL).code, "docker-missing");
}
