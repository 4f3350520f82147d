//! Taking a lease away (O7): from the dead at once, from the living only by force.
//!
//! Forced, the order is that of O5: first the fence, so that the owner can write nothing any more; then its work ends, by
//! itself if it still can, else by our hand; then it is seen that nothing of it runs. Whatever effect it had begun is
//! unresolved from then on, and its task is held until a person has looked.
//!
//! It refuses to guess: an owner of which nobody can say whether it lives counts as alive.

use std::sync::Arc;
use std::time::Duration;

use stagewright_capability::survivors;
use stagewright_engine::identity::{Epoch, RunId, TaskKey};
use stagewright_engine::instance::Instance;
use stagewright_engine::job::{Job, JobState};
use stagewright_engine::lease::Lease;
use stagewright_engine::outcome::Fault;
use stagewright_engine::task::Hold;
use stagewright_store::Store;
use stagewright_store::request::lease::{ForceRelease, ReleaseRefused};

use crate::state::StateDir;
use crate::{clock, recovery};

/// How soon it is looked again whether the work has ended.
const AGAIN: Duration = Duration::from_millis(50);
/// How long the owner has to end its work by itself: it looks once a second whether it was overtaken.
const BY_ITSELF: Duration = Duration::from_secs(5);

/// A lease that was taken away.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Freed {
    /// The lease as it was.
    pub(crate) lease: Lease,
    /// Whether its owner may have been alive.
    pub(crate) forced: bool,
    /// The task's epoch since then.
    pub(crate) epoch: Epoch,
    /// How many effects are unresolved because of it.
    pub(crate) unresolved: usize,
    /// How many processes of its work still run.
    pub(crate) left: usize,
}

/// Why a lease was not taken away. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotFreed {
    /// Nobody holds one.
    #[error("nobody holds a lease of {0}")]
    NoLease(TaskKey),
    /// Its owner lives, or may live.
    #[error("{key} is in the hands of process {} on {} since {}; it is alive, or nobody can say that it is dead", owner.as_ref().map_or_else(|| "?".to_owned(), |owner| owner.pid.to_string()), owner.as_ref().map_or("?", |owner| owner.host.as_str()), clock::rfc3339(lease.taken))]
    OwnerAlive {
        /// The task.
        key: TaskKey,
        /// The lease.
        lease: Box<Lease>,
        /// Whose it is.
        owner: Option<Box<Instance>>,
    },
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] stagewright_store::Error),
}

/// Takes the lease of a task away. `by` is who wants it, for the log; `patience` is how long the end of the work is waited for.
pub(crate) async fn release(
    store: &Arc<dyn Store>,
    state: &StateDir,
    key: &TaskKey,
    force: bool,
    by: &str,
    patience: Duration,
) -> Result<Freed, NotFreed> {
    let gone = || NotFreed::NoLease(key.clone());
    let lease = store.lease(key).await?.ok_or_else(gone)?;
    // The dead are taken over from as at every start: processes, jobs, leases.
    recovery::take_stock(store, state, clock::now()).await?;
    let job = store.live_job(key).await?;
    if store.lease(key).await?.as_ref() != Some(&lease) {
        let epoch = store.task(key).await?.map_or(lease.epoch, |task| task.epoch);
        return Ok(Freed { lease, forced: false, epoch, unresolved: 0, left: 0 });
    }
    if !force {
        let owner = store.instances().await?.into_iter().find(|instance| instance.id == lease.owner);
        let (key, lease, owner) = (key.clone(), Box::new(lease), owner.map(Box::new));
        return Err(NotFreed::OwnerAlive { key, lease, owner });
    }
    let forced = ForceRelease { task: key.clone(), epoch: lease.epoch, by: by.to_owned(), now: clock::now() };
    let released = match store.force_release(forced).await {
        Ok(released) => released,
        Err(ReleaseRefused::Store(error)) => return Err(error.into()),
        Err(ReleaseRefused::Gone) => return Err(gone()),
    };
    tracing::warn!(task = %key, owner = %lease.owner, epoch = %released.epoch, by, "a lease was taken away by force");
    let unresolved = released.unresolved.len();
    if unresolved > 0 {
        hold(store, key, &lease, job.as_ref(), unresolved).await?;
    }
    // The processes of an effect bear its own id.
    let effects = released.unresolved.iter().map(|effect| RunId::new(effect.uuid()));
    let left = end_work(job.as_ref().and_then(run_of).into_iter().chain(effects).collect(), patience).await;
    Ok(Freed { lease, forced: true, epoch: released.epoch, unresolved, left })
}

/// Nobody can say whether the effects were done, so nobody goes on before a person has looked (O9).
async fn hold(
    store: &Arc<dyn Store>,
    key: &TaskKey,
    lease: &Lease,
    job: Option<&Job>,
    unresolved: usize,
) -> Result<(), stagewright_store::Error> {
    use stagewright_store::request::task::TaskRefused;
    let message =
        format!("its lease was taken away by force, and {unresolved} effects had been begun under it");
    let fault = Fault::new("effects-unresolved", message)
        .with_remedy("look at the target whether they were done, then `stagewright task resume` or `retry`");
    let hold = Hold { fault, stage: lease.stage.clone(), job: job.map(|job| job.id), since: clock::now() };
    match store.hold_task(key, hold, clock::now()).await {
        Ok(_) => Ok(()),
        Err(TaskRefused::Store(error)) => Err(error),
        // It can't be held any more: somebody has moved it.
        Err(refused) => {
            tracing::warn!(task = %key, %refused, "a task with unresolved effects could not be held");
            Ok(())
        }
    }
}

/// The run whose processes may be at work for a job.
fn run_of(job: &Job) -> Option<RunId> {
    match job.state {
        JobState::Running { run, .. } | JobState::Finished { run, .. } => Some(run),
        _ => None,
    }
}

/// Waits until the owner has ended what it ran, and does it after a while. Gives how many processes are left.
async fn end_work(runs: Vec<RunId>, patience: Duration) -> usize {
    let by_itself = patience.min(BY_ITSELF);
    let begun = tokio::time::Instant::now();
    loop {
        if count(runs.clone()).await == 0 {
            return 0;
        }
        if begun.elapsed() >= by_itself {
            break;
        }
        tokio::time::sleep(AGAIN).await;
    }
    // It is fenced, so nothing that it could still find out is worth anything.
    tokio::task::spawn_blocking(move || survivors::end_all(&runs)).await.unwrap_or(1)
}

async fn count(runs: Vec<RunId>) -> usize {
    tokio::task::spawn_blocking(move || survivors::count(&runs)).await.unwrap_or(0)
}
