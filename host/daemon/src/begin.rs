//! Beginning a task: its repository and branch are looked at, and its first job is queued. The one way for the command
//! line and the API.

use stagewright_engine::identity::{JobId, TaskKey};
use stagewright_engine::name::{BranchName, StageName};
use stagewright_engine::pipeline::Pipeline;
use stagewright_engine::task::Task;
use stagewright_repository::Bare;
use stagewright_store::Store;
use stagewright_store::request::job::{EnqueueRefused, NewJob};
use stagewright_store::request::repo::NewRepo;
use stagewright_store::request::task::{NewTask, ObserveHead, TaskRefused};

use crate::clock;

/// A task, and whether it is a new one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Begun {
    pub(crate) task: Task,
    pub(crate) new: bool,
}

/// Why no task was begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotBegun {
    /// The pipeline has no such stage, or none at all.
    #[error("{0}")]
    NoSuchStage(String),
    /// Nobody says which branch it is about.
    #[error("{repository} has no branch checked out; name one")]
    NoBranch {
        /// The repository.
        repository: String,
    },
    /// The repository can't be read, or has no such branch.
    #[error(transparent)]
    Repository(#[from] stagewright_repository::Error),
    /// Somebody else moved it at the same time.
    #[error("{key}: {why}")]
    Moved {
        /// The task.
        key: TaskKey,
        /// What was found instead.
        why: String,
    },
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] stagewright_store::Error),
}

/// The stage to begin with: the one that is wanted, else the pipeline's first.
pub(crate) fn first_stage(pipeline: &Pipeline, wanted: Option<&StageName>) -> Result<StageName, NotBegun> {
    match wanted.or(pipeline.stages().first().map(|stage| &stage.name)) {
        Some(stage) if pipeline.work(stage).is_some() => Ok(stage.clone()),
        Some(stage) => {
            let near = pipeline.nearest(stage.as_str()).filter(|near| *near != stage);
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            Err(NotBegun::NoSuchStage(format!("the pipeline has no stage `{stage}` with work in it{near}")))
        }
        None => Err(NotBegun::NoSuchStage("the pipeline has no stages".to_owned())),
    }
}

/// Begins a task on the branch that is named, else on the one that is checked out. Begun again, it is answered as it is.
pub(crate) async fn begin(
    store: &dyn Store,
    bare: &Bare,
    key: TaskKey,
    branch: Option<BranchName>,
    stage: StageName,
) -> Result<Begun, NotBegun> {
    let source = bare.source();
    let Some(branch) = branch.or_else(|| source.branch().cloned()) else {
        return Err(NotBegun::NoBranch { repository: source.top.display().to_string() });
    };
    let head = bare.head_when_opened(&branch).await?;
    let now = clock::now();
    store.put_repo(NewRepo { name: key.repo.clone(), source: source.top.clone(), now }).await?;
    let known = store.task(&key).await?.is_some();
    let moved = |why: &dyn std::fmt::Display| NotBegun::Moved { key: key.clone(), why: why.to_string() };
    let refused = |refused: TaskRefused| match refused {
        TaskRefused::Store(error) => NotBegun::Store(error),
        refused => moved(&refused),
    };
    let new = NewTask { key: key.clone(), stage: stage.clone(), branch, now };
    let task = store.add_task(new).await.map_err(refused)?;
    if known {
        return Ok(Begun { task, new: false });
    }
    let observed = ObserveHead { task: key.clone(), head: head.clone(), changed_reports: Vec::new(), now };
    let task = store.observe_head(observed).await.map_err(refused)?;
    let job = NewJob { id: JobId::new(clock::new_id()), task: key.clone(), stage, commit: head, now };
    match store.enqueue(job).await {
        Ok(_) => Ok(Begun { task, new: true }),
        Err(EnqueueRefused::Store(error)) => Err(error.into()),
        Err(refused) => Err(moved(&refused)),
    }
}
