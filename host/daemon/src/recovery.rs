//! Taking stock of what dead instances left: their processes, their leases, their jobs, their folders (O6).
//!
//! It runs at every start and needs no person. The order is: prove the death, end the processes, fence and
//! requeue in one transaction, remove the folders, retire the instance. A crash in the middle is only an
//! earlier stage of the same for the next start: the lock file stays until the end.

use std::sync::Arc;

use stagewright_capability::{Place, survivors};
use stagewright_engine::identity::RunId;
use stagewright_engine::instance::Instance;
use stagewright_engine::job::{Job, JobState};
use stagewright_engine::lease::{Evidence, Lease, Liveness, LockProbe, ProcessProbe, ProofOfDeath, liveness};
use stagewright_engine::time::Timestamp;
use stagewright_store::{Error, Store};

use crate::effect::place_id;
use crate::instance::{self, Process, ProcessFacts};
use crate::state::StateDir;
use crate::worker::artifact;

/// The age at which a folder beside runs is nobody's any more.
const A_DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

/// What was taken over from one dead instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenOver {
    /// The dead instance.
    pub instance: Instance,
    /// How many of its jobs were requeued.
    pub jobs: usize,
}

/// Takes over from every instance that is proven dead. The living and the doubtful are left alone.
pub async fn take_stock(
    store: &Arc<dyn Store>,
    state: &StateDir,
    now: Timestamp,
) -> Result<Vec<TakenOver>, Error> {
    let here = instance::this_process();
    let mut taken = Vec::new();
    for dead in store.instances().await? {
        let (lock, corpse) = instance::probe(&state.instances(), dead.id);
        let Some(proof) = ProofOfDeath::from_evidence(dead.id, evidence(&dead, lock, &here)) else {
            continue;
        };
        let jobs = store.running_jobs(Some(dead.id)).await?;
        let mut runs: Vec<RunId> = jobs.iter().filter_map(run_of).collect();
        runs.extend(effects_under_way(store, |lease| lease.owner == dead.id).await?);
        let folders: Vec<_> = runs.iter().flat_map(|&run| [state.run(run), Place::tmp_of(run)]).collect();
        // Before anything is requeued: no retry begins while the old processes may still run.
        let left = tokio::task::spawn_blocking(move || survivors::end_all(&runs));
        let survivors = left.await.unwrap_or(usize::MAX);
        if survivors > 0 {
            // Its lock is free again when `corpse` is dropped, so the reaper comes back to it.
            tracing::error!(
                instance = %dead.id,
                survivors,
                "processes of a dead instance could not be ended; what it had is left to it until they are gone"
            );
            continue;
        }
        for folder in folders {
            if let Err(error) = stagewright_repository::removal::remove(&folder).await {
                tracing::warn!(folder = %folder.display(), %error, "a folder of a dead run could not be removed");
            }
        }
        let recovered = store.requeue_from_dead(&proof, now).await?;
        match store.retire_instance(dead.id, now).await {
            Ok(()) => {
                if let Some(corpse) = corpse {
                    corpse.bury();
                }
            }
            Err(error) => tracing::warn!(instance = %dead.id, %error, "a dead instance could not be retired"),
        }
        tracing::info!(instance = %dead.id, pid = dead.pid, jobs = recovered.requeued.len(), "took over from a dead instance");
        taken.push(TakenOver { instance: dead, jobs: recovered.requeued.len() });
    }
    Ok(taken)
}

/// Removes the folders of runs that nobody does any more: what a crash between a run's end and its clearing
/// away has left. The file of an artifact that is missing because of it is written first.
pub async fn sweep(store: &Arc<dyn Store>, state: &StateDir) -> Result<(), Error> {
    // Listed before the running jobs are asked for: a folder is made after its claim, so that one which is
    // listed and whose run does not run belongs to a run that has ended.
    let listed: Vec<_> = std::fs::read_dir(state.runs()).into_iter().flatten().flatten().collect();
    sweep_aside(state).await;
    let running = store.running_jobs(None).await?;
    let effects = effects_under_way(store, |_| true).await?;
    let live: std::collections::BTreeSet<String> =
        running.iter().filter_map(run_of).chain(effects).map(|run| run.to_string()).collect();
    for folder in listed {
        let name = folder.file_name();
        if name.to_str().is_some_and(|name| live.contains(name)) {
            continue;
        }
        if let Some(run) = name.to_str().and_then(|name| name.parse().ok())
            && let Some(stored) = store.artifact_of_run(run).await?
            && let Err(error) = artifact::project_if_missing(state, &stored)
        {
            tracing::warn!(%run, %error, "the report's file could not be written; the store has its text");
        }
        if let Err(error) = stagewright_repository::removal::remove(&folder.path()).await {
            tracing::warn!(folder = %folder.path().display(), %error, "the folder of an ended run could not be removed");
        }
    }
    Ok(())
}

