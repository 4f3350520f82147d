//! `GET /health`: is it there, and can it read its store? `GET /status`: what it is, and how far it has come.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::Api;
use super::problem::{Told, refusals};
use crate::actor::Phase;
use crate::view::Time;

/// How long the store may take before it counts as one that can't be read.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the daemon takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StateWord {
    /// It does.
    Running,
    /// It begins nothing new; what runs goes on.
    Draining,
    /// It ends what runs.
    Ending,
}

impl From<Phase> for StateWord {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Running => Self::Running,
            Phase::Draining => Self::Draining,
            Phase::Ending => Self::Ending,
        }
    }
}

/// The word of a daemon that is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Well {
    /// It answers, and its store can be read.
    Ok,
}

/// A daemon that is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Health {
    /// Always `ok`: what is not well is a problem.
    status: Well,
    /// The program's version.
    version: &'static str,
    /// Whether it takes work.
    state: StateWord,
}

refusals! {
    /// Why the daemon is not well.
    Unwell { StoreTrouble }
}

pub(super) async fn health(State(api): State<Api>) -> Result<Json<Health>, Unwell> {
    match tokio::time::timeout(PATIENCE, api.parts.store.last_event()).await {
        Ok(read) => read.map(drop)?,
        Err(_) => {
            let told = Told::new(format!("the store did not answer within {} s", PATIENCE.as_secs()))
                .with_remedy("look whether another program keeps the store's disk or file busy");
            return Err(Unwell::StoreTrouble(told));
        }
    }
    Ok(Json(Health { status: Well::Ok, version: env!("CARGO_PKG_VERSION"), state: api.phase().into() }))
}

/// What this daemon is, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Status {
    /// The program's version.
    version: &'static str,
    /// Whether it takes work.
    state: StateWord,
    /// When it started.
    started: Time,
    /// For how long it runs, in milliseconds.
    uptime_ms: u64,
    /// This instance: new at every start.
    instance: String,
    /// Its process.
    pid: u32,
    /// Where it listens.
    listen: String,
    /// How many jobs may run at once.
    job_limit: u32,
    /// Every instance that uses the store, this one and those of commands.
    instances: Vec<InstanceView>,
    /// What this process has written.
    store: StoreView,
}

/// An instance that uses the store, or that nobody has cleared after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct InstanceView {
    /// Its id.
    id: String,
    /// Its machine.
    host: String,
    /// Its process on that machine.
    pid: u32,
    /// Its version.
    version: String,
    /// When it started.
    started: Time,
}

/// What this process has written into the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct StoreView {
    /// Transactions.
    commits: u64,
    /// Commands that they answered.
    commands: u64,
    /// The place of the newest event in the log.
    last_event: u64,
}

refusals! {
    /// Why the status can't be said.
    NoStatus {}
}

pub(super) async fn status(State(api): State<Api>) -> Result<Json<Status>, NoStatus> {
    let metrics = api.parts.store.metrics();
    let instances = api.parts.store.instances().await?;
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        state: api.phase().into(),
        started: api.parts.started.into(),
        uptime_ms: crate::clock::now().since(api.parts.started).as_millis(),
        instance: api.parts.instance.to_string(),
        pid: std::process::id(),
        listen: api.parts.address.to_string(),
        job_limit: api.parts.config.limits.jobs,
        instances: instances
            .into_iter()
            .map(|instance| InstanceView {
                id: instance.id.to_string(),
                host: instance.host,
                pid: instance.pid,
                version: instance.version,
                started: instance.started.into(),
            })
            .collect(),
        store: StoreView {
            commits: metrics.commits,
            commands: metrics.commands,
            last_event: api.parts.store.last_event().await?,
        },
    }))
}
