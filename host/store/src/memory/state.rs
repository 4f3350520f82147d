//! What the store knows, as plain maps, and the few changes that everything else is made of.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stagewright_engine::identity::{Epoch, InstanceId, JobId, RunId, TaskKey};
use stagewright_engine::instance::Instance;
use stagewright_engine::job::{Job, JobState, Run};
use stagewright_engine::lease::Lease;
use stagewright_engine::ledger::Ledger;
use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_engine::task::{Hold, StageVerdict, Task, TaskState};
use stagewright_engine::time::Timestamp;

use crate::error::Error;
use crate::request::artifact::{Artifact, StoredArtifact};
use crate::request::effect::{EffectId, EffectRecord};
use crate::request::event::{Event, NewEvent};
use crate::request::model::ModelCall;
use crate::request::repo::Repo;
use crate::request::run::Attachment;

/// Everything that is kept.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) instances: BTreeMap<InstanceId, Known>,
    pub(super) repos: BTreeMap<RepoName, Repo>,
    pub(super) tasks: BTreeMap<TaskKey, Task>,
    pub(super) jobs: BTreeMap<JobId, Kept>,
    /// The live job of each task. A second one has no place here (J1).
    pub(super) live: BTreeMap<TaskKey, JobId>,
    pub(super) runs: BTreeMap<RunId, Attempt>,
    pub(super) artifacts: BTreeMap<RunId, StoredArtifact>,
    pub(super) leases: BTreeMap<TaskKey, Lease>,
    pub(super) effects: BTreeMap<EffectId, EffectRecord>,
    pub(super) model_calls: Vec<ModelCall>,
    pub(super) events: Vec<Event>,
}

/// An instance, and whether it has ended.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) instance: Instance,
    pub(super) retired: bool,
}

/// A job, and what of it is not for everybody to see.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) job: Job,
    /// When it may be claimed.
    pub(super) due: Timestamp,
    /// Whose limit it counts against while it runs.
    pub(super) producer: Option<ProducerName>,
}

/// A run and what it left behind.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) run: Run,
    pub(super) ledger: Option<Ledger>,
    pub(super) attachments: Vec<Attachment>,
}

/// What the events of one change have in common.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    at: Timestamp,
    task: Option<(TaskKey, Epoch)>,
    job: Option<JobId>,
    run: Option<RunId>,
}

impl Subject {
    pub(super) fn nothing(at: Timestamp) -> Self {
        Self { at, task: None, job: None, run: None }
    }

    /// The task with the epoch that it has now.
    pub(super) fn task(task: &Task, at: Timestamp) -> Self {
        Self { task: Some((task.key.clone(), task.epoch)), ..Self::nothing(at) }
    }

    pub(super) fn job(self, job: JobId) -> Self {
        Self { job: Some(job), ..self }
    }

    pub(super) fn run(self, run: RunId) -> Self {
        Self { run: Some(run), ..self }
    }
}

impl State {
    pub(super) fn write_event(&mut self, subject: &Subject, kind: &str, detail: Value) {
        let (task, epoch) = subject.task.clone().unzip();
        self.events.push(Event {
            seq: self.events.len() as u64 + 1,
            at: subject.at,
            kind: kind.to_owned(),
            task,
            job: subject.job,
            run: subject.run,
            epoch,
            detail,
        });
    }

    /// Writes the events that a caller has added.
    pub(super) fn write_events(&mut self, subject: &Subject, events: &[NewEvent]) {
        for event in events {
            self.write_event(subject, &event.kind, event.detail.clone());
        }
    }

    /// Whether it may own something: it is known and not retired.
    pub(super) fn is_registered(&self, instance: InstanceId) -> bool {
        self.instances.get(&instance).is_some_and(|known| !known.retired)
    }

    /// The task of something that is kept, which always has one.
    pub(super) fn task_of(&mut self, key: &TaskKey) -> Result<&mut Task, Error> {
        self.tasks.get_mut(key).ok_or_else(|| damaged("task", key))
    }

    /// A job that is known to be there.
    pub(super) fn kept(&mut self, id: JobId) -> Result<&mut Kept, Error> {
        self.jobs.get_mut(&id).ok_or_else(|| damaged("job", id))
    }

