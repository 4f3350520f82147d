//! The worker pool: takes due jobs as long as the limits allow, and works on each in a task of its own (J1, J2).
//!
//! How many run at once is counted in the store, so that a second process on it agrees. The pool owns no queue and
//! remembers nothing: a job that it lost is one that the reconciler or the next start finds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stagewright_capability::Cancel;
use stagewright_engine::identity::RunId;
use stagewright_engine::job::Job;
use stagewright_engine::ledger::Ledger;
use stagewright_engine::name::ProducerName;
use stagewright_engine::outcome::{Cause, Fault, Outcome};
use stagewright_repository::{Bare, Repositories};
use stagewright_sandbox::{Level, Observer};
use stagewright_store::request::job::{ClaimNext, Claimed};
use stagewright_store::request::run::{EndRefused, EndRun, RunEnding};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::Pipelines;
use super::stop::{Phase, Stop};
use crate::branch::Examined;
use crate::clock;
use crate::transition::{self, Completed};
use crate::worker::{self, NextJob, Worked, Worker};

/// How soon it looks into the queue without being told: another process may have put something there, and a deferred
/// job becomes due by itself.
const LOOK: Duration = Duration::from_secs(1);

/// Hears how jobs end.
pub trait Ends: Send + Sync + 'static {
    /// A job has ended: what it came to, or why that could not be written down.
    fn ended(&self, claimed: &Claimed, producer: &ProducerName, worked: &Result<Worked, worker::Error>);

    /// The transition of a finished job was completed, or could not be.
    fn completed(&self, job: &Job, completed: &Result<Completed, transition::Error>);
}

/// Everything that the pool stands on.
pub struct Pool {
    /// What each job is done with; its pipeline is the repository's.
    pub worker: Worker,
    /// The host's copies.
    pub repositories: Arc<Repositories>,
    /// Who does what.
    pub pipelines: Pipelines,
    /// Told when there is something in the queue.
    pub queued: Arc<Notify>,
    /// Asks the reconciler to look: a job ended that leaves its task without one.
    pub look: Arc<Notify>,
    /// Tells the finalizer that a job is finished.
    pub finished: Arc<Notify>,
    /// Hears how jobs end.
    pub ends: Arc<dyn Ends>,
}

