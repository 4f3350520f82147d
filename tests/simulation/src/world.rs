//! The world that all actors share: its clocks, its processes, the branches, the outside, and the story of it.
//!
//! An actor meets it through [`Sim`]. Each time it steps, sleeps or asks the store, it gives way to whoever the scheduler
//! takes next, and there it may be stopped for hours, or end for ever.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use stagewright_engine::identity::{InstanceId, TaskKey};
use stagewright_engine::lease::{Evidence, Liveness, LockProbe, ProcessProbe, ProofOfDeath, liveness};
use stagewright_engine::name::CommitId;
use stagewright_engine::pipeline::Pipeline;
use stagewright_engine::time::Timestamp;
use stagewright_store::request::job::Claimed;
use stagewright_store::{MemoryStore, Store as _};
use uuid::Uuid;

use crate::chance::Chance;
use crate::outside::Outside;
use crate::watch::Watch;

/// What an actor does until it ends.
pub(crate) type Life = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One start of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessId(pub(crate) u32);

/// One actor in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ActorId(pub(crate) u32);

/// What an actor is, and so what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Start,
    Pool,
    Worker,
    Finalizer,
    Reconciler,
    Reaper,
    Operator,
    Network,
}

/// When an actor can go on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wake {
    Now,
    At(u64),
}

/// How a process is.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) instance: InstanceId,
    pub(crate) state: ProcessState,
    /// It was asked to end in order.
    pub(crate) stopping: bool,
    /// Where its lock can't be tried, what a prober can say of it.
    pub(crate) lockless: Option<Lockless>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessState {
    Running,
    /// It does nothing until then, and does not know it. Its lock is held.
    Stopped(u64),
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lockless {
    /// Its process id can be looked up.
    Here,
    /// It is on another machine or in another namespace.
    Elsewhere,
}

pub(crate) struct ActorFacts {
    pub(crate) process: ProcessId,
    pub(crate) role: Role,
    pub(crate) wake: Wake,
}

/// An actor that somebody has begun and that the scheduler has not seen yet.
pub(crate) struct Newborn {
    pub(crate) id: ActorId,
    pub(crate) life: Life,
}

pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) pipeline: Arc<Pipeline>,
    /// The store as it is, without anybody's steps.
    pub(crate) store: MemoryStore,
    /// Time that only goes on.
    pub(crate) elapsed: u64,
    /// How far the wall clock is off.
    pub(crate) skew: i64,
    pub(crate) processes: BTreeMap<ProcessId, Process>,
    pub(crate) actors: BTreeMap<ActorId, ActorFacts>,
    pub(crate) newborn: Vec<Newborn>,
    pub(crate) current: Option<ActorId>,
    /// Locks of the dead that a prober holds while it clears up.
    pub(crate) buried: BTreeMap<InstanceId, bool>,
    pub(crate) heads: BTreeMap<TaskKey, CommitId>,
    pub(crate) outside: Outside,
    pub(crate) watch: Watch,
    /// Whether things still go wrong. Producers fail only as long as this is so.
    pub(crate) rough: bool,
    next_id: u128,
    steps: u64,
    story: Option<Vec<String>>,
    broken: Option<String>,
    pub(crate) seen: BTreeMap<&'static str, u64>,
}

