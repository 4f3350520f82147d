//! A task's branch in the host's copy, compared with what was examined (E5).
//!
//! What a run has made is the same code as what it began with until it is put onto the branch: it is on its way.
//!
//! One answer for all who ask: whoever begins a run, leads a task back after a push, or acts by the branch. A commit is *the
//! same code* as another if it differs in nothing but reports of the tasks that stand on the branch.
//!
//! It refuses to guess: a question that git could not answer is an error, and never "other code".

use std::collections::BTreeSet;

use stagewright_engine::effect::EffectEnding;
use stagewright_engine::identity::TaskKey;
use stagewright_engine::job::{Job, JobState};
use stagewright_engine::name::{CommitId, RepoName, WorkItem};
use stagewright_engine::outcome::Fault;
use stagewright_engine::task::Task;
use stagewright_repository::{Bare, Repositories};
use stagewright_store::request::effect::EffectRecord;
use stagewright_store::request::task::TaskFilter;

use crate::effect::WORK;
use crate::worker::Worker;

/// How many tasks of one branch are looked at. Beyond that a report of another one counts as a change of code.
const MOST_ON_A_BRANCH: u32 = 10_000;

/// A branch that is the same code as the examined commit.
#[derive(Clone, Debug)]
pub struct ExaminedBranch {
    /// Its head in the user's repository.
    pub source: CommitId,
    /// Its head with the reports that the host's copy has on top.
    pub head: CommitId,
}

/// What was examined.
#[derive(Clone, Debug)]
pub(crate) struct Examined {
    /// The commit.
    pub(crate) commit: CommitId,
    /// Whether it is what a run has made, and not on the branch yet.
    pub(crate) on_its_way: bool,
}

impl Examined {
    /// A commit that is on its branch.
    pub(crate) fn at(commit: CommitId) -> Self {
        Self { commit, on_its_way: false }
    }
}

/// Why nothing can be said about a branch now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] stagewright_store::Error),
    /// The store has a task of a repository that it does not have.
    #[error("the store does not know {0}")]
    UnknownRepo(RepoName),
    /// Git could not answer.
    #[error(transparent)]
    Repository(#[from] stagewright_repository::Error),
}

impl Error {
    /// What it is for the work that waits for the answer. The store's trouble is not the work's.
    pub(crate) fn fault(self) -> Result<Fault, stagewright_store::Error> {
        match self {
            Self::Store(error) => Err(error),
            Self::UnknownRepo(_) | Self::Repository(_) => {
                Ok(Fault::new("repository-unreachable", self.to_string())
                    .with_remedy("look whether the repository is still where the host knows it"))
            }
        }
    }
}

impl Worker {
    /// The host's copy of a task's repository, up to date. `None`, if the task's branch is not the code that was examined, or
    /// is gone.
    pub(crate) async fn examined_copy(
        &self,
        task: &Task,
        examined: &Examined,
        repositories: &Repositories,
    ) -> Result<Option<Bare>, Error> {
        let TaskKey { repo: name, .. } = &task.key;
        let repo = self.store.repo(name).await?.ok_or_else(|| Error::UnknownRepo(name.clone()))?;
        let bare = repositories.open(name, &repo.source).await?;
        let Some(head) = there(bare.head_when_opened(&task.branch).await)? else { return Ok(None) };
        Ok(self.stands(&bare, task, examined, &head).await?.then_some(bare))
    }

    /// Where a task's branch is now. `None`, if it is not the code that was examined, or is gone.
    pub(crate) async fn examined_branch(
        &self,
        bare: &Bare,
        task: &Task,
        examined: &Examined,
    ) -> Result<Option<ExaminedBranch>, Error> {
        let Some(source) = there(bare.source_head(&task.branch).await)? else { return Ok(None) };
        let Some(head) = there(bare.head(&task.branch).await)? else { return Ok(None) };
        let same = self.stands(bare, task, examined, &head).await?;
        Ok(same.then_some(ExaminedBranch { source, head }))
    }

    /// Which of the commits that a task's verdicts and its live job are about are the same code as `head`, with `head`.
    pub(crate) async fn same_code(
        &self,
        bare: &Bare,
        task: &Task,
        live: Option<&Job>,
        head: &CommitId,
    ) -> Result<BTreeSet<CommitId>, Error> {
        let judged: BTreeSet<&CommitId> = task.verdicts.values().map(|verdict| &verdict.commit).collect();
        let mut same = BTreeSet::from([head.clone()]);
        for commit in judged {
            if self.is_same_code(bare, task, commit, head).await? {
                same.insert(commit.clone());
            }
        }
        if let Some(job) = live
            && self.stands(bare, task, &self.examined_by(job).await?, head).await?
        {
            same.insert(job.commit.clone());
        }
        Ok(same)
    }

    /// What a job has examined, and whether what its run has made is still on its way to the branch.
    pub(crate) async fn examined_by(&self, job: &Job) -> Result<Examined, stagewright_store::Error> {
        let finished = matches!(job.state, JobState::Finished { .. });
        let on_its_way = finished && !self.work_is_placed(job).await?;
        Ok(Examined { commit: job.commit.clone(), on_its_way })
    }

    /// Whether the journal says that a job's work was put onto the branch.
    async fn work_is_placed(&self, job: &Job) -> Result<bool, stagewright_store::Error> {
        let effects = self.store.effects(&job.task).await?;
        let placed = |record: &EffectRecord| {
            record.job == job.id
                && record.name == WORK
                && matches!(record.ended, Some((EffectEnding::Done(_), _)))
        };
        Ok(effects.iter().any(placed))
    }

    /// Whether a branch at `head` is what was examined. What is on its way is not there yet: then the branch has to be where the
    /// run began.
    pub(crate) async fn stands(
        &self,
        bare: &Bare,
        task: &Task,
        examined: &Examined,
        head: &CommitId,
    ) -> Result<bool, Error> {
        if self.is_same_code(bare, task, &examined.commit, head).await? {
            return Ok(true);
        }
        match examined.on_its_way {
            true => match bare.base_of_work(&examined.commit).await? {
                Some(base) => self.is_same_code(bare, task, &base, head).await,
                None => Ok(false),
            },
            false => Ok(false),
        }
    }

    async fn is_same_code(
        &self,
        bare: &Bare,
        task: &Task,
        commit: &CommitId,
        head: &CommitId,
    ) -> Result<bool, Error> {
        if commit == head {
            return Ok(true);
        }
        // Read only where it matters: a thousand tasks can stand on one branch.
        let items = self.work_items_on(task).await?;
        Ok(bare.only_artifacts_between(commit, head, &items).await?)
    }

    /// The work items whose tasks stand on the task's branch, its own among them.
    async fn work_items_on(&self, task: &Task) -> Result<Vec<WorkItem>, Error> {
        let filter = TaskFilter {
            repo: Some(task.key.repo.clone()),
            branch: Some(task.branch.clone()),
            limit: MOST_ON_A_BRANCH,
            ..TaskFilter::default()
        };
        Ok(self.store.tasks(filter).await?.into_iter().map(|task| task.key.work_item).collect())
    }
}

/// A branch's head; `None`, if there is no such branch.
pub(crate) fn there(
    head: Result<CommitId, stagewright_repository::Error>,
) -> Result<Option<CommitId>, stagewright_repository::Error> {
    match head {
        Ok(head) => Ok(Some(head)),
        Err(stagewright_repository::Error::NoSuchRevision { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
