//! Transition leases: who is in a task's side-effectful region, and how a person takes one away (O7).

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_engine::name::{RepoName, WorkItem};

use super::Api;
use super::guard::Permit;
use super::input::{Query, key_schema};
use super::problem::{Told, refusals};
use crate::clock;
use crate::release::{self, Freed, NotFreed};
use crate::view::LeaseView;

/// The leases that are held.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Leases {
    /// Whether actors defer to whoever holds a lease.
    enabled: bool,
    /// The oldest first.
    leases: Vec<LeaseView>,
}

refusals! {
    /// Why no leases are listed.
    NoLeases {}
}

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Leases>, NoLeases> {
    let (leases, instances) = (api.parts.store.leases().await?, api.parts.store.instances().await?);
    let now = clock::now();
    let leases = leases.iter().map(|lease| LeaseView::of(lease, &instances, now)).collect();
    Ok(Json(Leases { enabled: api.parts.config.transition_lease.enabled, leases }))
}

/// Whose lease is taken away, and how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleaseQuery {
    /// The work item's key.
    #[schemars(schema_with = "key_schema")]
    work_item: WorkItem,
    /// The repository's name, if leases of several are held for the key.
    #[schemars(schema_with = "key_schema")]
    #[serde(default)]
    repo: Option<RepoName>,
    /// Take it from an owner that lives too: its work is ended.
    #[serde(default)]
    force: bool,
}

/// A lease that was taken away.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Released {
    /// The lease as it was.
    lease: LeaseView,
    /// Whether its owner may have been alive; `false`: it was proven dead.
    forced: bool,
    /// The task's epoch since then: what the former owner wants to write is refused.
    epoch: u64,
    /// How many effects are unresolved because of it. If there are any, the task is held.
    unresolved: usize,
    /// Whether the work under it has ended.
    work: WorkState,
    /// How many of its processes still run.
    processes_left: usize,
}

/// Whether work has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum WorkState {
    /// Nothing of it runs any more.
    Ended,
    /// Something of it could not be ended. It can write nothing.
    Running,
}

refusals! {
    /// Why a lease was not taken away.
    NotReleased { NoLease, Ambiguous, OwnerAlive }
}

impl From<NotFreed> for NotReleased {
    fn from(error: NotFreed) -> Self {
        let told = Told::new(error.to_string());
        match error {
            NotFreed::NoLease(_) => Self::NoLease(told),
            NotFreed::OwnerAlive { .. } => Self::OwnerAlive(
                told.with_remedy("wait for it, or ask again with `force=true`: its work is then ended"),
            ),
            NotFreed::Store(error) => Self::Store(error),
        }
    }
}

pub(super) async fn release(
    State(api): State<Api>,
    _: Permit,
    Query(query): Query<ReleaseQuery>,
) -> Result<Json<Released>, NotReleased> {
    let named = |key: &stagewright_engine::identity::TaskKey| {
        key.work_item == query.work_item && query.repo.as_ref().is_none_or(|repo| *repo == key.repo)
    };
    let mut leases = api.parts.store.leases().await?;
    leases.retain(|lease| named(&lease.task));
    let lease = match leases.len() {
        0 => {
            let told = Told::new(format!("nobody holds a lease of {}", query.work_item))
                .with_remedy("/transition-lease lists those that are held");
            return Err(NotReleased::NoLease(told));
        }
        1 => leases.remove(0),
        _ => {
            let repos: Vec<&str> = leases.iter().map(|lease| lease.task.repo.as_str()).collect();
            let told = Told::new(format!("{} has leases in several repositories", query.work_item))
                .with_remedy(format!("name one with `repo`: {}", repos.join(", ")));
            return Err(NotReleased::Ambiguous(told));
        }
    };
    let instances = api.parts.store.instances().await?;
    let view = LeaseView::of(&lease, &instances, clock::now());
    // Half of what a request may take: the rest is for the answer.
    let patience = api.time_limit() / 2;
    let freed =
        release::release(&api.parts.store, &api.parts.state, &lease.task, query.force, "the API", patience)
            .await?;
    api.look_again();
    let Freed { forced, epoch, unresolved, left, .. } = freed;
    Ok(Json(Released {
        lease: view,
        forced,
        epoch: epoch.get(),
        unresolved,
        work: if left == 0 { WorkState::Ended } else { WorkState::Running },
        processes_left: left,
    }))
}
