//! `GET /queue`: counts, live jobs page by page, and a block for each part that has something to say.
//!
//! Many look at it at once and again and again, so what all of them see is read once: a snapshot that is at most
//! [`FRESH`] old. The first page is kept as the bytes of the answer.

mod parts;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described, StatusCode as Code};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_engine::identity::JobId;
use stagewright_store::request::model::SpendingOf;
use stagewright_store::request::queue::{LiveFilter, LiveJob, LiveState, Overview};
use stagewright_store::request::task::TaskStateKind;

use self::parts::{LeasesView, LlmView, SerialGateView, StagingRunnerView, TestRunnerView};
use super::Api;
use super::input::{Limit, Query};
use super::problem::{Told, refusals};
use crate::clock;
use crate::config::Config;
use crate::view::{JobView, LeaseView, Time};

/// How old what is shown may be.
const FRESH: Duration = Duration::from_millis(250);
/// How old it is when the next one is read, if somebody looks.
const EARLY: Duration = Duration::from_millis(100);

/// Which live jobs are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QueueQuery {
    /// Only jobs in this state.
    state: Option<LiveWord>,
    /// How many jobs at most.
    #[serde(default)]
    limit: Limit,
    /// Goes on behind a page: its `next`.
    #[schemars(regex(
        pattern = "^(running|finished|held|deferred|queued):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
    ))]
    after: Option<String>,
}

/// The state of a live job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LiveWord {
    /// Owned by one worker.
    Running,
    /// Has a verdict; its transition is not yet completed.
    Finished,
    /// Waits for a person.
    Held,
    /// Tried again later.
    Deferred,
    /// Due, and nobody is at it.
    Queued,
}

impl From<LiveWord> for LiveState {
    fn from(word: LiveWord) -> Self {
        match word {
            LiveWord::Running => Self::Running,
            LiveWord::Finished => Self::Finished,
            LiveWord::Held => Self::Held,
            LiveWord::Deferred => Self::Deferred,
            LiveWord::Queued => Self::Queued,
        }
    }
}

/// The queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct QueueView {
    /// When it was read; a quarter of a second ago at most.
    at: Time,
    /// How many tasks there are.
    tasks: TaskCounts,
    /// How many live jobs there are.
    counts: JobCounts,
    /// Live jobs: running, finished, held, deferred and queued ones, in this order.
    jobs: Vec<JobView>,
    /// What `after` takes to go on; `null` at the end.
    next: Option<String>,
    /// The test-runner.
    test_runner: TestRunnerView,
    /// The staging-runner.
    staging_runner: StagingRunnerView,
    /// The transition lease.
    transition_lease: LeasesView,
    /// The serial gate: at most one task of a repository is in an edge with effects.
    serial_gate: SerialGateView,
    /// The language model.
    llm: LlmView,
}

/// How many tasks there are in each state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct TaskCounts {
    active: u64,
    held: u64,
    done: u64,
    cancelled: u64,
}

/// How many live jobs there are in each state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct JobCounts {
    running: u64,
    finished: u64,
    held: u64,
    deferred: u64,
    queued: u64,
}

refusals! {
    /// Why the queue can't be shown.
    NoQueue { BadQuery }
}

/// What all who look at once see.
pub(super) struct Snapshot {
    pub(super) overview: Overview,
    first: QueueView,
    json: Bytes,
}

