//! What the built-in runners' settings say that concerns the host: targets, endpoints, keys that are said twice. The
//! components check the rest against their schemas.

use std::collections::{BTreeMap, BTreeSet};

use super::super::declare::KeyPath;
use super::super::problem::{nearest, quoted};
use super::super::reader::Collected;
use super::super::value::Opaque;
use super::super::{Config, Place, TEST_RUNNER};
use super::{missing, path};

/// A target has an address, and nothing of it can be taken for an option of ssh.
pub(super) fn targets(config: &Config, collected: &mut Collected) {
    for (name, target) in &config.ssh_targets {
        let section = KeyPath::new(["ssh", "targets", name.as_str()]);
        let own = collected.names.get("ssh.targets").and_then(|names| names.get(name)).cloned();
        if target.host.is_none() {
            let place = own.unwrap_or(Place::Default);
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

/// The settings of staging, as far as they concern the host; the component checks the rest against its schema.
pub(super) fn staging(config: &Config, collected: &mut Collected) {
    let general = (path("staging_runner"), &config.staging);
    let own = config
        .repos
        .iter()
        .map(|(name, repo)| (KeyPath::new(["repos", name.as_str(), "staging_runner"]), &repo.staging));
    for (section, staging) in [general].into_iter().chain(own) {
        let key = section.then("target");
        let known = config.ssh_targets.keys().map(String::as_str);
        missing(&key, staging.target.iter(), known, "target", "[ssh.targets.<name>]", collected);
        said_again(&section, staging.settings.as_ref(), &Config::staging_keys(), collected);
        exit_codes(&section, staging.exit_codes.as_ref(), collected);
    }
}

/// The settings of suites, as far as they concern the host; the component checks the rest against its schema.
pub(super) fn suites(config: &Config, collected: &mut Collected) {
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
        said_again(&section, suite.settings.as_ref(), &Config::suite_keys(), collected);
        for (section, codes) in [(&section, &suite.exit_codes), (&section.then("setup"), &setup.exit_codes)] {
            exit_codes(section, codes.as_ref(), collected);
        }
    }
}

/// Keys of the component's own settings that the host has a key for.
fn said_again(section: &KeyPath, own: Option<&Opaque>, keys: &[&str], collected: &mut Collected) {
    let settings = section.then("settings");
    for key in own.iter().flat_map(|own| own.0.keys()).filter(|key| keys.contains(&key.as_str())) {
        let what = format!("`{settings}` says {} again", quoted(key));
        collected.problem(collected.place(&settings), what, format!("set `{}` instead", section.then(key)));
    }
}

fn exit_codes(section: &KeyPath, codes: Option<&BTreeMap<String, String>>, collected: &mut Collected) {
    let key = section.then("exit_codes");
    for code in codes.into_iter().flat_map(|codes| codes.keys()).filter(|code| code.parse::<u8>().is_err()) {
        let what = format!("`{key}`: {} is not an exit code", quoted(code));
        collected.problem(collected.place(&key), what, "write a number from 0 to 255 between quotes");
    }
}
