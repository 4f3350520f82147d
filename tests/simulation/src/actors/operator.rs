//! The operator: a person at the command line, each wish a short-lived instance of its own (daemon: `operator.rs`).
//!
//! A person looks, thinks for a while, and asks. What they find out about an unresolved effect is true: they look at the
//! target when nobody is left who could still do it.

use stagewright_engine::identity::{JobId, TaskKey};
use stagewright_engine::outcome::Fault;
use stagewright_engine::task::{Task, TaskState};
use stagewright_engine::transition::{AfterRequest, PersonMove, Request, Standing, after_request};
use stagewright_store::request::conclusion::{Attempts, Becomes, Ownership, StageChange};
use stagewright_store::request::effect::{EffectEnding, EffectRecord, SettleEffect};
use stagewright_store::request::job::NewJob;
use stagewright_store::request::lease::ForceRelease;
use stagewright_store::request::task::{TaskFilter, TaskStateKind};

use super::{Host, hold_of};
use crate::outside::Act;

/// What a person comes for.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Ask(Request),
    ForceRelease,
    /// Look at what is unresolved, and let the task go on.
    Resolve,
}

pub(crate) async fn come(host: Host, key: TaskKey, wish: Wish) {
    host.register().await;
    match wish {
        Wish::Ask(request) => ask(&host, &key, &request).await,
        Wish::ForceRelease => force(&host, &key).await,
        Wish::Resolve => resolve(&host, &key).await,
    }
    let _ = host.store.retire_instance(host.instance, host.now()).await;
}

/// Lets every held task go on, again and again, until no task is on its way any more.
pub(crate) async fn see_to_all(host: Host) {
    host.register().await;
    loop {
        let filter = TaskFilter { state: Some(TaskStateKind::Held), ..TaskFilter::default() };
        let Ok(held) = host.store.tasks(filter).await else { return };
        for task in held {
            resolve(&host, &task.key).await;
        }
        host.sim.sleep(60_000).await;
    }
}

async fn ask(host: &Host, key: &TaskKey, request: &Request) {
    let Ok(Some(task)) = host.store.task(key).await else { return };
    let thinking = host.sim.world().chance.weighed(&[(3, 0), (2, 4_000), (1, 60_000)]);
    host.sim.sleep(thinking).await;
    let now = host.now();
    match after_request(&host.pipeline, &task, request, now) {
        Ok(AfterRequest::Hold(hold)) => drop(host.store.hold_task(key, hold, now).await),
        Ok(AfterRequest::Resume) => drop(host.store.resume_task(key, now).await),
        Ok(AfterRequest::Move(to)) => {
            if host.store.move_stage(change(host, task, to)).await.is_err() {
                host.sim.saw("a person was refused");
            }
        }
        Ok(AfterRequest::Nothing) | Err(_) => {}
    }
}

fn change(host: &Host, task: Task, to: PersonMove) -> StageChange {
    let now = host.now();
    let becomes = match to.becomes {
        Standing::Cancelled => Becomes::Cancelled,
        Standing::Done => Becomes::Done,
        Standing::Active => {
            let next = task.head.clone().filter(|_| host.pipeline.work(&to.to).is_some());
            let id = JobId::new(host.sim.id());
            let (key, stage) = (task.key.clone(), to.to.clone());
            let next_job = next.map(|commit| NewJob { id, task: key, stage, commit, now });
            Becomes::Active { next_job }
        }
    };
    StageChange {
        expected_stage: to.expected,
        to: to.to,
        ownership: Ownership::TakeNow { owner: host.instance, epoch: task.epoch },
        completes: None,
        past_a_hold: true,
        attempts: Attempts::Reset,
        becomes,
        reason: "a person wants it".to_owned(),
        events: Vec::new(),
        now,
        task: task.key,
    }
}

async fn force(host: &Host, key: &TaskKey) {
    let Ok(Some(lease)) = host.store.lease(key).await else { return };
    let force =
        ForceRelease { task: key.clone(), epoch: lease.epoch, by: "anna".to_owned(), now: host.now() };
    let Ok(released) = host.store.force_release(force).await else { return };
    if !released.unresolved.is_empty()
        && let Ok(Some(task)) = host.store.task(key).await
        && task.state == TaskState::Active
    {
        let hold = hold_of(&task, Fault::new("forced", "its lease was released by force"), host.now());
        let _ = host.store.hold_task(key, hold, host.now()).await;
    }
}

async fn resolve(host: &Host, key: &TaskKey) {
    let Ok(effects) = host.store.effects(key).await else { return };
    for record in effects {
        if !matches!(record.ended, Some((EffectEnding::Unresolved(_), _))) {
            continue;
        }
        // Somebody who may still do it is left: come back another time.
        let Some(ending) = find_out(host, &record) else { return };
        let Ok(Some(task)) = host.store.task(key).await else { return };
        let settle = SettleEffect { id: record.id, epoch: task.epoch, ending, now: host.now() };
        if host.store.settle(settle).await.is_err() {
            return;
        }
        host.sim.saw("a person said what was true");
    }
    let _ = host.store.resume_task(key, host.now()).await;
}

/// What the target shows, once nobody is left who could still act.
fn find_out(host: &Host, record: &EffectRecord) -> Option<EffectEnding> {
    let act = Act::of(record)?;
    let world = host.sim.world();
    if !world.outside.is_quiet(&act) {
        return None;
    }
    Some(match world.outside.stands(&act) {
        0 => EffectEnding::Failed("a person looked: it is not there".to_owned()),
        _ => EffectEnding::Done("a person looked: it is there".to_owned()),
    })
}
