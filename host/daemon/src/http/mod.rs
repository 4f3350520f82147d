//! The HTTP surface (S3, S4): what the daemon shows, and what a person may ask of it over the network.
//!
//! ```text
//! listen     the address, connections and their limits, the end in order
//! guard      who may ask: host, origin, token, size, time
//! input      what operations take
//! problem    what they refuse, as problem details
//! token      the API token
//! address    where the daemon is, for whoever looks into its state folder
//! health queue tasks leases events metrics
//!            the operations
//! ```
//!
//! It decides nothing: whatever changes something goes through the engine and the store's conditional writes, as from the
//! command line. The document of all operations is made from the types of their handlers. It refuses to be a way around the
//! token: what changes something can't be asked without it, and no page of another origin can ask for it.

pub(crate) mod address;
mod events;
mod guard;
mod health;
mod input;
mod leases;
mod listen;
mod metrics;
mod problem;
mod queue;
mod tasks;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use aide::generate::GenContext;
use aide::openapi::{self, Info, MediaType, OpenApi, SchemaObject, SecurityScheme, StatusCode};
use aide::transform::TransformOperation;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::routing::get;
use stagewright_engine::identity::InstanceId;
use stagewright_engine::time::Timestamp;
use stagewright_repository::Repositories;
use stagewright_store::Store;
use tokio::sync::Notify;
use tower_http::catch_panic::CatchPanicLayer;

pub(crate) use self::listen::{Error as ListenError, Listener};
pub(crate) use self::token::{Error as TokenError, Token};
use crate::actor::preflight::Preflight;
use crate::actor::{Phase, Pipelines, Stop};
use crate::config::Config;
use crate::operator::Operator;
use crate::state::StateDir;

/// What the operations stand on. Cloning gives another handle of the same.
#[derive(Clone)]
pub(crate) struct Api(Arc<Shared>);

impl std::ops::Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What all operations stand on.
pub(crate) struct Shared {
    parts: Parts,
    snapshots: queue::Snapshots,
    feed: events::Feed,
    counted: metrics::Counted,
}

/// What the daemon lends to its server.
pub(crate) struct Parts {
    /// Durable state.
    pub(crate) store: Arc<dyn Store>,
    /// The state folder.
    pub(crate) state: StateDir,
    /// The configuration.
    pub(crate) config: Arc<Config>,
    /// Who does what.
    pub(crate) pipelines: Pipelines,
    /// The host's copies.
    pub(crate) repositories: Arc<Repositories>,
    /// Carries out what a person wants.
    pub(crate) operator: Operator,
    /// What the look at the channel to staging has shown.
    pub(crate) preflight: Preflight,
    /// This instance.
    pub(crate) instance: InstanceId,
    /// When it started.
    pub(crate) started: Timestamp,
    /// The end of the daemon.
    pub(crate) stop: Stop,
    /// Told when there is something in the queue.
    pub(crate) queued: Arc<Notify>,
    /// Asks the reconciler to look.
    pub(crate) look: Arc<Notify>,
    /// What must come with whatever changes something.
    pub(crate) token: Token,
    /// Where the server listens.
    pub(crate) address: SocketAddr,
}

/// Answers on `listener` until the daemon ends.
pub(crate) async fn serve(listener: Listener, parts: Parts) {
    // Counters begin where the log is now. Without a store that can be read they begin at its beginning.
    let last = parts.store.last_event().await.unwrap_or_default();
    let connections = parts.config.http.connections as usize;
    let stop = parts.stop.clone();
    let api = Api(Arc::new(Shared {
        parts,
        snapshots: queue::Snapshots::default(),
        feed: events::Feed::default(),
        counted: metrics::Counted::from(last),
    }));
    let router = router(api.clone());
    tokio::join!(listener.serve(router, connections, &stop), api.feed.watch(&*api.parts.store, &stop));
}

/// Every operation behind its guard.
fn router(api: Api) -> Router {
    let mut document = document();
    let operations = operations().finish_api_with(&mut document, |document| {
        document.security_scheme(
            guard::SCHEME,
            SecurityScheme::Http {
                scheme: "bearer".to_owned(),
                bearer_format: None,
                description: Some("The API token: the file `token` in the state folder.".to_owned()),
                extensions: Default::default(),
            },
        )
    });
    let text = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    operations
        .route("/openapi.json", get(|| async move { ([json], text) }))
        .layer(middleware::from_fn_with_state(api.clone(), guard::guard))
        .layer(CatchPanicLayer::custom(guard::after_panic))
        .layer(middleware::from_fn(guard::told))
        .with_state(api)
}

fn document() -> OpenApi {
    OpenApi {
        info: Info {
            title: "stagewright".to_owned(),
            description: Some(
                "What the daemon shows, and what may be asked of it. Every error is problem details (RFC 9457)."
                    .to_owned(),
            ),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Info::default()
        },
        ..OpenApi::default()
    }
}

