//! The reconciler: compares active tasks with their branches, and queues the job that a task lacks (J7, E5).
//!
//! It is what makes a lost signal harmless: whatever should have happened on a push, on a new task, or at the end of a run
//! whose process died, it finds missing and does. It leaves held tasks alone, and it defers to whoever is in a task's
//! transition: then it looks again in the next round.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stagewright_engine::identity::{JobId, RunId};
use stagewright_engine::name::{BranchName, CommitId, StageName};
use stagewright_engine::outcome::Fault;
use stagewright_engine::task::{Hold, Task};
use stagewright_engine::transition::{AfterPush, after_push};
use stagewright_repository::artifact::sha256;
use stagewright_repository::{Bare, Repositories};
use stagewright_store::request::artifact::MAX_BYTES;
use stagewright_store::request::conclusion::{Attempts, Becomes, ConcludeRefused, StageChange};
use stagewright_store::request::job::{EnqueueRefused, NewJob};
use stagewright_store::request::repo::Repo;
use stagewright_store::request::task::{ObserveHead, TaskFilter, TaskRefused, TaskStateKind};
use tokio::sync::Notify;

use super::Pipelines;
use super::stop::{Phase, Stop};
use crate::worker::Worker;
use crate::{branch, clock};

/// How many tasks are read at once.
const PAGE: u32 = 500;

/// Everything that the reconciler stands on.
pub struct Reconciler {
    /// Store, configuration and instance.
    pub worker: Worker,
    /// The host's copies.
    pub repositories: Arc<Repositories>,
    /// Who does what.
    pub pipelines: Pipelines,
    /// Asks it to look at once.
    pub look: Arc<Notify>,
    /// Told when there is something in the queue.
    pub queued: Arc<Notify>,
}

