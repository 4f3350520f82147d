//! A producer is pinned, and what it is granted is there.

use stagewright_engine::name::ProducerName;

use super::super::declare::KeyPath;
use super::super::problem::{nearest, quoted};
use super::super::reader::Collected;
use super::super::{BUILT_IN, Config, LLM_FALLBACK, Place, Producer, STAGING_RUNNER, TEST_RUNNER};
use super::missing;

pub(super) fn all(name: &ProducerName, producer: &Producer, config: &Config, collected: &mut Collected) {
    pins(name, producer, collected);
    endpoints(name, producer, collected);
    arguments(name, producer, collected);
    reaches(name, producer, config, collected);
}

/// A producer is named by file and digest; only the built-in ones come with both.
fn pins(name: &ProducerName, producer: &Producer, collected: &mut Collected) {
    let section = KeyPath::new(["producers", name.as_str()]);
    let (component, sha256) = (section.then("component"), section.then("sha256"));
    let pin = &producer.producer;
    if let Some(digest) = &pin.sha256
        && !(digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit()))
    {
        let way_out = "copy it from `stagewright plugin inspect <file>`";
        collected.problem(
            collected.place(&sha256),
            format!("`{sha256}` is not a SHA-256: 64 hex digits"),
            way_out,
        );
    }
    match (&pin.component, &pin.sha256) {
        (Some(file), None) => collected.problem(
            collected.place(&component),
            format!("`{component}` is not pinned: without `sha256` a changed file would be run"),
            format!("add the `sha256` that `stagewright plugin inspect {}` shows", file.display()),
        ),
        (None, Some(_)) => collected.problem(
            collected.place(&sha256),
            format!("`{sha256}` pins nothing: `component` is not set"),
            "name the component's file too, or leave both out for a built-in producer",
        ),
        (None, None) if !BUILT_IN.contains(&name.as_str()) => {
            let place = collected.names.get("producers").and_then(|names| names.get(name.as_str())).cloned();
            let near =
                nearest(name.as_str(), BUILT_IN).map(|near| format!(", or `{near}` if you meant that"));
            collected.problem(
                place.unwrap_or(Place::Default),
                format!("the producer `{name}` has no component, and it is not built in"),
                format!("set `component` and `sha256` for it{}", near.unwrap_or_default()),
            );
        }
        (None, None) | (Some(_), Some(_)) => {}
    }
    let instead = match name.as_str() {
        TEST_RUNNER => Some("set `test_runner.timeout_s` for the suite"),
        STAGING_RUNNER => Some("set `staging_runner.timeout_s` for the check"),
        _ => None,
    };
    if let Some(way_out) = instead
        && pin.timeout_s.is_some()
    {
        let timeout = section.then("timeout_s");
        collected.problem(collected.place(&timeout), format!("`{timeout}` has no effect"), way_out);
    }
}

fn endpoints(name: &ProducerName, producer: &Producer, collected: &mut Collected) {
    let key = KeyPath::new(["producers", name.as_str(), "grants", "probe", "endpoints"]);
    for (endpoint, address) in producer.probe.endpoints.iter().flatten() {
        let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
        let authority = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        let what = match authority {
            None => "is not an http:// or https:// address",
            Some(authority) if authority.contains('@') => {
                "has a user or password in it, which would be shown in reports"
            }
            Some("") => "has no host",
            Some(_) if address.contains(['?', '#']) => "has a query, to which no path can be added",
            Some(authority) if authority.chars().any(|c| c.is_whitespace() || c.is_control()) => {
                "has white space in it"
            }
            Some(_) => continue,
        };
        let endpoint = quoted(endpoint);
        let way_out = "write it like `http://127.0.0.1:8080`";
        collected.problem(collected.place(&key), format!("`{key}`: the endpoint {endpoint} {what}"), way_out);
    }
}

fn arguments(name: &ProducerName, producer: &Producer, collected: &mut Collected) {
    let section = KeyPath::new(["producers", name.as_str(), "grants", "process"]);
    let key = section.then("args");
    let Some(programs) = &producer.process.programs else { return };
    for program in producer.process.args.keys().filter(|program| !programs.contains_key(*program)) {
        let near = nearest(program, programs.keys().map(String::as_str));
        let way_out = near.map_or_else(
            || format!("add it to `{}`", section.then("programs")),
            |near| format!("did you mean `{near}`?"),
        );
        let what = format!("`{key}` limits {}, a program that is not granted", quoted(program));
        collected.problem(collected.place(&key), what, way_out);
    }
}

/// The targets and roles that a producer is granted are there.
fn reaches(name: &ProducerName, producer: &Producer, config: &Config, collected: &mut Collected) {
    let grants = KeyPath::new(["producers", name.as_str(), "grants"]);
    let targets = config.ssh_targets.keys().map(String::as_str);
    let key = grants.then("ssh").then("targets");
    missing(
        &key,
        producer.ssh.targets.iter().flatten(),
        targets,
        "target",
        "[ssh.targets.<name>]",
        collected,
    );
    let roles = config.known_roles();
    let key = grants.then("llm").then("roles");
    let roles = roles.iter().map(String::as_str);
    missing(&key, producer.llm.roles.iter().flatten(), roles, "role", "[llm.roles.<name>]", collected);
    if name.as_str() == LLM_FALLBACK && producer.llm.roles.as_ref().is_some_and(Vec::is_empty) {
        let what = format!("`{key}` is empty, and the llm-fallback does nothing but ask a model");
        collected.problem(collected.place(&key), what, "name its roles, or leave the key out for all");
    }
}
