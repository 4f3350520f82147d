//! What the test-runner says of itself, and what it says where its settings can't be used.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use serde_json::Value;
use stagewright_sdk::testing::{Double, Run, job};
use stagewright_sdk::{Cause, FindingState, Outcome, guest};
use stagewright_test_runner::TestRunner;

#[test]
fn the_schema_names_every_setting_and_refuses_others() {
    let descriptor = guest::describe::<TestRunner>();
    assert_eq!((descriptor.name.as_str(), descriptor.stages), ("test-runner", vec!["testing".to_owned()]));
    let schema: Value = serde_json::from_str(&descriptor.settings_schema).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema.get("required").is_none(), "every setting has a default");
    for key in
        ["framework", "python", "setup", "smoke", "max_collected_drop", "source_checkout", "infra_retry_max"]
    {
        assert!(!schema["properties"][key].is_null(), "{key}");
    }
    assert!(!descriptor.settings_schema.contains("http://"), "no remote references");
}

#[test]
fn settings_that_can_not_be_used_hold_the_task_and_name_the_key() {
    let mut job = job();
    job.settings = r#"{"pyhton": "x"}"#.to_owned();
    let host = Double::new();
    let Outcome::Held(fault) = guest::produce::<TestRunner, _>(&job, &host) else { panic!("not held") };
    assert_eq!(fault.code, "settings-invalid");
    assert!(fault.message.contains("pyhton"), "{}", fault.message);
    assert!(host.commands().is_empty(), "nothing ran");
}

#[test]
fn a_run_that_is_cancelled_ends_its_processes_and_is_no_verdict() {
    let mut job = job();
    job.settings = r#"{"framework": "command", "program": "sh"}"#.to_owned();
    let host = Double::new().with_cancellation(Cause::Superseded).with_program(|_, host| {
        // Time passes while the command runs.
        stagewright_sdk::Host::sleep_ms(host, 1_000);
        Ok(Run::with_code(0).stdout("working\n"))
    });
    let Outcome::Deferred(fault) = guest::produce::<TestRunner, _>(&job, &host) else {
        panic!("not deferred")
    };
    assert_eq!(fault.code, "cancelled");
}

#[test]
fn a_preflight_says_what_is_missing() {
    let host = Double::new();
    let findings = guest::preflight::<TestRunner, _>(r#"{"framework": "pytest"}"#, &host);
    assert_eq!((findings.len(), findings[0].state), (1, FindingState::Defect));
    assert!(findings[0].remedy.is_some());
    let host = Double::new().with_program(|_, _| Ok(Run::with_code(0).stdout("pytest 9.2.0\n")));
    let findings = guest::preflight::<TestRunner, _>(r#"{"framework": "pytest"}"#, &host);
    assert_eq!((findings[0].state, findings[0].message.as_str()), (FindingState::Ok, "pytest 9.2.0"));
}
