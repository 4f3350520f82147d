//! Tasks: to look at them, to begin them, and what a person may want of them. Whatever changes something goes the way of
//! the command line: the same engine, the same conditions, the same refusals.

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described, StatusCode as Code};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_engine::identity::TaskKey;
use stagewright_engine::name::{BranchName, RepoName, StageName, WorkItem};
use stagewright_engine::task::Task;
use stagewright_engine::transition::{Refused, Request};
use stagewright_store::request::conclusion::ConcludeRefused;
use stagewright_store::request::task::{TaskFilter, TaskRefused, TaskStateKind};

use super::guard::Permit;
use super::input::{Body, Limit, Query, StagePath, TaskPath, key_schema, stage_schema};
use super::problem::{Told, refusals};
use super::{Api, text_answer};
use crate::begin::{self, NotBegun};
use crate::operator;
use crate::view::{JobView, TaskView};

/// Which tasks are wanted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TasksQuery {
    /// Only tasks in this state.
    state: Option<TaskWord>,
    /// Only tasks of this repository.
    #[schemars(schema_with = "key_schema")]
    #[serde(default)]
    repo: Option<RepoName>,
    /// Only tasks of this work item.
    #[schemars(schema_with = "key_schema")]
    #[serde(default)]
    work_item: Option<WorkItem>,
    /// How many at most.
    #[serde(default)]
    limit: Limit,
    /// Goes on behind a page: its `next`.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    after: Option<String>,
}

/// The state of a task.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum TaskWord {
    /// On its way.
    Active,
    /// Waits for a person.
    Held,
    /// At the end of its pipeline.
    Done,
    /// Given up.
    Cancelled,
}

impl From<TaskWord> for TaskStateKind {
    fn from(word: TaskWord) -> Self {
        match word {
            TaskWord::Active => Self::Active,
            TaskWord::Held => Self::Held,
            TaskWord::Done => Self::Done,
            TaskWord::Cancelled => Self::Cancelled,
        }
    }
}

/// A page of tasks, in the order of repository and work item.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Tasks {
    /// The tasks.
    tasks: Vec<TaskView>,
    /// What `after` takes to go on; `null` at the end.
    next: Option<String>,
}

refusals! {
    /// Why no tasks are listed.
    NoTasks { BadQuery }
}

pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<TasksQuery>,
) -> Result<Json<Tasks>, NoTasks> {
    let Limit(limit) = query.limit;
    let filter = TaskFilter {
        state: query.state.map(Into::into),
        repo: query.repo,
        work_item: query.work_item,
        // One more than is wanted tells whether there is a next page.
        limit: limit + 1,
        after: query.after.as_deref().map(cursor).transpose()?,
        ..TaskFilter::default()
    };
    let mut tasks = api.parts.store.tasks(filter).await?;
    let more = tasks.len() > limit as usize;
    tasks.truncate(limit as usize);
    let next = tasks.last().filter(|_| more).map(|last| format!("{}/{}", last.key.repo, last.key.work_item));
    Ok(Json(Tasks { tasks: tasks.iter().map(Into::into).collect(), next }))
}

/// The `next` of a page: repository and work item.
fn cursor(text: &str) -> Result<TaskKey, NoTasks> {
    let key = text.split_once('/').and_then(|(repo, work_item)| {
        Some(TaskKey { repo: repo.parse().ok()?, work_item: work_item.parse().ok()? })
    });
    key.ok_or_else(|| {
        NoTasks::BadQuery(
            Told::new("`after` is not the `next` of a page").with_remedy("leave it out to begin anew"),
        )
    })
}

refusals! {
    /// Why a task is not shown.
    NotShown { NoSuchTask }
}

async fn find(api: &Api, key: &TaskKey) -> Result<Task, NotShown> {
    api.parts.store.task(key).await?.ok_or_else(|| NotShown::NoSuchTask(no_task(key)))
}

fn no_task(key: &TaskKey) -> Told {
    Told::new(format!("there is no task {key}")).with_remedy("/tasks lists all")
}

pub(super) async fn show(
    State(api): State<Api>,
    TaskPath(key): TaskPath,
) -> Result<Json<TaskView>, NotShown> {
    Ok(Json((&find(&api, &key).await?).into()))
}

/// How many jobs are wanted.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobsQuery {
    /// How many at most.
    #[serde(default)]
    limit: Limit,
}