impl Pool {
    /// Works until the daemon ends and nothing runs any more.
    pub async fn run(self, stop: Stop) {
        let pool = Arc::new(self);
        let mut running = JoinSet::new();
        let mut cancels: BTreeMap<RunId, Cancel> = BTreeMap::new();
        let comments = Comments::default();
        loop {
            while stop.phase() == Phase::Running {
                let Some((claimed, producer)) = pool.claim().await else { break };
                let (cancel, pool, stop) = (Cancel::new(), Arc::clone(&pool), stop.clone());
                let comments = comments.clone();
                let run = worker::run_of(&claimed);
                cancels.insert(run, cancel.clone());
                running.spawn(async move {
                    let worked = pool.work(&claimed, &producer, cancel).await;
                    pool.ends.ended(&claimed, &producer, &worked);
                    if worked.is_err() {
                        pool.put_back(&claimed, &stop).await;
                    }
                    match &worked {
                        Ok(worked) if worked.finished => pool.finished.notify_one(),
                        Ok(worked) if worked.judgement().is_some() => {}
                        _ => pool.look.notify_one(),
                    }
                    if let Ok(worked) = worked {
                        comments.begin(pool.worker.clone(), claimed, producer, worked);
                    }
                    run
                });
            }
            if stop.phase() != Phase::Running {
                comments.cancel.cancel(Cause::Shutdown);
            }
            let next = match stop.phase() {
                Phase::Running => Phase::Draining,
                Phase::Draining | Phase::Ending if running.is_empty() => return comments.ended().await,
                Phase::Draining => Phase::Ending,
                Phase::Ending => {
                    cancels.values().for_each(|cancel| cancel.cancel(Cause::Shutdown));
                    // Each ends by itself now; a panic in one is no reason to leave the others.
                    while running.join_next().await.is_some() {}
                    return comments.ended().await;
                }
            };
            tokio::select! {
                Some(ended) = running.join_next() => {
                    // A run that panicked is lost with its handle; its job is found by the next start.
                    if let Ok(run) = ended {
                        cancels.remove(&run);
                    }
                }
                () = stop.reached(next) => {}
                () = pool.queued.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// What a run came to could not be written down. Its job goes back into the queue as soon as the store can be written,
    /// so that it need not wait for the next start.
    async fn put_back(&self, claimed: &Claimed, stop: &Stop) {
        let fault = Fault::new("store-trouble", "what the run came to could not be written down");
        loop {
            let end = EndRun {
                job: claimed.job.id,
                run: worker::run_of(claimed),
                epoch: claimed.epoch,
                outcome: Outcome::Deferred(fault.clone()),
                ending: RunEnding::Requeued,
                ledger: Ledger::default(),
                attachments: Vec::new(),
                events: Vec::new(),
                now: clock::now(),
            };
            match self.worker.store.end_run(end).await {
                Err(EndRefused::Store(error)) => {
                    tracing::warn!(job = %claimed.job.id, %error, "tried again soon")
                }
                // It is back, or somebody else has taken it since.
                Ok(()) | Err(EndRefused::Fenced { .. } | EndRefused::NotRunning(_)) => return,
            }
            tokio::select! {
                () = stop.reached(Phase::Draining) => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Makes the oldest due job ours, if there is one and there is room.
    async fn claim(&self) -> Option<(Claimed, ProducerName)> {
        let claimed = async {
            let lanes = self.pipelines.lanes(&self.worker.store.repos().await?);
            let claim = ClaimNext {
                instance: self.worker.instance,
                run: RunId::new(clock::new_id()),
                now: clock::now(),
                host_limit: self.worker.config.limits.jobs,
                lanes,
            };
            self.worker.store.claim_next(claim).await
        };
        let claimed = match claimed.await {
            Ok(claimed) => claimed?,
            Err(error) => {
                tracing::warn!(%error, "the queue could not be read; it is tried again soon");
                return None;
            }
        };
        let work = self.pipelines.of(&claimed.task.key.repo).work(&claimed.job.stage);
        // A lane is made of both, so a claimed job has them.
        let producer = work.and_then(|work| self.pipelines.producer(&claimed.task.key.repo, work))?;
        Some((claimed, producer))
    }

    async fn work(
        &self,
        claimed: &Claimed,
        producer: &ProducerName,
        cancel: Cancel,
    ) -> Result<Worked, worker::Error> {
        let worker = Worker {
            pipeline: Arc::clone(self.pipelines.of(&claimed.task.key.repo)),
            next_job: NextJob::Queue,
            ..self.worker.clone()
        };
        match self.copy(claimed).await {
            Ok(bare) => {
                let source = bare.source();
                let checkout = (!source.bare).then(|| source.top.clone());
                let observer = Arc::new(Logged);
                worker.work(claimed, producer, &bare, checkout.as_deref(), cancel, observer).await
            }
            Err(outcome) => worker.give_back(claimed, producer, *outcome).await,
        }
    }

    /// The host's copy, up to date and with the job's commit in it.
    async fn copy(&self, claimed: &Claimed) -> Result<Bare, Box<Outcome>> {
        let examined = Examined::at(claimed.job.commit.clone());
        match self.worker.examined_copy(&claimed.task, &examined, &self.repositories).await {
            Ok(Some(bare)) => Ok(bare),
            // Nobody wants to know any more what another commit is like. The reconciler queues the new one.
            Ok(None) => Err(Box::new(Outcome::Cancelled(Cause::Superseded))),
            Err(error) => {
                let fault =
                    error.fault().unwrap_or_else(|error| Fault::new("store-trouble", error.to_string()));
                Err(Box::new(Outcome::Deferred(fault)))
            }
        }
    }
}

/// Comments of models on what programs have found: beside the jobs and their limits, and one at a time. When the daemon stops,
/// the one that is being made is ended, and the others are left out. Clones share them.
#[derive(Clone)]
struct Comments {
    tasks: TaskTracker,
    turn: Arc<Semaphore>,
    cancel: Cancel,
}

impl Default for Comments {
    fn default() -> Self {
        Self { tasks: TaskTracker::new(), turn: Arc::new(Semaphore::new(1)), cancel: Cancel::new() }
    }
}

impl Comments {
    fn begin(&self, worker: Worker, claimed: Claimed, producer: ProducerName, worked: Worked) {
        if !worker.wants_comment(&producer, &worked) || self.cancel.cause().is_some() {
            return;
        }
        let Self { turn, cancel, .. } = self.clone();
        self.tasks.spawn(async move {
            // It is never closed.
            let Ok(_turn) = turn.acquire().await else { return };
            if cancel.cause().is_none() {
                worker.comment(&claimed, &producer, &worked, cancel).await;
            }
        });
    }

    /// Waits until those that were told to end have ended.
    async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What components say goes to the log.
struct Logged;

impl Observer for Logged {
    fn log(&self, level: Level, message: &str) {
        match level {
            Level::Error | Level::Warn => tracing::warn!("{message}"),
            Level::Info => tracing::info!("{message}"),
            Level::Debug | Level::Trace => tracing::debug!("{message}"),
        }
    }

    fn progress(&self, done: u64, total: u64, message: &str) {
        tracing::debug!(done, total, "{message}");
    }
}
