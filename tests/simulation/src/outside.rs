//! The outside world: targets of effects that remember what was done to them.
//!
//! Each target is as good as its class says and no better. A *conditional* one refuses a commit that is not the branch's
//! head; a *keyed* one knows a key again; an *observable* one can be asked; a *blind* one does what it is told, every
//! time, and can't be asked. Requests take time to arrive, also after whoever sent them has died, but never longer than
//! their time-out. Answers get lost.

use std::collections::BTreeMap;

use stagewright_engine::effect::EffectClass;
use stagewright_engine::identity::{JobId, TaskKey};
use stagewright_engine::lease::Lease;
use stagewright_engine::name::{CommitId, EffectName, StageName};
use stagewright_store::Store as _;
use stagewright_store::request::effect::{EffectEnding, EffectId, EffectRecord};

use crate::world::{ProcessId, Role, Sim, World, at_once, well};

/// The longest that a request is under way, in milliseconds.
pub(crate) const TIME_OUT: u64 = 45_000;
/// The network is nobody's process and never ends.
pub(crate) const NETWORK: ProcessId = ProcessId(0);

/// What is asked of a target.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) effect: EffectId,
    pub(crate) act: Act,
    pub(crate) lease: Lease,
}

/// An act: the same for the same effect of the same transition (daemon: `effect::key`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Act {
    pub(crate) task: TaskKey,
    pub(crate) from: StageName,
    pub(crate) name: EffectName,
    pub(crate) commit: CommitId,
    /// The finished job whose transition it is.
    pub(crate) job: JobId,
}

impl Act {
    /// The act of an entry in the journal.
    pub(crate) fn of(record: &EffectRecord) -> Option<Self> {
        let text = |field: &str| record.detail[field].as_str().unwrap_or_default().to_owned();
        Some(Self {
            task: record.task.clone(),
            from: text("from").parse().ok()?,
            name: record.name.parse().ok()?,
            commit: text("commit").parse().ok()?,
            job: record.job,
        })
    }

    /// Its idempotency key.
    pub(crate) fn key(&self) -> String {
        let Self { task, from, name, commit, job } = self;
        format!("{}/{}/{from}/{name}@{commit}#{job}", task.repo, task.work_item)
    }
}

/// What class an effect is of.
pub(crate) fn class_of(name: &EffectName) -> EffectClass {
    match name.as_str() {
        "merge" => EffectClass::Conditional,
        "comment" => EffectClass::Keyed,
        "rollout" => EffectClass::Observable,
        _ => EffectClass::Blind,
    }
}

/// What a target says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Done,
    /// Certainly not done; it may be another time.
    NotNow,
    /// Certainly not done, and it will not be: the branch's head is another.
    Refused,
}

#[derive(Default)]
pub(crate) struct Outside {
    /// How often each act was really done.
    pub(crate) done: BTreeMap<Act, u64>,
    /// Whoever is about to ask for an act, or whose request is under way.
    in_hand: BTreeMap<Act, u64>,
    replies: BTreeMap<u64, Reply>,
    requests: u64,
}

impl Outside {
    pub(crate) fn count(&self, act: &Act) -> u64 {
        self.done.get(act).copied().unwrap_or(0)
    }

    /// How often it counts as done: a commit that is merged is merged for every transition.
    pub(crate) fn stands(&self, act: &Act) -> u64 {
        if class_of(&act.name) != EffectClass::Conditional {
            return self.count(act);
        }
        let merged =
            |other: &Act| other.task == act.task && other.name == act.name && other.commit == act.commit;
        self.done.iter().filter(|(other, _)| merged(other)).map(|(_, count)| count).sum()
    }

    /// Whether somebody is at an effect.
    pub(crate) fn is_anybody_acting(&self) -> bool {
        self.in_hand.values().any(|count| *count > 0)
    }

    /// Whether nobody can still do it: no request is under way, and nobody who has begun it is left.
    pub(crate) fn is_quiet(&self, act: &Act) -> bool {
        self.in_hand.get(act).copied().unwrap_or(0) == 0
    }
}

/// Whoever holds this may still do the act. It is gone with its owner.
pub(crate) struct InHand {
    sim: Sim,
    act: Act,
}

impl InHand {
    pub(crate) fn take(sim: &Sim, act: &Act) -> Self {
        *sim.world().outside.in_hand.entry(act.clone()).or_default() += 1;
        Self { sim: sim.clone(), act: act.clone() }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if let Some(count) = self.sim.world().outside.in_hand.get_mut(&self.act) {
            *count -= 1;
        }
    }
}