/// Jobs of a task.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Jobs {
    /// The newest first.
    jobs: Vec<JobView>,
}

pub(super) async fn jobs(
    State(api): State<Api>,
    TaskPath(key): TaskPath,
    Query(query): Query<JobsQuery>,
) -> Result<Json<Jobs>, NotShown> {
    find(&api, &key).await?;
    let jobs = api.parts.store.jobs_of(&key, query.limit.0).await?;
    Ok(Json(Jobs { jobs: jobs.iter().map(Into::into).collect() }))
}

refusals! {
    /// Why an artifact is not shown.
    NotRead { NoSuchTask, NoArtifact }
}

/// An artifact: markdown behind YAML front matter.
pub(super) struct Markdown {
    bytes: Vec<u8>,
    sha256: String,
}

impl IntoResponse for Markdown {
    fn into_response(self) -> Response {
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/markdown; charset=utf-8"));
        let mut response = ([kind], self.bytes).into_response();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", self.sha256)) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

impl OperationOutput for Markdown {
    type Inner = String;

    fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<Code>, Described)> {
        text_answer(ctx, "text/markdown", "The artifact as it was judged. `ETag` is its SHA-256.")
    }
}

pub(super) async fn artifact(
    State(api): State<Api>,
    StagePath(key, stage): StagePath,
) -> Result<Markdown, NotRead> {
    if api.parts.store.task(&key).await?.is_none() {
        return Err(NotRead::NoSuchTask(no_task(&key)));
    }
    let stored = api.parts.store.artifact(&key, &stage).await?;
    let stored = stored
        .ok_or_else(|| NotRead::NoArtifact(Told::new(format!("{key} has no artifact of `{stage}`"))))?;
    Ok(Markdown { bytes: stored.artifact.bytes, sha256: stored.artifact.sha256 })
}

/// A task to be begun.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTask {
    /// The repository: a name of the configuration, or one that already has tasks.
    #[schemars(schema_with = "key_schema")]
    repo: RepoName,
    /// The work item's key.
    #[schemars(schema_with = "key_schema")]
    work_item: WorkItem,
    /// The branch of the work; without it the one that is checked out.
    #[schemars(with = "Option<String>", length(min = 1))]
    #[serde(default)]
    branch: Option<BranchName>,
    /// The stage to begin with; without it the pipeline's first.
    #[schemars(schema_with = "stage_schema")]
    #[serde(default)]
    stage: Option<StageName>,
}

refusals! {
    /// Why no task was begun.
    NotAdded { NoSuchRepo, Busy, NoSuchStage, NoSuchBranch, RepoTrouble }
}

impl From<NotBegun> for NotAdded {
    fn from(error: NotBegun) -> Self {
        use stagewright_repository::Error;
        let told = Told::new(crate::cli::chain(&error));
        match error {
            NotBegun::Store(error) => Self::Store(error),
            NotBegun::NoSuchStage { .. } => Self::NoSuchStage(told),
            NotBegun::NoBranch { .. } | NotBegun::Repository(Error::NoSuchRevision { .. }) => {
                Self::NoSuchBranch(told)
            }
            NotBegun::Moved { .. } => Self::Busy(told.with_remedy("look at the task, and try again")),
            NotBegun::Repository(_) => Self::RepoTrouble(told),
        }
    }
}

/// A task that was begun now, or one that was there already.
pub(super) enum Added {
    New(TaskView, String),
    Known(TaskView),
}

impl IntoResponse for Added {
    fn into_response(self) -> Response {
        match self {
            Self::Known(task) => Json(task).into_response(),
            Self::New(task, place) => {
                let mut response = (StatusCode::CREATED, Json(task)).into_response();
                if let Ok(place) = HeaderValue::from_str(&place) {
                    response.headers_mut().insert(header::LOCATION, place);
                }
                response
            }
        }
    }
}

impl OperationOutput for Added {
    type Inner = TaskView;

    fn inferred_responses(ctx: &mut GenContext, operation: &mut Operation) -> Vec<(Option<Code>, Described)> {
        let Some(known) = Json::<TaskView>::operation_response(ctx, operation) else { return Vec::new() };
        let new = Described { description: "The task, which was begun.".to_owned(), ..known.clone() };
        let known = Described { description: "The task, which was there already.".to_owned(), ..known };
        vec![(Some(Code::Code(201)), new), (Some(Code::Code(200)), known)]
    }
}

