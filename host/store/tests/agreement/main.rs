//! Both stores are asked the same, at random, and must answer the same: what the cases of the suite do not think of.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Debug;

use sha2::{Digest as _, Sha256};
use stagewright_engine::identity::{Epoch, InstanceId, JobId, RunId, TaskKey};
use stagewright_engine::lease::Lease;
use stagewright_engine::name::{CommitId, RepoName, StageName, WorkItem};
use stagewright_engine::outcome::{Fault, Judgement};
use stagewright_engine::task::{Hold, StageVerdict};
use stagewright_engine::time::Timestamp;
use stagewright_store::request::artifact::Artifact;
use stagewright_store::request::effect::EffectId;
use stagewright_store::request::repo::NewRepo;
use stagewright_store::sqlite::{Options, SqliteStore};
use stagewright_store::{MemoryStore, Store};
use uuid::Uuid;

/// How many histories, and how many requests in each.
const HISTORIES: u64 = 16;
const REQUESTS: usize = 150;

#[tokio::test]
async fn both_stores_answer_the_same_whatever_they_are_asked() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..HISTORIES {
        let file = folder.path().join(format!("{seed}.sqlite3"));
        let sqlite = SqliteStore::open(&file, Options::default()).unwrap();
        Asker::new(seed, MemoryStore::new(), sqlite).ask().await;
    }
}

/// Asks both stores, and remembers what could be asked again: epochs that have passed, leases that are gone.
struct Asker {
    seed: u64,
    chance: u64,
    step: usize,
    memory: MemoryStore,
    sqlite: SqliteStore,
    instances: Vec<InstanceId>,
    jobs: Vec<JobId>,
    runs: Vec<(JobId, RunId, Epoch)>,
    leases: Vec<Lease>,
    effects: Vec<(EffectId, Epoch)>,
}

/// Asks both, compares, and gives the answer of the one in memory.
macro_rules! both {
    ($asker:expr, $method:ident($($argument:expr),*)) => {{
        let (one, other) =
            ($asker.memory.$method($($argument.clone()),*).await, $asker.sqlite.$method($($argument.clone()),*).await);
        let asked = format!("{} {:?}", stringify!($method), ($(&$argument,)*));
        $asker.compare(&asked, &one, &other);
        one
    }};
}

mod requests;

impl Asker {
    fn new(seed: u64, memory: MemoryStore, sqlite: SqliteStore) -> Self {
        let instances = (0..3).map(|number| InstanceId::new(Uuid::from_u128(number + 1))).collect();
        let (jobs, runs, leases, effects) = Default::default();
        Self { seed, chance: seed, step: 0, memory, sqlite, instances, jobs, runs, leases, effects }
    }

    /// SplitMix64: small, and the same for the same seed everywhere.
    fn number(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound as u64).unwrap()
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    fn id(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.step as u64 + 1, self.number())
    }

    /// Later with every step, so that no order depends on a tie.
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + self.step as i64 * 1_000)
    }

    fn repo(&mut self) -> RepoName {
        RepoName::new(self.of(&["shop", "till"])).unwrap()
    }

    fn key(&mut self) -> TaskKey {
        let work_item = WorkItem::new(self.of(&["A-1", "A-2"])).unwrap();
        TaskKey { repo: self.repo(), work_item }
    }

    fn stage(&mut self) -> StageName {
        StageName::new(self.of(&["testing", "testing", "deploy"])).unwrap()
    }

    fn commit(&mut self) -> CommitId {
        CommitId::new(self.of(&["a", "b"]).repeat(40)).unwrap()
    }

    fn instance(&mut self) -> InstanceId {
        let known = self.instances.clone();
        self.of(&known)
    }

    fn fault(&mut self) -> Fault {
        Fault::new(self.of(&["one", "two"]), "message")
    }

    fn hold(&mut self) -> Hold {
        Hold { fault: self.fault(), stage: self.stage(), job: None, since: self.now() }
    }

    fn verdict(&mut self, run: RunId, artifact: &Artifact) -> StageVerdict {
        StageVerdict {
            judgement: self.of(&[Judgement::Pass, Judgement::Fail]),
            fails_in_a_row: 0,
            commit: self.commit(),
            artifact_sha256: artifact.sha256.clone(),
            run,
            at: self.now(),
        }
    }

    /// One in ten is not what its digest says.
    fn artifact(&mut self) -> Artifact {
        let bytes = self.number().to_le_bytes().to_vec();
        let mut sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if self.one_in(10) {
            sha256 = "0".repeat(64);
        }
        Artifact { path: "docs/x.md".into(), bytes, sha256 }
    }

    /// The stage and the epoch at which the task is, or now and then others.
    async fn seen(&mut self, key: &TaskKey) -> (StageName, Epoch) {
        let task = self.memory.task(key).await.unwrap();
        let (stage, epoch) = task.map_or((self.stage(), Epoch::INITIAL), |task| (task.stage, task.epoch));
        let stage = if self.one_in(8) { self.stage() } else { stage };
        (stage, if self.one_in(6) { Epoch::new(epoch.get().saturating_sub(1)) } else { epoch })
    }

    fn compare<T: Debug>(&self, asked: &str, one: &T, other: &T) {
        // The words of a store's own trouble are its own.
        let words = |answer: &T| {
            let text = format!("{answer:?}");
            text.split("Rejected {").next().unwrap_or_default().to_owned()
        };
        assert_eq!(words(one), words(other), "history {}, step {}: {asked}", self.seed, self.step);
    }

    async fn ask(mut self) {
        for instance in self.instances.clone() {
            self.register(instance).await;
        }
        for repo in ["shop", "till"] {
            let name = RepoName::new(repo).unwrap();
            let repo = NewRepo { name, source: "/srv".into(), now: self.now() };
            both!(self, put_repo(repo)).unwrap();
        }
        for _ in 0..REQUESTS {
            self.step += 1;
            match self.below(25) {
                0 => self.little().await,
                1 => self.add_task().await,
                2..=4 => self.enqueue().await,
                5..=8 => self.claim().await,
                9..=11 => self.end_run().await,
                12..=13 => self.conclude().await,
                14 => self.move_stage().await,
                15..=16 => self.take_lease().await,
                17 | 24 => self.release().await,
                18..=19 => self.intend().await,
                20 => self.settle().await,
                21..=22 => self.person().await,
                _ => self.dead().await,
            }
            self.look().await;
        }
    }
}
