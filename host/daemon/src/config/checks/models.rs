//! A role can be answered, and a budget binds.

use super::super::declare::KeyPath;
use super::super::problem::quoted;
use super::super::reader::Collected;
use super::super::sections::{AgentSays, ModelWay};
use super::super::{Config, Place};
use super::{either, path};

/// A role can be answered: its name is plain, a server has an address and a model.
pub(super) fn all(config: &Config, collected: &mut Collected) {
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
        let place = places.map(|key| collected.place(&key)).find(|place| *place != Place::Default);
        let what = format!("the role `{role}`: {what}");
        collected.problem(place.unwrap_or(Place::Default), what, way_out);
    }
}
