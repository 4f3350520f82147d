//! One seed, from its set-up to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use stagewright_engine::identity::{InstanceId, TaskKey};
use stagewright_engine::name::{BranchName, RepoName, StageName, WorkItem};
use stagewright_engine::pipeline::Pipeline;
use stagewright_engine::task::{Task, TaskState};
use stagewright_store::Store;
use stagewright_store::request::effect::EffectEnding;
use stagewright_store::request::repo::NewRepo;
use stagewright_store::request::task::{NewTask, TaskFilter};

use crate::actors::{Host, operator};
use crate::outside::{Act, NETWORK};
use crate::stepped::Stepped;
use crate::watch;
use crate::without::{Protection, Without};
use crate::world::{ActorId, Life, ProcessId, ProcessState, Role, Sim, Wake, at_once, well};

/// Shorter than the default, and with effects of all four classes on two edges.
const PIPELINE: &str = r#"
attempts = 3

[[stage]]
name = "development"
producer = "producer"
gate = "check_development_complete"
artifact = "10-development.md"
on_pass = "testing"
on_fail = "development"

[[stage]]
name = "testing"
producer = "producer"
gate = "check_tests_passed"
artifact = "13-test-report.md"
on_pass = "deploy-staging"
on_fail = "development"

[[stage]]
name = "deploy-staging"
producer = "producer"
gate = "check_staging_status"
artifact = "15-staging-log.md"
on_pass = "deploy"
on_fail = "development"
effects = ["merge", "comment"]

[[stage]]
name = "deploy"
producer = "producer"
gate = "check_deploy_status"
artifact = "16-deploy-log.md"
on_pass = "done"
on_fail = "deploy"
effects = ["rollout", "announce"]

[[stage]]
name = "done"
"#;

/// How many steps things go wrong.
const ROUGH: u64 = 350;
/// How many steps all tasks have to arrive in, once nothing goes wrong any more. Far beyond what it takes.
const CALM: u64 = 20_000;

/// How a seed is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The protection that the store has lost.
    pub without: Option<Protection>,
    /// Whether the story is kept.
    pub tell: bool,
}

/// What came of a seed.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What must never happen, if it has.
    pub broken: Option<String>,
    /// A line for each step, if it was to be kept.
    pub story: Vec<String>,
    /// How often things of interest happened.
    pub seen: BTreeMap<&'static str, u64>,
}

/// Runs a seed to its end, or to what must never happen.
pub fn run(seed: u64, options: Options) -> Report {
    let mut history = History::new(seed, options);
    history.begin();
    history.live_through();
    let mut seen = std::mem::take(&mut history.sim.world().seen);
    seen.insert("a seed was lived through", 1);
    let (broken, story) = (history.sim.verdict(), history.sim.story());
    Report { seed, broken, story, seen }
}

pub(crate) struct History {
    pub(crate) sim: Sim,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) tasks: Vec<TaskKey>,
    /// When hosts are started that take the place of others.
    pub(crate) restarts: Vec<u64>,
    pub(crate) processes: u32,
    pub(crate) commits: u32,
    store: Arc<dyn Store>,
    lives: BTreeMap<ActorId, Life>,
}

impl History {
    fn new(seed: u64, options: Options) -> Self {
        let pipeline = Arc::new(Pipeline::parse("the simulation's pipeline", PIPELINE).unwrap());
        // What a protection is good for shows in the harm that is done without it, not in its own conditions.
        let sim = Sim::new(seed, Arc::clone(&pipeline), options.tell, options.without.is_none());
        let bare = sim.world().store.clone();
        let inner: Arc<dyn Store> = match options.without {
            Some(protection) => Arc::new(Without::new(bare, protection)),
            None => Arc::new(bare),
        };
        let store = Arc::new(Stepped::new(sim.clone(), inner));
        let (tasks, restarts, lives) = Default::default();
        Self { sim, pipeline, tasks, restarts, processes: NETWORK.0, commits: 0, store, lives }
    }

    pub(crate) fn host(&self, instance: InstanceId) -> Host {
        let (sim, store) = (self.sim.clone(), Arc::clone(&self.store));
        Host { sim, store, pipeline: Arc::clone(&self.pipeline), instance, first_seen: Arc::default() }
    }