impl World {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(
            1_700_000_000_000 + self.skew + i64::try_from(self.elapsed).unwrap_or(i64::MAX),
        )
    }

    pub(crate) fn role(&self) -> Option<Role> {
        self.current.and_then(|id| self.actors.get(&id)).map(|actor| actor.role)
    }

    /// Something must never happen and has.
    pub(crate) fn broken(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.say(|| format!("BROKEN: {what}"));
        self.broken.get_or_insert(what);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Notes that something of interest has happened, so that a test can ask whether the seeds reach it.
    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// A line of the story.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if self.story.is_none() {
            return;
        }
        let who = match self.current.and_then(|id| self.actors.get(&id).map(|actor| (id, actor))) {
            Some((id, actor)) => format!("p{} {:?}#{}", actor.process.0, actor.role, id.0),
            None => "the world".to_owned(),
        };
        let line = short(&line());
        let told = format!("{:>5} {:>9.1}s {who}: {line}", self.steps, self.elapsed as f64 / 1_000.0);
        if let Some(story) = &mut self.story {
            story.push(told);
        }
    }

    pub(crate) fn is_telling(&self) -> bool {
        self.story.is_some()
    }

    /// A worker has ended by itself: its job must not go on running under its run, or nobody would ever end it.
    pub(crate) fn worker_has_ended(&mut self, claimed: &Claimed) {
        let job = well(at_once(self.store.job(claimed.job.id)));
        let task = well(at_once(self.store.task(&claimed.task.key)));
        let runs_on = job.is_some_and(|job| job.state == claimed.job.state);
        if runs_on && task.is_some_and(|task| task.epoch == claimed.epoch) {
            self.broken(format!("job {} runs on under nobody", claimed.job.id));
        }
    }

    pub(crate) fn begin_step(&mut self) {
        self.steps += 1;
    }
}

/// Names that only say of what type something is. A story is read for what happened.
const TYPES: [&str; 12] = [
    "StageName(",
    "CommitId(",
    "JobId(",
    "RunId(",
    "InstanceId(",
    "EffectId(",
    "Epoch(",
    "Timestamp(17000",
    "RepoName(",
    "WorkItem(",
    "BranchName(",
    "ProducerName(",
];

/// Shorter: ids are counted here, so their leading zeros tell nothing.
fn short(line: &str) -> String {
    let mut line = line.replace("00000000-0000-0000-0000-00000000", "").replace(&"0".repeat(32), "");
    for name in TYPES {
        line = line.replace(name, "(");
    }
    match line.char_indices().nth(600) {
        Some((at, _)) => format!("{} …", &line[..at]),
        None => line,
    }
}

/// A handle of the world. Clones share it.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Mutex<World>>);

impl Sim {
    pub(crate) fn new(seed: u64, pipeline: Arc<Pipeline>, tell: bool, rules: bool) -> Self {
        Self(Arc::new(Mutex::new(World {
            chance: Chance::new(seed),
            pipeline,
            store: MemoryStore::new(),
            elapsed: 0,
            skew: 0,
            processes: BTreeMap::new(),
            actors: BTreeMap::new(),
            newborn: Vec::new(),
            current: None,
            buried: BTreeMap::new(),
            heads: BTreeMap::new(),
            outside: Outside::default(),
            watch: Watch::new(rules),
            rough: true,
            next_id: 1,
            steps: 0,
            story: tell.then(Vec::new),
            broken: None,
            seen: BTreeMap::new(),
        })))
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.world().now()
    }

    pub(crate) fn id(&self) -> Uuid {
        let mut world = self.world();
        world.next_id += 1;
        Uuid::from_u128(world.next_id)
    }

    pub(crate) fn saw(&self, what: &'static str) {
        self.world().saw(what);
    }

    pub(crate) fn say(&self, line: impl FnOnce() -> String) {
        self.world().say(line);
    }

    pub(crate) fn story(&self) -> Vec<String> {
        self.world().story.clone().unwrap_or_default()
    }

    pub(crate) fn verdict(&self) -> Option<String> {
        self.world().broken.clone()
    }

    /// Gives way. Whatever may happen between two acts of a program happens here.
    pub(crate) fn step(&self) -> Way {
        Way { sim: self.clone(), wake: Wake::Now, given: false }
    }

    /// Gives way for at least so many milliseconds, by the clock that only goes on.
    pub(crate) fn sleep(&self, millis: u64) -> Way {
        let at = self.world().elapsed + millis;
        Way { sim: self.clone(), wake: Wake::At(at), given: false }
    }

