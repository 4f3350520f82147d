//! What follows from a person's request: from the command line, the API, or a deliberate move in the tracker.
//!
//! A person may do what nobody else may: take a hold off, and move a task without a verdict (J4). Even so a
//! request never writes a verdict, and it can't put a task at a stage that its pipeline doesn't have.

use crate::name::StageName;
use crate::outcome::Fault;
use crate::pipeline::Pipeline;
use crate::task::{Hold, Task, TaskState};
use crate::time::Timestamp;

/// What a person wants of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Hold it.
    Hold {
        /// Why, in the person's words.
        reason: String,
    },
    /// Take the hold off and go on where it stopped. Spent attempts stay spent, so that a task which was held
    /// because of them has one more.
    Resume,
    /// Do its stage again, with all attempts anew.
    Retry,
    /// Put it at another stage, with all attempts anew.
    Move {
        /// Which.
        to: StageName,
    },
    /// Give it up.
    Cancel,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterRequest {
    /// Hold the task where it is.
    Hold(Hold),
    /// Take the hold off; the held job is due again.
    Resume,
    /// Write the stage, with the attempts anew. Whatever job was live is stale.
    Move(PersonMove),
    /// It is as the person wants it already.
    Nothing,
}

/// A stage to be written because a person wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonMove {
    /// The stage at which the task has to be.
    pub expected: StageName,
    /// The stage that follows; the same one where it is done again or given up.
    pub to: StageName,
    /// What the task is then.
    pub becomes: Standing,
}

/// What a task is after a person's move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// On its way.
    Active,
    /// At an end of its pipeline.
    Done,
    /// Given up.
    Cancelled,
}

/// Why a person can't have what they want.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is nothing to resume.
    #[error("it is not held")]
    NotHeld,
    /// It is done or given up: there is no work to hold or to do again.
    #[error("it is {0}; move it to a stage first")]
    Ended(&'static str),
    /// The pipeline has no such stage.
    #[error("there is no stage `{stage}`{}", near.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    NoSuchStage {
        /// What was asked for.
        stage: StageName,
        /// The stage whose name is most like it.
        near: Option<StageName>,
    },
}

/// Decides what follows from a person's request.
///
/// # Errors
/// The request makes no sense for this task; nothing is to be done.
pub fn after_request(
    pipeline: &Pipeline,
    task: &Task,
    request: &Request,
    now: Timestamp,
) -> Result<AfterRequest, Refused> {
    let ended = match &task.state {
        TaskState::Active | TaskState::Held(_) => None,
        TaskState::Done => Some("done"),
        TaskState::Cancelled => Some("cancelled"),
    };
    match request {
        Request::Hold { reason } => match (ended, &task.state) {
            (Some(ended), _) => Err(Refused::Ended(ended)),
            (None, TaskState::Held(_)) => Ok(AfterRequest::Nothing),
            (None, _) => Ok(AfterRequest::Hold(held_by_a_person(task, reason, now))),
        },
        Request::Resume => match &task.state {
            TaskState::Held(_) => Ok(AfterRequest::Resume),
            _ => Err(Refused::NotHeld),
        },
        Request::Retry => match ended {
            Some(ended) => Err(Refused::Ended(ended)),
            None => put_at(pipeline, task, &task.stage),
        },
        Request::Move { to } if *to == task.stage && task.state == TaskState::Active => {
            known(pipeline, to).map(|()| AfterRequest::Nothing)
        }
        Request::Move { to } => put_at(pipeline, task, to),
        Request::Cancel if task.state == TaskState::Cancelled => Ok(AfterRequest::Nothing),
        Request::Cancel => match ended {
            Some(ended) => Err(Refused::Ended(ended)),
            None => Ok(AfterRequest::Move(PersonMove {
                expected: task.stage.clone(),
                to: task.stage.clone(),
                becomes: Standing::Cancelled,
            })),
        },
    }
}

fn known(pipeline: &Pipeline, stage: &StageName) -> Result<(), Refused> {
    match pipeline.stage(stage) {
        Some(_) => Ok(()),
        None => {
            let near = pipeline.nearest(stage.as_str()).cloned();
            Err(Refused::NoSuchStage { stage: stage.clone(), near })
        }
    }
}

fn put_at(pipeline: &Pipeline, task: &Task, to: &StageName) -> Result<AfterRequest, Refused> {
    known(pipeline, to)?;
    let becomes = if pipeline.work(to).is_some() { Standing::Active } else { Standing::Done };
    if becomes == Standing::Done && task.state == TaskState::Done && task.stage == *to {
        return Ok(AfterRequest::Nothing);
    }
    Ok(AfterRequest::Move(PersonMove { expected: task.stage.clone(), to: to.clone(), becomes }))
}

fn held_by_a_person(task: &Task, reason: &str, now: Timestamp) -> Hold {
    let fault = Fault::new("held-by-person", format!("a person holds it: {reason}"))
        .with_remedy("`stagewright task resume` lets it go on");
    Hold { fault, stage: task.stage.clone(), job: None, since: now }
}