    /// A few tasks, and a few hosts.
    fn begin(&mut self) {
        let store = self.sim.world().store.clone();
        let (tasks, hosts) = {
            let chance = &mut self.sim.world().chance;
            (chance.between(1, 3), chance.between(1, 2))
        };
        for number in 0..tasks {
            let now = self.sim.now();
            let repo = RepoName::new(self.sim.world().chance.of(&["shop", "shop", "till"])).unwrap();
            let new = NewRepo { name: repo.clone(), source: "/srv".into(), now };
            well(at_once(store.put_repo(new)));
            let key = TaskKey { repo, work_item: WorkItem::new(format!("ORCH-{number}")).unwrap() };
            let at = self.sim.world().chance.of(&["development", "testing", "deploy-staging", "deploy"]);
            let task = NewTask {
                key: key.clone(),
                stage: StageName::new(at).unwrap(),
                branch: BranchName::new("main").unwrap(),
                now,
            };
            well(at_once(store.add_task(task)));
            let commit = self.new_commit();
            self.sim.world().heads.insert(key.clone(), commit);
            self.tasks.push(key);
        }
        watch::look(&mut self.sim.world());
        (0..hosts).for_each(|_| self.start_host());
    }

    fn live_through(&mut self) {
        for _ in 0..ROUGH {
            if self.sim.world().is_broken() {
                return;
            }
            self.let_something_happen();
            self.step();
        }
        self.calm_down();
        // Without anybody's help every task arrives or waits for a person.
        self.live_until("every task has arrived or is held", |state| *state != TaskState::Active);
        let (process, host) = self.new_process();
        self.sim.say(|| "a person sees to all that is held".to_owned());
        self.sim.spawn_in(process, Role::Operator, operator::see_to_all(host));
        let ended = |state: &TaskState| matches!(state, TaskState::Done | TaskState::Cancelled);
        self.live_until("every task has arrived", ended);
        if !self.sim.world().is_broken() {
            self.look_back();
        }
    }

    /// Nothing goes wrong any more; whoever was stopped goes on.
    fn calm_down(&mut self) {
        let mut world = self.sim.world();
        world.rough = false;
        world.say(|| "things calm down".to_owned());
        for process in world.processes.values_mut() {
            if let ProcessState::Stopped(_) = process.state {
                process.state = ProcessState::Running;
            }
        }
        drop(world);
        self.start_host();
    }

    fn live_until(&mut self, aim: &str, arrived: impl Fn(&TaskState) -> bool) {
        for number in 0..CALM {
            if self.sim.world().is_broken() {
                return;
            }
            if number % 16 == 0 && self.all_tasks().iter().all(|task| arrived(&task.state)) {
                return;
            }
            self.step();
        }
        let left = self.all_tasks().into_iter().find(|task| !arrived(&task.state));
        let store = self.sim.world().store.clone();
        let job = left.as_ref().and_then(|task| well(at_once(store.live_job(&task.key))));
        let left = left.map(|task| (task.key.to_string(), task.stage, task.state));
        self.sim.world().broken(format!("{aim}: not so for {left:?} with {job:?}"));
    }

    fn all_tasks(&self) -> Vec<Task> {
        let store = self.sim.world().store.clone();
        well(at_once(store.tasks(TaskFilter::default())))
    }

    /// One step of one actor, after some time.
    fn step(&mut self) {
        let restarts = self.pass_time();
        (0..restarts).for_each(|_| self.start_if_few());
        self.take_newborn();
        let Some(id) = self.next_actor() else { return };
        let Some(mut life) = self.lives.remove(&id) else { return };
        self.sim.world().current = Some(id);
        let ended = life.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(());
        watch::look(&mut self.sim.world());
        self.sim.world().current = None;
        if ended {
            drop(life);
            self.bury(id);
        } else {
            self.lives.insert(id, life);
        }
    }

    /// Lets time pass, and says how many hosts are to be started.
    fn pass_time(&mut self) -> usize {
        let mut world = self.sim.world();
        world.begin_step();
        let longest = world.chance.weighed(&[(11, 400), (1, 12_000)]);
        let span = world.chance.between(0, longest);
        world.elapsed += span;
        let now = world.elapsed;
        for process in world.processes.values_mut() {
            if let ProcessState::Stopped(until) = process.state
                && until <= now
            {
                process.state = ProcessState::Running;
            }
        }
        let before = self.restarts.len();
        self.restarts.retain(|at| *at > now);
        before - self.restarts.len()
    }

