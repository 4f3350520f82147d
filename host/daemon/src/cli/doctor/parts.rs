//! The parts of this program: the store, the shepherd with its isolation, and the components.

use std::path::Path;

use stagewright_capability::isolation;
use stagewright_capability::process::Shepherd;
use stagewright_engine::name::RepoName;
use stagewright_engine::time::Span;

use super::finding::Finding;
use super::{channels, settings};
use crate::cli::plugin::Workshop;
use crate::cli::trial::Trial;
use crate::config::sections::Require;
use crate::config::{Config, STAGING_RUNNER};
use crate::host;
use crate::installation::Installation;

/// The store: opened as every command does it. Where there is none yet, one is made beside its place and removed
/// again, so that the file system has shown what it can.
pub(super) async fn store(file: &Path) -> Finding {
    if file.exists() {
        return match host::open_store(file.to_owned()).await {
            Ok(_) => Finding::ok("store", file.display().to_string()),
            Err(error) => Finding::broken("store", error.to_string()),
        };
    }
    let Some(existing) = file.ancestors().skip(1).find(|ancestor| ancestor.is_dir()) else {
        return Finding::defect(
            "store",
            "its folder can't be reached",
            "use another with --state-dir <folder>",
        );
    };
    let trial = match Trial::within(existing) {
        Ok(trial) => trial,
        Err(error) => {
            let message = format!("{} can't be written: {error}", existing.display());
            return Finding::defect("store", message, "use another with --state-dir <folder>");
        }
    };
    match host::open_store(trial.path().join("store.sqlite3")).await {
        Ok(_) => Finding::ok("store", "none yet; one could be made here"),
        Err(error) => Finding::broken("store", error.to_string()),
    }
}

/// The shepherd: it starts a command, and says what kept that in its bounds.
pub(super) async fn isolation(config: &Config, installation: &Installation) -> Vec<Finding> {
    let shepherd = match installation.shepherd() {
        Ok(program) => Shepherd::new(program),
        Err(error) => return vec![Finding::broken("shepherd", error.to_string())],
    };
    let had = match isolation::available(&shepherd).await {
        Ok(had) => had,
        Err(failure) => {
            let remedy =
                "see whether the file may be executed, and whether this user may start more processes";
            return vec![Finding::defect("shepherd", failure.message, remedy)];
        }
    };
    let started = format!("{} starts a command in {}", shepherd.program().display(), Span::from(had.start));
    let level = match (had.is_any(), config.isolation.require) {
        (true, _) => Finding::ok("isolation", had.name),
        (false, Require::Landlock) => Finding::defect(
            "isolation",
            "this kernel has no Landlock, and `isolation.require` asks for it: nothing will be run",
            "use Linux 5.13 or newer with Landlock enabled (lsm=landlock,…), or set `isolation.require` to `best-effort`",
        ),
        (false, Require::BestEffort) => Finding::warning(
            "isolation",
            "none: a suite can read what this user can read",
            "use Linux 5.13 or newer with Landlock enabled (lsm=landlock,…), or run as a user of its own",
        ),
    };
    vec![Finding::ok("shepherd", started), level]
}

/// The component of every producer: there, as it was pinned, compiled, within its grants, content with its settings.
pub(super) async fn components(
    config: &Config,
    installation: &Installation,
    repo: &RepoName,
) -> Vec<Finding> {
    let workshop = match Workshop::open(config) {
        Ok(workshop) => workshop,
        Err(error) => return vec![Finding::broken("components", error.to_string())],
    };
    let mut findings = Vec::new();
    for name in config.producers.keys() {
        let check = format!("component {name}");
        match workshop.producer(config, installation, name, repo).await {
            Ok(found) => {
                findings.push(Finding::ok(
                    check,
                    format!(
                        "{} {} ({})",
                        found.descriptor.name,
                        found.descriptor.version,
                        found.file.display()
                    ),
                ));
                findings.extend(settings::of(config, installation, name, repo, &found).await);
                if name.as_str() == STAGING_RUNNER && config.staging_runner.enabled {
                    findings.extend(channels::staging(config, installation, repo, &found).await);
                }
            }
            Err(error) => findings.push(Finding::broken(check, error.to_string())),
        }
    }
    findings
}
