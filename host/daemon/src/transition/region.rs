//! The region of one task: its lease is ours. Its effects in order, the stage, and every way out.
//!
//! What leads out without the stage says what becomes of the finished job, in the transaction that gives the lease back. An
//! error says only that something could not be written down: then the lease is still ours, and has to be given back.

use std::convert::Infallible;
use std::time::Duration;

use stagewright_capability::Cancel;
use stagewright_engine::effect::{self, Then};
use stagewright_engine::identity::RunId;
use stagewright_engine::job::{Job, JobState};
use stagewright_engine::lease::Lease;
use stagewright_engine::name::CommitId;
use stagewright_engine::outcome::{Cause, Fault};
use stagewright_engine::task::{Hold, Task};
use stagewright_engine::time::Timestamp;
use stagewright_engine::transition::Move;
use stagewright_repository::Bare;
use stagewright_store::request::conclusion::{ConcludeRefused, Ownership};
use stagewright_store::request::lease::{LeaveRefused, LeaveRegion, Leaving, ReleaseRefused};

use super::{Completed, Error};
use crate::branch::{self, Examined, ExaminedBranch};
use crate::effect::{Edge, Effect};
use crate::worker::Worker;
use crate::{clock, crash};

/// How often the owner of a region looks whether it still has it.
const LOOK: Duration = Duration::from_secs(1);

/// Why a region is left before its stage is written.
pub(super) enum Left {
    /// It is tried again.
    PutOff {
        /// Not before this time.
        until: Timestamp,
        /// Why.
        fault: Fault,
    },
    /// A person has to look.
    Held(Fault),
    /// The host stops, the branch has moved, or a person holds the task: nothing is said about the transition.
    Released,
    /// The lease is gone.
    Overtaken,
}

/// The side-effectful region of one task, entered.
pub(super) struct Region<'a> {
    pub(super) worker: &'a Worker,
    pub(super) job: &'a Job,
    pub(super) task: &'a Task,
    pub(super) to: &'a Move,
    pub(super) lease: &'a Lease,
    /// Ends the acts that run.
    pub(super) ended: Cancel,
}

impl<'a> Region<'a> {
    pub(super) fn new(
        worker: &'a Worker,
        job: &'a Job,
        task: &'a Task,
        to: &'a Move,
        lease: &'a Lease,
    ) -> Self {
        Self { worker, job, task, to, lease, ended: Cancel::new() }
    }

    /// Through the effects to the stage, or out of the region with what becomes of the job. An error leaves the lease as it
    /// is.
    pub(super) async fn complete(
        &self,
        bare: Result<Bare, Fault>,
        cancel: &Cancel,
    ) -> Result<Completed, Error> {
        let bare = match bare {
            Ok(bare) => bare,
            Err(fault) => return self.leave(self.put_off(fault)).await,
        };
        let work = match self.kept_work(&bare).await {
            Ok(work) => work,
            Err(fault) => return self.leave(self.put_off(fault)).await,
        };
        let effects = match self.worker.effects(self.job, self.to, work).await? {
            Ok(effects) => effects,
            Err(fault) => return self.leave(Left::Held(fault)).await,
        };
        let done = tokio::select! {
            done = self.through(&bare, &effects) => done?,
            never = self.end_when_told(cancel) => match never {},
        };
        match done {
            Ok(()) => self.write_stage(&bare).await,
            Err(left) => self.leave(left).await,
        }
    }

