//! The reaper: takes over from the dead, and from whoever is at it for too long (J6, O5, O6). The second tier, transitions
//! that nobody completes, is the finalizer's daily work.

use stagewright_engine::job::JobState;
use stagewright_engine::outcome::{Cause, Outcome};
use stagewright_engine::time::Span;
use stagewright_engine::transition::{AfterRun, RunEnd, after_run};
use stagewright_store::request::lease::{Fence, ForceRelease};
use stagewright_store::request::run::{EndRun, RunEnding};

use super::{Host, budget};

/// How long it waits, in milliseconds.
const ROUND: u64 = 30_000;
/// Longer than any run and any transition takes.
const MAXIMUM_AGE: Span = Span::from_secs(1_800);

pub(crate) async fn run(host: Host) {
    while !host.sim.stopping() {
        host.sim.sleep(ROUND).await;
        take_stock(&host).await;
        end_what_is_too_old(&host).await;
    }
}

/// The first tier: what is proven dead (daemon: `recovery::take_stock`).
pub(crate) async fn take_stock(host: &Host) {
    let Ok(instances) = host.store.instances().await else { return };
    for dead in instances {
        // Its lock is held until everything is taken over.
        let Some((proof, _corpse)) = host.sim.proof(dead.id) else { continue };
        let Ok(_) = host.store.running_jobs(Some(dead.id)).await else { continue };
        let Ok(_) = host.store.requeue_from_dead(&proof, host.now()).await else { continue };
        let _ = host.store.retire_instance(dead.id, host.now()).await;
    }
}

/// The third tier: past the maximum age, whoever has it. Fence first, then take away.
async fn end_what_is_too_old(host: &Host) {
    let Ok(leases) = host.store.leases().await else { return };
    for lease in leases {
        if host.now().since(lease.taken) <= MAXIMUM_AGE {
            continue;
        }
        let force = ForceRelease {
            task: lease.task.clone(),
            epoch: lease.epoch,
            by: "the reaper".to_owned(),
            now: host.now(),
        };
        // The finished job is found by the finalizer, which does what the class of each effect allows.
        let _ = host.store.force_release(force).await;
    }
    let Ok(running) = host.store.running_jobs(None).await else { return };
    for job in running {
        let JobState::Running { run, since, .. } = job.state else { continue };
        if host.now().since(since) <= MAXIMUM_AGE {
            continue;
        }
        // The task first and then the job once more: a job that still runs now can't have got into a region under an
        // epoch that was seen before. To fence by a newer epoch would hit whoever has the task by now.
        let Ok(Some(task)) = host.store.task(&job.task).await else { continue };
        let Ok(Some(again)) = host.store.job(job.id).await else { continue };
        if again.state != job.state {
            continue;
        }
        let (key, reason) = (task.key.clone(), "a run took too long".to_owned());
        let fence = Fence { task: key, epoch: task.epoch, reason, now: host.now() };
        let Ok(epoch) = host.store.fence(fence).await else { continue };
        let outcome = Outcome::Cancelled(Cause::Deadline);
        let end = RunEnd { outcome: &outcome, gate: None, saw_work: false };
        let ending = match after_run(&host.pipeline, &task, &job, end, &budget(), host.now()) {
            AfterRun::Defer { until, fault } => RunEnding::Deferred { until, fault },
            AfterRun::Hold(hold) => RunEnding::Held(hold),
            _ => RunEnding::Superseded,
        };
        let end = EndRun {
            job: job.id,
            run,
            epoch,
            outcome,
            ending,
            ledger: Default::default(),
            attachments: Vec::new(),
            events: Vec::new(),
            now: host.now(),
        };
        if host.store.end_run(end).await.is_ok() {
            host.sim.saw("a run was too old");
        }
    }
}
