//! What follows from a new head of the task's branch.

use crate::job::Job;
use crate::name::{CommitId, StageName};
use crate::pipeline::{Pipeline, Stage};
use crate::task::{Task, TaskState};

/// What a moved branch means for a task (E5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterPush {
    /// Nothing: whatever was judged or is being judged is the same code, or a person has the task.
    Nothing,
    /// The task stays at its stage. Its live job is for other code: it is stale, and one for the new head
    /// takes its place.
    Restart,
    /// Back to the earliest stage whose verdict is about other code. The live job is stale.
    Back {
        /// The stage at which the task has to be.
        expected: StageName,
        /// The stage that has to judge the new commit.
        to: StageName,
    },
}

/// Decides what follows from a new head of the branch.
///
/// `live` is the task's live job. `same_code` answers for a commit whether the new head is the same code: the
/// commit itself, or one that differs from it by the host's own artifact commits only, proved by the
/// difference of their trees.
///
/// Only verdicts of stages [that judge code](Stage::judges_code) are voided by other code. A stage that makes
/// something, such as the development itself, is what the new commit came from.
pub fn after_push(
    pipeline: &Pipeline,
    task: &Task,
    live: Option<&Job>,
    same_code: impl Fn(&CommitId) -> bool,
) -> AfterPush {
    // A held task is left alone until a person acts (J4); one that has arrived or was given up has no stage
    // to go back to.
    if task.state != TaskState::Active {
        return AfterPush::Nothing;
    }
    let Some(here) = pipeline.position(&task.stage) else { return AfterPush::Nothing };
    let is_void = |stage: &&Stage| {
        let verdict = task.verdicts.get(&stage.name);
        stage.judges_code() && verdict.is_some_and(|verdict| !same_code(&verdict.commit))
    };
    if let Some(stage) = pipeline.stages().iter().take(here).find(is_void) {
        return AfterPush::Back { expected: task.stage.clone(), to: stage.name.clone() };
    }
    match live {
        Some(job) if !same_code(&job.commit) => AfterPush::Restart,
        _ => AfterPush::Nothing,
    }
}