    /// Gives the lease back after trouble with the store, as soon as the store can be written. The journal says how far it
    /// came.
    pub(super) async fn give_back(&self, cancel: &Cancel) {
        loop {
            match self.worker.store.release_lease(self.lease, clock::now()).await {
                Ok(()) | Err(ReleaseRefused::Gone) => return,
                Err(ReleaseRefused::Store(error)) => {
                    tracing::warn!(%error, "the lease could not be given back; it is tried again soon");
                }
            }
            tokio::select! {
                // This process ends, and the next start takes over what it has.
                _ = cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// All effects, one after the other.
    async fn through(&self, bare: &Bare, effects: &[Effect]) -> Result<Result<(), Left>, Error> {
        for effect in effects {
            match self.ended.cause() {
                None => {}
                Some(Cause::Superseded) => return Ok(Err(Left::Overtaken)),
                Some(_) => return Ok(Err(Left::Released)),
            }
            // Again before each: the user may have pushed since the last one, and the host's copy may have it already.
            let examined = self.worker.examined_by(self.job).await?;
            let branch = match self.worker.examined_branch(bare, self.task, &examined).await {
                Ok(Some(branch)) => branch,
                Ok(None) => return Ok(Err(Left::Released)),
                Err(error) => return Ok(Err(self.put_off(error.fault()?))),
            };
            let edge = Edge {
                task: self.task,
                stage: &self.to.expected,
                to: &self.to.to,
                examined: &self.job.commit,
                branch: &branch,
                bare,
            };
            if let Err(left) = self.one(effect, &edge).await? {
                return Ok(Err(left));
            }
        }
        Ok(Ok(()))
    }

    async fn write_stage(&self, bare: &Bare) -> Result<Completed, Error> {
        let worker = self.worker;
        // The next stage sees the reports that are on the branch now, if git can say which.
        let examined = worker.examined_by(self.job).await?;
        let (commit, delivered) = match worker.examined_branch(bare, self.task, &examined).await {
            Ok(Some(ExaminedBranch { source, head })) => (head, Some(source)),
            Ok(None) => (examined.commit, None),
            Err(error) => error.fault().map(|_| (examined.commit, None))?,
        };
        let now = clock::now();
        let ownership = Ownership::Lease(self.lease.clone());
        let mut change = worker.stage_change(&self.task.key, self.to, ownership, &commit, now);
        change.completes = Some(self.job.id);
        crash::point("before-stage");
        match worker.store.move_stage(change).await {
            Ok(task) => {
                if let Some(source) = delivered {
                    self.forget_work(bare, &source).await;
                }
                Ok(Completed::Moved { task: Box::new(task) })
            }
            // A person holds it since: what was done is in the journal, and resuming goes on from there.
            Err(ConcludeRefused::NotActive(_)) => self.leave(Left::Released).await,
            Err(ConcludeRefused::Store(error)) => Err(error.into()),
            Err(refused) => {
                tracing::error!(%refused, "a transition was overtaken; what it has done is in the journal");
                Ok(Completed::Overtaken)
            }
        }
    }

    /// The run whose work this transition puts onto the branch, if its stage leaves some.
    fn run_with_work(&self) -> Option<RunId> {
        let stage = self.worker.pipeline.work(&self.job.stage);
        match self.job.state {
            JobState::Finished { run, .. } if stage.is_some_and(|stage| stage.takes_work) => Some(run),
            _ => None,
        }
    }

    async fn kept_work(&self, bare: &Bare) -> Result<Option<CommitId>, Fault> {
        let Some(run) = self.run_with_work() else { return Ok(None) };
        bare.kept_work(run).await.map_err(|error| Fault::new("repository-trouble", error.to_string()))
    }

    /// What the run has made needs no keeping of its own once the user's branch has it.
    async fn forget_work(&self, bare: &Bare, source: &CommitId) {
        let Some(run) = self.run_with_work() else { return };
        let there = Examined::at(self.job.commit.clone());
        let forgotten = async {
            match self.worker.stands(bare, self.task, &there, source).await? {
                true => Ok(bare.forget_work(run).await?),
                false => Ok::<_, branch::Error>(()),
            }
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "what is kept of a run's work could not be removed; it does no harm");
        }
    }

    async fn leave(&self, left: Left) -> Result<Completed, Error> {
        let now = clock::now();
        let (leaving, completed) = match left {
            Left::Overtaken => {
                tracing::error!("a transition has lost its lease; nothing more is done");
                return Ok(Completed::Overtaken);
            }
            Left::Released => {
                return match self.worker.store.release_lease(self.lease, now).await {
                    Ok(()) => Ok(Completed::Stale),
                    Err(ReleaseRefused::Gone) => Ok(Completed::Overtaken),
                    Err(ReleaseRefused::Store(error)) => Err(error.into()),
                };
            }
            Left::PutOff { until, fault } => {
                (Leaving::Deferred { until, fault: fault.clone() }, Completed::PutOff(fault))
            }
            Left::Held(fault) => {
                let stage = self.task.stage.clone();
                let hold = Hold { fault: fault.clone(), stage, job: Some(self.job.id), since: now };
                (Leaving::Held(hold), Completed::Held(fault))
            }
        };
        let leave =
            LeaveRegion { lease: self.lease.clone(), job: self.job.id, leaving, events: Vec::new(), now };
        match self.worker.store.leave_region(leave).await {
            Ok(()) => Ok(completed),
            Err(LeaveRefused::LeaseLost | LeaveRefused::NotFinished(_)) => Ok(Completed::Overtaken),
            Err(LeaveRefused::Store(error)) => Err(error.into()),
        }
    }

    fn put_off(&self, fault: Fault) -> Left {
        let budget = self.worker.config.deferrals();
        match effect::put_off(fault, self.job.deferrals, &budget, clock::now()) {
            Then::Defer { until, fault } => Left::PutOff { until, fault },
            Then::Hold(fault) => Left::Held(fault),
            Then::GoOn => Left::Released,
        }
    }

    /// Ends the acts that run when the host stops, or when the region is no longer ours.
    async fn end_when_told(&self, cancel: &Cancel) -> Infallible {
        tokio::select! {
            cause = cancel.cancelled() => self.ended.cancel(cause),
            () = self.lost() => self.ended.cancel(Cause::Superseded),
        }
        std::future::pending().await
    }

    /// Waits until the lease is no longer ours.
    async fn lost(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            // A store in trouble proves nothing.
            let Ok(held) = self.worker.store.lease(&self.task.key).await else { continue };
            if held.as_ref() != Some(self.lease) {
                return;
            }
        }
    }
}
