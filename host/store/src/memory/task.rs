//! Repositories and tasks, and what changes a task beside a stage.

use serde_json::json;
use stagewright_engine::identity::{Epoch, TaskKey};
use stagewright_engine::job::JobState;
use stagewright_engine::task::{Hold, Task, TaskState};
use stagewright_engine::time::Timestamp;

use super::state::{State, Subject};
use crate::request::artifact::StoredArtifact;
use crate::request::repo::{NewRepo, Repo};
use crate::request::task::{NewTask, ObserveHead, TaskFilter, TaskRefused, TaskStateKind};

impl State {
    pub(super) fn put_repo(&mut self, new: NewRepo) -> Repo {
        let known = self.repos.get(&new.name);
        if let Some(same) = known.filter(|known| known.source == new.source) {
            return same.clone();
        }
        let created = known.map_or(new.now, |known| known.created);
        let detail = json!({ "repo": new.name, "source": new.source.to_string_lossy() });
        self.write_event(&Subject::nothing(new.now), "repo-put", detail);
        let repo = Repo { name: new.name, source: new.source, created, updated: new.now };
        self.repos.insert(repo.name.clone(), repo.clone());
        repo
    }

    pub(super) fn add_task(&mut self, new: NewTask) -> Result<Task, TaskRefused> {
        if let Some(known) = self.tasks.get(&new.key) {
            return Ok(known.clone());
        }
        if !self.repos.contains_key(&new.key.repo) {
            return Err(TaskRefused::NoSuchRepo(new.key.repo));
        }
        let task = Task {
            key: new.key,
            stage: new.stage,
            state: TaskState::Active,
            epoch: Epoch::INITIAL,
            branch: new.branch,
            examined: None,
            head: None,
            attempts_spent: 0,
            verdicts: Default::default(),
            created: new.now,
            updated: new.now,
        };
        let detail = json!({ "stage": task.stage, "branch": task.branch });
        self.write_event(&Subject::task(&task, new.now), "task-added", detail);
        self.tasks.insert(task.key.clone(), task.clone());
        Ok(task)
    }

    pub(super) fn list_tasks(&self, filter: &TaskFilter) -> Vec<Task> {
        let wanted = self.tasks.values().filter(|task| {
            filter.after.as_ref().is_none_or(|after| task.key > *after)
                && filter.state.is_none_or(|kind| TaskStateKind::of(&task.state) == kind)
                && filter.repo.as_ref().is_none_or(|repo| task.key.repo == *repo)
                && filter.branch.as_ref().is_none_or(|branch| task.branch == *branch)
                && filter.work_item.as_ref().is_none_or(|item| task.key.work_item == *item)
        });
        wanted.take(filter.limit as usize).cloned().collect()
    }

    pub(super) fn observe_head(&mut self, observed: ObserveHead) -> Result<Task, TaskRefused> {
        let task = self.require(&observed.task)?;
        if task.head.as_ref() == Some(&observed.head) {
            return Ok(task.clone());
        }
        let mut detail = json!({ "head": observed.head, "before": task.head });
        if !observed.changed_reports.is_empty() {
            detail["changed_reports"] = json!(observed.changed_reports);
        }
        task.head = Some(observed.head);
        task.updated = observed.now;
        let task = task.clone();
        self.write_event(&Subject::task(&task, observed.now), "head-observed", detail);
        Ok(task)
    }

    pub(super) fn hold_task(
        &mut self,
        key: &TaskKey,
        hold: Hold,
        now: Timestamp,
    ) -> Result<Task, TaskRefused> {
        let task = self.require(key)?;
        if task.state != TaskState::Active {
            return Err(TaskRefused::NotActive(Box::new(task.clone())));
        }
        let detail = json!({ "fault": hold.fault.code });
        let task = self.write_hold(key, hold, now)?;
        let live = self.live_job(key).map(|job| (job.id, job.state.clone()));
        if let Some((waiting, JobState::Queued | JobState::Deferred { .. })) = live {
            self.write_job(waiting, JobState::Held, now)?;
        }
        self.write_event(&Subject::task(&task, now), "task-held", detail);
        Ok(task)
    }

    pub(super) fn resume_task(&mut self, key: &TaskKey, now: Timestamp) -> Result<Task, TaskRefused> {
        let task = self.require(key)?;
        if !matches!(task.state, TaskState::Held(_)) {
            return Err(TaskRefused::NotHeld(key.clone()));
        }
        task.state = TaskState::Active;
        task.updated = now;
        let task = task.clone();
        let live = self.live_job(key).map(|job| (job.id, job.state.clone()));
        let due_again = match live {
            Some((id, JobState::Held)) => Some((id, JobState::Queued)),
            // A transition that was put off is due again as well.
            Some((id, JobState::Finished { run, .. })) => {
                Some((id, JobState::Finished { run, put_off: None }))
            }
            _ => None,
        };
        if let Some((id, state)) = due_again {
            let kept = self.kept(id)?;
            kept.due = now;
            kept.job.deferrals = 0;
            self.write_job(id, state, now)?;
        }
        self.write_event(&Subject::task(&task, now), "task-resumed", json!({}));
        Ok(task)
    }

    fn require(&mut self, key: &TaskKey) -> Result<&mut Task, TaskRefused> {
        self.tasks.get_mut(key).ok_or_else(|| TaskRefused::NoSuchTask(key.clone()))
    }

    /// The newest artifact among those that are wanted.
    pub(super) fn newest_artifact(&self, wanted: impl Fn(&StoredArtifact) -> bool) -> Option<StoredArtifact> {
        let found = self.artifacts.values().filter(|stored| wanted(stored));
        found.max_by_key(|stored| (stored.made, stored.run)).cloned()
    }
}
