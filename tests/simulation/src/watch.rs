//! What must never happen, looked at after every step.
//!
//! Two kinds of findings are kept apart. *Harm* is what somebody outside would suffer: an act done twice, a task that
//! moves where nobody sent it, a job that is lost. *Rules* are the store's own conditions, compared by an observer: that a
//! write took effect though its writer had not seen the task as it was. The tests that take a protection out look for
//! harm only, so that a protection is not merely shown to be there, but to be needed.

use std::collections::{BTreeMap, BTreeSet};

use stagewright_engine::identity::{JobId, TaskKey};
use stagewright_engine::outcome::Judgement;
use stagewright_engine::pipeline::OnFail;
use stagewright_engine::task::{StageVerdict, Task, TaskState};
use stagewright_store::Store as _;
use stagewright_store::request::conclusion::StageChange;
use stagewright_store::request::lease::TakeLease;
use stagewright_store::request::run::{EndRun, RunEnding};

use crate::HOST_LIMIT;
use crate::outside::Act;
use crate::world::{Role, World, at_once, well};

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Watch {
    rules: bool,
    events: u64,
    tasks: BTreeMap<TaskKey, Task>,
    live: BTreeMap<TaskKey, BTreeSet<JobId>>,
    unresolved: BTreeSet<String>,
    /// The tasks whose stage was written in this step, and whether a FAIL was.
    written: BTreeMap<TaskKey, bool>,
}

impl Watch {
    pub(crate) fn new(rules: bool) -> Self {
        Self { rules, ..Self::default() }
    }
}

/// A stage was written: by whom, and was it theirs to write?
pub(crate) fn stage_written(
    world: &mut World,
    before: &Task,
    change: &StageChange,
    verdict: Option<&StageVerdict>,
    after: &Task,
) {
    let fails = verdict.is_some_and(|verdict| verdict.judgement == Judgement::Fail);
    world.watch.written.insert(before.key.clone(), fails);
    let who = world.role();
    let named = match &change.ownership {
        stagewright_store::request::conclusion::Ownership::Lease(lease) => lease.epoch,
        stagewright_store::request::conclusion::Ownership::TakeNow { epoch, .. }
        | stagewright_store::request::conclusion::Ownership::Unleased { epoch, .. } => *epoch,
    };
    if world.watch.rules && (before.stage != change.expected_stage || before.epoch != named) {
        world.broken(format!("a stage of {} was written by who had not seen it as it was", before.key));
    }
    if after.epoch <= before.epoch {
        world.broken(format!("a stage of {} was written without a higher epoch", before.key));
    }
    let pipeline = world.pipeline.clone();
    let at = |stage| pipeline.position(stage);
    let way = format!("{} went from `{}` to `{}`", before.key, before.stage, after.stage);
    if who != Some(Role::Operator) && before.state != TaskState::Active {
        world.broken(format!("{way} by {who:?}, though it was {:?}", before.state));
    }
    match who {
        Some(Role::Operator) if change.expected_stage != before.stage => {
            world.broken(format!("{way} by a person who saw it at `{}`", change.expected_stage));
        }
        Some(Role::Operator) => world.saw("a person moved a task"),
        Some(Role::Reconciler) => {
            if at(&after.stage) > at(&before.stage) {
                world.broken(format!("{way} by a push"));
            }
            world.saw("a push led back or restarted");
        }
        Some(Role::Worker | Role::Finalizer) => {
            by_verdict(world, before, (verdict, change.completes), after, &way)
        }
        other => world.broken(format!("{way} by {other:?}")),
    }
}

/// PASS leads on by one edge, FAIL never does; and every effect of the edge was done, once.
fn by_verdict(
    world: &mut World,
    before: &Task,
    (verdict, completes): (Option<&StageVerdict>, Option<JobId>),
    after: &Task,
    way: &str,
) {
    let pipeline = world.pipeline.clone();
    let Some(work) = pipeline.work(&before.stage) else {
        return world.broken(format!("{way} from an end of the pipeline"));
    };
    // A transition of a finished job goes by the verdict that was kept.
    let Some(verdict) = verdict.or_else(|| before.verdicts.get(&before.stage)) else {
        return world.broken(format!("{way} without a verdict"));
    };
    if verdict.judgement == Judgement::Pass && !work.effects.is_empty() && completes.is_none() {
        world.broken(format!("{way} past its effects"));
    }
    let (to, spends) = match (verdict.judgement, &work.on_fail) {
        (Judgement::Pass, _) => (&work.on_pass, 0),
        (Judgement::Fail, OnFail::BackTo(to)) => (to, 1),
        (Judgement::Fail, OnFail::Repeat { .. }) => (&before.stage, 0),
    };
    if after.stage != *to {
        world.broken(format!("{way} on a {:?}", verdict.judgement));
    }
    if after.attempts_spent != before.attempts_spent + spends {
        world.broken(format!(
            "{way}, and its attempts went from {} to {}",
            before.attempts_spent, after.attempts_spent
        ));
    }
    if verdict.judgement == Judgement::Pass
        && let Some(job) = completes
    {
        for name in &work.effects {
            let act = Act {
                task: before.key.clone(),
                from: before.stage.clone(),
                name: name.clone(),
                commit: verdict.commit.clone(),
                job,
            };
            let times = world.outside.stands(&act);
            if times != 1 {
                world.broken(format!("{way}, and {name} was done {times} times"));
            }
        }
        if !work.effects.is_empty() {
            world.saw("a transition with effects was completed");
        }
    }
}

