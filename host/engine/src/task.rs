//! A task: one work item on its way through the pipeline.
//!
//! What is kept here is what the rules need to decide; who owns the task at the moment is the store's to
//! know, and only its [`Epoch`] is carried along as the fence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::identity::{Epoch, JobId, RunId, TaskKey};
use crate::name::{BranchName, CommitId, StageName};
use crate::outcome::{Fault, Judgement};
use crate::time::Timestamp;

/// A work item on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Which work item in which repository.
    pub key: TaskKey,
    /// The stage at which it stands.
    pub stage: StageName,
    /// Whether it moves.
    pub state: TaskState,
    /// The fence: whoever writes for the task must have this number.
    pub epoch: Epoch,
    /// Its branch.
    pub branch: BranchName,
    /// The commit that the last verdict is about.
    pub examined: Option<CommitId>,
    /// The branch's head, as it was last seen. Not always the examined commit (E5).
    pub head: Option<CommitId>,
    /// How many developer attempts are spent (E4).
    pub attempts_spent: u32,
    /// The last verdict of each stage.
    pub verdicts: BTreeMap<StageName, StageVerdict>,
    /// When it began.
    pub created: Timestamp,
    /// When anything of it last changed.
    pub updated: Timestamp,
}

/// Whether a task moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// On its way.
    Active,
    /// Waits for a person (J4). Nothing but a person's act takes the hold off.
    Held(Hold),
    /// At the end of its pipeline.
    Done,
    /// Given up.
    Cancelled,
}

/// Why a task waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What is wrong, what shows it, and the way out.
    pub fault: Fault,
    /// The stage at which it was held.
    pub stage: StageName,
    /// The job that could not go on, if it was one.
    pub job: Option<JobId>,
    /// Since when.
    pub since: Timestamp,
}

/// What a stage's gate last read, and about which commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageVerdict {
    /// Pass or fail.
    pub judgement: Judgement,
    /// How many FAILs in a row this stage has had, this one counted; 0 for a PASS. What a stage that repeats
    /// itself spends its attempts by.
    #[serde(default)]
    pub fails_in_a_row: u32,
    /// The commit that was examined.
    pub commit: CommitId,
    /// SHA-256 of the artifact's bytes in hex: a later change of it is noticed (A2).
    pub artifact_sha256: String,
    /// The run that found it.
    pub run: RunId,
    /// When.
    pub at: Timestamp,
}

impl Task {
    /// The hold, if a person has to act.
    pub fn hold(&self) -> Option<&Hold> {
        match &self.state {
            TaskState::Held(hold) => Some(hold),
            TaskState::Active | TaskState::Done | TaskState::Cancelled => None,
        }
    }
}
