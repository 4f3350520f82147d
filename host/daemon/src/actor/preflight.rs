//! A look at the staging-runner's whole channel when the daemon starts (P2): best effort, and never in anybody's way.
//!
//! What is found is shown in `/queue` and logged. It stops nothing and decides nothing: whether a run can work is seen by
//! the run, which says so as an outcome of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stagewright_capability::{Cancel, Place};
use stagewright_engine::identity::RunId;
use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_engine::outcome::Cause;
use stagewright_engine::time::Timestamp;
use stagewright_sandbox::{Finding, FindingState};

use super::stop::{Phase, Stop};
use crate::clock;
use crate::config::STAGING_RUNNER;
use crate::worker::Worker;

/// How long a look that is told to end may take for it.
const END: Duration = Duration::from_secs(5);

/// What the look has shown. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Preflight(Arc<Mutex<Option<Looked>>>);

/// What a look has shown.
#[derive(Clone, Debug)]
pub struct Looked {
    /// When it was over.
    pub at: Timestamp,
    /// What was found, or why nothing could be.
    pub found: Result<Vec<Finding>, String>,
}

impl Looked {
    /// Whether somebody has to mend something before a run can work; `None` if that could not be seen.
    pub fn is_defect(&self) -> Option<bool> {
        let found = self.found.as_ref().ok()?;
        Some(found.iter().any(|finding| finding.state == FindingState::Defect))
    }

    /// In one line: the first thing that is wrong, or that nothing is.
    pub fn message(&self) -> String {
        let found = match &self.found {
            Ok(found) => found,
            Err(why) => return format!("it could not be looked at: {why}"),
        };
        match found.iter().find(|finding| finding.state != FindingState::Ok) {
            Some(Finding { check, message, remedy: Some(remedy), .. }) => {
                format!("{check}: {message}; {remedy}")
            }
            Some(Finding { check, message, remedy: None, .. }) => format!("{check}: {message}"),
            None => format!("{} checks, nothing wrong", found.len()),
        }
    }
}

impl Preflight {
    /// What the look has shown; `None` while it is not over.
    pub fn looked(&self) -> Option<Looked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, found: Result<Vec<Finding>, String>) {
        let looked = Looked { at: clock::now(), found };
        match looked.is_defect() {
            Some(false) => tracing::info!(message = looked.message(), "the channel to staging was looked at"),
            _ => tracing::warn!(message = looked.message(), "the channel to staging was looked at"),
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(looked);
    }
}

/// Looks once, if the operator wants it and there is something to look at.
pub async fn run(worker: Worker, shown: Preflight, stop: Stop) {
    if !is_wanted(&worker) {
        return;
    }
    let cancel = Cancel::new();
    let mut look = std::pin::pin!(look(&worker, cancel.clone()));
    tokio::select! {
        found = &mut look => shown.tell(found),
        () = stop.reached(Phase::Draining) => {
            cancel.cancel(Cause::Shutdown);
            // So that it clears away after itself; its end is not waited for any longer than this.
            let _ = tokio::time::timeout(END, look).await;
        }
    }
}

fn is_wanted(worker: &Worker) -> bool {
    let config = &worker.config;
    config.staging_runner.enabled && config.staging_runner.preflight && config.has_staging()
}

/// The settings that hold for everybody: a repository that says otherwise is looked at by its own runs.
async fn look(worker: &Worker, cancel: Cancel) -> Result<Vec<Finding>, String> {
    let producer = ProducerName::new(STAGING_RUNNER).map_err(|error| error.to_string())?;
    let repo = RepoName::new("unnamed").map_err(|error| error.to_string())?;
    let run = RunId::new(clock::new_id());
    let folder = worker.state.aside().join(run.to_string());
    let place = Place::make(run, &folder, folder.join("logs")).map_err(|error| error.to_string())?;
    let found = worker.preflight(&producer, &repo, &place, &cancel).await;
    for folder in [folder, place.tmp] {
        // What can't be removed is for a later sweep.
        let _ = stagewright_repository::removal::remove(&folder).await;
    }
    found.map_err(|fault| fault.message)
}