    /// The task's live job.
    pub(super) fn live_job(&self, task: &TaskKey) -> Option<&Job> {
        self.live.get(task).and_then(|id| self.jobs.get(id)).map(|kept| &kept.job)
    }

    /// Running jobs, of one instance or all.
    pub(super) fn running(&self, of: Option<InstanceId>) -> impl Iterator<Item = &Kept> {
        let live = self.live.values().filter_map(|id| self.jobs.get(id));
        live.filter(move |kept| match kept.job.state {
            JobState::Running { instance, .. } => of.is_none_or(|of| of == instance),
            _ => false,
        })
    }

    /// The same in order: those that run the longest first.
    pub(super) fn running_jobs(&self, of: Option<InstanceId>) -> Vec<Job> {
        let mut jobs: Vec<Job> = self.running(of).map(|kept| kept.job.clone()).collect();
        jobs.sort_by_key(|job| match job.state {
            JobState::Running { since, .. } => (since, job.id),
            _ => (job.updated, job.id),
        });
        jobs
    }

    /// Writes a hold on the task itself, unless it has one: the first reason stays.
    pub(super) fn write_hold(&mut self, key: &TaskKey, hold: Hold, now: Timestamp) -> Result<Task, Error> {
        let task = self.task_of(key)?;
        if task.state == TaskState::Active {
            task.state = TaskState::Held(hold);
            task.updated = now;
        }
        Ok(task.clone())
    }

    /// Raises the task's epoch and gives the new one back (O4).
    pub(super) fn raise_epoch(&mut self, key: &TaskKey, now: Timestamp) -> Result<Epoch, Error> {
        let task = self.task_of(key)?;
        task.epoch = task.epoch.next();
        task.updated = now;
        Ok(task.epoch)
    }

    /// Puts a job into another state. One that is not live any more makes room for the next.
    pub(super) fn write_job(&mut self, id: JobId, state: JobState, now: Timestamp) -> Result<(), Error> {
        let kept = self.kept(id)?;
        if !matches!(state, JobState::Running { .. }) {
            kept.producer = None;
        }
        kept.job.updated = now;
        let (task, is_live) = (kept.job.task.clone(), state.is_live());
        kept.job.state = state;
        if !is_live && self.live.get(&task) == Some(&id) {
            self.live.remove(&task);
        }
        Ok(())
    }

    /// Puts a job back into the queue, due at once; to the held ones if its task is held.
    pub(super) fn requeue(&mut self, id: JobId, now: Timestamp) -> Result<(), Error> {
        let kept = self.kept(id)?;
        kept.due = now;
        let task = kept.job.task.clone();
        let held = matches!(self.task_of(&task)?.state, TaskState::Held(_));
        self.write_job(id, if held { JobState::Held } else { JobState::Queued }, now)
    }

    /// Supersedes whatever live job the task has.
    pub(super) fn supersede_live(&mut self, task: &Task, now: Timestamp) -> Result<(), Error> {
        let Some(live) = self.live_job(&task.key) else { return Ok(()) };
        let (live, finished) = (live.id, matches!(live.state, JobState::Finished { .. }));
        self.write_job(live, JobState::Superseded, now)?;
        let subject = Subject::task(task, now).job(live);
        self.write_event(&subject, "job-superseded", json!({}));
        if finished {
            self.cut_off(live, &subject, now);
        }
        Ok(())
    }

    /// Keeps what a stage's run has found out: its artifact, and the verdict that the gate read in it.
    pub(super) fn write_finding(
        &mut self,
        job: &Job,
        artifact: &Artifact,
        verdict: &StageVerdict,
        run: RunId,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (task, stage) = (job.task.clone(), job.stage.clone());
        let kept = self.task_of(&task)?;
        kept.verdicts.insert(stage.clone(), verdict.clone());
        kept.examined = Some(verdict.commit.clone());
        let stored = StoredArtifact { task, stage, run, made: now, artifact: artifact.clone() };
        self.artifacts.insert(run, stored);
        Ok(())
    }
}

/// Two maps that must agree do not.
fn damaged(what: &str, id: impl std::fmt::Display) -> Error {
    Error::Damaged { detail: format!("the {what} {id} is missing though something belongs to it") }
}

/// An id that was to be new is taken.
pub(super) fn taken(what: &str) -> Error {
    Error::Rejected { detail: format!("there is already a {what} of this id") }
}
