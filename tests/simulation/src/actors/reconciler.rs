//! The reconciler: compares tasks with their branches, and queues what is missing (daemon: `actor/reconciler.rs`).

use stagewright_engine::identity::JobId;
use stagewright_engine::name::{CommitId, StageName};
use stagewright_engine::task::Task;
use stagewright_engine::transition::{AfterPush, after_push};
use stagewright_store::request::conclusion::{Attempts, Becomes, Ownership, StageChange};
use stagewright_store::request::job::NewJob;
use stagewright_store::request::task::{ObserveHead, TaskFilter, TaskStateKind};

use super::Host;

/// How long it waits without being told, in milliseconds.
const EVERY: u64 = 45_000;

pub(crate) async fn run(host: Host) {
    while !host.sim.stopping() {
        round(&host).await;
        host.sim.sleep(EVERY).await;
    }
}

async fn round(host: &Host) {
    let filter = TaskFilter { state: Some(TaskStateKind::Active), ..TaskFilter::default() };
    let Ok(tasks) = host.store.tasks(filter).await else { return };
    for task in tasks {
        host.sim.step().await;
        let head = host.sim.world().heads.get(&task.key).cloned();
        if let Some(head) = head {
            compare(host, task, head).await;
        }
    }
}

async fn compare(host: &Host, task: Task, head: CommitId) {
    let key = task.key.clone();
    let task = if task.head.as_ref() == Some(&head) {
        task
    } else {
        let observed = ObserveHead {
            task: key.clone(),
            head: head.clone(),
            changed_reports: Vec::new(),
            now: host.now(),
        };
        match host.store.observe_head(observed).await {
            Ok(task) => task,
            Err(_) => return,
        }
    };
    let Ok(live) = host.store.live_job(&key).await else { return };
    match after_push(&host.pipeline, &task, live.as_ref(), |commit| *commit == head) {
        AfterPush::Back { expected, to } => write(host, &task, expected, to, head).await,
        AfterPush::Restart => write(host, &task, task.stage.clone(), task.stage.clone(), head).await,
        AfterPush::Nothing if live.is_none() && host.pipeline.work(&task.stage).is_some() => {
            let _ = host.store.enqueue(new_job(host, &task, task.stage.clone(), head)).await;
        }
        AfterPush::Nothing => {}
    }
}

async fn write(host: &Host, task: &Task, expected: StageName, to: StageName, head: CommitId) {
    let change = StageChange {
        task: task.key.clone(),
        expected_stage: expected,
        ownership: Ownership::TakeNow { owner: host.instance, epoch: task.epoch },
        completes: None,
        past_a_hold: false,
        attempts: Attempts::Keep,
        becomes: Becomes::Active { next_job: Some(new_job(host, task, to.clone(), head)) },
        to,
        reason: "the branch moved".to_owned(),
        events: Vec::new(),
        now: host.now(),
    };
    // Refused: somebody is at it, or was quicker. The next round sees what came of it.
    let _ = host.store.move_stage(change).await;
}

fn new_job(host: &Host, task: &Task, stage: StageName, commit: CommitId) -> NewJob {
    NewJob { id: JobId::new(host.sim.id()), task: task.key.clone(), stage, commit, now: host.now() }
}
