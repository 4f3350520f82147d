//! Leases, and what is taken from those who hold them.

use serde_json::json;
use stagewright_engine::identity::{Epoch, InstanceId, TaskKey};
use stagewright_engine::job::{JobState, PutOff};
use stagewright_engine::lease::Lease;
use stagewright_engine::task::TaskState;
use stagewright_engine::time::Timestamp;

use super::state::{State, Subject};
use crate::error::Error;
use crate::request::effect::EffectEnding;
use crate::request::instance::{Recovered, RetireRefused};
use crate::request::job::Deference;
use crate::request::lease::{
    Fence, FenceRefused, ForceRelease, LeaseRefused, LeaveRefused, LeaveRegion, Leaving, ReleaseRefused,
    Released, TakeLease,
};

impl State {
    pub(super) fn take_lease(&mut self, take: TakeLease) -> Result<Lease, LeaseRefused> {
        let Some(task) = self.tasks.get(&take.task) else { return Err(LeaseRefused::NoSuchTask(take.task)) };
        if !self.is_registered(take.owner) {
            return Err(LeaseRefused::NoSuchInstance(take.owner));
        }
        if take.deference == Deference::ToOwner {
            if let Some(lease) = self.leases.get(&take.task) {
                return Err(LeaseRefused::Owned { by: lease.owner, since: lease.taken });
            }
            let mut others = self.leases.values();
            let in_region = others.find(|lease| lease.exclusive && lease.task.repo == take.task.repo);
            if take.exclusive
                && let Some(Lease { task, owner, taken, .. }) = in_region.cloned()
            {
                return Err(LeaseRefused::RegionBusy { task, by: owner, since: taken });
            }
        }
        if task.stage != take.expected_stage {
            return Err(LeaseRefused::StageMoved { actual: task.stage.clone() });
        }
        if task.state != TaskState::Active {
            return Err(LeaseRefused::NotActive);
        }
        if task.epoch != take.epoch {
            return Err(LeaseRefused::EpochMoved { actual: task.epoch });
        }
        let epoch = self.raise_epoch(&take.task, take.now)?;
        let lease = Lease {
            task: take.task,
            epoch,
            owner: take.owner,
            stage: take.expected_stage,
            exclusive: take.exclusive,
            taken: take.now,
        };
        self.leases.insert(lease.task.clone(), lease.clone());
        self.write_lease_event(&lease, "lease-taken", take.now)?;
        Ok(lease)
    }

