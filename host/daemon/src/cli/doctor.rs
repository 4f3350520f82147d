//! `doctor`: looks for real at what a run needs, and says how to mend each finding (S6).
//!
//! It starts the programs, opens the store and loads the components, as a run would do it. It mends nothing, and it
//! leaves nothing behind but what any start of the program makes in an existing state folder.

mod channels;
mod finding;
mod machine;
mod parts;
mod settings;
mod suite;
mod version;

use std::path::PathBuf;

use clap::Args;
use stagewright_engine::name::RepoName;

use self::finding::{Finding, Findings};
use super::config_command::load;
use super::{Failure, Global};
use crate::config::Config;
use crate::exit::Exit;
use crate::host;
use crate::installation::Installation;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stagewright doctor\n  stagewright doctor --repo . --json\n\nExit code: 0 if a run can work, 1 if something is defect."
)]
pub(crate) struct DoctorArgs {
    /// A checkout whose suite shall run: look at its Python and pytest too
    #[arg(long, value_name = "FOLDER")]
    repo: Option<PathBuf>,
}

pub(crate) async fn doctor(global: &Global, args: &DoctorArgs) -> Result<Exit, Failure> {
    let config = load(global)?;
    let mut findings = Findings::new(global.json);
    findings.add(machine::configuration(&config));
    findings.add(machine::git(&config).await);
    findings.add(machine::http(&config));
    let state = host::state_location(&config)?;
    let store = state.join("store.sqlite3");
    findings.extend(machine::state(&state));
    findings.extend(machine::reach(&state));
    findings.add(parts::store(&store).await);
    findings.add(machine::clock(&store));
    let repo = repo_name(&config, args)?;
    match Installation::find() {
        Ok(installation) => {
            findings.extend(parts::isolation(&config, &installation).await);
            findings.extend(parts::components(&config, &installation, &repo).await);
        }
        Err(error) => {
            findings.add(Finding::defect("installation", error.to_string(), "install the program anew"))
        }
    }
    findings.extend(channels::models(&config).await);
    for producer in config.producers.keys() {
        findings.extend(suite::granted(&config, producer, &repo).await);
    }
    if let Some(checkout) = &args.repo {
        findings.extend(suite::python(&config, &repo, checkout).await);
    }
    Ok(findings.finish())
}

/// The name under which the configuration knows the checkout; without one the general settings are looked at.
fn repo_name(config: &Config, args: &DoctorArgs) -> Result<RepoName, Failure> {
    let named = args.repo.as_deref().and_then(|checkout| config.repo_at(checkout));
    match named {
        Some(name) => Ok(name.clone()),
        None => Ok(RepoName::new("unnamed")?),
    }
}
