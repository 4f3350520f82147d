//! The map of model calls is the one that was committed by hand, and parts from it when a component, the pipeline or the
//! sources do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use stagewright_e2e::{Host, component};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// The machine-readable block of `docs/llm-call-sites.md`.
fn committed() -> Value {
    let page = page("llm-call-sites.md");
    let block = page.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    serde_json::from_str(block).unwrap()
}

/// The classification as the program derives it, without what differs from store to store.
fn derived(host: &Host) -> Value {
    let map = host.call(["llm-map", "--format", "json"]).json();
    json!({ "call_sites": map["call_sites"], "deterministic": map["deterministic"], "ways": ways(&sources()) })
}

/// What in a source leads to a model, or to any server.
const SIGNS: [&str; 6] =
    ["reqwest::", "chat/completions", "stream-json", "Llm::new(", "TcpStream", "Command::new("];
/// Where the product's own code lies.
const CODE: [&str; 2] = ["host", "plugins"];

/// Every source file of the host and of the components, without their tests.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = CODE.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && name != "tests" && name != "target" && name != "xtask" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
                found.push((path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), code));
            }
        }
    }
    found.sort();
    found
}

/// Which files show which sign.
fn ways(sources: &[(String, String)]) -> BTreeMap<&'static str, Vec<&str>> {
    let files = |sign: &str| -> Vec<&str> {
        sources.iter().filter(|(_, text)| text.contains(sign)).map(|(path, _)| path.as_str()).collect()
    };
    SIGNS.into_iter().map(|sign| (sign, files(sign))).collect()
}

#[test]
fn the_classification_is_the_one_that_was_committed_by_hand() {
    let seen = derived(&Host::bare());
    assert_eq!(seen, committed(), "the derived one: {seen:#}");
}

#[test]
fn the_pages_tell_what_the_program_tells() {
    let told = Host::bare().call(["llm-map"]).stdout;
    let (sites, roadmap) = told.split_once("# What it costs\n\n").unwrap();
    let sites = sites.trim_start_matches("# Where a model is asked\n\n").trim_end();
    assert!(page("llm-call-sites.md").contains(sites), "docs/llm-call-sites.md lacks:\n{sites}");
    assert!(page("llm-roadmap.md").contains(roadmap.trim_end()), "docs/llm-roadmap.md lacks:\n{roadmap}");
}

#[test]
fn a_component_that_gains_the_llm_import_is_noticed() {
    let file = component("hostile/asks-for-a-model.wasm");
    let digest: String =
        Sha256::digest(std::fs::read(&file).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
    let host = Host::bare()
        .with(&format!("producers.test-runner.component={}", file.display()))
        .with(&format!("producers.test-runner.sha256={digest}"));
    let seen = derived(&host);
    assert_ne!(seen, committed());
    let testing =
        seen["call_sites"].as_array().unwrap().iter().find(|site| site["producer"] == "test-runner");
    assert_eq!(testing.unwrap()["when"], "always");
    assert!(!seen["deterministic"].to_string().contains("test-runner"));
}

#[test]
fn a_stage_that_changes_its_producer_is_noticed() {
    let pipeline = std::fs::read_to_string(root().join("host/engine/pipelines/default.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pipeline.toml");
    let changed = pipeline
        .replace("producer = \"test-runner\"\nfallback = \"llm-fallback\"", "producer = \"llm-fallback\"");
    assert_ne!(changed, pipeline);
    std::fs::write(&file, changed).unwrap();
    let seen = derived(&Host::bare().with(&format!("pipeline.file={}", file.display())));
    assert_ne!(seen, committed());
    let testing =
        seen["call_sites"].as_array().unwrap().iter().find(|site| site["stage"] == "testing").unwrap();
    assert_eq!((&testing["when"], &testing["done_by_program"]), (&"always".into(), &false.into()));
}

#[test]
fn a_second_way_to_a_model_is_noticed() {
    let committed = committed();
    let with = |path: &str, text: &str| {
        let mut sources = sources();
        sources.push((path.to_owned(), text.to_owned()));
        json!(ways(&sources))
    };
    assert_eq!(json!(ways(&sources())), committed["ways"], "as it is");
    for (path, text) in [
        ("host/daemon/src/worker/shortcut.rs", "let client = reqwest::Client::new();"),
        ("host/daemon/src/actor/pool.rs", "client.post(\"http://127.0.0.1/v1/chat/completions\")"),
        (
            "host/daemon/src/effect/command.rs",
            "Command::new(\"claude\").args([\"-p\", \"--output-format\", \"stream-json\"])",
        ),
        ("host/daemon/src/http/mod.rs", "let llm = Llm::new(grant, place, &shepherd, cancel, purse)?;"),
        ("plugins/test-runner/src/lib.rs", "std::net::TcpStream::connect(\"api.openai.com:443\")"),
    ] {
        assert_ne!(with(path, text), committed["ways"], "{path}");
    }
}