pub(super) async fn add(
    State(api): State<Api>,
    _: Permit,
    Body(new): Body<NewTask>,
) -> Result<Added, NotAdded> {
    let source = match api.parts.store.repo(&new.repo).await? {
        Some(repo) => Some(repo.source),
        None => api.parts.config.repo(&new.repo).repo.path,
    };
    let Some(source) = source else {
        let told = Told::new(format!("there is no repository `{}`", new.repo)).with_remedy(
            "name its path in the configuration, or begin its first task by `stagewright task add`",
        );
        return Err(NotAdded::NoSuchRepo(told));
    };
    let pipeline = api.parts.pipelines.of(&new.repo);
    let stage = begin::first_stage(pipeline, new.stage.as_ref())?;
    let bare = api.parts.repositories.open(&new.repo, &source).await.map_err(NotBegun::from)?;
    let key = TaskKey { repo: new.repo, work_item: new.work_item };
    let place = format!("/tasks/{}/{}", key.repo, key.work_item);
    let begun = begin::begin(&*api.parts.store, &bare, key, new.branch, stage).await?;
    api.look_again();
    let view = TaskView::from(&begun.task);
    Ok(if begun.new { Added::New(view, place) } else { Added::Known(view) })
}

/// Why a task is held.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HoldBody {
    /// For whoever finds it held.
    #[schemars(length(min = 1, max = 1000))]
    reason: String,
}

/// Where a task goes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveBody {
    /// The stage.
    #[schemars(schema_with = "stage_schema")]
    to: StageName,
}

refusals! {
    /// Why a wish was not carried out.
    NotWished { NoSuchTask, Busy, NotPossible, NotValid, NoSuchStage }
}

impl From<operator::Error> for NotWished {
    fn from(error: operator::Error) -> Self {
        let told = Told::new(error.to_string());
        match error {
            operator::Error::Refused(Refused::NoSuchStage { .. }) => Self::NoSuchStage(told),
            operator::Error::Task(TaskRefused::Store(error))
            | operator::Error::Conclude(ConcludeRefused::Store(error)) => Self::Store(error),
            operator::Error::Task(TaskRefused::NoSuchTask(_)) => Self::NoSuchTask(told),
            operator::Error::Refused(_) | operator::Error::Task(_) => Self::NotPossible(told),
            operator::Error::Conclude(_) => Self::Busy(told.with_remedy("look at the task, and try again")),
        }
    }
}

async fn wish(api: &Api, key: &TaskKey, wish: Request) -> Result<Json<TaskView>, NotWished> {
    let task = api.parts.store.task(key).await?.ok_or_else(|| NotWished::NoSuchTask(no_task(key)))?;
    let done =
        api.parts.operator.wish(&api.parts.config, api.parts.pipelines.of(&key.repo), task, &wish).await?;
    api.look_again();
    Ok(Json((&done).into()))
}

pub(super) async fn hold(
    State(api): State<Api>,
    TaskPath(key): TaskPath,
    _: Permit,
    Body(HoldBody { reason }): Body<HoldBody>,
) -> Result<Json<TaskView>, NotWished> {
    if reason.is_empty() || reason.chars().count() > 1_000 {
        return Err(NotWished::NotValid(Told::new("`reason` must have 1 to 1000 characters")));
    }
    wish(&api, &key, Request::Hold { reason }).await
}

pub(super) async fn resume(
    State(api): State<Api>,
    TaskPath(key): TaskPath,
    _: Permit,
) -> Result<Json<TaskView>, NotWished> {
    wish(&api, &key, Request::Resume).await
}

pub(super) async fn retry(
    State(api): State<Api>,
    TaskPath(key): TaskPath,
    _: Permit,
) -> Result<Json<TaskView>, NotWished> {
    wish(&api, &key, Request::Retry).await
}

pub(super) async fn move_to(
    State(api): State<Api>,
    TaskPath(key): TaskPath,
    _: Permit,
    Body(MoveBody { to }): Body<MoveBody>,
) -> Result<Json<TaskView>, NotWished> {
    wish(&api, &key, Request::Move { to }).await
}

pub(super) async fn cancel(
    State(api): State<Api>,
    TaskPath(key): TaskPath,
    _: Permit,
) -> Result<Json<TaskView>, NotWished> {
    wish(&api, &key, Request::Cancel).await
}