/// The newest snapshot. One at a time reads the next one: early enough, while many look, that nobody has to wait for it.
#[derive(Default)]
pub(super) struct Snapshots {
    newest: Mutex<Option<(Instant, Arc<Snapshot>)>>,
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl Snapshots {
    pub(super) async fn get(&self, api: &Api) -> Result<Arc<Snapshot>, stagewright_store::Error> {
        if let Some((age, snapshot)) = self.newest()
            && age < FRESH
        {
            if age > EARLY
                && let Ok(turn) = Arc::clone(&self.reading).try_lock_owned()
            {
                let api = api.clone();
                tokio::spawn(async move {
                    // In trouble, the next who asks is told of it.
                    let _ = api.snapshots.read(&api).await;
                    drop(turn);
                });
            }
            return Ok(snapshot);
        }
        let _turn = self.reading.lock().await;
        match self.newest() {
            // Somebody has read it while this one waited.
            Some((age, snapshot)) if age < FRESH => Ok(snapshot),
            _ => self.read(api).await,
        }
    }

    /// Reads a new one. The caller's turn it has to be.
    async fn read(&self, api: &Api) -> Result<Arc<Snapshot>, stagewright_store::Error> {
        let begun = Instant::now();
        let snapshot = Arc::new(Snapshot::read(api).await?);
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some((begun, Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    fn newest(&self) -> Option<(Duration, Arc<Snapshot>)> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.as_ref().map(|(read, snapshot)| (read.elapsed(), Arc::clone(snapshot)))
    }
}

impl Snapshot {
    async fn read(api: &Api) -> Result<Self, stagewright_store::Error> {
        let store = &api.parts.store;
        let now = clock::now();
        let overview = store.overview().await?;
        let leases = store.leases().await?;
        let instances = if leases.is_empty() { Vec::new() } else { store.instances().await? };
        let shown = |lease| LeaseView::of(lease, &instances, now);
        let exclusive = leases.iter().filter(|lease| lease.exclusive).map(shown).collect();
        let leases = leases.iter().map(shown).collect();
        let jobs = page(api, &QueueQuery::default(), None).await?;
        let today = SpendingOf { task: None, since: Some(clock::day_of(now)) };
        let today = store.spending(today).await?;
        let staging = StagingRunnerView::of(&api.parts.config, &overview, api.parts.preflight.looked());
        let llm = LlmView::of(&api.parts.config, today);
        let first = view(&api.parts.config, &overview, leases, exclusive, jobs, (staging, llm), now.into());
        let json = serde_json::to_vec(&first).unwrap_or_default().into();
        Ok(Self { overview, first, json })
    }
}

/// A page of live jobs, and where the next one begins.
type Page = (Vec<LiveJob>, Option<String>);

async fn page(
    api: &Api,
    query: &QueueQuery,
    after: Option<(LiveState, JobId)>,
) -> Result<Page, stagewright_store::Error> {
    let Limit(limit) = query.limit;
    // One more than is wanted tells whether there is a next page.
    let filter = LiveFilter { state: query.state.map(Into::into), after, limit: limit + 1 };
    let mut jobs = api.parts.store.live_jobs(filter).await?;
    let more = jobs.len() > limit as usize;
    jobs.truncate(limit as usize);
    let last = jobs.last().filter(|_| more).and_then(|last| {
        let state = LiveState::of(&last.job.state)?;
        Some(format!("{}:{}", state.as_str(), last.job.id))
    });
    Ok((jobs, last))
}

fn view(
    config: &Config,
    overview: &Overview,
    leases: Vec<LeaseView>,
    exclusive: Vec<LeaseView>,
    (jobs, next): Page,
    (staging_runner, llm): (StagingRunnerView, LlmView),
    at: Time,
) -> QueueView {
    let tasks = |kind| overview.tasks.get(&kind).copied().unwrap_or_default();
    let jobs_in = |state| overview.jobs.get(&state).copied().unwrap_or_default();
    QueueView {
        at,
        tasks: TaskCounts {
            active: tasks(TaskStateKind::Active),
            held: tasks(TaskStateKind::Held),
            done: tasks(TaskStateKind::Done),
            cancelled: tasks(TaskStateKind::Cancelled),
        },
        counts: JobCounts {
            running: jobs_in(LiveState::Running),
            finished: jobs_in(LiveState::Finished),
            held: jobs_in(LiveState::Held),
            deferred: jobs_in(LiveState::Deferred),
            queued: jobs_in(LiveState::Queued),
        },
        jobs: jobs.iter().map(Into::into).collect(),
        next,
        test_runner: TestRunnerView::of(config, overview),
        staging_runner,
        transition_lease: LeasesView::of(config, leases),
        serial_gate: SerialGateView::of(exclusive),
        llm,
    }
}

/// The queue, as bytes that are ready or as a page of its own.
pub(super) enum Shown {
    Ready(Bytes),
    Page(Box<QueueView>),
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        match self {
            Self::Ready(json) => {
                ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response()
            }
            Self::Page(view) => Json(view).into_response(),
        }
    }
}

impl OperationOutput for Shown {
    type Inner = QueueView;

    fn operation_response(ctx: &mut GenContext, operation: &mut Operation) -> Option<Described> {
        Json::<QueueView>::operation_response(ctx, operation)
    }

    fn inferred_responses(ctx: &mut GenContext, operation: &mut Operation) -> Vec<(Option<Code>, Described)> {
        Json::<QueueView>::inferred_responses(ctx, operation)
    }
}

pub(super) async fn queue(State(api): State<Api>, Query(query): Query<QueueQuery>) -> Result<Shown, NoQueue> {
    let snapshot = api.snapshots.get(&api).await?;
    if query == QueueQuery::default() {
        return Ok(Shown::Ready(snapshot.json.clone()));
    }
    let after = query.after.as_deref().map(cursor).transpose()?;
    let (jobs, next) = page(&api, &query, after).await?;
    let jobs = jobs.iter().map(Into::into).collect();
    Ok(Shown::Page(Box::new(QueueView { jobs, next, ..snapshot.first.clone() })))
}

/// The `next` of a page: state and job.
fn cursor(text: &str) -> Result<(LiveState, JobId), NoQueue> {
    let parts = text.split_once(':').and_then(|(word, id)| {
        let state = LiveState::ALL.into_iter().find(|state| state.as_str() == word)?;
        Some((state, id.parse().ok()?))
    });
    parts.ok_or_else(|| {
        NoQueue::BadQuery(
            Told::new("`after` is not the `next` of a page").with_remedy("leave it out to begin anew"),
        )
    })
}
