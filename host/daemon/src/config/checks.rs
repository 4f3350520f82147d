//! What must hold between keys, and inside the values that a type alone does not check.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use stagewright_engine::name::{BranchName, EffectName, ProducerName, RepoName};
use tracing_subscriber::EnvFilter;

use super::declare::KeyPath;
use super::problem::{nearest, quoted};
use super::reader::Collected;
use super::sections::{AgentSays, Effect, EffectIs, EffectKind, ModelWay};
use super::{BUILT_IN, Config, LLM_FALLBACK, STAGING_RUNNER, TEST_RUNNER};

/// The operator's names below a section. One that is not valid is noted and left out.
pub(super) fn names<N: FromStr<Err: Display> + Ord>(collected: &mut Collected, section: &str) -> Vec<N> {
    let mut valid = BTreeSet::new();
    for name in collected.names(section) {
        match name.parse::<N>() {
            Ok(name) => {
                valid.insert(name);
            }
            Err(error) => {
                let place = collected.names.get(section).and_then(|names| names.get(&name)).cloned();
                collected.problem(place.unwrap_or(super::Place::Default), error.to_string(), "");
            }
        }
    }
    valid.into_iter().collect()
}

pub(super) fn all(config: &Config, collected: &mut Collected) {
    ages(config, collected);
    scopes(config, collected);
    for (name, producer) in &config.producers {
        pins(name, producer, collected);
        endpoints(name, producer, collected);
        arguments(name, producer, collected);
        reaches(name, producer, config, collected);
    }
    targets(config, collected);
    models(config, collected);
    staging(config, collected);
    suites(config, collected);
    for (name, effect) in &config.effects {
        effects(name, effect, config, collected);
    }
    http(config, collected);
    log(config, collected);
}

/// The maximum age must not hit a job that is still at its work (J6).
fn ages(config: &Config, collected: &mut Collected) {
    let jobs = &config.jobs;
    if jobs.deferral_backoff_max_s < jobs.deferral_backoff_s {
        let (max, first) = (path("jobs.deferral_backoff_max_s"), path("jobs.deferral_backoff_s"));
        collected.problem(
            either(collected, &max, &first),
            format!(
                "`{max}` is {}, which is less than `{first}`, {}",
                jobs.deferral_backoff_max_s.0, jobs.deferral_backoff_s.0
            ),
            format!("raise `{max}` or lower `{first}`"),
        );
    }
    let least = config.least_age().as_millis() / 1_000;
    if let Some(age) = jobs.max_age_s
        && age.0 <= least
    {
        let key = path("jobs.max_age_s");
        let longest = config.longest_run().as_millis() / 1_000;
        collected.problem(
            collected.place(&key),
            format!(
                "`{key}` is {}, so jobs could be reaped while they are at their work: the longest run takes up to {longest}, \
                 its transition {}, its end {}",
                age.0, jobs.transition_s.0, jobs.grace_s.0
            ),
            format!("set it to more than {least}, leave it out, or lower the time-outs"),
        );
    }
}

fn scopes(config: &Config, collected: &mut Collected) {
    let lists = [
        ("test_runner.repos", &config.test_runner.repos),
        ("staging_runner.repos", &config.staging_runner.repos),
        ("transition_lease.repos", &config.transition_lease.repos),
    ];
    for (key, list) in lists {
        for entry in list.iter().filter(|entry| *entry != "*") {
            if let Err(error) = RepoName::new(entry.as_str()) {
                let place = collected.place(&path(key));
                collected.problem(place, format!("`{key}`: {error}"), "name repositories, or `*` for all");
            }
        }
    }
}

