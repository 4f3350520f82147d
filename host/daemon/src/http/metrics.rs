//! `GET /metrics`: figures for Prometheus, in its text format.
//!
//! Gauges are read from the store, so that they are right whichever process did the work. Counters count the event log since
//! this daemon started: what was done by others on the same store in that time is in them too.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::fs;

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Described, StatusCode as Code};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use stagewright_store::request::queue::{EventCounts, LiveState};
use stagewright_store::request::task::TaskStateKind;
use tokio::sync::Mutex;

use super::problem::refusals;
use super::{Api, text_answer};
use crate::clock;

const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the event log has said since this daemon started.
pub(super) struct Counted(Mutex<EventCounts>);

impl Counted {
    /// Counts what comes behind `last`.
    pub(super) fn from(last: u64) -> Self {
        Self(Mutex::new(EventCounts { last, kinds: BTreeMap::new() }))
    }

    /// Counts on, and gives what there is now.
    async fn go_on(&self, api: &Api) -> Result<BTreeMap<String, u64>, stagewright_store::Error> {
        let mut counted = self.0.lock().await;
        let news = api.parts.store.event_counts(counted.last).await?;
        counted.last = news.last;
        for (kind, number) in news.kinds {
            *counted.kinds.entry(kind).or_default() += number;
        }
        Ok(counted.kinds.clone())
    }
}

/// The text as it grows.
#[derive(Default)]
struct Text(String);

impl Text {
    /// One figure of a family: its labels and its value.
    fn family<V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        figures: impl IntoIterator<Item = (Vec<(&'static str, String)>, V)>,
    ) {
        let _ = writeln!(self.0, "# HELP stagewright_{name} {help}\n# TYPE stagewright_{name} {kind}");
        for (labels, value) in figures {
            let labels: Vec<String> =
                labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.0, "stagewright_{name}{labels} {value}");
        }
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help, [(Vec::new(), value)]);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

refusals! {
    /// Why there are no figures.
    NoFigures {}
}

/// Figures as text.
pub(super) struct Figures(String);

impl IntoResponse for Figures {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], self.0).into_response()
    }
}

impl OperationOutput for Figures {
    type Inner = String;

    fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<Code>, Described)> {
        text_answer(ctx, "text/plain", "Figures in the text format of Prometheus.")
    }
}

pub(super) async fn metrics(State(api): State<Api>) -> Result<Figures, NoFigures> {
    let snapshot = api.snapshots.get(&api).await?;
    let overview = &snapshot.overview;
    let mut text = Text::default();

    let state = |word: &str| vec![("state", word.to_owned())];
    let tasks = TaskStateKind::ALL.map(|kind| {
        let word = match kind {
            TaskStateKind::Active => "active",
            TaskStateKind::Held => "held",
            TaskStateKind::Done => "done",
            TaskStateKind::Cancelled => "cancelled",
        };
        (state(word), overview.tasks.get(&kind).copied().unwrap_or_default())
    });
    text.family("tasks", "gauge", "Tasks by state.", tasks);
    let jobs = LiveState::ALL
        .map(|live| (state(live.as_str()), overview.jobs.get(&live).copied().unwrap_or_default()));
    text.family("jobs", "gauge", "Live jobs by state.", jobs);
    let running = overview.running.iter().map(|(producer, number)| {
        let producer = producer.as_ref().map_or_else(String::new, ToString::to_string);
        (vec![("producer", producer)], *number)
    });
    text.family("jobs_running", "gauge", "Running jobs by producer.", running);
    let effects = [("intended", overview.open_effects), ("unresolved", overview.unresolved_effects)];
    let effects = effects.map(|(word, number)| (state(word), number));
    text.family(
        "effects",
        "gauge",
        "Edge effects that are begun and have no end, or that nobody can say of.",
        effects,
    );
    let held = api.parts.store.held_by_fault().await?;
    let held = held.into_iter().map(|(code, number)| (vec![("fault", code)], number));
    text.family("holds", "gauge", "Held tasks by the code of the fault.", held);

    let leases = api.parts.store.leases().await?;
    let oldest = leases.iter().map(|lease| clock::now().since(lease.taken).as_millis()).max().unwrap_or(0);
    text.one("leases", "gauge", "Transition leases that are held.", leases.len());
    text.one("lease_age_seconds", "gauge", "Age of the oldest transition lease.", seconds(oldest));

    let events = api.counted.go_on(&api).await?;
    let of = |kind: &str| events.get(kind).copied().unwrap_or_default();
    text.one("stage_writes_total", "counter", "Stages that were written.", of("stage-written"));
    text.one("deferrals_total", "counter", "Runs that did not work and are tried again.", of("job-deferred"));
    text.one("lease_forced_total", "counter", "Leases that were taken away by force.", of("lease-forced"));
    let events = events.into_iter().map(|(kind, number)| (vec![("kind", kind)], number));
    text.family("events_total", "counter", "Entries of the event log by kind.", events);

    let written = api.parts.store.metrics();
    text.one(
        "store_commits_total",
        "counter",
        "Transactions that this process has committed.",
        written.commits,
    );
    text.one(
        "store_commands_total",
        "counter",
        "Commands that those transactions answered.",
        written.commands,
    );
    let uptime = clock::now().since(api.parts.started).as_millis();
    text.one("uptime_seconds", "gauge", "For how long this daemon runs.", seconds(uptime));
    process(&mut text.0);
    Ok(Figures(text.0))
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

/// Figures of this process under the names that Prometheus's own clients give them. What can't be read is left out.
fn process(text: &mut String) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    // The folder that is looked at is one of them.
    let open = fs::read_dir("/proc/self/fd").map(|entries| entries.count().saturating_sub(1)).ok();
    let mut gauge = |name: &str, help: &str, value: Option<u64>| {
        if let Some(value) = value {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        }
    };
    gauge("process_resident_memory_bytes", "Resident memory size in bytes.", resident.map(|kib| kib * 1_024));
    gauge("process_open_fds", "Number of open file descriptors.", open.map(|open| open as u64));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_can_hold_anything() {
        let mut text = Text::default();
        text.family("holds", "gauge", "Help.", [(vec![("fault", "a\"b\\c\nd".to_owned())], 1)]);
        let expected = "# HELP stagewright_holds Help.\n# TYPE stagewright_holds gauge\n\
                        stagewright_holds{fault=\"a\\\"b\\\\c\\nd\"} 1\n";
        assert_eq!(text.0, expected);
    }

    #[test]
    fn this_process_has_memory_and_files() {
        let mut text = String::new();
        process(&mut text);
        assert!(
            text.contains("process_resident_memory_bytes ") && text.contains("process_open_fds "),
            "{text}"
        );
    }
}
