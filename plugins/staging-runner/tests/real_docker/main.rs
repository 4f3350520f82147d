//! Against a real engine: with marks inside the container as the host sets them, without, and by a local client.
//!
//! Where no engine runs, each test says so and why; where one runs, none is skipped. The image is made of a static busybox, so
//! nothing is fetched.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at what it did not expect")]
#![allow(clippy::print_stderr, reason = "a test that is skipped has to say so")]

mod engine;

use engine::{Container, Meanwhile, host, local_settings, produce, settings};

const SUITE: &str = "echo began; exec 2>&1; ";

#[test]
fn a_suite_in_a_container_with_a_shell_is_judged_by_its_code() {
    let Some(app) = Container::with_shell() else { return };
    let run = |script: &str| produce(&settings(&app, &["sh", "-c", script]), &host(Meanwhile::Nothing));
    assert_eq!(run("echo fine"), "Pass");
    assert_eq!(run("exit 1"), "Fail");
    assert_eq!(run("echo 'Cannot connect to the Docker daemon' >&2; exit 1"), "Fail");
    assert_eq!(run("exit 255"), "Fail");
    assert_eq!(run("no-such-suite"), "held:staging-suite-missing");
    assert_eq!(run("kill -9 $$"), "deferred:staging-killed");
}

#[test]
fn a_suite_in_a_container_without_a_shell_is_judged_by_the_engines_word() {
    let Some(app) = Container::without_shell() else { return };
    let run =
        |script: &str| produce(&settings(&app, &["/busybox", "sh", "-c", script]), &host(Meanwhile::Nothing));
    assert_eq!(run("echo fine"), "Pass");
    assert_eq!(run("exit 0"), "Pass");
    assert_eq!(run("exit 1"), "Fail");
    assert_eq!(run("echo 'Cannot connect to the Docker daemon' >&2; exit 1"), "Fail");
    assert_eq!(produce(&settings(&app, &["/none"]), &host(Meanwhile::Nothing)), "held:staging-suite-missing");
    assert_eq!(produce(&settings(&app, &["/busybox", "true"]), &host(Meanwhile::Nothing)), "Pass");
}

#[test]
fn a_local_client_gives_the_same_verdicts() {
    let Some(app) = Container::with_shell() else { return };
    let run = |script: &str| produce(&local_settings(&app, &["sh", "-c", script]), &host(Meanwhile::Nothing));
    assert_eq!(run("echo local"), "Pass");
    assert_eq!(run("exit 7"), "Fail");
    assert_eq!(
        produce(&local_settings(&app, &["none"]), &host(Meanwhile::Nothing)),
        "held:staging-suite-missing"
    );
}

#[test]
fn a_container_that_can_not_be_entered_is_no_fault_of_the_code() {
    let Some(app) = Container::with_shell() else { return };
    let both = |name: &str| {
        let marked = produce(&settings(name, &["true"]), &host(Meanwhile::Nothing));
        assert_eq!(produce(&local_settings(name, &["true"]), &host(Meanwhile::Nothing)), marked, "{name}");
        marked
    };
    assert_eq!(both(&format!("{}-nowhere", app.as_str())), "held:container-unknown");
    app.docker(&["pause"]);
    assert_eq!(both(&app), "deferred:container-not-running");
    app.docker(&["unpause"]);
    app.docker(&["kill"]);
    assert_eq!(both(&app), "deferred:container-not-running");
}

#[test]
fn a_host_without_client_or_engine_never_causes_a_rollback() {
    let Some(app) = Container::with_shell() else { return };
    let mut gone = settings(&app, &["true"]);
    gone["docker"] = "/no/such/docker".into();
    assert_eq!(produce(&gone, &host(Meanwhile::Nothing)), "held:docker-missing");
    gone["shell_in_container"] = "no".into();
    assert_eq!(produce(&gone, &host(Meanwhile::Nothing)), "held:docker-missing");
    for settings in [settings(&app, &["true"]), local_settings(&app, &["true"])] {
        assert_eq!(produce(&settings, &host(Meanwhile::NoEngine)), "deferred:docker-no-engine");
    }
}

#[test]
fn a_container_that_is_killed_in_the_midst_is_no_verdict() {
    let Some(app) = Container::without_shell() else { return };
    let suite = format!("{SUITE} exec /busybox sleep 60");
    let host = host(Meanwhile::Kill(app.to_string()));
    assert_eq!(produce(&settings(&app, &["/busybox", "sh", "-c", &suite]), &host), "deferred:staging-killed");
}

#[test]
fn a_stream_that_is_cut_in_the_midst_is_no_pass_and_nothing_is_started_beside_the_suite() {
    let Some(app) = Container::without_shell() else { return };
    let suite = format!("{SUITE} exec /busybox sleep 61");
    let settings = settings(&app, &["/busybox", "sh", "-c", &suite]);
    let Some(cut) = engine::cut() else { return };
    assert_eq!(produce(&settings, &host(cut)), "deferred:staging-interrupted");
    assert_eq!(produce(&settings, &host(Meanwhile::Nothing)), "deferred:staging-still-running");
}