/// Removes what a killed process has left of what it did beside runs. Nothing of that takes a day.
async fn sweep_aside(state: &StateDir) {
    for entry in std::fs::read_dir(state.aside()).into_iter().flatten().flatten() {
        let age =
            entry.metadata().and_then(|facts| facts.modified()).ok().and_then(|made| made.elapsed().ok());
        if age.is_some_and(|age| age > A_DAY)
            && let Err(error) = stagewright_repository::removal::remove(&entry.path()).await
        {
            tracing::warn!(folder = %entry.path().display(), %error, "a folder that nobody uses could not be removed");
        }
    }
}

fn run_of(job: &Job) -> Option<RunId> {
    match job.state {
        JobState::Running { run, .. } => Some(run),
        _ => None,
    }
}

/// The marks of effects that were begun under such a lease and whose end nobody has written: their processes may run, and
/// their folders are in use.
pub(crate) async fn effects_under_way(
    store: &Arc<dyn Store>,
    wanted: impl Fn(&Lease) -> bool,
) -> Result<Vec<RunId>, Error> {
    let mut marks = Vec::new();
    for lease in store.leases().await?.iter().filter(|lease| wanted(lease)) {
        let effects = store.effects(&lease.task).await?;
        marks
            .extend(effects.iter().filter(|effect| effect.ended.is_none()).map(|effect| place_id(effect.id)));
    }
    Ok(marks)
}

/// Whether an instance lives, as far as can be found out from here.
pub(crate) fn liveness_of(state: &StateDir, recorded: &Instance) -> Liveness {
    let (lock, _) = instance::probe(&state.instances(), recorded.id);
    liveness(evidence(recorded, lock, &instance::this_process()))
}

/// Everything that can be found out about an instance from here.
fn evidence(recorded: &Instance, lock: LockProbe, here: &ProcessFacts) -> Evidence {
    let same_machine = recorded.host == here.host;
    let same_place =
        same_machine && recorded.boot == here.boot && recorded.pid_namespace == here.pid_namespace;
    let process = match (same_place, instance::process(recorded.pid)) {
        (false, _) | (true, Process::Unknown) => ProcessProbe::Elsewhere,
        (true, Process::Began(start)) if start == recorded.process_start => ProcessProbe::Same,
        (true, Process::Began(_) | Process::Nobody) => ProcessProbe::Gone,
    };
    Evidence { lock, process, earlier_boot: same_machine && recorded.boot != here.boot }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use stagewright_engine::identity::InstanceId;

    fn recorded() -> Instance {
        let here = instance::this_process();
        Instance {
            id: InstanceId::new(clock::new_id()),
            host: here.host,
            boot: here.boot,
            pid_namespace: here.pid_namespace,
            pid: here.pid,
            process_start: here.process_start,
            version: "0".to_owned(),
            started: clock::now(),
        }
    }

    fn judged(recorded: &Instance, lock: LockProbe) -> Liveness {
        liveness(evidence(recorded, lock, &instance::this_process()))
    }

    #[test]
    fn a_restarted_container_whose_pid_is_the_same_again_is_dead_by_its_lock() {
        let mut old = recorded();
        old.process_start = old.process_start.wrapping_sub(1);
        assert_eq!(judged(&old, LockProbe::Free), Liveness::Dead);
    }

    #[test]
    fn a_process_of_another_namespace_is_never_judged_by_its_pid() {
        let mut other = recorded();
        other.pid_namespace = "pid:[1]".to_owned();
        other.pid = u32::MAX;
        assert_eq!(judged(&other, LockProbe::Unknown), Liveness::Doubt);
        other.host = "another host".to_owned();
        assert_eq!(judged(&other, LockProbe::Unknown), Liveness::Doubt);
    }

    #[test]
    fn without_its_lock_file_a_process_of_an_earlier_boot_is_dead() {
        let mut old = recorded();
        old.boot = "an earlier boot".to_owned();
        assert_eq!(judged(&old, LockProbe::Unknown), Liveness::Dead);
        assert_eq!(judged(&recorded(), LockProbe::Unknown), Liveness::Alive);
    }
}
