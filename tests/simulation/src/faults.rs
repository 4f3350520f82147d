//! What goes wrong, and what people and pushes do meanwhile.

use stagewright_engine::identity::{InstanceId, TaskKey};
use stagewright_engine::name::CommitId;
use stagewright_engine::transition::Request;

use crate::actors::operator::{self, Wish};
use crate::history::History;
use crate::outside::NETWORK;
use crate::world::{Lockless, Process, ProcessId, ProcessState, Role, Wake};

/// The most hosts that live at once.
const HOSTS: usize = 3;

#[derive(Clone, Copy)]
enum Fault {
    Kill,
    StopForAWhile,
    EndInOrder,
    Start,
    SetTheClock,
    Push,
    Signal,
    Person,
}

impl History {
    /// Lets something happen, perhaps.
    pub(crate) fn let_something_happen(&mut self) {
        let fault = {
            let mut world = self.sim.world();
            // Where it hurts the most, it happens the most.
            let times = if world.outside.is_anybody_acting() { 6 } else { 14 };
            if !world.chance.one_in(times) {
                return;
            }
            world.chance.weighed(&[
                (5, Fault::Kill),
                (4, Fault::StopForAWhile),
                (1, Fault::EndInOrder),
                (3, Fault::Start),
                (3, Fault::SetTheClock),
                (4, Fault::Push),
                (1, Fault::Signal),
                (8, Fault::Person),
            ])
        };
        match fault {
            Fault::Kill => self.kill_one(),
            Fault::StopForAWhile => self.stop_one(),
            Fault::EndInOrder => self.end_one(),
            Fault::Start => self.start_if_few(),
            Fault::SetTheClock => self.set_the_clock(),
            Fault::Push => self.push(),
            Fault::Signal => self.signal(),
            Fault::Person => self.person(),
        }
    }

    fn some_process(&mut self, living: impl Fn(&Process) -> bool) -> Option<ProcessId> {
        let mut world = self.sim.world();
        let all = world.processes.iter();
        let ids: Vec<_> = all.filter(|(_, process)| living(process)).map(|(id, _)| *id).collect();
        if ids.is_empty() { None } else { Some(world.chance.of(&ids)) }
    }

    /// The end of a process, between two steps of any of its actors.
    fn kill_one(&mut self) {
        let Some(id) = self.some_process(|process| process.state != ProcessState::Dead) else { return };
        self.sim.say(|| format!("kills p{}", id.0));
        self.end_process(id);
        self.restart_later();
    }

    /// It does nothing for a while, longer than any time-out perhaps, and then goes on as if nothing had been.
    fn stop_one(&mut self) {
        let Some(id) = self.some_process(|process| process.state == ProcessState::Running) else { return };
        let mut world = self.sim.world();
        let longest = world.chance.weighed(&[(2, 5_000), (2, 60_000), (1, 600_000), (2, 7_200_000)]);
        let span = world.chance.between(1_000, longest);
        let until = world.elapsed + span;
        if let Some(process) = world.processes.get_mut(&id) {
            process.state = ProcessState::Stopped(until);
        }
        world.saw("a process was stopped and went on");
        world.say(|| format!("stops p{} for {}s", id.0, span / 1_000));
    }

    fn end_one(&mut self) {
        let Some(id) = self.some_process(|process| process.state == ProcessState::Running) else { return };
        let mut world = self.sim.world();
        world.say(|| format!("asks p{} to end", id.0));
        if let Some(process) = world.processes.get_mut(&id) {
            process.stopping = true;
        }
        drop(world);
        self.restart_later();
    }

    fn restart_later(&mut self) {
        let mut world = self.sim.world();
        let longest = world.chance.of(&[2_000, 60_000]);
        let at = world.elapsed + world.chance.between(0, longest);
        drop(world);
        self.restarts.push(at);
    }