/// Asks a target for an act and waits for its answer. `None`: there was none in time, and nobody knows.
pub(crate) async fn ask(sim: &Sim, request: Request) -> Option<Reply> {
    let (number, delay, lost) = {
        let mut world = sim.world();
        look_at_who_asks(&mut world, &request);
        let delays = [(4, 0), (3, 2_000), (3, TIME_OUT - 1)];
        let longest = world.chance.weighed(&delays);
        let delay = world.chance.between(0, longest);
        world.outside.requests += 1;
        let lost = world.rough && world.chance.one_in(12);
        world.say(|| format!("asks for {} at {}", request.act.name, request.act.commit.short()));
        (world.outside.requests, delay, lost)
    };
    let under_way = InHand::take(sim, &request.act);
    let network = sim.clone();
    let life = async move {
        if delay > 0 {
            network.sleep(delay).await;
        }
        let reply = arrive(&mut network.world(), &request);
        drop(under_way);
        if !lost {
            network.world().outside.replies.insert(number, reply);
        }
    };
    sim.spawn_in(NETWORK, Role::Network, life);
    let over = sim.world().elapsed + TIME_OUT;
    loop {
        sim.sleep(500).await;
        if let Some(reply) = sim.world().outside.replies.remove(&number) {
            return Some(reply);
        }
        if sim.world().elapsed >= over {
            sim.saw("an answer was lost");
            return None;
        }
    }
}

/// Whether an act was done, as an observable target tells.
pub(crate) async fn read_back(sim: &Sim, act: &Act) -> Option<bool> {
    sim.sleep(200).await;
    let mut world = sim.world();
    if world.rough && world.chance.one_in(8) {
        return None;
    }
    let was = world.outside.stands(act) > 0;
    world.saw(if was { "read back: done" } else { "read back: absent" });
    world.say(|| format!("reads back that {} was {}done", act.name, if was { "" } else { "not " }));
    Some(was)
}

/// Whoever asks must hold the lease, or be a former owner whose effect is unresolved or whose target tells by itself.
fn look_at_who_asks(world: &mut World, request: &Request) {
    let Request { effect, act, lease } = request;
    let store = world.store.clone();
    let held = well(at_once(store.lease(&act.task)));
    let task = well(at_once(store.task(&act.task)));
    let Some(task) = task else { return };
    let is_held = held.is_some_and(|held| held == *lease) && task.epoch == lease.epoch;
    if is_held {
        if task.stage != act.from {
            world.broken(format!(
                "{} is done for `{}`, but the task is at `{}`",
                act.name, act.from, task.stage
            ));
        }
        let verdict = task.verdicts.get(&act.from).map(|verdict| &verdict.commit);
        if verdict != Some(&act.commit) {
            world.broken(format!("{} is done for {}, which has no verdict", act.name, act.commit.short()));
        }
        return;
    }
    world.saw("a former owner acts");
    let record = well(at_once(store.effect(*effect)));
    let unresolved =
        record.is_some_and(|record| matches!(record.ended, Some((EffectEnding::Unresolved(_), _))));
    let closes = matches!(class_of(&act.name), EffectClass::Conditional | EffectClass::Keyed);
    if !closes && !unresolved {
        world.broken(format!("{} is done by who has lost the lease, and nothing shows it", act.name));
    }
}

/// A request has arrived.
fn arrive(world: &mut World, request: &Request) -> Reply {
    let act = &request.act;
    if world.rough && world.chance.one_in(15) {
        world.say(|| format!("{} says: not now", act.name));
        return Reply::NotNow;
    }
    let before = world.outside.stands(act);
    match class_of(&act.name) {
        EffectClass::Conditional | EffectClass::Keyed if before > 0 => {
            world.saw("a target knew it again");
            return Reply::Done;
        }
        EffectClass::Conditional if world.heads.get(&act.task) != Some(&act.commit) => {
            world.saw("a target refused another head");
            world.say(|| format!("{} says: {} is not the head", act.name, act.commit.short()));
            return Reply::Refused;
        }
        _ => {}
    }
    *world.outside.done.entry(act.clone()).or_default() += 1;
    world.say(|| format!("{} was done for {}", act.name, act.commit.short()));
    if before > 0 {
        world.broken(format!("{} was done twice for {}", act.name, act.commit.short()));
    }
    Reply::Done
}
