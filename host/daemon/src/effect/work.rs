//! Puts what a stage's run has made onto the task's branch: in the host's own copy, then in the user's repository.
//!
//! Conditional at both, as with a report: each branch is moved from where it was seen to be. A branch that the user has checked
//! out is left alone; the host's copy has the work then, and later stages see it.

use stagewright_engine::effect::Acted;
use stagewright_engine::name::CommitId;

use super::{Edge, delivered};

pub(super) async fn place(edge: &Edge<'_>, work: &CommitId) -> Acted {
    let branch = &edge.task.branch;
    let placed = async {
        let placed = edge.bare.place_work(branch, &edge.branch.head, work).await?;
        let delivery = edge.bare.deliver(branch, &placed, &edge.branch.source).await?;
        Ok((placed, delivery))
    };
    delivered(branch, placed.await)
}