    pub(crate) fn start_if_few(&mut self) {
        let living = {
            let world = self.sim.world();
            world.processes.values().filter(|process| process.state != ProcessState::Dead).count()
        };
        if living < HOSTS {
            self.start_host();
        }
    }

    pub(crate) fn start_host(&mut self) {
        let (process, host) = self.new_process();
        self.sim.say(|| format!("starts p{} as instance {}", process.0, host.instance));
        self.sim.spawn_in(process, Role::Start, host.serve());
    }

    pub(crate) fn new_process(&mut self) -> (ProcessId, crate::actors::Host) {
        self.processes += 1;
        let id = ProcessId(self.processes);
        let instance = InstanceId::new(self.sim.id());
        let mut world = self.sim.world();
        let lockless =
            world.chance.weighed(&[(16, None), (2, Some(Lockless::Here)), (1, Some(Lockless::Elsewhere))]);
        let process = Process { instance, state: ProcessState::Running, stopping: false, lockless };
        world.processes.insert(id, process);
        drop(world);
        (id, self.host(instance))
    }

    fn set_the_clock(&mut self) {
        let mut world = self.sim.world();
        let span = world.chance.weighed(&[(1, 5_000), (2, 120_000), (1, 3_600_000)]);
        let by = i64::try_from(world.chance.between(0, 2 * span)).unwrap() - i64::try_from(span).unwrap();
        world.skew += by;
        world.say(|| format!("sets the clock by {}s", by / 1_000));
    }

    fn push(&mut self) {
        let task = self.some_task();
        let commit = self.new_commit();
        let mut world = self.sim.world();
        world.say(|| format!("pushes {} to {task}", commit.short()));
        world.heads.insert(task, commit);
        // Its signal gets lost, comes at once, later, or both.
        let times = world.chance.weighed(&[(2, 0), (3, 1), (1, 2)]);
        drop(world);
        (0..times).for_each(|_| self.signal());
    }

    /// A signal that something has changed. It says nothing else, and nobody relies on it.
    fn signal(&mut self) {
        let sim = self.sim.clone();
        let delay = sim.world().chance.weighed(&[(2, 0), (1, 30_000), (1, 200_000)]);
        self.sim.spawn_in(NETWORK, Role::Network, async move {
            sim.sleep(delay).await;
            let mut world = sim.world();
            for actor in world.actors.values_mut().filter(|actor| actor.role == Role::Reconciler) {
                if matches!(actor.wake, Wake::At(_)) {
                    actor.wake = Wake::Now;
                }
            }
        });
    }

    fn person(&mut self) {
        let task = self.some_task();
        let stages: Vec<_> = self.pipeline.stages().iter().map(|stage| stage.name.clone()).collect();
        let (process, host) = self.new_process();
        let mut world = self.sim.world();
        let to = world.chance.of(&stages);
        let hold = Wish::Ask(Request::Hold { reason: "wait".to_owned() });
        let wishes = [
            (4, hold),
            (5, Wish::Ask(Request::Resume)),
            (3, Wish::Ask(Request::Retry)),
            (3, Wish::Ask(Request::Move { to })),
            (1, Wish::Ask(Request::Cancel)),
            (3, Wish::ForceRelease),
            (5, Wish::Resolve),
        ];
        let weights: Vec<_> = wishes.iter().enumerate().map(|(at, (weight, _))| (*weight, at)).collect();
        let wish = wishes[world.chance.weighed(&weights)].1.clone();
        world.say(|| format!("a person comes as p{}: {wish:?} for {task}", process.0));
        drop(world);
        self.sim.spawn_in(process, Role::Operator, operator::come(host, task, wish));
    }

    fn some_task(&mut self) -> TaskKey {
        let tasks = self.tasks.clone();
        self.sim.world().chance.of(&tasks)
    }

    pub(crate) fn new_commit(&mut self) -> CommitId {
        self.commits += 1;
        CommitId::new(format!("{:08x}{}", self.commits, "0".repeat(32))).unwrap()
    }
}