    fn take_newborn(&mut self) {
        let newborn = std::mem::take(&mut self.sim.world().newborn);
        self.lives.extend(newborn.into_iter().map(|newborn| (newborn.id, newborn.life)));
    }

    /// Anybody who can go on. If nobody can, time passes until somebody can.
    fn next_actor(&mut self) -> Option<ActorId> {
        let mut world = self.sim.world();
        let mut ready = Vec::new();
        let mut earliest: Option<u64> = None;
        for (id, actor) in &world.actors {
            let running = actor.process == NETWORK
                || world.processes.get(&actor.process).is_some_and(|one| one.state == ProcessState::Running);
            match actor.wake {
                _ if !running => {}
                Wake::At(at) if at > world.elapsed => {
                    earliest = Some(earliest.map_or(at, |first| first.min(at)))
                }
                Wake::At(_) | Wake::Now => ready.push(*id),
            }
        }
        if !ready.is_empty() {
            return Some(world.chance.of(&ready));
        }
        let until = world.processes.values().filter_map(|process| match process.state {
            ProcessState::Stopped(until) => Some(until),
            _ => None,
        });
        let next = until.chain(self.restarts.iter().copied()).chain(earliest).min();
        if let Some(next) = next {
            world.elapsed = world.elapsed.max(next);
        }
        None
    }

    /// An actor has ended. With the last of its actors a process ends.
    fn bury(&mut self, id: ActorId) {
        let mut world = self.sim.world();
        let Some(actor) = world.actors.remove(&id) else { return };
        let left = world.actors.values().any(|other| other.process == actor.process);
        if !left && let Some(process) = world.processes.get_mut(&actor.process) {
            process.state = ProcessState::Dead;
        }
    }

    /// The end of a process and of all that it was at.
    pub(crate) fn end_process(&mut self, id: ProcessId) {
        self.take_newborn();
        let mut world = self.sim.world();
        if let Some(process) = world.processes.get_mut(&id) {
            process.state = ProcessState::Dead;
        }
        let of_it = world.actors.iter().filter(|(_, actor)| actor.process == id).map(|(id, _)| *id);
        let ended: Vec<ActorId> = of_it.collect();
        for id in &ended {
            world.actors.remove(id);
        }
        drop(world);
        // What they held is let go of here.
        ended.iter().for_each(|id| drop(self.lives.remove(id)));
    }

    /// At the end nothing is left over, and the journal tells the truth.
    fn look_back(&mut self) {
        let store = self.sim.world().store.clone();
        let mut wrong = Vec::new();
        if let Some(lease) = well(at_once(store.leases())).first() {
            wrong.push(format!("a lease of {} is left over", lease.task));
        }
        let mut known = BTreeMap::new();
        for key in &self.tasks {
            if let Some(job) = well(at_once(store.live_job(key))) {
                wrong.push(format!("a job of {key} is left over: {job:?}"));
            }
            for record in well(at_once(store.effects(key))) {
                let Some(act) = Act::of(&record) else { continue };
                let count = self.sim.world().outside.stands(&act);
                match record.ended {
                    None => wrong.push(format!("the end of {} is not written", act.key())),
                    Some((EffectEnding::Done(_), _)) if count == 0 => {
                        wrong.push(format!("{} was not done, and the journal says it was", act.key()));
                    }
                    Some((EffectEnding::Failed(_), _)) if self.sim.world().outside.count(&act) > 0 => {
                        wrong.push(format!("{} was done, and the journal says it was not", act.key()));
                    }
                    Some(_) => {}
                }
                known.insert(act, ());
            }
        }
        let mut world = self.sim.world();
        let unknown: Vec<_> =
            world.outside.done.keys().filter(|act| !known.contains_key(*act)).cloned().collect();
        wrong.extend(
            unknown.iter().map(|act| format!("{} was done, and the journal does not know it", act.key())),
        );
        wrong.into_iter().for_each(|what| world.broken(what));
    }
}