fn operations() -> ApiRouter<Api> {
    ApiRouter::new()
        .api_route("/health", get_with(health::health, told("health", "Is it well?")))
        .api_route(
            "/status",
            get_with(health::status, told("status", "What is it, and how far has it come?")),
        )
        .api_route(
            "/queue",
            get_with(queue::queue, told("queue", "Counts, live jobs, and what each part says")),
        )
        .api_route("/metrics", get_with(metrics::metrics, told("metrics", "Figures for Prometheus")))
        .api_route("/events", get_with(events::events, told("events", "The event log as it grows")))
        .api_route(
            "/tasks",
            get_with(tasks::list, told("list_tasks", "Tasks, page by page"))
                .post_with(tasks::add, told("add_task", "Begin a task")),
        )
        .api_route("/tasks/{repo}/{work_item}", get_with(tasks::show, told("show_task", "One task")))
        .api_route(
            "/tasks/{repo}/{work_item}/jobs",
            get_with(tasks::jobs, told("list_jobs", "The jobs of a task, the newest first")),
        )
        .api_route(
            "/tasks/{repo}/{work_item}/stages/{stage}/artifact",
            get_with(tasks::artifact, told("show_artifact", "The newest artifact of a stage")),
        )
        .api_route(
            "/tasks/{repo}/{work_item}/hold",
            post_with(tasks::hold, told("hold_task", "Hold a task: it stays until somebody resumes it")),
        )
        .api_route(
            "/tasks/{repo}/{work_item}/resume",
            post_with(tasks::resume, told("resume_task", "Take the hold off a task")),
        )
        .api_route(
            "/tasks/{repo}/{work_item}/retry",
            post_with(tasks::retry, told("retry_task", "Do a task's stage again, with all attempts anew")),
        )
        .api_route(
            "/tasks/{repo}/{work_item}/move",
            post_with(tasks::move_to, told("move_task", "Put a task at another stage")),
        )
        .api_route(
            "/tasks/{repo}/{work_item}/cancel",
            post_with(tasks::cancel, told("cancel_task", "Give a task up")),
        )
        .api_route(
            "/transition-lease",
            get_with(leases::list, told("list_leases", "The transition leases that are held")),
        )
        .api_route(
            "/transition-lease/release",
            post_with(
                leases::release,
                told("release_lease", "Take a lease away; from a living owner by force"),
            ),
        )
}

/// Names an operation, and adds what the guard may answer instead of it.
fn told(
    id: &'static str,
    summary: &'static str,
) -> impl FnOnce(TransformOperation<'_>) -> TransformOperation<'_> {
    move |mut operation| {
        aide::generate::in_context(|ctx| problem::describe(ctx, operation.inner_mut(), guard::REFUSES));
        operation.id(id).summary(summary)
    }
}

/// For the document: an answer that is text of this kind, and no JSON.
fn text_answer(
    ctx: &mut GenContext,
    media_type: &str,
    description: &str,
) -> Vec<(Option<StatusCode>, openapi::Response)> {
    let json_schema = ctx.schema.subschema_for::<String>();
    let schema = Some(SchemaObject { json_schema, external_docs: None, example: None });
    let media = MediaType { schema, ..MediaType::default() };
    let described = openapi::Response {
        description: description.to_owned(),
        content: [(media_type.to_owned(), media)].into_iter().collect(),
        ..openapi::Response::default()
    };
    vec![(Some(StatusCode::Code(200)), described)]
}

impl Api {
    fn phase(&self) -> Phase {
        self.parts.stop.phase()
    }

    fn hosts(&self) -> &[String] {
        &self.parts.config.http.hosts
    }

    fn body_limit(&self) -> usize {
        usize::try_from(self.parts.config.http.body_bytes).unwrap_or(usize::MAX)
    }

    fn time_limit(&self) -> Duration {
        Duration::from_secs(self.parts.config.http.timeout_s.0)
    }

    /// Something was changed that others may have waited for.
    fn look_again(&self) {
        self.parts.queued.notify_one();
        self.parts.look.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> serde_json::Value {
        let mut document = document();
        let _ = operations().finish_api(&mut document);
        serde_json::to_value(document).unwrap()
    }

    #[test]
    fn every_operation_says_its_errors_and_what_changes_something_needs_the_token() {
        let document = made();
        let mut seen = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                seen += 1;
                let answers = operation["responses"].as_object().unwrap();
                let good = answers.keys().filter(|status| status.starts_with('2')).count();
                assert!(good > 0, "{method} {path} has no good answer");
                for (status, answer) in answers.iter().filter(|(status, _)| !status.starts_with('2')) {
                    let content = answer["content"].as_object().unwrap();
                    assert!(content.contains_key(problem::MEDIA_TYPE), "{method} {path} {status}");
                }
                assert_eq!(operation["security"].is_array(), method != "get", "{method} {path}");
                assert!(operation["operationId"].is_string() && operation["summary"].is_string());
            }
        }
        assert!(seen > 15, "{seen}");
    }

    #[test]
    fn everything_that_the_document_points_to_is_in_it() {
        fn look(value: &serde_json::Value, document: &serde_json::Value) {
            match value {
                serde_json::Value::Object(fields) => {
                    if let Some(serde_json::Value::String(to)) = fields.get("$ref") {
                        let found = to.strip_prefix('#').and_then(|to| document.pointer(to));
                        assert!(found.is_some(), "{to} is not there");
                    }
                    fields.values().for_each(|value| look(value, document));
                }
                serde_json::Value::Array(values) => values.iter().for_each(|value| look(value, document)),
                _ => {}
            }
        }
        let document = made();
        look(&document, &document);
    }
}
