//! Completes the transition of a finished job: lease, effects, stage (O2, O9, J6).
//!
//! ```text
//! look       the task is at the job's stage, the branch is what was examined
//! lease      stage and epoch are compared, the epoch is raised; a race is lost here, before anything is done
//! effects    for each: intent in the journal, a last look at the lease, the act, its end in the journal
//! stage      one transaction: the lease still ours, stage and epoch as expected
//! ```
//!
//! Whoever finds a finished job may do this, again and again: what is done is in the journal, and what is open there is
//! for the class of the effect to say. What must never happen: an act without an intent before it; an act after the lease
//! is lost; a stage without all of its effects; a second act where the first may have taken place and its class does not
//! allow it.
//!
//! ```text
//! mod        from a finished job to its region, or why it is not entered
//! region     the lease is ours: the effects in order, the stage, and every way out
//! journal    one effect: what its entry and its class allow, the act, its end
//! ```

mod journal;
mod region;

use stagewright_capability::Cancel;
use stagewright_engine::effect::EffectEnding;
use stagewright_engine::job::{Job, JobState};
use stagewright_engine::lease::Lease;
use stagewright_engine::name::CommitId;
use stagewright_engine::outcome::Fault;
use stagewright_engine::task::Task;
use stagewright_engine::transition::{self, Move};
use stagewright_repository::Repositories;
use stagewright_store::request::lease::{LeaseRefused, TakeLease};

use self::region::Region;
use crate::effect::Effect;
use crate::worker::Worker;
use crate::{clock, crash};

pub use self::journal::FirstSeen;

/// What became of a finished job.
#[derive(Clone, Debug, PartialEq)]
pub enum Completed {
    /// The stage was written.
    Moved {
        /// The task afterwards.
        task: Box<Task>,
    },
    /// Its transition is tried again later.
    PutOff(Fault),
    /// Its task is held for a person.
    Held(Fault),
    /// Somebody else is at it, or in another region with effects of the repository. Nothing was done.
    Busy,
    /// The task has moved on, or its branch has: there is nothing to complete.
    Stale,
    /// The lease was lost in the midst of it: nothing more was done.
    Overtaken,
}

/// The store failed, so that something could not be written down. The job is found again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] stagewright_store::Error),
    /// A write was refused that should not have been.
    #[error("{0}")]
    Refused(String),
}

impl Worker {
    /// Completes the transition of a finished job, or finds out why that can't be now.
    pub async fn complete(
        &self,
        job: &Job,
        repositories: &Repositories,
        cancel: &Cancel,
    ) -> Result<Completed, Error> {
        let span = tracing::error_span!("transition", task = %job.task, job = %job.id);
        // Boxed, as what it does is long, and whoever asks for it should not carry all of that.
        let work = Box::pin(self.complete_in_span(job, repositories, cancel));
        tracing::Instrument::instrument(work, span).await
    }

    async fn complete_in_span(
        &self,
        job: &Job,
        repositories: &Repositories,
        cancel: &Cancel,
    ) -> Result<Completed, Error> {
        let Some(task) = self.store.task(&job.task).await? else { return Ok(Completed::Stale) };
        // The task first, then the job once more: what still is finished now can only be superseded by raising the epoch that
        // was just seen, and then no lease is given. The job as it was listed may be stale under a newer epoch.
        let Some(job) = self.store.job(job.id).await? else { return Ok(Completed::Stale) };
        let job = &job;
        let Some(to) = transition::after_finish(&self.pipeline, &task, job, clock::now()) else {
            return Ok(Completed::Stale);
        };
        let examined = self.examined_by(job).await?;
        let bare = match self.examined_copy(&task, &examined, repositories).await {
            Ok(Some(bare)) => Ok(bare),
            Ok(None) => return Ok(Completed::Stale),
            Err(error) => Err(error.fault()?),
        };
        let lease = match self.enter(&task, !to.effects.is_empty()).await? {
            Ok(lease) => lease,
            Err(completed) => return Ok(completed),
        };
        crash::point("lease-taken");
        let region = Region::new(self, job, &task, &to, &lease);
        let completed = region.complete(bare, cancel).await;
        if completed.is_err() {
            // Nobody else takes a living owner's lease, so the next try needs it to be given back.
            region.give_back(cancel).await;
        }
        completed
    }

    async fn enter(&self, task: &Task, exclusive: bool) -> Result<Result<Lease, Completed>, Error> {
        let take = TakeLease {
            task: task.key.clone(),
            expected_stage: task.stage.clone(),
            epoch: task.epoch,
            owner: self.instance,
            exclusive,
            deference: self.deference(&task.key.repo),
            now: clock::now(),
        };
        match self.store.take_lease(take).await {
            Ok(lease) => Ok(Ok(lease)),
            Err(LeaseRefused::Owned { .. } | LeaseRefused::RegionBusy { .. }) => Ok(Err(Completed::Busy)),
            Err(
                LeaseRefused::NotActive
                | LeaseRefused::StageMoved { .. }
                | LeaseRefused::EpochMoved { .. }
                | LeaseRefused::NoSuchTask(_),
            ) => Ok(Err(Completed::Stale)),
            Err(LeaseRefused::Store(error)) => Err(error.into()),
            Err(refused @ LeaseRefused::NoSuchInstance(_)) => Err(Error::Refused(refused.to_string())),
        }
    }

    /// What has to be done before the stage is written, in order; or why that can't be.
    async fn effects(
        &self,
        job: &Job,
        to: &Move,
        work: Option<CommitId>,
    ) -> Result<Result<Vec<Effect>, Fault>, Error> {
        let mut effects: Vec<Effect> = work.map(Effect::work).into_iter().collect();
        if self.commits_reports
            && let JobState::Finished { run, .. } = job.state
            && let Some(stored) = self.store.artifact_of_run(run).await?
        {
            effects.push(Effect::artifact(stored));
        }
        for name in &to.effects {
            match Effect::configured(&self.config, name) {
                Ok(effect) => effects.push(effect),
                Err(fault) => return Ok(Err(fault)),
            }
        }
        let before = self.store.effects(&job.task).await?;
        let unresolved = before.iter().find(|record| {
            let again = effects.iter().any(|effect| effect.name == record.name && !effect.may_repeat());
            again && matches!(record.ended, Some((EffectEnding::Unresolved(_), _)))
        });
        Ok(match unresolved {
            Some(record) => Err(journal::unresolved_fault(record)),
            None => Ok(effects),
        })
    }
}