    /// Begins an actor beside the current one, in its process.
    pub(crate) fn spawn(&self, role: Role, life: impl Future<Output = ()> + Send + 'static) {
        let process = {
            let world = self.world();
            world.current.and_then(|id| world.actors.get(&id)).map(|actor| actor.process)
        };
        if let Some(process) = process {
            self.spawn_in(process, role, life);
        }
    }

    pub(crate) fn spawn_in(
        &self,
        process: ProcessId,
        role: Role,
        life: impl Future<Output = ()> + Send + 'static,
    ) -> ActorId {
        let mut world = self.world();
        world.next_id += 1;
        let id = ActorId(u32::try_from(world.next_id).unwrap());
        world.actors.insert(id, ActorFacts { process, role, wake: Wake::Now });
        world.newborn.push(Newborn { id, life: Box::pin(life) });
        id
    }

    /// Whether the current actor's process was asked to end.
    pub(crate) fn stopping(&self) -> bool {
        let world = self.world();
        let process = world.current.and_then(|id| world.actors.get(&id)).map(|actor| actor.process);
        process.and_then(|id| world.processes.get(&id)).is_some_and(|process| process.stopping)
    }

    /// Tries the lock of an instance, and looks at its process (daemon: `recovery::evidence`).
    pub(crate) fn probe(&self, instance: InstanceId) -> (Evidence, Option<Corpse>) {
        let mut world = self.world();
        let process = world.processes.values().find(|process| process.instance == instance);
        let (dead, lockless) =
            process.map_or((true, None), |one| (one.state == ProcessState::Dead, one.lockless));
        let (lock, process) = match lockless {
            Some(Lockless::Elsewhere) => (LockProbe::Unknown, ProcessProbe::Elsewhere),
            Some(Lockless::Here) if dead => (LockProbe::Unknown, ProcessProbe::Gone),
            Some(Lockless::Here) => (LockProbe::Unknown, ProcessProbe::Same),
            // Another prober holds it while it clears up.
            None if !dead || world.buried.get(&instance) == Some(&true) => {
                (LockProbe::Held, ProcessProbe::Same)
            }
            None => (LockProbe::Free, ProcessProbe::Gone),
        };
        let evidence = Evidence { lock, process, earlier_boot: false };
        let corpse = (lock == LockProbe::Free).then(|| {
            world.buried.insert(instance, true);
            Corpse { sim: self.clone(), instance }
        });
        if liveness(evidence) == Liveness::Dead && !dead {
            world.broken(format!("the living instance {instance} was taken for dead"));
        }
        (evidence, corpse)
    }

    /// The proof that an instance is dead, if there is one, and its lock for as long as the prober clears up.
    pub(crate) fn proof(&self, instance: InstanceId) -> Option<(ProofOfDeath, Option<Corpse>)> {
        let (evidence, corpse) = self.probe(instance);
        ProofOfDeath::from_evidence(instance, evidence).map(|proof| (proof, corpse))
    }
}

/// The lock of a dead instance, held by who clears up after it, until it has ended, one way or another.
pub(crate) struct Corpse {
    sim: Sim,
    instance: InstanceId,
}

impl Drop for Corpse {
    fn drop(&mut self) {
        self.sim.world().buried.insert(self.instance, false);
    }
}

/// One giving way.
pub(crate) struct Way {
    sim: Sim,
    wake: Wake,
    given: bool,
}

impl Future for Way {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.given {
            return Poll::Ready(());
        }
        self.given = true;
        let wake = self.wake;
        let mut world = self.sim.world();
        if let Some(id) = world.current
            && let Some(actor) = world.actors.get_mut(&id)
        {
            actor.wake = wake;
        }
        Poll::Pending
    }
}

/// The answer of the bare store, which never waits.
pub(crate) fn at_once<T>(answer: impl Future<Output = T>) -> T {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => unreachable!("the store in memory answers at once"),
    }
}

/// An answer that must be there: the store in memory has no troubles.
pub(crate) fn well<T, E: Debug>(answer: Result<T, E>) -> T {
    answer.unwrap_or_else(|error| panic!("the store in memory was in trouble: {error:?}"))
}
