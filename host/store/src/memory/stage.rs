//! Stage writes: the conditions of O1, O2 and O4 in one place, and the one function that writes a stage.

use serde_json::json;
use stagewright_engine::job::JobState;
use stagewright_engine::task::{Task, TaskState};

use super::state::{State, Subject};
use crate::error::Error;
use crate::request::conclusion::{Becomes, ConcludeRefused, Conclusion, Ownership, StageChange};

impl State {
    pub(super) fn conclude(&mut self, conclusion: &Conclusion) -> Result<Task, ConcludeRefused> {
        let Conclusion { job, run, outcome, artifact, verdict, ledger, attachments, change } = conclusion;
        let task = self.check(change)?;
        let running = self.running_under(*job, *run);
        let Some((owned, _)) =
            running.filter(|(owned, of)| of.key == change.task && owned.stage == task.stage)
        else {
            return Err(overtaken(&task, change, *job));
        };
        artifact.check()?;
        self.must_fit(&task, change)?;

        self.write_run_end(*run, outcome, ledger, attachments, change.now);
        self.write_finding(&owned, artifact, verdict, *run, change.now)?;
        self.write_job(*job, JobState::Done { run: *run }, change.now)?;
        let detail = json!({ "judgement": verdict.judgement, "artifact": artifact.sha256 });
        self.write_event(&Subject::task(&task, change.now).job(*job).run(*run), "job-done", detail);
        Ok(self.write_stage(change)?)
    }

    pub(super) fn move_stage(&mut self, change: &StageChange) -> Result<Task, ConcludeRefused> {
        let task = self.check(change)?;
        let mut completed = None;
        if let Some(completes) = change.completes {
            let finished = self.jobs.get(&completes).filter(|kept| kept.job.task == change.task);
            match finished.map(|kept| &kept.job.state) {
                Some(JobState::Finished { run, .. }) => completed = Some((completes, *run)),
                _ => return Err(overtaken(&task, change, completes)),
            }
        }
        self.must_fit(&task, change)?;

        if let Some((job, run)) = completed {
            self.write_job(job, JobState::Done { run }, change.now)?;
            self.write_event(&Subject::task(&task, change.now).job(job), "job-done", json!({}));
        }
        Ok(self.write_stage(change)?)
    }

    /// The task, if it is there and its lease is as the change expects it.
    fn check(&self, change: &StageChange) -> Result<Task, ConcludeRefused> {
        let Some(task) = self.tasks.get(&change.task) else {
            return Err(ConcludeRefused::NoSuchTask(change.task.clone()));
        };
        match &change.ownership {
            Ownership::Lease(held) if held.task == change.task && self.holds(held) => {}
            Ownership::Lease(_) => return Err(ConcludeRefused::LeaseLost),
            Ownership::TakeNow { owner, .. } | Ownership::Unleased { owner, .. }
                if !self.is_registered(*owner) =>
            {
                return Err(ConcludeRefused::NoSuchInstance(*owner));
            }
            Ownership::TakeNow { .. } => {
                if let Some(other) = self.leases.get(&change.task) {
                    return Err(ConcludeRefused::Owned { by: other.owner, since: other.taken });
                }
            }
            Ownership::Unleased { .. } => {}
        }
        if !change.past_a_hold {
            must_be_active(task)?;
        }
        Ok(task.clone())
    }

    /// The compare-and-swap's comparison, and whether the next job can be queued.
    fn must_fit(&self, task: &Task, change: &StageChange) -> Result<(), ConcludeRefused> {
        if task.stage != change.expected_stage {
            return Err(ConcludeRefused::StageMoved { actual: task.stage.clone() });
        }
        if task.epoch != change.ownership.epoch() {
            return Err(ConcludeRefused::EpochMoved { actual: task.epoch });
        }
        if let Becomes::Active { next_job: Some(next) } = &change.becomes {
            change.must_lead_to(next)?;
            self.must_be_new(next)?;
        }
        Ok(())
    }

    /// **The one function that writes a stage.** Everything was compared before.
    fn write_stage(&mut self, change: &StageChange) -> Result<Task, Error> {
        let task = self.task_of(&change.task)?;
        change.apply_to(task);
        let moved = task.clone();
        self.leases.remove(&change.task);
        self.supersede_live(&moved, change.now)?;
        let subject = Subject::task(&moved, change.now);
        let detail = json!({
            "from": change.expected_stage,
            "to": change.to,
            "reason": change.reason,
            "owner": change.ownership.owner(),
            "state": change.becomes.kind().name(),
            "attempts": moved.attempts_spent,
        });
        self.write_event(&subject, "stage-written", detail);
        self.write_events(&subject, &change.events);
        if let Becomes::Active { next_job: Some(next) } = &change.becomes {
            self.insert_job(&moved, next);
        }
        Ok(moved)
    }
}

/// A hold binds whoever acts by itself; only a person's move goes past it (J4).
fn must_be_active(task: &Task) -> Result<(), ConcludeRefused> {
    match task.state {
        TaskState::Active => Ok(()),
        _ => Err(ConcludeRefused::NotActive(Box::new(task.clone()))),
    }
}

/// Why a job that should be the task's own is not: the task has moved on, or the job has.
fn overtaken(task: &Task, change: &StageChange, job: stagewright_engine::identity::JobId) -> ConcludeRefused {
    if task.stage == change.expected_stage {
        ConcludeRefused::NotRunning(job)
    } else {
        ConcludeRefused::StageMoved { actual: task.stage.clone() }
    }
}
