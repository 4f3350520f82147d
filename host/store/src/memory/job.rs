//! Jobs and runs: queueing, claiming, ending.

use serde_json::json;
use stagewright_engine::identity::{InstanceId, JobId, RunId};
use stagewright_engine::job::{Job, JobState, Run};
use stagewright_engine::ledger::Ledger;
use stagewright_engine::name::ProducerName;
use stagewright_engine::outcome::Outcome;
use stagewright_engine::task::{Task, TaskState};
use stagewright_engine::time::Timestamp;

use super::state::{Attempt, Kept, State, Subject, taken};
use crate::error::Error;
use crate::request::job::{
    Claim, ClaimNext, ClaimRefused, Claimed, Deference, Due, EnqueueRefused, Lane, Limits, NewJob,
};
use crate::request::run::{Attachment, EndRefused, EndRun, RunEnding};

impl State {
    pub(super) fn enqueue(&mut self, new: &NewJob) -> Result<Job, EnqueueRefused> {
        let Some(task) = self.tasks.get(&new.task).cloned() else {
            return Err(EnqueueRefused::NoSuchTask(new.task.clone()));
        };
        if task.state != TaskState::Active {
            return Err(EnqueueRefused::NotActive(Box::new(task)));
        }
        if task.stage != new.stage {
            return Err(EnqueueRefused::StageMoved { actual: task.stage });
        }
        if let Some(live) = self.live_job(&new.task) {
            let waits = matches!(live.state, JobState::Queued | JobState::Deferred { .. });
            let same = live.stage == new.stage && live.commit == new.commit;
            if !waits || same {
                return Ok(live.clone());
            }
        }
        self.must_be_new(new)?;
        self.supersede_live(&task, new.now)?;
        Ok(self.insert_job(&task, new))
    }

    /// An id is used once.
    pub(super) fn must_be_new(&self, new: &NewJob) -> Result<(), Error> {
        if self.jobs.contains_key(&new.id) { Err(taken("job")) } else { Ok(()) }
    }

    /// Queues a job for a task that is known to have no live one.
    pub(super) fn insert_job(&mut self, task: &Task, new: &NewJob) -> Job {
        let job = new.queued(task.attempts_spent);
        self.live.insert(new.task.clone(), new.id);
        self.jobs.insert(new.id, Kept { job: job.clone(), due: new.now, producer: None });
        let detail = json!({ "stage": new.stage, "commit": new.commit });
        self.write_event(&Subject::task(task, new.now).job(new.id), "job-queued", detail);
        job
    }

    pub(super) fn claim(&mut self, claim: &Claim) -> Result<Claimed, ClaimRefused> {
        let Some(kept) = self.jobs.get(&claim.job) else { return Err(ClaimRefused::NoSuchJob(claim.job)) };
        if !self.is_registered(claim.instance) {
            return Err(ClaimRefused::NoSuchInstance(claim.instance));
        }
        match &kept.job.state {
            JobState::Queued => {}
            JobState::Deferred { .. } if claim.due == Due::AtOnce || kept.due <= claim.now => {}
            JobState::Deferred { until, .. } => return Err(ClaimRefused::NotDue { until: *until }),
            JobState::Running { run, instance, since, .. } => {
                return Err(ClaimRefused::Busy { owner: *instance, run: Some(*run), since: *since });
            }
            JobState::Held => return Err(ClaimRefused::Held),
            _ => return Err(ClaimRefused::Ended),
        }
        let key = kept.job.task.clone();
        let stage = kept.job.stage.clone();
        let task = self.task_of(&key)?;
        if matches!(task.state, TaskState::Held(_)) {
            return Err(ClaimRefused::Held);
        }
        if task.stage != claim.expected_stage || stage != claim.expected_stage {
            return Err(ClaimRefused::StageMoved { actual: task.stage.clone() });
        }
        // A claim raises the epoch, which would fence whoever is in the region: so it waits for them.
        if claim.deference == Deference::ToOwner
            && let Some(lease) = self.leases.get(&key)
        {
            return Err(ClaimRefused::Busy { owner: lease.owner, run: None, since: lease.taken });
        }
        if let Some(reached) = self.limit_reached(&claim.limits) {
            return Err(reached);
        }
        let producer = claim.limits.producer.as_ref().map(|(name, _)| name.clone());
        Ok(self.own(claim.job, claim.instance, claim.run, producer, claim.now)?)
    }

