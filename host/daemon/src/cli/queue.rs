//! `queue`: what runs, what waits and for what, who is in a transition. Reads the store, so that it needs no daemon.
//!
//! Watching redraws a terminal; where there is none it writes a line (or an object) for each change, so that a log of it
//! stays short.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use stagewright_engine::instance::Instance;
use stagewright_engine::job::JobState;
use stagewright_engine::lease::Lease;
use stagewright_engine::outcome::Fault;
use stagewright_engine::time::Timestamp;
use stagewright_store::Store;
use stagewright_store::request::queue::{LiveFilter, LiveJob, LiveState, Overview};
use stagewright_store::request::task::TaskStateKind;

use super::output::{print_json, try_print};
use super::progress::printable;
use super::{Failure, Global};
use crate::clock;
use crate::exit::Exit;
use crate::host;
use crate::http::address::Address;
use crate::state::StateDir;
use crate::view::{JobView, LeaseView};

/// How often it is looked while watching.
const LOOK: Duration = Duration::from_millis(500);
/// How many jobs of one state are listed.
const LISTED: u32 = 20;
/// How many jobs the JSON object has.
const IN_JSON: u32 = 1_000;
/// Clears a terminal and begins at its top.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// How the queue is looked at.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stagewright queue\n  stagewright queue --watch\n  stagewright queue --json | jq .counts"
)]
pub(crate) struct QueueArgs {
    /// Go on looking until Ctrl-C: redraw the terminal, or write a line for each change
    #[arg(long)]
    watch: bool,
}

