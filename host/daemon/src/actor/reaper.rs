//! The reaper: takes over from the dead, and from whoever is at it for too long (J6).
//!
//! ```text
//! first tier    a running job, or a region, of an owner that is proven dead
//! second tier   a finished job whose transition nobody completes: that is the finalizer's daily work
//! third tier    a running job, or a region, beyond the maximum age, whoever holds it
//! ```
//!
//! It never takes doubt for death. In the third tier the owner may still run, so the order of O5 holds: first it is fenced,
//! then its processes are ended, then that is looked at, and only then does anybody else begin.

use std::time::Duration;

use stagewright_capability::survivors;
use stagewright_engine::effect::{Then, put_off};
use stagewright_engine::identity::RunId;
use stagewright_engine::job::{Job, JobState};
use stagewright_engine::lease::Lease;
use stagewright_engine::ledger::Ledger;
use stagewright_engine::outcome::{Fault, Outcome};
use stagewright_engine::task::Hold;
use stagewright_engine::time::{Span, Timestamp};
use stagewright_store::Error;
use stagewright_store::request::lease::{Fence, FenceRefused, ForceRelease, ReleaseRefused};
use stagewright_store::request::run::{EndRefused, EndRun, RunEnding};

use super::stop::{Phase, Stop};
use crate::worker::Worker;
use crate::{clock, recovery};

/// How often it looks, unless the maximum age is shorter.
const ROUND: Duration = Duration::from_secs(30);

/// Looks until the daemon ends.
pub async fn run(worker: Worker, stop: Stop) {
    let round = ROUND.min(Duration::from(worker.config.max_age()));
    loop {
        tokio::select! {
            () = stop.reached(Phase::Draining) => return,
            () = tokio::time::sleep(round) => {}
        }
        let looked = async {
            recovery::take_stock(&worker.store, &worker.state, clock::now()).await?;
            recovery::sweep(&worker.store, &worker.state).await?;
            overdue(&worker, clock::now()).await
        };
        if let Err(error) = looked.await {
            tracing::warn!(%error, "the reaper could not look; it looks again soon");
        }
    }
}

/// The third tier.
async fn overdue(worker: &Worker, now: Timestamp) -> Result<(), Error> {
    let age = worker.config.max_age();
    for job in worker.store.running_jobs(None).await? {
        if let JobState::Running { run, since, .. } = job.state
            && now.since(since) > age
        {
            reap_run(worker, &job, run, age).await?;
        }
    }
    for lease in worker.store.leases().await? {
        if now.since(lease.taken) > age {
            reap_region(worker, &lease, age).await?;
        }
    }
    Ok(())
}

async fn reap_run(worker: &Worker, job: &Job, run: RunId, age: Span) -> Result<(), Error> {
    let now = clock::now();
    let Some(task) = worker.store.task(&job.task).await? else { return Ok(()) };
    // The task first, then the job once more: what still runs now can't have come into a region under the epoch that was
    // just seen. A job that has ended since it was listed has nothing to be fenced, and whoever has the task now must not be.
    let still = worker.store.job(job.id).await?;
    if still.is_none_or(|still| still.state != job.state) {
        return Ok(());
    }
    let reason = format!("its run is older than {age}");
    let fence = Fence { task: job.task.clone(), epoch: task.epoch, reason: reason.clone(), now };
    let epoch = match worker.store.fence(fence).await {
        Ok(epoch) => epoch,
        Err(FenceRefused::Store(error)) => return Err(error),
        // Somebody has owned it in the meantime: it is looked at again in the next round.
        Err(FenceRefused::EpochMoved { .. } | FenceRefused::NoSuchTask(_)) => return Ok(()),
    };
    let left = end_processes(vec![run]).await;
    let fault = Fault::new("overdue", format!("{reason}, so it was taken from its owner"))
        .with_remedy("look at what the run waits for, or raise the time-outs and jobs.max_age_s");
    let hold = |fault: Fault| {
        RunEnding::Held(Hold { fault, stage: job.stage.clone(), job: Some(job.id), since: now })
    };
    let ending = match left {
        0 => match put_off(fault.clone(), job.deferrals, &worker.config.deferrals(), now) {
            Then::Defer { until, fault } => RunEnding::Deferred { until, fault },
            Then::Hold(_) | Then::GoOn => hold(fault.clone()),
        },
        left => hold(survived(left)),
    };
    let end = EndRun {
        job: job.id,
        run,
        epoch,
        outcome: Outcome::Deferred(fault),
        ending,
        ledger: Ledger::default(),
        attachments: Vec::new(),
        events: Vec::new(),
        now,
    };
    tracing::error!(task = %job.task, %run, "a run was taken from its owner: it is too old");
    match worker.store.end_run(end).await {
        Err(EndRefused::Store(error)) => Err(error),
        // Its owner was quicker after all.
        Ok(()) | Err(EndRefused::Fenced { .. } | EndRefused::NotRunning(_)) => Ok(()),
    }
}

/// The finished job is found by the finalizer, which does what the class of each effect allows.
async fn reap_region(worker: &Worker, lease: &Lease, age: Span) -> Result<(), Error> {
    let marks = recovery::effects_under_way(&worker.store, |held| held == lease).await?;
    let by = format!("the reaper: it was held for more than {age}");
    let force = ForceRelease { task: lease.task.clone(), epoch: lease.epoch, by, now: clock::now() };
    match worker.store.force_release(force).await {
        Ok(released) => {
            let left = end_processes(marks).await;
            tracing::error!(task = %lease.task, owner = %released.owner, processes_left = left, "a region was taken from its owner: it is too old");
            if left > 0 {
                let hold = Hold {
                    fault: survived(left),
                    stage: lease.stage.clone(),
                    job: None,
                    since: clock::now(),
                };
                let held = worker.store.hold_task(&lease.task, hold, clock::now()).await;
                if let Err(error) = held {
                    tracing::error!(task = %lease.task, %error, "the task could not be held");
                }
            }
            Ok(())
        }
        Err(ReleaseRefused::Gone) => Ok(()),
        Err(ReleaseRefused::Store(error)) => Err(error),
    }
}

/// Ends all processes that bear one of the marks. Gives how many could not be ended.
async fn end_processes(marks: Vec<RunId>) -> usize {
    let ended = tokio::task::spawn_blocking(move || survivors::end_all(&marks)).await;
    ended.unwrap_or(usize::MAX)
}

fn survived(left: usize) -> Fault {
    Fault::new("processes-left", format!("{left} processes could not be ended"))
        .with_remedy("end them, or restart the machine; then `stagewright task resume`")
}
