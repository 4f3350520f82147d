//! What lies outside of this machine: the channel to staging, and who answers in the roles of models. Nothing is spent and
//! nothing is changed.

use std::collections::BTreeMap;

use stagewright_capability::process::{self, Process, Shepherd};
use stagewright_capability::{Cancel, files, ssh};
use stagewright_engine::identity::JobId;
use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_sandbox::{Capabilities, FindingState};

use super::finding::Finding;
use super::settings::place;
use crate::cli::plugin::Inspected;
use crate::cli::trial::Trial;
use crate::clock;
use crate::config::sections::ModelWay;
use crate::config::{Config, STAGING_RUNNER};
use crate::installation::Installation;
use crate::programs;
use crate::worker::{role_of_model, ssh_grant};

/// Has the staging-runner look at its whole channel: ssh, docker, container.
pub(super) async fn staging(
    config: &Config,
    installation: &Installation,
    repo: &RepoName,
    found: &Inspected,
) -> Vec<Finding> {
    if !config.has_staging() {
        return vec![Finding::warning(
            "staging",
            "there is no target for it: `deploy-staging` will be held",
            "add [ssh.targets.staging], or switch `staging_runner.enabled` off",
        )];
    }
    let broken = |what: String| vec![Finding::broken("staging", what)];
    let Ok(producer) = ProducerName::new(STAGING_RUNNER) else { return Vec::new() };
    let trial = match Trial::within(&std::env::temp_dir()) {
        Ok(trial) => trial,
        Err(error) => return broken(format!("no folder for temporary files could be made: {error}")),
    };
    let shepherd = match installation.shepherd() {
        Ok(program) => Shepherd::new(program),
        Err(error) => return broken(error.to_string()),
    };
    let place = place(&trial);
    let made =
        [&place.logs, &place.clone, &place.home, &place.tmp, &place.scratch].map(std::fs::create_dir_all);
    if let Some(Err(error)) = made.into_iter().find(Result::is_err) {
        return broken(format!("no folder for temporary files could be made: {error}"));
    }
    let (cancel, job) = (Cancel::new(), JobId::new(clock::new_id()));
    let ssh = ssh_grant(config, &producer, repo, job)
        .map(|grant| ssh::Ssh::new(grant, &place, shepherd.clone(), cancel.clone()));
    let capabilities = Capabilities {
        process: Some(Process::new(local(config, &producer, repo), place.clone(), shepherd, cancel)),
        files: Some(files::Files::new(files::Grant::default(), place)),
        ssh,
        ..Capabilities::default()
    };
    let settings = serde_json::Value::Object(config.settings(&producer, repo)).to_string();
    match found.producer.preflight(&settings, capabilities).await {
        Ok(said) => said
            .into_iter()
            .map(|said| {
                let (check, remedy) = (format!("staging {}", said.check), said.remedy.unwrap_or_default());
                match said.state {
                    FindingState::Ok => Finding::ok(check, said.message),
                    FindingState::Warning => Finding::warning(check, said.message, remedy),
                    FindingState::Defect => Finding::defect(check, said.message, remedy),
                }
            })
            .collect(),
        Err(fault) => broken(fault.message),
    }
}

/// The local programs that the staging-runner is granted.
fn local(config: &Config, producer: &ProducerName, repo: &RepoName) -> process::Grant {
    let path = std::env::var_os("PATH");
    let named = config.programs(producer, repo).unwrap_or_default();
    let found = named.into_iter().map(|(name, program)| {
        let file = programs::find(program.as_path(), path.as_deref());
        (name, process::Program::new(file.unwrap_or_else(|| program.as_path().to_owned())))
    });
    process::Grant { programs: found.collect(), ..process::Grant::default() }
}

/// Whoever answers in the roles: once for all roles that are answered in the same way.
pub(super) async fn models(config: &Config) -> Vec<Finding> {
    let mut ways: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for role in config.known_roles() {
        let model = config.model_of(&role);
        let way = match model.way() {
            ModelWay::Agent => model.program().as_path().display().to_string(),
            ModelWay::Server => model.url.unwrap_or_default(),
        };
        ways.entry(way).or_default().push(role);
    }
    let mut findings = Vec::new();
    for (way, roles) in ways {
        let Some(role) = roles.first() else { continue };
        let check = format!("model {way}");
        let seen = match role_of_model(config, role) {
            Ok(way) => way.preflight(role).await,
            Err(failure) => Err(failure),
        };
        findings.push(match seen {
            Ok(seen) => Finding::ok(check, format!("{seen}; roles: {}", roles.join(", "))),
            // Whoever uses programs only needs none.
            Err(failure) => Finding::warning(
                check,
                format!("{}; roles: {}", failure.message, roles.join(", ")),
                "install it, or name another in [llm]; stages that ask a model are held until then",
            ),
        });
    }
    findings
}