pub(crate) async fn queue(global: &Global, args: &QueueArgs) -> Result<Exit, Failure> {
    let config = super::config_command::load(global)?;
    let state = StateDir::open(&host::state_location(&config)?)?;
    let store = host::open_store(state.store()).await?;
    if !args.watch {
        let look = Look::at(&*store, &state, if global.json { IN_JSON } else { LISTED }).await?;
        match global.json {
            true => print_json(&look.json()),
            false => super::output::print(&look.text()),
        }
        return Ok(Exit::Success);
    }
    let terminal = !global.json && io::stdout().is_terminal();
    let mut told = String::new();
    loop {
        let look = Look::at(&*store, &state, if global.json { IN_JSON } else { LISTED }).await?;
        // What only ages is no change; a terminal is drawn again all the same.
        let (now, text) = match (terminal, global.json) {
            (true, _) => (look.text(), format!("{CLEAR}{}", look.text())),
            (false, true) => (look.sum(), format!("{}\n", look.json())),
            (false, false) => (look.sum(), format!("{}  {}\n", clock::rfc3339(look.now), look.counts())),
        };
        if now != told {
            if !try_print(&text) {
                return Ok(Exit::Success);
            }
            told = now;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The queue at one time.
struct Look {
    now: Timestamp,
    overview: Overview,
    jobs: Vec<LiveJob>,
    leases: Vec<Lease>,
    instances: Vec<Instance>,
    daemon: Option<Address>,
}

impl Look {
    async fn at(store: &dyn Store, state: &StateDir, listed: u32) -> Result<Self, Failure> {
        let overview = store.overview().await?;
        let mut jobs = Vec::new();
        for live in LiveState::ALL {
            let filter = LiveFilter { state: Some(live), after: None, limit: listed };
            jobs.extend(store.live_jobs(filter).await?);
        }
        Ok(Self {
            now: clock::now(),
            overview,
            jobs,
            leases: store.leases().await?,
            instances: store.instances().await?,
            daemon: Address::find(state),
        })
    }

    fn count(&self, state: LiveState) -> u64 {
        self.overview.jobs.get(&state).copied().unwrap_or_default()
    }

    fn tasks(&self, kind: TaskStateKind) -> u64 {
        self.overview.tasks.get(&kind).copied().unwrap_or_default()
    }

    /// The counts in one line.
    fn counts(&self) -> String {
        let jobs = LiveState::ALL.map(|state| format!("{} {}", self.count(state), state.as_str()));
        format!("{}; {} leases", jobs.join(", "), self.leases.len())
    }

    /// What must differ for it to be a change.
    fn sum(&self) -> String {
        let jobs: Vec<_> = self.jobs.iter().map(|live| (live.job.id, &live.job.state)).collect();
        let leases: Vec<_> = self.leases.iter().map(|lease| (&lease.task, lease.epoch)).collect();
        format!("{:?} {jobs:?} {leases:?} {:?}", self.overview, self.daemon)
    }

    fn json(&self) -> Value {
        let counts: serde_json::Map<String, Value> = LiveState::ALL
            .iter()
            .map(|state| (state.as_str().to_owned(), self.count(*state).into()))
            .collect();
        let jobs: Vec<JobView> = self.jobs.iter().map(Into::into).collect();
        let leases: Vec<LeaseView> =
            self.leases.iter().map(|lease| LeaseView::of(lease, &self.instances, self.now)).collect();
        let daemon = self
            .daemon
            .as_ref()
            .map(|daemon| json!({"pid": daemon.pid, "http": format!("http://{}", daemon.http)}));
        json!({
            "at": clock::rfc3339(self.now),
            "tasks": {
                "active": self.tasks(TaskStateKind::Active),
                "held": self.tasks(TaskStateKind::Held),
                "done": self.tasks(TaskStateKind::Done),
                "cancelled": self.tasks(TaskStateKind::Cancelled),
            },
            "counts": counts,
            "jobs": jobs,
            "leases": leases,
            "daemon": daemon,
        })
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", self.counts());
        match &self.daemon {
            Some(daemon) => {
                let _ = writeln!(text, "daemon: process {}, http://{}", daemon.pid, daemon.http);
            }
            None => text.push_str("daemon: none that can be asked\n"),
        }
        for state in LiveState::ALL {
            let of_state =
                || self.jobs.iter().filter(move |live| LiveState::of(&live.job.state) == Some(state));
            if of_state().next().is_none() {
                continue;
            }
            let _ = writeln!(text, "\n{}", state.as_str());
            let width = of_state().map(|live| live.job.task.work_item.as_str().len()).max().unwrap_or(0);
            of_state().for_each(|live| self.line(&mut text, width, live));
            let more = self.count(state).saturating_sub(of_state().count() as u64);
            if more > 0 {
                let _ = writeln!(text, "  and {more} more");
            }
        }
        if !self.leases.is_empty() {
            text.push_str("\nleases\n");
            self.leases.iter().for_each(|lease| {
                let _ = writeln!(text, "  {}", lease_line(lease, &self.instances, self.now));
            });
        }
        text
    }

    fn line(&self, text: &mut String, width: usize, live: &LiveJob) {
        let job = &live.job;
        let what = match &job.state {
            JobState::Running { since, .. } => {
                let producer = live.producer.as_ref().map_or("", |producer| producer.as_str());
                format!("{producer}  {}", self.now.since(*since))
            }
            JobState::Deferred { until, fault } => {
                format!("for {} more: {}", until.since(self.now), reason(fault))
            }
            JobState::Held => live.hold.as_ref().map(|hold| reason(&hold.fault)).unwrap_or_default(),
            JobState::Finished { put_off: Some(put_off), .. } => {
                format!(
                    "transition put off for {}: {}",
                    put_off.until.since(self.now),
                    reason(&put_off.fault)
                )
            }
            _ => format!("since {}", self.now.since(job.created)),
        };
        let (item, stage, repo) = (job.task.work_item.as_str(), job.stage.as_str(), &job.task.repo);
        let _ = writeln!(text, "  {item:width$}  {stage:14}  {repo}  {what}");
    }
}

fn reason(fault: &Fault) -> String {
    format!("{} ({})", printable(&fault.message), fault.code)
}

/// One lease for people.
pub(super) fn lease_line(lease: &Lease, instances: &[Instance], now: Timestamp) -> String {
    let owner = instances.iter().find(|instance| instance.id == lease.owner);
    let owner = owner.map_or_else(
        || format!("instance {}", lease.owner),
        |owner| format!("process {} on {}", owner.pid, printable(&owner.host)),
    );
    let effects = if lease.exclusive { ", with effects" } else { "" };
    format!(
        "{}  {:14}  {}  {owner}, for {}{effects}",
        lease.task.work_item,
        lease.stage.as_str(),
        lease.task.repo,
        now.since(lease.taken)
    )
}
