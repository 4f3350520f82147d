//! Which crate may know which: the table of `docs/ARCHITECTURE.md`, checked against what the manifests say.
//!
//! A direction that is only written down is lost within a month. This looks at ordinary and build dependencies; tests
//! may use more.

use serde_json::Value;

use crate::error::Error;
use crate::step::{say, step};
use crate::workspace::Workspace;

/// What one package may depend on.
struct Layer {
    package: &'static str,
    /// The packages of this workspace that it may use.
    ours: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer { package: "stagewright-front-matter", ours: &[] },
    // The one crate that host and producers share: a verdict is read in one way (docs/adr/0062-one-reader-of-verdicts.md).
    Layer { package: "stagewright-engine", ours: &["stagewright-front-matter"] },
    Layer { package: "stagewright-store", ours: &["stagewright-engine"] },
    Layer { package: "stagewright-repository", ours: &["stagewright-engine"] },
    Layer { package: "stagewright-shepherd", ours: &[] },
    Layer { package: "stagewright-capability", ours: &["stagewright-engine", "stagewright-shepherd"] },
    Layer { package: "stagewright-sandbox", ours: &["stagewright-engine", "stagewright-capability"] },
    Layer {
        package: "stagewright",
        ours: &[
            "stagewright-capability",
            "stagewright-engine",
            "stagewright-repository",
            "stagewright-sandbox",
            "stagewright-store",
        ],
    },
    Layer { package: "stagewright-sdk", ours: &["stagewright-front-matter"] },
    Layer { package: "stagewright-staging-runner", ours: &["stagewright-sdk"] },
    Layer { package: "stagewright-test-runner", ours: &["stagewright-sdk"] },
    Layer { package: "stagewright-llm-fallback", ours: &["stagewright-sdk"] },
    Layer { package: "stagewright-hostile", ours: &["stagewright-sdk"] },
    Layer { package: "stagewright-e2e", ours: &[] },
    Layer { package: "stagewright-simulation", ours: &["stagewright-engine", "stagewright-store"] },
    Layer {
        package: "stagewright-bench",
        ours: &["stagewright-capability", "stagewright-engine", "stagewright-sandbox", "stagewright-store"],
    },
    Layer { package: "stagewright-bench-returns", ours: &["stagewright-sdk"] },
    Layer { package: "stagewright-bench-starts-true", ours: &["stagewright-sdk"] },
    Layer { package: "stagewright-bench-waits", ours: &["stagewright-sdk"] },
    Layer { package: "xtask", ours: &[] },
    Layer { package: "xtask-componentize", ours: &[] },
];

/// A dependency that only the named packages may have, and why.
struct Reserved {
    name: &'static str,
    to: &'static [&'static str],
    because: &'static str,
}

const RESERVED: &[Reserved] = &[
    Reserved {
        name: "wasmtime",
        to: &["stagewright-sandbox", "stagewright-bench"],
        because: "the sandbox is the only crate that knows wasmtime",
    },
    Reserved {
        name: "wasmtime-wasi",
        to: &["stagewright-sandbox"],
        because: "what WASI is to a component is decided in the sandbox",
    },
    Reserved {
        name: "rusqlite",
        to: &["stagewright-store", "stagewright-bench"],
        because: "durable state is behind the store's trait",
    },
];

/// The engine decides and does nothing else, so it has no use for these.
const IMPURE: &[&str] = &["tokio", "async-trait", "cap-std", "jiff", "reqwest", "rustix", "tracing", "rand"];

/// Compares every manifest with the table.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    step("layers", || {
        let wrong: Vec<String> = workspace.packages().flat_map(breaches).collect();
        if wrong.is_empty() {
            say(format!("{} packages depend only on what they may", workspace.packages().count()));
            return Ok(());
        }
        Err(Error::Verdict(format!("{}\nThe table is in host/xtask/src/layers.rs.", wrong.join("\n"))))
    })
}

/// What is wrong with one package, as `cargo metadata` describes it.
fn breaches(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some(layer) = LAYERS.iter().find(|layer| layer.package == name) else {
        return vec![format!("`{name}` has no layer: say in the table which of our crates it may use")];
    };
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let used = dependencies.filter(|one| one["kind"] != "dev");
    let mut wrong = Vec::new();
    for dependency in used {
        let other = dependency["name"].as_str().unwrap_or_default();
        let is_ours = !dependency["path"].is_null();
        if is_ours && !layer.ours.contains(&other) {
            wrong.push(format!("`{name}` must not depend on `{other}`"));
        }
        if let Some(rule) = RESERVED.iter().find(|rule| rule.name == other && !rule.to.contains(&name)) {
            wrong.push(format!("`{name}` must not depend on `{other}`: {}", rule.because));
        }
        if name == "stagewright-engine" && IMPURE.contains(&other) {
            wrong.push(format!("`{name}` must not depend on `{other}`: the engine is pure"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, dependencies: Value) -> Value {
        json!({ "name": name, "dependencies": dependencies })
    }

    #[test]
    fn the_engine_may_use_nothing_of_ours_and_nothing_impure() {
        let wrong = breaches(&package(
            "stagewright-engine",
            json!([
                { "name": "stagewright-store", "path": "host/store", "kind": null },
                { "name": "tokio", "kind": null },
                { "name": "serde", "kind": null },
            ]),
        ));
        assert_eq!(
            wrong,
            [
                "`stagewright-engine` must not depend on `stagewright-store`",
                "`stagewright-engine` must not depend on `tokio`: the engine is pure",
            ]
        );
    }

    #[test]
    fn only_the_sandbox_may_know_wasmtime() {
        let wasmtime = json!([{ "name": "wasmtime", "kind": null }]);
        assert_eq!(breaches(&package("stagewright-capability", wasmtime.clone())).len(), 1);
        assert_eq!(breaches(&package("stagewright-sandbox", wasmtime)), [""; 0]);
    }

    #[test]
    fn tests_may_use_more_than_the_code_they_test() {
        let dev = json!([{ "name": "stagewright-store", "path": "host/store", "kind": "dev" }]);
        assert_eq!(breaches(&package("stagewright-sandbox", dev)), [""; 0]);
    }

    #[test]
    fn a_package_without_a_layer_is_an_error() {
        assert_eq!(breaches(&package("stagewright-new", json!([]))).len(), 1);
    }
}
