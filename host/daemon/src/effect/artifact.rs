//! Commits a stage's report to the task's branch (A3): in the host's own copy, then in the user's repository.
//!
//! Conditional at both: each branch is moved from where it was seen to be. A branch that the user has checked out is left alone; the
//! host's copy has the commit then, and later stages see it. What goes along is only what this host has put there itself:
//! reports, and the work of runs.

use stagewright_engine::effect::Acted;
use stagewright_engine::name::{BranchName, CommitId};
use stagewright_engine::outcome::Fault;
use stagewright_repository::{ArtifactCommit, Bare, Delivery, Error};
use stagewright_store::request::artifact::StoredArtifact;

use super::{Edge, author, delivered};
use crate::branch::ExaminedBranch;
use crate::clock;

pub(super) async fn commit(edge: &Edge<'_>, stored: &StoredArtifact) -> Acted {
    let branch = &edge.task.branch;
    let committed = commit_report(edge.bare, branch, edge.branch, edge.examined, stored);
    match committed.await {
        Err(error @ (Error::Obstructed { .. } | Error::BadPath { .. })) => Acted::NotThis(
            Fault::new("artifact-obstructed", error.to_string())
                .with_remedy("remove what is in the way from the branch, then `stagewright task resume`"),
        ),
        committed => delivered(branch, committed),
    }
}

/// Commits a report on top of the branch in the host's copy, and brings it to the user's branch.
pub(crate) async fn commit_report(
    bare: &Bare,
    branch: &BranchName,
    at: &ExaminedBranch,
    examined: &CommitId,
    stored: &StoredArtifact,
) -> Result<(CommitId, Delivery), Error> {
    let file = stored.artifact.path.rsplit('/').next().unwrap_or_default();
    let (item, run) = (&stored.task.work_item, stored.run);
    let message = format!("{item}: {file} of {examined}\n\nStagewright-Run: {run}\n");
    let artifact = ArtifactCommit {
        branch,
        expected_head: &at.head,
        path: &stored.artifact.path,
        bytes: &stored.artifact.bytes,
        message: &message,
        author: &author(),
        when: clock::now(),
    };
    let made = bare.commit_artifact(&artifact).await?;
    let delivery = bare.deliver(branch, &made, &at.source).await?;
    Ok((made, delivery))
}
