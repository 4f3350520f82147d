//! What the staging-runner is told, and on which targets it may run commands.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_engine::time::Span;

use super::declare::Section as _;
use super::sections::{SshTarget, Staging};
use super::value::{Opaque, Seconds, Setting};
use super::{Config, Repo, STAGING_RUNNER};

/// How long a check of staging may take if nobody says.
const CHECK_TIMEOUT: Seconds = Seconds(900);
/// The target of a check if nobody says.
const TARGET: &str = "staging";

impl Staging {
    /// These settings, and those of `base` where these say nothing.
    fn over(self, base: &Self) -> Self {
        Self {
            exec_host_side: self.exec_host_side.or(base.exec_host_side),
            target: self.target.or_else(|| base.target.clone()),
            container: self.container.or_else(|| base.container.clone()),
            docker: self.docker.or_else(|| base.docker.clone()),
            shell_in_container: self.shell_in_container.or(base.shell_in_container),
            command: self.command.or_else(|| base.command.clone()),
            args: self.args.or_else(|| base.args.clone()),
            timeout_s: self.timeout_s.or(base.timeout_s),
            timeout_is: self.timeout_is.or(base.timeout_is),
            exit_codes: self.exit_codes.or_else(|| base.exit_codes.clone()),
            settings: self.settings.or_else(|| base.settings.clone()),
        }
    }

    /// The ssh target.
    fn target(&self) -> &str {
        self.target.as_deref().unwrap_or(TARGET)
    }

    /// Whether the check runs on the target, over ssh.
    pub fn host_side(&self) -> bool {
        self.exec_host_side.unwrap_or(true)
    }

    fn seconds(&self) -> Seconds {
        self.timeout_s.unwrap_or(CHECK_TIMEOUT)
    }
}

impl Config {
    /// How the staging of a repository is checked.
    pub fn staging_of(&self, repo: &RepoName) -> Staging {
        self.repo(repo).staging.over(&self.staging)
    }

    /// Whether checks run on the host of staging over ssh, where a repository does not say otherwise.
    pub fn staging_host_side(&self) -> bool {
        self.staging.host_side()
    }

    /// Whether there is anything on which staging can be checked, for everybody or for a repository.
    pub fn has_staging(&self) -> bool {
        let unnamed = Repo::default();
        self.repos.values().chain([&unnamed]).any(|repo| {
            let staging = repo.staging.clone().over(&self.staging);
            !staging.host_side() || self.ssh_targets.contains_key(staging.target())
        })
    }

    /// How long a whole run of the staging-runner may take.
    pub(super) fn staging_limit(&self, repo: &Repo) -> Span {
        let check = repo.staging.clone().over(&self.staging).seconds();
        Span::from_secs(check.0).plus(Span::from_secs(self.sandbox.margin_s.0))
    }

    /// The settings of the staging-runner, as its component is given them.
    pub(super) fn staging_settings(
        &self,
        repo: &RepoName,
        configured: Map<String, Value>,
    ) -> Map<String, Value> {
        let staging = self.staging_of(repo);
        let mut settings = staging.settings.clone().map_or_else(Map::new, |Opaque(settings)| settings);
        settings.extend(configured);
        let known = [
            ("exec_host_side", staging.exec_host_side.show()),
            ("target", Some(staging.target().into())),
            ("container", staging.container.show()),
            ("docker", staging.docker.show()),
            ("shell_in_container", staging.shell_in_container.show()),
            ("command", staging.command.show()),
            ("args", staging.args.show()),
            ("timeout_s", staging.seconds().show()),
            ("timeout_is", staging.timeout_is.show()),
            ("exit_codes", staging.exit_codes.show()),
        ];
        settings.extend(known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        settings
    }

    /// The keys of `[staging_runner]` that are handed to the component, so that `settings` can't say them again.
    pub(super) fn staging_keys() -> Vec<&'static str> {
        let keys = Staging::declare("staging_runner").keys;
        keys.into_iter().map(|key| key.name).filter(|name| *name != "settings").collect()
    }

    /// The targets on which a producer may run commands; `None` if the capability is not granted. The staging-runner
    /// may use the one of its settings.
    pub fn targets(&self, producer: &ProducerName, repo: &RepoName) -> Option<BTreeMap<String, SshTarget>> {
        let granted = self.producers.get(producer).and_then(|producer| producer.ssh.targets.clone());
        let names: BTreeSet<String> = match granted {
            Some(names) => names.into_iter().collect(),
            None if producer.as_str() == STAGING_RUNNER => {
                BTreeSet::from([self.staging_of(repo).target().to_owned()])
            }
            None => return None,
        };
        let known = names.into_iter().filter_map(|name| {
            let target = self.ssh_targets.get(&name)?.clone();
            Some((name, target))
        });
        Some(known.collect())
    }
}
