//! `GET /events`: the event log as it grows, as server-sent events.
//!
//! Each listener has a place in the log and reads on from there at its own speed, a page at a time: a slow one costs a page of
//! memory and no more, and one that takes nothing for a while is dropped by the connection's time limit. Whoever comes
//! back with `Last-Event-ID` misses nothing. The end of the log is looked at once for all listeners, and only while there
//! are any.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, Response as Described, SchemaObject, StatusCode as Code};
use aide::{OperationInput, OperationOutput};
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use schemars::JsonSchema;
use serde::Deserialize;
use stagewright_store::Store;
use stagewright_store::request::event::Event;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use super::Api;
use super::input::Query;
use super::problem::{Kind, Problem, Told, describe, refusals};
use crate::actor::{Phase, Stop};
use crate::view::EventView;

/// How often the end of the log is looked at while somebody listens.
const LOOK: Duration = Duration::from_millis(250);
/// How many events are read at once.
const PAGE: u32 = 100;
/// How often a silent stream says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How many may listen at once: each holds a connection and up to a page of events.
const LISTENERS: usize = 256;

/// Who listens, and how far the log has come.
pub(super) struct Feed {
    last: watch::Sender<u64>,
    arrived: Notify,
    places: Arc<Semaphore>,
}

impl Default for Feed {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(LISTENERS));
        Self { last: watch::Sender::new(0), arrived: Notify::new(), places }
    }
}

impl Feed {
    /// Looks at the end of the log until the daemon ends, while anybody listens.
    pub(super) async fn watch(&self, store: &dyn Store, stop: &Stop) {
        loop {
            let heard = self.last.receiver_count() > 0;
            tokio::select! {
                () = stop.reached(Phase::Ending) => return,
                () = self.arrived.notified(), if !heard => {}
                () = tokio::time::sleep(LOOK), if heard => {}
            }
            // A store in trouble has no news; who listens is told when it reads.
            if let Ok(last) = store.last_event().await {
                self.last.send_if_modified(|known| {
                    let grew = last > *known;
                    *known = last;
                    grew
                });
            }
        }
    }

    fn listen(&self) -> watch::Receiver<u64> {
        let last = self.last.subscribe();
        self.arrived.notify_one();
        last
    }
}

/// Where to begin.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    /// Events behind this place in the log; 0 for all. Without it: those to come. `Last-Event-ID` goes before it.
    after: Option<u64>,
}

/// The place that a client who comes back has seen last.
pub(super) struct LastEventId(Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("last-event-id") else { return Ok(Self(None)) };
        match value.to_str().ok().and_then(|text| text.trim().parse().ok()) {
            Some(seen) => Ok(Self(Some(seen))),
            None => {
                let told = Told::new("`Last-Event-ID` is not the id of an event: a number");
                Err(Problem::new(Kind::BadRequest, told))
            }
        }
    }
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct LastEventHeader {
    /// The id of the last event that was seen: those behind it follow.
    #[serde(rename = "Last-Event-ID")]
    last_event_id: Option<u64>,
}

impl OperationInput for LastEventId {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        use aide::operation::{ParamLocation, add_parameters, parameters_from_schema};
        let schema = ctx.schema.subschema_for::<LastEventHeader>();
        let parameters = parameters_from_schema(ctx, schema, ParamLocation::Header);
        add_parameters(ctx, operation, parameters);
    }

    fn inferred_early_responses(
        ctx: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<Code>, Described)> {
        describe(ctx, operation, &[Kind::BadRequest]);
        Vec::new()
    }
}

refusals! {
    /// Why nobody can listen.
    NotHeard { TooMany }
}

/// A stream of events.
pub(super) struct Events(Response);

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        self.0
    }
}

impl OperationOutput for Events {
    type Inner = EventView;

    fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<Code>, Described)> {
        // Named in the document for those who read it; a stream as a whole has no JSON schema.
        let event = ctx.schema.subschema_for::<EventView>();
        let text = schemars::json_schema!({"type": "string", "x-each-data": event});
        let schema = Some(SchemaObject { json_schema: text, external_docs: None, example: None });
        let media = MediaType { schema, ..MediaType::default() };
        let described = Described {
            description: "Server-sent events. `id` is the place in the log, `data` an event as JSON. At the end of the \
                          daemon an event named `end` comes, and the stream closes."
                .to_owned(),
            content: [("text/event-stream".to_owned(), media)].into_iter().collect(),
            ..Described::default()
        };
        vec![(Some(Code::Code(200)), described)]
    }
}

pub(super) async fn events(
    State(api): State<Api>,
    LastEventId(seen): LastEventId,
    Query(query): Query<EventsQuery>,
) -> Result<Events, NotHeard> {
    let Ok(place) = Arc::clone(&api.feed.places).try_acquire_owned() else {
        let told = Told::new(format!("{LISTENERS} listen already"))
            .with_remedy("close some of them, or poll /queue");
        return Err(NotHeard::TooMany(told));
    };
    // Before the end of the log is read: what is written in between is heard of.
    let news = api.feed.listen();
    let after = match seen.or(query.after) {
        Some(after) => after,
        None => api.parts.store.last_event().await?,
    };
    let listener = Listener {
        store: Arc::clone(&api.parts.store),
        stop: api.parts.stop.clone(),
        after,
        page: VecDeque::new(),
        news,
        ended: false,
        _place: place,
    };
    let heard = stream::unfold(listener, |mut listener| async move {
        let sent = listener.next().await?;
        Some((Ok::<_, Infallible>(sent), listener))
    });
    let sse = Sse::new(heard).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(Events(sse.into_response()))
}

/// One who listens.
struct Listener {
    store: Arc<dyn Store>,
    stop: Stop,
    after: u64,
    page: VecDeque<Event>,
    news: watch::Receiver<u64>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// The next event; `None` at the end. It is asked only when there is room on the way to the client.
    async fn next(&mut self) -> Option<Sent> {
        while !self.ended {
            if let Some(event) = self.page.pop_front() {
                self.after = event.seq;
                return Some(sent(&event));
            }
            // Looked at before reading: what is in the log at the end is still told.
            let ending = self.stop.phase() == Phase::Ending;
            match self.store.events(self.after, PAGE).await {
                Ok(page) => self.page = page.into(),
                Err(error) => {
                    // The client comes back and says how far it was.
                    tracing::warn!(%error, "a stream of events could not go on");
                    return None;
                }
            }
            if !self.page.is_empty() {
                continue;
            }
            if ending {
                self.ended = true;
                return Some(Sent::default().event("end").data("{\"reason\":\"the daemon is stopping\"}"));
            }
            let after = self.after;
            tokio::select! {
                () = self.stop.reached(Phase::Ending) => {}
                // It can't be closed: the feed lives as long as the server.
                _ = self.news.wait_for(|last| *last > after) => {}
            }
        }
        None
    }
}

fn sent(event: &Event) -> Sent {
    let data = serde_json::to_string(&EventView::from(event)).unwrap_or_default();
    Sent::default().id(event.seq.to_string()).data(data)
}
