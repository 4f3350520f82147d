//! What the test-runner's component says to its settings: the host knows their types, the component their meaning.

use std::time::Duration;

use stagewright_capability::process::{self, Process, Shepherd};
use stagewright_capability::{Cancel, Place, files, probe};
use stagewright_engine::identity::RunId;
use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_sandbox::{Capabilities, FindingState};

use super::finding::Finding;
use crate::cli::plugin::Inspected;
use crate::cli::trial::Trial;
use crate::clock;
use crate::config::sections::Framework;
use crate::config::{Config, TEST_RUNNER};
use crate::installation::Installation;

/// Asks the component. It may start no program: those are looked at for themselves.
pub(super) async fn of(
    config: &Config,
    installation: &Installation,
    name: &ProducerName,
    repo: &RepoName,
    found: &Inspected,
) -> Vec<Finding> {
    if name.as_str() != TEST_RUNNER {
        return Vec::new();
    }
    let mut settings = config.settings(name, repo);
    // With a framework of its own it would try to start that.
    settings.insert("framework".to_owned(), Framework::Auto.word().into());
    let settings = serde_json::Value::Object(settings).to_string();
    let check = format!("settings {name}");
    let broken = |what: String| vec![Finding::broken(check.clone(), what)];

    let trial = match Trial::within(&std::env::temp_dir()) {
        Ok(trial) => trial,
        Err(error) => return broken(format!("no folder for temporary files could be made: {error}")),
    };
    let shepherd = match installation.shepherd() {
        Ok(program) => Shepherd::new(program),
        Err(error) => return broken(error.to_string()),
    };
    let capabilities = match nothing_but_named(&trial, shepherd) {
        Ok(capabilities) => capabilities,
        Err(failure) => return broken(failure.message),
    };
    match found.producer.preflight(&settings, capabilities).await {
        Ok(said) => said
            .into_iter()
            .filter_map(|said| {
                let remedy = said.remedy.unwrap_or_else(|| "correct the keys of [test_runner]".to_owned());
                match said.state {
                    FindingState::Ok => None,
                    FindingState::Warning => Some(Finding::warning(check.clone(), said.message, remedy)),
                    FindingState::Defect => Some(Finding::defect(check.clone(), said.message, remedy)),
                }
            })
            .collect(),
        Err(fault) => match fault.remedy {
            Some(remedy) => vec![Finding::defect(check, fault.message, remedy)],
            None => broken(fault.message),
        },
    }
}

/// Every capability that the test-runner imports, with nothing in it.
fn nothing_but_named(
    trial: &Trial,
    shepherd: Shepherd,
) -> Result<Capabilities, stagewright_capability::Failure> {
    let place = place(trial);
    let cancel = Cancel::new();
    let endpoints = std::collections::BTreeMap::new();
    let probe = probe::Grant { endpoints, max_bytes: 1, max_time: Duration::from_secs(1) };
    Ok(Capabilities {
        process: Some(Process::new(process::Grant::default(), place.clone(), shepherd, cancel.clone())),
        files: Some(files::Files::new(files::Grant::default(), place)),
        probe: Some(probe::Probe::new(probe, cancel)?),
        ..Capabilities::default()
    })
}

/// Folders of a run that never takes place.
pub(super) fn place(trial: &Trial) -> Place {
    let folder = |name| trial.path().join(name);
    Place {
        run: RunId::new(clock::new_id()),
        clone: folder("clone"),
        scratch: folder("scratch"),
        home: folder("home"),
        tmp: folder("tmp"),
        logs: folder("logs"),
    }
}
