//! B6: how long a claim takes beside a million tasks that have ended, against a thousand. A claim is one durable commit.
//!
//! Both stores have the same queue. Each claim is given back, which is not measured.

use std::path::Path;
use std::time::{Duration, Instant};

use stagewright_engine::identity::{InstanceId, RunId};
use stagewright_engine::ledger::Ledger;
use stagewright_engine::name::{CommitId, ProducerName, StageName};
use stagewright_engine::outcome::{Cause, Outcome};
use stagewright_store::request::job::{ClaimNext, Lane};
use stagewright_store::request::run::{EndRun, RunEnding};
use stagewright_store::sqlite::Options;
use stagewright_store::{SqliteStore, Store as _};
use uuid::Uuid;

use crate::Setting;
use crate::clock::now;
use crate::filled::{Filled, Kind, STAGE, this};
use crate::measure::{Failed, Row, Value, p99};

const MANY: usize = 1_000_000;
const FEW: usize = 1_000;
const QUEUED: usize = 500;
const ROUNDS: usize = 10;
const CLAIMS: usize = 500;

pub(crate) async fn measure(setting: &Setting) -> Result<Vec<Row>, Failed> {
    let folder = setting.folder_on_disk()?;
    let few = Queue::new(folder.path(), "few", FEW).await?;
    let many = Queue::new(folder.path(), "many", MANY).await?;
    eprintln!("      {} claims of each", ROUNDS * CLAIMS);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        for _ in 0..CLAIMS {
            ours.push(many.claim().await?);
        }
        for _ in 0..CLAIMS {
            bare.push(few.claim().await?);
        }
        // The first one warms caches up.
        if round == 0 {
            ours.clear();
            bare.clear();
        }
    }
    Ok(vec![Row {
        bar: "B6",
        what: "a claim (p99) beside 1,000,000 tasks that have ended".to_owned(),
        value: Value::Time(p99(ours)),
        bare: Some(("the same beside 1,000", Value::Time(p99(bare)))),
        ratio: Some(1.5),
        limit: None,
    }])
}

/// A store with a queue.
struct Queue {
    store: SqliteStore,
    instance: InstanceId,
    lane: Lane,
}

impl Queue {
    async fn new(folder: &Path, name: &str, ended: usize) -> Result<Self, Failed> {
        eprintln!("      filling a store with {ended} ended tasks");
        let path = folder.join(name).with_extension("sqlite3");
        let commit = CommitId::new("0123456789abcdef0123456789abcdef01234567")?;
        let mut filled = Filled::new(&path, folder, commit).await?;
        filled.add(Kind::Ended, ended)?;
        filled.add(Kind::Queued, QUEUED)?;
        let store = SqliteStore::open(&path, Options::default())?;
        let instance = InstanceId::new(Uuid::now_v7());
        store.register_instance(this(instance)).await?;
        let lane = Lane {
            stage: StageName::new(STAGE)?,
            repos: None,
            producer: ProducerName::new("returns")?,
            limit: u32::MAX,
        };
        Ok(Self { store, instance, lane })
    }

    /// Claims the oldest job, and gives it back. How long the claim took.
    async fn claim(&self) -> Result<Duration, Failed> {
        let run = RunId::new(Uuid::now_v7());
        let claim = ClaimNext {
            instance: self.instance,
            run,
            now: now(),
            host_limit: u32::MAX,
            lanes: vec![self.lane.clone()],
        };
        let begun = Instant::now();
        let claimed = self.store.claim_next(claim).await?;
        let took = begun.elapsed();
        let claimed = claimed.ok_or("there was nothing to claim")?;
        let end = EndRun {
            job: claimed.job.id,
            run,
            epoch: claimed.epoch,
            outcome: Outcome::Cancelled(Cause::Shutdown),
            ending: RunEnding::Requeued,
            ledger: Ledger::default(),
            attachments: Vec::new(),
            events: Vec::new(),
            now: now(),
        };
        self.store.end_run(end).await?;
        Ok(took)
    }
}
