//! What operations take: queries, bodies and paths, each read in one way, refused with problem details, and written into
//! the document by its type.

use std::collections::BTreeMap;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, RequestBody, Response, SchemaObject, StatusCode};
use aide::operation::{ParamLocation, add_parameters, parameters_from_schema, set_body};
use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header;
use axum::http::request::Parts;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use stagewright_engine::identity::TaskKey;
use stagewright_engine::name::{RepoName, StageName, WorkItem};

use super::Api;
use super::problem::{Kind, Problem, Told, describe};

/// The form of repositories' names and work items' keys: no `..` in it, and neither `.` nor `.lock` at its end.
const KEY: &str = r"^(?!.*\.\.)(?!.*\.(lock)?$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
/// The form of stages' names.
const STAGE: &str = "^[a-z][a-z0-9-]{0,39}$";

/// The schema of a repository's name or a work item's key.
pub(super) fn key_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": KEY})
}

/// The schema of a stage's name.
pub(super) fn stage_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": STAGE})
}

/// A query, in which every name is known.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(query) => Ok(Self(query.0)),
            Err(rejected) => Err(Problem::new(Kind::BadQuery, Told::new(rejected.body_text()))),
        }
    }
}

impl<T: JsonSchema> OperationInput for Query<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = ctx.schema.subschema_for::<T>();
        let parameters = parameters_from_schema(ctx, schema, ParamLocation::Query);
        add_parameters(ctx, operation, parameters);
    }

    fn inferred_early_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<StatusCode>, Response)> {
        describe(ctx, operation, &[Kind::BadQuery]);
        Vec::new()
    }
}

/// How many entries a page has at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit(pub(super) u32);

impl Limit {
    const MOST: u32 = 1_000;
}

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        if (1..=Self::MOST).contains(&number) {
            return Ok(Self(number));
        }
        Err(serde::de::Error::custom(format!("the limit must be a number from 1 to {}", Self::MOST)))
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Limit".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": Self::MOST, "default": 100})
    }
}

/// A JSON body, in which every name is known.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Api> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let declared = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = declared.and_then(|value| value.split(';').next()).map(str::trim);
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
            let told = Told::new("the body must be declared as `Content-Type: application/json`");
            return Err(Problem::new(Kind::WrongMediaType, told));
        }
        // The other half is for the answer.
        let (limit, time) = (api.body_limit(), api.time_limit() / 2);
        let body = match tokio::time::timeout(time, to_bytes(request.into_body(), limit)).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) if is_too_large(&error) => return Err(too_large(limit)),
            Ok(Err(_)) => {
                return Err(Problem::new(Kind::BadRequest, Told::new("the body broke off")));
            }
            Err(_) => {
                let told = Told::new(format!("the body did not come within {} s", time.as_secs()));
                return Err(Problem::new(Kind::TooSlow, told));
            }
        };
        serde_json::from_slice(&body).map(Self).map_err(|error| {
            let kind = if error.is_data() { Kind::NotValid } else { Kind::BadJson };
            Problem::new(kind, Told::new(error.to_string()))
        })
    }
}

/// What is said of a body that is larger than `limit`.
pub(super) fn too_large(limit: usize) -> Problem {
    let told = Told::new(format!("the body is larger than {limit} bytes"))
        .with_remedy("send less, or raise `http.body_bytes`");
    Problem::new(Kind::TooLarge, told)
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if cause.to_string().contains("length limit") {
            return true;
        }
        next = cause.source();
    }
    false
}

impl<T: JsonSchema> OperationInput for Body<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let json_schema = ctx.schema.subschema_for::<T>();
        let schema = Some(SchemaObject { json_schema, external_docs: None, example: None });
        let media = MediaType { schema, ..MediaType::default() };
        let body = RequestBody {
            content: [("application/json".to_owned(), media)].into_iter().collect(),
            required: true,
            ..RequestBody::default()
        };
        set_body(ctx, operation, body);
    }

    fn inferred_early_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<StatusCode>, Response)> {
        let kinds = [
            Kind::BadJson,
            Kind::BadRequest,
            Kind::TooSlow,
            Kind::TooLarge,
            Kind::WrongMediaType,
            Kind::NotValid,
        ];
        describe(ctx, operation, &kinds);
        Vec::new()
    }
}

/// Whether a message of more bytes than allowed is announced.
pub(super) fn announces_more_than(limit: usize, parts: &Parts) -> bool {
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > limit as u64)
}

/// The task that a path names: `…/{repo}/{work_item}`.
pub(super) struct TaskPath(pub(super) TaskKey);

/// The stage of a task that a path names: `…/{repo}/{work_item}/…/{stage}/…`.
pub(super) struct StagePath(pub(super) TaskKey, pub(super) StageName);

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct TaskParts {
    /// The repository's name, as `/tasks` shows it.
    #[schemars(schema_with = "key_schema")]
    repo: String,
    /// The work item's key.
    #[schemars(schema_with = "key_schema")]
    work_item: String,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct StageParts {
    /// The repository's name, as `/tasks` shows it.
    #[schemars(schema_with = "key_schema")]
    repo: String,
    /// The work item's key.
    #[schemars(schema_with = "key_schema")]
    work_item: String,
    /// The stage.
    #[schemars(schema_with = "stage_schema")]
    stage: String,
}

/// The parts of the path by name. One that can't be a name is that of nothing.
async fn parts_of<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<BTreeMap<String, String>, Problem> {
    let path = Path::<BTreeMap<String, String>>::from_request_parts(parts, state).await;
    path.map(|path| path.0)
        .map_err(|rejected| Problem::new(Kind::BadRequest, Told::new(rejected.body_text())))
}

fn key_of(path: &BTreeMap<String, String>) -> Result<TaskKey, Problem> {
    let part = |name: &str| path.get(name).cloned().unwrap_or_default();
    let nothing = |error: stagewright_engine::name::InvalidName| {
        Problem::new(Kind::NoSuchTask, Told::new(error.to_string()))
    };
    Ok(TaskKey {
        repo: RepoName::new(part("repo")).map_err(nothing)?,
        work_item: WorkItem::new(part("work_item")).map_err(nothing)?,
    })
}

impl<S: Send + Sync> FromRequestParts<S> for TaskPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        key_of(&parts_of(parts, state).await?).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for StagePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = parts_of(parts, state).await?;
        let stage = StageName::new(path.get("stage").cloned().unwrap_or_default());
        let stage = stage.map_err(|error| Problem::new(Kind::NoArtifact, Told::new(error.to_string())))?;
        Ok(Self(key_of(&path)?, stage))
    }
}

macro_rules! path_input {
    ($path:ident, $parts:ident, $($kind:ident),+) => {
        impl OperationInput for $path {
            fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
                let schema = ctx.schema.subschema_for::<$parts>();
                let parameters = parameters_from_schema(ctx, schema, ParamLocation::Path);
                add_parameters(ctx, operation, parameters);
            }

            fn inferred_early_responses(
                ctx: &mut GenContext,
                operation: &mut Operation,
            ) -> Vec<(Option<StatusCode>, Response)> {
                describe(ctx, operation, &[$(Kind::$kind),+]);
                Vec::new()
            }
        }
    };
}
path_input!(TaskPath, TaskParts, BadRequest, NoSuchTask);
path_input!(StagePath, StageParts, BadRequest, NoSuchTask, NoArtifact);