impl Reconciler {
    /// Looks until the daemon ends.
    pub async fn run(self, stop: Stop) {
        let every = Duration::from_secs(self.worker.config.reconciler.every_s.0);
        loop {
            self.round().await;
            tokio::select! {
                () = stop.reached(Phase::Draining) => return,
                () = self.look.notified() => {}
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    /// Looks at every repository once. What goes wrong with one is told and does not keep it from the others.
    async fn round(&self) {
        let repos = match self.worker.store.repos().await {
            Ok(repos) => repos,
            Err(error) => return tracing::warn!(%error, "the repositories could not be read"),
        };
        for repo in repos {
            if let Err(error) = self.repository(&repo).await {
                tracing::warn!(repo = %repo.name, %error, "a repository could not be compared with its tasks");
            }
        }
    }

    async fn repository(&self, repo: &Repo) -> Result<(), branch::Error> {
        let mut filter = TaskFilter {
            repo: Some(repo.name.clone()),
            state: Some(TaskStateKind::Active),
            limit: PAGE,
            ..TaskFilter::default()
        };
        loop {
            let page = self.worker.store.tasks(filter.clone()).await?;
            let Some(last) = page.last() else { return Ok(()) };
            filter.after = Some(last.key.clone());
            // Behind each page: a task that was read later than its branch could be led back by a push that it knows already.
            let bare = self.repositories.open(&repo.name, &repo.source).await?;
            let mut heads = Heads::default();
            for task in page {
                let key = task.key.clone();
                match self.compared(&bare, &mut heads, task).await {
                    // A branch that git can't say something about keeps no other task waiting.
                    Err(branch::Error::Repository(error)) => {
                        tracing::warn!(task = %key, %error, "a task could not be compared with its branch");
                    }
                    other => other?,
                }
            }
        }
    }

    async fn compared(&self, bare: &Bare, heads: &mut Heads, task: Task) -> Result<(), branch::Error> {
        match heads.of(bare, &task.branch).await? {
            Some(head) => self.task(bare, task, head).await,
            None => self.hold(&task, branch_gone(&task)).await,
        }
    }

    /// One task: its head is kept, a push is followed, and a missing job is queued.
    async fn task(&self, bare: &Bare, task: Task, head: CommitId) -> Result<(), branch::Error> {
        let store = &self.worker.store;
        let key = task.key.clone();
        let pipeline = self.pipelines.of(&key.repo);
        if pipeline.stage(&task.stage).is_none() {
            return self.hold(&task, stage_gone(&task)).await;
        }
        let task = match &task.head {
            Some(known) if *known == head => task,
            _ => {
                let changed_reports = self.changed_reports(bare, &task, &head).await?;
                let observed =
                    ObserveHead { task: key.clone(), head: head.clone(), changed_reports, now: clock::now() };
                match store.observe_head(observed).await {
                    Ok(task) => task,
                    Err(TaskRefused::Store(error)) => return Err(error.into()),
                    // It was given up meanwhile, or the like.
                    Err(_) => return Ok(()),
                }
            }
        };
        let live = store.live_job(&key).await?;
        let same = self.worker.same_code(bare, &task, live.as_ref(), &head).await?;
        let after = after_push(pipeline, &task, live.as_ref(), |commit| same.contains(commit));
        if !matches!(after, AfterPush::Nothing)
            && let Some((work, run)) = self.work_that_is_missing(bare, &task, &head).await?
        {
            let take = bare.take_work_command(run);
            return self.hold(&task, work_not_on_branch(&task, &work, &take)).await;
        }
        match after {
            AfterPush::Back { expected, to } => {
                let reason = format!("the branch moved to {}", head.short());
                self.write(&task, expected, to, reason, head).await
            }
            AfterPush::Restart => {
                // A write of the same stage raises the epoch: whoever works on the old commit is overtaken.
                let (stage, reason) = (
                    task.stage.clone(),
                    format!("the branch moved to {} while it was examined", head.short()),
                );
                self.write(&task, stage.clone(), stage, reason, head).await
            }
            AfterPush::Nothing if live.is_none() && pipeline.work(&task.stage).is_some() => {
                self.enqueue(&task, head).await
            }
            AfterPush::Nothing => Ok(()),
        }
    }

    /// The work of a stage that never reached the user's branch, and that a push has left behind: the user had the branch checked
    /// out, and went on without taking it.
    async fn work_that_is_missing(
        &self,
        bare: &Bare,
        task: &Task,
        head: &CommitId,
    ) -> Result<Option<(CommitId, RunId)>, branch::Error> {
        let pipeline = self.pipelines.of(&task.key.repo);
        for (stage, verdict) in &task.verdicts {
            let takes_work = pipeline.work(stage).is_some_and(|work| work.takes_work);
            let behind = pipeline.position(stage) < pipeline.position(&task.stage);
            if takes_work
                && behind
                && let Some(work) = bare.kept_work(verdict.run).await?
                && !bare.has_work(&work, head).await?
            {
                return Ok(Some((work, verdict.run)));
            }
        }
        Ok(None)
    }

    /// The stages whose report on the branch is not the one that its gate has read (A2). Their verdicts stand: the store has
    /// what was read.
    async fn changed_reports(
        &self,
        bare: &Bare,
        task: &Task,
        head: &CommitId,
    ) -> Result<Vec<StageName>, branch::Error> {
        let Some(known) = &task.head else { return Ok(Vec::new()) };
        let mut changed = Vec::new();
        let paths = match bare.changed_paths(known, head).await {
            Ok(paths) => paths,
            // The old head may be gone for good.
            Err(error) => {
                tracing::debug!(task = %task.key, %error, "what a push has changed can't be told");
                return Ok(changed);
            }
        };
        for (stage, verdict) in &task.verdicts {
            let Some(stored) = self.worker.store.artifact(&task.key, stage).await? else { continue };
            if !paths.iter().any(|path| path == stored.artifact.path.as_bytes()) {
                continue;
            }
            let there = bare.read_file(head, &stored.artifact.path, MAX_BYTES as u64).await?;
            let same = there.is_some_and(|bytes| sha256(&bytes) == verdict.artifact_sha256);
            if !same {
                tracing::warn!(
                    task = %task.key, stage = %stage, path = stored.artifact.path,
                    "a report on the branch is not the one that its gate has read; the verdict stands"
                );
                changed.push(stage.clone());
            }
        }
        Ok(changed)
    }

    /// Nobody can go on with the task until a person has looked.
    async fn hold(&self, task: &Task, fault: Fault) -> Result<(), branch::Error> {
        // Whoever is in its region may be about to write its last stage, and needs the branch no more.
        if self.worker.store.lease(&task.key).await?.is_some() {
            return Ok(());
        }
        let now = clock::now();
        let code = fault.code.clone();
        let job = self.worker.store.live_job(&task.key).await?.map(|job| job.id);
        let hold = Hold { fault, stage: task.stage.clone(), job, since: now };
        match self.worker.store.hold_task(&task.key, hold, now).await {
            Ok(_) => tracing::warn!(task = %task.key, fault = code, "held"),
            Err(TaskRefused::Store(error)) => return Err(error.into()),
            // It was held or ended meanwhile.
            Err(_) => {}
        }
        Ok(())
    }

    async fn enqueue(&self, task: &Task, commit: CommitId) -> Result<(), branch::Error> {
        let job = new_job(task, task.stage.clone(), commit);
        match self.worker.store.enqueue(job).await {
            Ok(_) => self.queued.notify_one(),
            Err(EnqueueRefused::Store(error)) => return Err(error.into()),
            // The task has moved on since it was read.
            Err(_) => {}
        }
        Ok(())
    }

    async fn write(
        &self,
        task: &Task,
        expected: StageName,
        to: StageName,
        reason: String,
        head: CommitId,
    ) -> Result<(), branch::Error> {
        let change = StageChange {
            task: task.key.clone(),
            expected_stage: expected,
            ownership: self.worker.ownership(&task.key.repo, task.epoch),
            completes: None,
            past_a_hold: false,
            attempts: Attempts::Keep,
            becomes: Becomes::Active { next_job: Some(new_job(task, to.clone(), head)) },
            to,
            reason,
            events: Vec::new(),
            now: clock::now(),
        };
        match self.worker.store.move_stage(change).await {
            Ok(_) => self.queued.notify_one(),
            Err(ConcludeRefused::Store(error)) => return Err(error.into()),
            // Somebody is at it, or was quicker. The next round sees what came of it.
            Err(refused) => tracing::debug!(task = %task.key, %refused, "left for the next round"),
        }
        Ok(())
    }
}

fn new_job(task: &Task, stage: StageName, commit: CommitId) -> NewJob {
    NewJob { id: JobId::new(clock::new_id()), task: task.key.clone(), stage, commit, now: clock::now() }
}

fn branch_gone(task: &Task) -> Fault {
    let (branch, item) = (&task.branch, &task.key.work_item);
    let last = task.head.as_ref().map(|head| format!(" (it was at {head})")).unwrap_or_default();
    Fault::new("branch-gone", format!("the repository has no branch `{branch}` any more{last}")).with_remedy(format!(
        "make it again, then `stagewright task resume {item}`; or end the task with `stagewright task cancel {item}`"
    ))
}

fn work_not_on_branch(task: &Task, work: &CommitId, take: &str) -> Fault {
    let (branch, item) = (&task.branch, &task.key.work_item);
    let message =
        format!("`{branch}` went on without the work of its own task, which is in {work} of the host's copy");
    Fault::new("work-not-on-branch", message).with_remedy(format!(
        "take it, on {branch}: `{take}`, then `stagewright task resume {item}`; or have it done again: \
         `stagewright task move {item} --to development`"
    ))
}

fn stage_gone(task: &Task) -> Fault {
    let (stage, item) = (&task.stage, &task.key.work_item);
    Fault::new("stage-gone", format!("the pipeline has no stage `{stage}` any more")).with_remedy(format!(
        "put it back into the pipeline and `stagewright task resume {item}`, or move the task to a stage that there is"
    ))
}

/// The heads of branches in one round: many tasks may stand on the same branch.
#[derive(Default)]
struct Heads(BTreeMap<BranchName, Option<CommitId>>);

impl Heads {
    /// `None` if there is no such branch any more.
    async fn of(
        &mut self,
        bare: &Bare,
        name: &BranchName,
    ) -> Result<Option<CommitId>, stagewright_repository::Error> {
        if let Some(known) = self.0.get(name) {
            return Ok(known.clone());
        }
        let head = branch::there(bare.head_when_opened(name).await)?;
        self.0.insert(name.clone(), head.clone());
        Ok(head)
    }
}