    /// Whether the task still has exactly this lease, and the epoch that came with it.
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        let held = self.leases.get(&lease.task);
        held.is_some_and(|held| held.owner == lease.owner && held.epoch == lease.epoch)
            && self.tasks.get(&lease.task).is_some_and(|task| task.epoch == lease.epoch)
    }

    pub(super) fn release_lease(&mut self, lease: &Lease, now: Timestamp) -> Result<(), ReleaseRefused> {
        if !self.holds(lease) {
            return Err(ReleaseRefused::Gone);
        }
        self.leases.remove(&lease.task);
        Ok(self.write_lease_event(lease, "lease-released", now)?)
    }

    pub(super) fn leave_region(&mut self, leave: &LeaveRegion) -> Result<(), LeaveRefused> {
        if !self.holds(&leave.lease) {
            return Err(LeaveRefused::LeaseLost);
        }
        let finished = self.jobs.get(&leave.job).filter(|kept| kept.job.task == leave.lease.task);
        let Some(JobState::Finished { run, .. }) = finished.map(|kept| kept.job.state.clone()) else {
            return Err(LeaveRefused::NotFinished(leave.job));
        };
        self.leases.remove(&leave.lease.task);
        let subject = Subject::task(self.task_of(&leave.lease.task)?, leave.now).job(leave.job);
        match &leave.leaving {
            Leaving::Deferred { until, fault } => {
                let kept = self.kept(leave.job)?;
                kept.due = *until;
                kept.job.deferrals = kept.job.deferrals.saturating_add(1);
                let put_off = Some(PutOff { until: *until, fault: fault.clone() });
                kept.job.state = JobState::Finished { run, put_off };
            }
            Leaving::Held(hold) => {
                self.write_hold(&leave.lease.task, hold.clone(), leave.now)?;
            }
        }
        let (kind, detail) = leave.leaving.event();
        self.write_event(&subject, kind, detail);
        self.write_events(&subject, &leave.events);
        Ok(())
    }

    pub(super) fn fence(&mut self, fence: &Fence) -> Result<Epoch, FenceRefused> {
        let Some(task) = self.tasks.get(&fence.task) else {
            return Err(FenceRefused::NoSuchTask(fence.task.clone()));
        };
        if task.epoch != fence.epoch {
            return Err(FenceRefused::EpochMoved { actual: task.epoch });
        }
        let epoch = self.raise_epoch(&fence.task, fence.now)?;
        let subject = Subject::task(self.task_of(&fence.task)?, fence.now);
        self.write_event(&subject, "task-fenced", json!({ "reason": fence.reason }));
        Ok(epoch)
    }

    pub(super) fn all_leases(&self) -> Vec<Lease> {
        let mut leases: Vec<Lease> = self.leases.values().cloned().collect();
        leases.sort_by_key(|lease| lease.taken);
        leases
    }

    /// Takes the lease away from an owner that is proven dead.
    pub(super) fn reclaim(
        &mut self,
        key: &TaskKey,
        dead: InstanceId,
        now: Timestamp,
    ) -> Result<Epoch, ReleaseRefused> {
        match self.leases.get(key).cloned() {
            Some(lease) if lease.owner == dead => Ok(self.take_away(&lease, "lease-reclaimed", now)?),
            _ => Err(ReleaseRefused::Gone),
        }
    }

    pub(super) fn force_release(&mut self, force: &ForceRelease) -> Result<Released, ReleaseRefused> {
        let held = self.leases.get(&force.task).filter(|held| held.epoch == force.epoch);
        let Some(lease) = held.cloned() else { return Err(ReleaseRefused::Gone) };
        let epoch = self.take_away(&lease, "lease-forced", force.now)?;
        let ending = EffectEnding::Unresolved(force.reason());
        let mut unresolved = Vec::new();
        for record in self.effects.values_mut() {
            if record.task == force.task && record.ended.is_none() {
                record.ended = Some((ending.clone(), force.now));
                unresolved.push(record.id);
            }
        }
        let subject = Subject::task(self.task_of(&force.task)?, force.now);
        for id in &unresolved {
            let detail = json!({ "effect": id, "state": ending.name() });
            self.write_event(&subject, "effect-settled", detail);
        }
        Ok(Released { owner: lease.owner, epoch, unresolved })
    }

    /// Fences the owner by a higher epoch and removes the lease.
    fn take_away(&mut self, lease: &Lease, kind: &str, now: Timestamp) -> Result<Epoch, Error> {
        let epoch = self.raise_epoch(&lease.task, now)?;
        self.leases.remove(&lease.task);
        self.write_lease_event(lease, kind, now)?;
        Ok(epoch)
    }

    fn write_lease_event(&mut self, lease: &Lease, kind: &str, now: Timestamp) -> Result<(), Error> {
        let subject = Subject::task(self.task_of(&lease.task)?, now);
        self.write_event(&subject, kind, json!({ "owner": lease.owner }));
        Ok(())
    }

    /// Requeues the running jobs of a dead instance and releases its leases. The proof is the caller's.
    pub(super) fn requeue_from_dead(&mut self, dead: InstanceId, now: Timestamp) -> Result<Recovered, Error> {
        let mut recovered = Recovered::default();
        for job in self.running_jobs(Some(dead)) {
            let JobState::Running { run, .. } = job.state else { continue };
            // Fence first: a dead owner writes nothing, but one whose death was concluded wrongly must not either.
            self.raise_epoch(&job.task, now)?;
            self.requeue(job.id, now)?;
            let subject = Subject::task(self.task_of(&job.task)?, now).job(job.id).run(run);
            self.write_event(&subject, "job-reclaimed", json!({ "dead": dead }));
            recovered.requeued.push(self.kept(job.id)?.job.clone());
        }
        for lease in self.all_leases().into_iter().filter(|lease| lease.owner == dead) {
            self.take_away(&lease, "lease-reclaimed", now)?;
            if self.effects.values().any(|record| record.task == lease.task && record.ended.is_none()) {
                recovered.open_effects.push(lease.task.clone());
            }
            recovered.leases.push(lease);
        }
        Ok(recovered)
    }

    pub(super) fn retire_instance(
        &mut self,
        instance: InstanceId,
        now: Timestamp,
    ) -> Result<(), RetireRefused> {
        let count = |owned: usize| u32::try_from(owned).unwrap_or(u32::MAX);
        let jobs = count(self.running(Some(instance)).count());
        let leases = count(self.leases.values().filter(|lease| lease.owner == instance).count());
        if jobs + leases > 0 {
            return Err(RetireRefused::StillOwns { instance, jobs, leases });
        }
        if let Some(known) = self.instances.get_mut(&instance).filter(|known| !known.retired) {
            known.retired = true;
            let detail = json!({ "instance": instance });
            self.write_event(&Subject::nothing(now), "instance-retired", detail);
        }
        Ok(())
    }
}