    pub(super) fn claim_next(&mut self, claim: &ClaimNext) -> Result<Option<Claimed>, Error> {
        if !self.is_registered(claim.instance) {
            let detail = format!("instance {} is not registered", claim.instance);
            return Err(Error::Rejected { detail });
        }
        let mut oldest: Option<(Timestamp, JobId, &ProducerName)> = None;
        for lane in &claim.lanes {
            let limits =
                Limits { host: claim.host_limit, producer: Some((lane.producer.clone(), lane.limit)) };
            if self.limit_reached(&limits).is_some() {
                continue;
            }
            for kept in self.jobs.values().filter(|kept| self.is_due(kept, lane, claim.now)) {
                if oldest.is_none_or(|(due, id, _)| (kept.due, kept.job.id) < (due, id)) {
                    oldest = Some((kept.due, kept.job.id, &lane.producer));
                }
            }
        }
        let Some((_, job, producer)) = oldest else { return Ok(None) };
        self.own(job, claim.instance, claim.run, Some(producer.clone()), claim.now).map(Some)
    }

    /// Whether a worker of this lane may claim the job now.
    fn is_due(&self, kept: &Kept, lane: &Lane, now: Timestamp) -> bool {
        let due = match kept.job.state {
            // Whatever the clock says: it may have been set back since.
            JobState::Queued => true,
            JobState::Deferred { .. } => kept.due <= now,
            _ => return false,
        };
        let task = self.tasks.get(&kept.job.task);
        due && kept.job.stage == lane.stage
            && lane.repos.as_ref().is_none_or(|repos| repos.contains(&kept.job.task.repo))
            && task.is_some_and(|task| task.stage == lane.stage && task.state == TaskState::Active)
            && !self.leases.contains_key(&kept.job.task)
    }

    /// The refusal, if as many jobs run as may.
    fn limit_reached(&self, limits: &Limits) -> Option<ClaimRefused> {
        let count = |jobs: usize| u32::try_from(jobs).unwrap_or(u32::MAX);
        let running = count(self.running(None).count());
        if running >= limits.host {
            return Some(ClaimRefused::LimitReached { producer: None, running, limit: limits.host });
        }
        let (producer, limit) = limits.producer.as_ref()?;
        let of_it = self.running(None).filter(|kept| kept.producer.as_ref() == Some(producer));
        let running = count(of_it.count());
        let reached = ClaimRefused::LimitReached { producer: Some(producer.clone()), running, limit: *limit };
        (running >= *limit).then_some(reached)
    }

    /// Finished jobs whose transition can be completed now, oldest first.
    pub(super) fn to_complete(&self, now: Timestamp, limit: u32) -> Vec<Job> {
        let live = self.live.values().filter_map(|id| self.jobs.get(id));
        let mut due: Vec<&Kept> = live
            .filter(|kept| match &kept.job.state {
                // One that was not put off is due whatever the clock says.
                JobState::Finished { put_off: None, .. } => true,
                JobState::Finished { put_off: Some(_), .. } => kept.due <= now,
                _ => false,
            })
            .filter(|kept| {
                let task = self.tasks.get(&kept.job.task);
                task.is_some_and(|task| task.state == TaskState::Active)
                    && !self.leases.contains_key(&kept.job.task)
            })
            .collect();
        due.sort_by_key(|kept| (kept.due, kept.job.id));
        due.into_iter().take(limit as usize).map(|kept| kept.job.clone()).collect()
    }

