//! What must hold between keys, and inside the values that a type alone does not check.

mod effects;
mod models;
mod producers;
mod runners;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use stagewright_engine::name::RepoName;
use tracing_subscriber::EnvFilter;

use super::declare::KeyPath;
use super::problem::{nearest, quoted};
use super::reader::Collected;
use super::{Config, Place};

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
                collected.problem(place.unwrap_or(Place::Default), error.to_string(), "");
            }
        }
    }
    valid.into_iter().collect()
}

pub(super) fn all(config: &Config, collected: &mut Collected) {
    ages(config, collected);
    scopes(config, collected);
    for (name, producer) in &config.producers {
        producers::all(name, producer, config, collected);
    }
    runners::targets(config, collected);
    models::all(config, collected);
    runners::staging(config, collected);
    runners::suites(config, collected);
    for (name, effect) in &config.effects {
        effects::all(name, effect, config, collected);
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
fn either(collected: &Collected, first: &KeyPath, second: &KeyPath) -> Place {
    match collected.place(first) {
        Place::Default => collected.place(second),
        place => place,
    }
}
