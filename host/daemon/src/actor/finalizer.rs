//! The finalizer: completes the transitions of finished jobs, with their effects (J6, second tier; X3).
//!
//! It makes no difference between a job that was finished just now, one that was put off, and one whose owner died in the
//! midst of its effects: what is true is in the store, and [`transition`](crate::transition) goes on from there.
//!
//! Of one repository at most two transitions are under way here: one with effects of the pipeline, which the store allows one
//! task of a repository at a time (X3), and one without. Others would only wait for the repository's lock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use stagewright_capability::Cancel;
use stagewright_engine::identity::JobId;
use stagewright_engine::job::Job;
use stagewright_engine::name::RepoName;
use stagewright_engine::outcome::Cause;
use stagewright_repository::Repositories;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::Pipelines;
use super::pool::Ends;
use super::stop::{Phase, Stop};
use crate::clock;
use crate::transition::Completed;
use crate::worker::{NextJob, Worker};

/// How soon it looks without being told: another process may have finished a job, and one that was put off becomes due.
const LOOK: Duration = Duration::from_secs(1);
/// How many finished jobs it reads at once.
const PAGE: u32 = 200;

/// Everything that the finalizer stands on.
pub struct Finalizer {
    /// What each transition is completed with; its pipeline is the repository's.
    pub worker: Worker,
    /// The host's copies.
    pub repositories: Arc<Repositories>,
    /// Who does what.
    pub pipelines: Pipelines,
    /// Told when a job is finished.
    pub finished: Arc<Notify>,
    /// Told when there is something in the queue.
    pub queued: Arc<Notify>,
    /// Asks the reconciler to look: a branch has moved.
    pub look: Arc<Notify>,
    /// Hears how transitions end.
    pub ends: Arc<dyn Ends>,
}

/// Transitions that are completed one after the other: those of a repository with effects of its pipeline, or those without.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lane {
    repo: RepoName,
    with_effects: bool,
}

impl Finalizer {
    /// Works until the daemon ends. `stop` is its own: it is told to drain when nothing else runs any more that could finish
    /// a job, and completes what there is first.
    pub async fn run(self, stop: Stop) {
        let finalizer = Arc::new(self);
        let cancel = Cancel::new();
        let mut running: JoinSet<(JobId, Lane, bool)> = JoinSet::new();
        let mut lanes: BTreeMap<Lane, JobId> = BTreeMap::new();
        // What could not be completed in this round is looked at again in the next one.
        let mut set_aside: BTreeSet<JobId> = BTreeSet::new();
        // A clock of its own: a wait that begins anew with each thing that happens never ends on a busy host.
        let mut round = tokio::time::interval(LOOK);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if stop.phase() < Phase::Ending {
                for job in finalizer.due().await {
                    let lane = finalizer.lane(&job);
                    if set_aside.contains(&job.id) || lanes.contains_key(&lane) {
                        continue;
                    }
                    lanes.insert(lane.clone(), job.id);
                    let (finalizer, cancel) = (Arc::clone(&finalizer), cancel.clone());
                    running.spawn(async move {
                        let moved = finalizer.complete(&job, &cancel).await;
                        (job.id, lane, moved)
                    });
                }
            }
            let next = match stop.phase() {
                Phase::Running => Phase::Draining,
                Phase::Draining | Phase::Ending if running.is_empty() => return,
                Phase::Draining => Phase::Ending,
                Phase::Ending => {
                    cancel.cancel(Cause::Shutdown);
                    while running.join_next().await.is_some() {}
                    return;
                }
            };
            tokio::select! {
                Some(ended) = running.join_next() => match ended {
                    Ok((job, lane, moved)) => {
                        lanes.remove(&lane);
                        if !moved {
                            set_aside.insert(job);
                        }
                    }
                    // A transition that panicked left its lease behind; its lane stays shut, and the next start mends.
                    Err(error) => tracing::error!(%error, "a transition ended abruptly"),
                },
                () = stop.reached(next) => {}
                () = finalizer.finished.notified() => {}
                _ = round.tick() => set_aside.clear(),
            }
        }
    }

    async fn due(&self) -> Vec<Job> {
        match self.worker.store.finished_jobs(clock::now(), PAGE).await {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::warn!(%error, "finished jobs could not be read; it is tried again soon");
                Vec::new()
            }
        }
    }

    fn lane(&self, job: &Job) -> Lane {
        let repo = job.task.repo.clone();
        let work = self.pipelines.of(&repo).work(&job.stage);
        Lane { with_effects: work.is_some_and(|work| !work.effects.is_empty()), repo }
    }

    /// Whether it was completed.
    async fn complete(&self, job: &Job, cancel: &Cancel) -> bool {
        let worker = Worker {
            pipeline: Arc::clone(self.pipelines.of(&job.task.repo)),
            next_job: NextJob::Queue,
            ..self.worker.clone()
        };
        let completed = worker.complete(job, &self.repositories, cancel).await;
        match &completed {
            Ok(Completed::Moved { .. }) => self.queued.notify_one(),
            Ok(Completed::Stale) => self.look.notify_one(),
            Ok(Completed::PutOff(_) | Completed::Held(_) | Completed::Busy | Completed::Overtaken) => {}
            Err(error) => {
                tracing::warn!(job = %job.id, %error, "a transition could not be written down; it is found again")
            }
        }
        self.ends.completed(job, &completed);
        matches!(completed, Ok(Completed::Moved { .. }))
    }
}