/// A run's end was written, other than by giving the job up: was it by its owner, or by who has fenced the owner?
pub(crate) fn run_ended(world: &mut World, before: &Task, end: &EndRun) {
    let gives_up =
        matches!(end.ending, RunEnding::Cancelled(_) | RunEnding::Superseded | RunEnding::Requeued);
    if world.watch.rules && !gives_up && before.epoch != end.epoch {
        world.broken(format!("a fenced owner wrote the end of its run for {}", before.key));
    }
}

/// A lease was given.
pub(crate) fn lease_taken(world: &mut World, before: &Task, take: &TakeLease) {
    if world.watch.rules && (before.stage != take.expected_stage || before.epoch != take.epoch) {
        world.broken(format!("a lease of {} was given to who had not seen it as it was", before.key));
    }
}

/// Looks at what has changed in this step.
pub(crate) fn look(world: &mut World) {
    let store = world.store.clone();
    let events = well(at_once(store.events(world.watch.events, 1_000)));
    let Some(last) = events.last() else { return };
    world.watch.events = last.seq;
    let by_person = world.role() == Some(Role::Operator);
    let mut claimed = false;
    let mut touched = BTreeSet::new();
    for event in &events {
        claimed |= event.kind == "job-claimed";
        if event.kind == "effect-settled" {
            let effect = event.detail["effect"].to_string();
            if event.detail["state"] == "unresolved" {
                world.saw("an effect was left unresolved");
                world.watch.unresolved.insert(effect);
            } else if world.watch.unresolved.remove(&effect) && !by_person {
                world.broken("an unresolved effect was settled by somebody else than a person");
            }
        }
        match event.kind.as_str() {
            "job-reclaimed" => world.saw("a job was taken from the dead"),
            "lease-reclaimed" => world.saw("a lease was taken from the dead"),
            "lease-forced" => world.saw("a lease was forced"),
            "task-fenced" => world.saw("a task was fenced"),
            "transition-deferred" => world.saw("a transition was put off"),
            "effect-intended-again" => world.saw("an effect was begun again"),
            _ => {}
        }
        let Some(key) = &event.task else { continue };
        touched.insert(key.clone());
        if let Some(id) = event.job
            && let Some(job) = well(at_once(store.job(id)))
        {
            let live = world.watch.live.entry(key.clone()).or_default();
            if job.state.is_live() {
                live.insert(id)
            } else {
                live.remove(&id)
            };
        }
    }
    for key in touched {
        let Some(task) = well(at_once(store.task(&key))) else { continue };
        look_at_task(world, task, by_person);
    }
    if claimed && well(at_once(store.running_jobs(None))).len() > HOST_LIMIT as usize {
        world.broken("more jobs run than may");
    }
    let mut regions = BTreeSet::new();
    for lease in well(at_once(store.leases())) {
        if lease.exclusive && !regions.insert(lease.task.repo.clone()) {
            world.broken("two tasks of one repository are in a region with effects");
        }
    }
    world.watch.written.clear();
}

fn look_at_task(world: &mut World, task: Task, by_person: bool) {
    let key = task.key.clone();
    let written = world.watch.written.get(&key).copied();
    if world.watch.live.get(&key).is_some_and(|live| live.len() > 1) {
        world.broken(format!("{key} has two live jobs"));
    }
    if let Some(before) = world.watch.tasks.get(&key).cloned() {
        if task.epoch < before.epoch {
            world.broken(format!("the epoch of {key} fell"));
        }
        if task.stage != before.stage && written.is_none() {
            world.broken(format!("the stage of {key} changed by no stage write"));
        }
        if matches!(before.state, TaskState::Held(_)) && !by_person && task.state != before.state {
            world.broken(format!("the hold of {key} was changed by {:?}", world.role()));
        }
        if task.attempts_spent > before.attempts_spent && written != Some(true) {
            world.broken(format!("an attempt of {key} was spent without a FAIL"));
        }
    }
    world.watch.tasks.insert(key, task);
}