    /// Makes `instance` the owner of a job that is known to be free.
    fn own(
        &mut self,
        id: JobId,
        instance: InstanceId,
        run: RunId,
        producer: Option<ProducerName>,
        now: Timestamp,
    ) -> Result<Claimed, Error> {
        if self.runs.contains_key(&run) {
            return Err(taken("run"));
        }
        let key = self.kept(id)?.job.task.clone();
        let epoch = self.raise_epoch(&key, now)?;
        let task = self.task_of(&key)?.clone();
        let detail = json!({ "instance": instance, "producer": producer });
        self.write_job(id, JobState::Running { run, instance, epoch, since: now }, now)?;
        let kept = self.kept(id)?;
        kept.producer = producer;
        let job = kept.job.clone();
        let begun = Run { id: run, job: id, instance, epoch, started: now, ended: None, outcome: None };
        self.runs.insert(run, Attempt { run: begun, ledger: None, attachments: Vec::new() });
        self.write_event(&Subject::task(&task, now).job(id).run(run), "job-claimed", detail);
        Ok(Claimed { job, task, epoch })
    }

    /// The job and its task, if the job is running under this run.
    pub(super) fn running_under(&self, job: JobId, run: RunId) -> Option<(Job, Task)> {
        let job = &self.jobs.get(&job)?.job;
        let under = matches!(job.state, JobState::Running { run: current, .. } if current == run);
        under.then(|| self.tasks.get(&job.task).map(|task| (job.clone(), task.clone()))).flatten()
    }

    /// Writes what a run leaves behind, however it ended.
    pub(super) fn write_run_end(
        &mut self,
        run: RunId,
        outcome: &Outcome,
        ledger: &Ledger,
        attachments: &[Attachment],
        now: Timestamp,
    ) {
        if let Some(attempt) = self.runs.get_mut(&run) {
            attempt.run.ended = Some(now);
            attempt.run.outcome = Some(outcome.clone());
            attempt.ledger = Some(ledger.clone());
            attempt.attachments = attachments.to_vec();
        }
    }

    pub(super) fn end_run(&mut self, end: &EndRun) -> Result<(), EndRefused> {
        let Some((job, task)) = self.running_under(end.job, end.run) else {
            return Err(EndRefused::NotRunning(end.run));
        };
        if !end.ending.gives_up() && task.epoch != end.epoch {
            return Err(EndRefused::Fenced { held: end.epoch, actual: task.epoch });
        }
        if let RunEnding::Finished { artifact, .. } = &end.ending {
            artifact.check()?;
        }
        self.write_run_end(end.run, &end.outcome, &end.ledger, &end.attachments, end.now);
        match &end.ending {
            RunEnding::Deferred { until, fault } => {
                let held = matches!(task.state, TaskState::Held(_));
                let deferred = JobState::Deferred { until: *until, fault: fault.clone() };
                self.write_job(end.job, if held { JobState::Held } else { deferred }, end.now)?;
                let kept = self.kept(end.job)?;
                kept.due = *until;
                kept.job.deferrals = kept.job.deferrals.saturating_add(1);
            }
            RunEnding::Held(hold) => {
                self.write_job(end.job, JobState::Held, end.now)?;
                self.write_hold(&job.task, hold.clone(), end.now)?;
            }
            RunEnding::Cancelled(_) => self.write_job(end.job, JobState::Cancelled, end.now)?,
            RunEnding::Superseded => self.write_job(end.job, JobState::Superseded, end.now)?,
            RunEnding::Requeued => self.requeue(end.job, end.now)?,
            RunEnding::Finished { artifact, verdict } => {
                self.write_finding(&job, artifact, verdict, end.run, end.now)?;
                self.write_job(end.job, JobState::Finished { run: end.run, put_off: None }, end.now)?;
                // Its transition is due from now on, with deferrals of its own to spend.
                let kept = self.kept(end.job)?;
                kept.due = end.now;
                kept.job.commit = verdict.commit.clone();
                kept.job.deferrals = 0;
            }
        }
        let subject = Subject::task(&task, end.now).job(end.job).run(end.run);
        let (kind, detail) = end.ending.event();
        self.write_event(&subject, kind, detail);
        self.write_events(&subject, &end.events);
        Ok(())
    }
}
