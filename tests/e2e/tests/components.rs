//! Producers that the operator names: what they import has to be granted, what they are has to be what was
//! pinned, and what they say has to be backed by what the host saw.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use stagewright_e2e::{Host, Ran, Repo, component};

/// A host whose testing stage is made by the component `file` under the name `mine`.
fn host_with(file: &Path, sha256: &str, grants: &str) -> Host {
    let host = Host::bare();
    let pipeline = host.home().join("pipeline.toml");
    let text = r#"
[[stage]]
name = "development"
producer = "mine"
gate = "check_development_complete"
artifact = "10-development.md"
on_pass = "testing"
on_fail = "development"

[[stage]]
name = "testing"
producer = "mine"
gate = "check_tests_passed"
artifact = "13-test-report.md"
on_pass = "done"
on_fail = "development"

[[stage]]
name = "done"
"#;
    std::fs::write(&pipeline, text).unwrap();
    host.with_file(&format!(
        "[pipeline]\nfile = {pipeline:?}\n\n[producers.mine]\ncomponent = {file:?}\nsha256 = {sha256:?}\n{grants}"
    ))
}

fn digest(file: &Path) -> String {
    Sha256::digest(std::fs::read(file).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn repo() -> Repo {
    Repo::with(&[("notes.txt", "nothing to test\n")])
}

#[test]
fn a_component_that_imports_what_is_not_granted_is_refused_with_the_grant_that_would_allow_it() {
    let file = component("bench/starts-true.wasm");
    let ran = host_with(&file, &digest(&file), "").run(&repo(), "A-1");
    ran.ended(78, "held", "capability-not-granted", "testing");
    assert!(ran.stdout.contains("producers.mine.grants.process"), "{ran:#?}");
}

#[test]
fn with_the_grant_the_same_component_runs() {
    let file = component("bench/starts-true.wasm");
    let grants = "[producers.mine.grants.process]\nprograms = { true = \"true\" }\n";
    host_with(&file, &digest(&file), grants).run(&repo(), "A-1").ended(0, "verdict", "", "done");
}

#[test]
fn a_component_whose_bytes_changed_is_refused_by_its_pin() {
    let copy = tempfile::tempdir().unwrap();
    let file = copy.path().join("mine.wasm");
    std::fs::copy(component("bench/returns.wasm"), &file).unwrap();
    let pin = digest(&file);
    let mut bytes = std::fs::read(&file).unwrap();
    // A custom section more, which changes nothing of what the component does.
    bytes.extend_from_slice(&[0, 2, 1, b'x']);
    std::fs::write(&file, bytes).unwrap();
    let ran = host_with(&file, &pin, "").run(&repo(), "A-1");
    ran.ended(78, "held", "component-changed", "testing");
    assert!(ran.stdout.contains(&pin) && ran.stdout.contains(&digest(&file)), "it names both: {ran:#?}");
}

#[test]
fn a_pass_from_a_component_that_did_nothing_is_not_believed() {
    let file = component("bench/returns.wasm");
    let ran = host_with(&file, &digest(&file), "").run(&repo(), "A-1");
    ran.ended(78, "held", "verdict-without-evidence", "testing");
}

#[test]
fn a_component_that_is_not_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.wasm");
    std::fs::write(&file, "not a component").unwrap();
    let ran = host_with(&file, &digest(&file), "").run(&repo(), "A-1");
    ran.ended(78, "held", "component-not-loadable", "testing");
}

#[test]
fn a_missing_component_is_held_and_its_file_is_named() {
    let file = PathBuf::from("/no/such/mine.wasm");
    let ran: Ran = host_with(&file, &"0".repeat(64), "").run(&repo(), "A-1");
    ran.ended(78, "held", "component-missing", "testing");
    assert!(ran.stdout.contains("/no/such/mine.wasm"), "{ran:#?}");
}

#[test]
fn the_test_runner_imports_process_files_and_probe_and_nothing_else() {
    // Its import list is what it could ever reach: no ssh, no model, no WASI.
    let shown = Host::bare().call(["plugin", "inspect", "test-runner", "--json"]);
    assert_eq!(shown.exit, 0, "{shown:#?}");
    let told = shown.json();
    let mut imports: Vec<&str> =
        told["imports"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
    imports.sort_unstable();
    assert_eq!(imports, ["files", "probe", "process"]);
    assert_eq!(told["wasi"], serde_json::json!([]));
}