/// A producer is named by file and digest; only the built-in ones come with both.
fn pins(name: &ProducerName, producer: &super::Producer, collected: &mut Collected) {
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
                place.unwrap_or(super::Place::Default),
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

fn endpoints(name: &ProducerName, producer: &super::Producer, collected: &mut Collected) {
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

fn arguments(name: &ProducerName, producer: &super::Producer, collected: &mut Collected) {
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
fn reaches(name: &ProducerName, producer: &super::Producer, config: &Config, collected: &mut Collected) {
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

fn missing<'a>(
    key: &KeyPath,
    named: impl Iterator<Item = &'a String>,
    known: impl Iterator<Item = &'a str> + Clone,
    kind: &str,
    section: &str,
    collected: &mut Collected,
) {
    for name in named.filter(|name| !known.clone().any(|known| known == *name)) {
        let way_out = match nearest(name, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add {section} for it"),
        };
        let what = format!("`{key}` names the {kind} {}, which is not there", quoted(name));
        collected.problem(collected.place(key), what, way_out);
    }
}

/// A target has an address, and nothing of it can be taken for an option of ssh.
fn targets(config: &Config, collected: &mut Collected) {
    for (name, target) in &config.ssh_targets {
        let section = KeyPath::new(["ssh", "targets", name.as_str()]);
        let own = collected.names.get("ssh.targets").and_then(|names| names.get(name)).cloned();
        if target.host.is_none() {
            let place = own.unwrap_or(super::Place::Default);
            let what = format!("the ssh target {} has no `host`", quoted(name));
            collected.problem(place, what, format!("set `{}`", section.then("host")));
        }
        for (key, value) in [("host", &target.host), ("user", &target.user)] {
            let odd = |text: &String| {
                text.is_empty()
                    || text.starts_with('-')
                    || text.contains(|c: char| c.is_whitespace() || c.is_control())
            };
            if let Some(text) = value.as_ref().filter(|text| odd(text)) {
                let key = section.then(key);
                let what = format!("`{key}` is {}, which ssh could take for something else", quoted(text));
                collected.problem(collected.place(&key), what, "write a name or an address");
            }
        }
    }
}

/// A role can be answered: its name is plain, a server has an address and a model.
fn models(config: &Config, collected: &mut Collected) {
    let plain = |name: &str| {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=40).contains(&name.len()) && !name.starts_with('-') && name.chars().all(word)
    };
    for role in config.known_roles().iter().filter(|role| !plain(role)) {
        let named = collected.names.get("llm.roles").and_then(|names| names.get(role)).cloned();
        let place = named.unwrap_or_else(|| collected.place(&path("llm.stages")));
        let what = format!("{} is no name of a role", quoted(role));
        collected.problem(place, what, "use letters, digits, `-` and `_`: files are named after it");
    }
    prices(config, collected);
    let general = (path("llm"), config.model.clone());
    let own = config
        .roles
        .keys()
        .map(|role| (KeyPath::new(["llm", "roles", role.as_str()]), config.model_of(role)));
    for (section, model) in [general].into_iter().chain(own) {
        if model.way() != ModelWay::Server {
            continue;
        }
        let way = section.then("way");
        for (key, unset) in [("url", model.url.is_none()), ("model", model.model.is_none())] {
            if unset {
                let what = format!("`{way}` is `server`, and there is no `{}`", section.then(key));
                collected.problem(
                    either(collected, &way, &path("llm.way")),
                    what,
                    format!("set `{}`", section.then(key)),
                );
            }
        }
        let url = section.then("url");
        if let Some(address) = &model.url
            && !(address.starts_with("http://") || address.starts_with("https://"))
        {
            let what = format!("`{url}` is not an http:// or https:// address");
            collected.problem(collected.place(&url), what, "write it like `http://127.0.0.1:8080/v1`");
        }
        if model.url.as_ref().is_some_and(|address| address.contains(['@', '?', '#'])) {
            let what = format!("`{url}` has a user, a password or a query in it, which would be shown");
            collected.problem(
                collected.place(&url),
                what,
                "put the key into a file and name it in `key_file`",
            );
        }
    }
}

/// A budget binds only where it is known what an answer costs.
fn prices(config: &Config, collected: &mut Collected) {
    let budgets = ["budget_run_usd", "budget_task_usd", "budget_day_usd"];
    let set = [config.llm.budget_run_usd, config.llm.budget_task_usd, config.llm.budget_day_usd];
    let budget = budgets
        .into_iter()
        .zip(set)
        .find(|(_, budget)| budget.is_some())
        .map(|(key, _)| path("llm").then(key));
    for role in config.known_roles() {
        let model = config.model_of(&role);
        let (input, output) = (model.price_in_usd.is_some(), model.price_out_usd.is_some());
        let own = KeyPath::new(["llm", "roles", role.as_str()]);
        let (what, way_out) = match (model.way(), model.output()) {
            (ModelWay::Server, _) if input != output => {
                ("only one of `price_in_usd` and `price_out_usd` is set", "set both, or none")
            }
            (ModelWay::Server, _) if budget.is_some() && !input => (
                "there is a budget, and nobody says what this server's answers cost",
                "set `price_in_usd` and `price_out_usd`",
            ),
            (ModelWay::Agent, AgentSays::Text) if budget.is_some() => (
                "there is a budget, and an agent with `output = \"text\"` does not say what it costs",
                "have it print a result line, or leave the budgets out",
            ),
            _ => continue,
        };
        let keys = ["url", "program", "output", "price_in_usd", "price_out_usd", "way"];
        let places = keys.iter().flat_map(|key| [own.then(key), path("llm").then(key)]).chain(budget.clone());
        let place = places.map(|key| collected.place(&key)).find(|place| *place != super::Place::Default);
        let what = format!("the role `{role}`: {what}");
        collected.problem(place.unwrap_or(super::Place::Default), what, way_out);
    }
}

/// The settings of staging, as far as they concern the host; the component checks the rest against its schema.
fn staging(config: &Config, collected: &mut Collected) {
    let general = (path("staging_runner"), &config.staging);
    let own = config
        .repos
        .iter()
        .map(|(name, repo)| (KeyPath::new(["repos", name.as_str(), "staging_runner"]), &repo.staging));
    for (section, staging) in [general].into_iter().chain(own) {
        let key = section.then("target");
        let known = config.ssh_targets.keys().map(String::as_str);
        missing(&key, staging.target.iter(), known, "target", "[ssh.targets.<name>]", collected);
        let settings = section.then("settings");
        for key in staging.settings.iter().flat_map(|settings| settings.0.keys()) {
            if Config::staging_keys().contains(&key.as_str()) {
                let what = format!("`{settings}` says {} again", quoted(key));
                collected.problem(
                    collected.place(&settings),
                    what,
                    format!("set `{}` instead", section.then(key)),
                );
            }
        }
        exit_codes(&section, staging.exit_codes.as_ref(), collected);
    }
}

fn exit_codes(
    section: &KeyPath,
    codes: Option<&std::collections::BTreeMap<String, String>>,
    collected: &mut Collected,
) {
    let key = section.then("exit_codes");
    for code in codes.into_iter().flat_map(|codes| codes.keys()).filter(|code| code.parse::<u8>().is_err()) {
        let what = format!("`{key}`: {} is not an exit code", quoted(code));
        collected.problem(collected.place(&key), what, "write a number from 0 to 255 between quotes");
    }
}

/// The settings of suites, as far as they concern the host; the component checks the rest against its schema.
fn suites(config: &Config, collected: &mut Collected) {
    let known = config.producers.iter().find(|(name, _)| name.as_str() == TEST_RUNNER);
    let known: BTreeSet<&str> = known
        .and_then(|(_, producer)| producer.probe.endpoints.as_ref())
        .into_iter()
        .flat_map(|endpoints| endpoints.keys().map(String::as_str))
        .collect();
    let general = (path("test_runner"), &config.suite, &config.setup);
    let own = config.repos.iter().map(|(name, repo)| {
        (KeyPath::new(["repos", name.as_str(), "test_runner"]), &repo.suite, &repo.setup)
    });
    for (section, suite, setup) in [general].into_iter().chain(own) {
        let smoke = section.then("smoke");
        for probe in suite.smoke.iter().flatten() {
            let Some(endpoint) = probe.0.get("endpoint").and_then(|endpoint| endpoint.as_str()) else {
                continue;
            };
            if !known.contains(endpoint) {
                let near = nearest(endpoint, known.iter().copied());
                let way_out = near.map_or_else(
                    || format!("add it to `producers.{TEST_RUNNER}.grants.probe.endpoints`"),
                    |near| format!("did you mean `{near}`?"),
                );
                let what = format!("`{smoke}` names the endpoint {}, which is not granted", quoted(endpoint));
                collected.problem(collected.place(&smoke), what, way_out);
            }
        }
        let settings = section.then("settings");
        for key in suite.settings.iter().flat_map(|settings| settings.0.keys()) {
            if Config::suite_keys().contains(&key.as_str()) {
                let what = format!("`{settings}` says {} again", quoted(key));
                let way_out = format!("set `{}` instead", section.then(key));
                collected.problem(collected.place(&settings), what, way_out);
            }
        }
        for (section, codes) in [(&section, &suite.exit_codes), (&section.then("setup"), &setup.exit_codes)] {
            exit_codes(section, codes.as_ref(), collected);
        }
    }
}

/// What an effect needs, by what it does.
fn effects(name: &EffectName, effect: &Effect, config: &Config, collected: &mut Collected) {
    let section = KeyPath::new(["effects", name.as_str()]);
    let mut wrong = |key: &str, what: &str, way_out: &str| {
        let key = section.then(key);
        let own = collected.names.get("effects").and_then(|names| names.get(name.as_str())).cloned();
        let place = match (collected.place(&key), own) {
            (super::Place::Default, Some(own)) => own,
            (place, _) => place,
        };
        collected.problem(place, format!("`{key}` {what}"), way_out);
    };
    match effect.does {
        None => wrong("does", "is not set", "set it to `merge` or `command`"),
        Some(EffectKind::Merge) => {
            if effect.program.is_some() || effect.class.is_some() || effect.read_back.is_some() {
                wrong("does", "is `merge`, which has no program and no class", "leave them out");
            }
        }
        Some(EffectKind::Command) => {
            if effect.program.is_none() {
                wrong("program", "is not set", "name what the effect runs");
            }
            if effect.into.is_some() {
                wrong("into", "is for `merge` only", "leave it out");
            }
            match (effect.class, effect.read_back.is_some()) {
                (None, _) => wrong(
                    "class",
                    "is not set",
                    "say `conditional`, `keyed`, `observable` or `blind`; in doubt, `blind`",
                ),
                (Some(EffectIs::Observable), false) => {
                    wrong(
                        "read_back",
                        "is not set",
                        "name a program that tells whether the act has happened",
                    );
                }
                (Some(EffectIs::Observable), true) | (Some(_), false) => {}
                (Some(_), true) => {
                    wrong(
                        "read_back",
                        "is for the class `observable` only",
                        "leave it out, or change `class`",
                    );
                }
            }
        }
    }
    if let Some(into) = &effect.into
        && let Err(error) = BranchName::new(into.as_str())
    {
        wrong("into", &format!("is no branch: {error}"), "name a branch, such as `main`");
    }
    if effect.timeout_s > config.jobs.transition_s {
        let what =
            format!("is more than the {} s that a whole transition may take", config.jobs.transition_s.0);
        wrong("timeout_s", &what, "lower it, or raise `jobs.transition_s`");
    }
    for (code, meaning) in effect.exit_codes.iter().flatten() {
        if code.parse::<u8>().is_err() {
            let what = format!("has {}, which is not an exit code", quoted(code));
            wrong("exit_codes", &what, "write a number from 0 to 255 between quotes");
        }
        if crate::effect::Meaning::of(meaning).is_none() {
            let what = format!("has {} as a meaning", quoted(meaning));
            wrong("exit_codes", &what, "write `done`, `later`, `held` or `unclear`");
        }
    }
}

/// The address must be one. Whether it can be had is seen when the daemon starts.
fn http(config: &Config, collected: &mut Collected) {
    if config.http.listen.parse::<std::net::SocketAddr>().is_err() {
        let key = path("http.listen");
        let what = format!("`{key}` is {}, which is no address with a port", quoted(&config.http.listen));
        collected.problem(
            collected.place(&key),
            what,
            "write it like `127.0.0.1:8470`, or `[::1]:0` for any free port",
        );
    }
}

fn log(config: &Config, collected: &mut Collected) {
    if let Err(error) = EnvFilter::builder().parse(&config.log.level) {
        let key = path("log.level");
        let what = format!("`{key}` is {}, which can't be understood: {error}", quoted(&config.log.level));
        collected.problem(
            collected.place(&key),
            what,
            "write a level such as `info`, or `warn,stagewright_store=debug`",
        );
    }
}

fn path(text: &str) -> KeyPath {
    KeyPath::new(text.split('.'))
}

/// The place of the first of two keys that somebody set.
fn either(collected: &Collected, first: &KeyPath, second: &KeyPath) -> super::Place {
    match collected.place(first) {
        super::Place::Default => collected.place(second),
        place => place,
    }
}
