//! Puts what a stage's run has made onto the task's branch: in the host's own copy, then in the user's repository.
//!
//! Conditional at both, as with a report: each branch is moved from where it was seen to be. A branch that the user has checked
//! out is left alone; the host's copy has the work then, and later stages see it.

use stagewright_engine::effect::Acted;
use stagewright_engine::name::CommitId;
use stagewright_engine::outcome::Fault;
use stagewright_repository::{Delivery, Error, Refusal};

use super::{Edge, trouble};

pub(super) async fn place(edge: &Edge<'_>, work: &CommitId) -> Acted {
    let branch = &edge.task.branch;
    let moved = || Acted::NotNow(Fault::new("branch-moved", format!("{branch} has moved meanwhile")));
    let placed = async {
        let placed = edge.bare.place_work(branch, &edge.branch.head, work).await?;
        let delivery = edge.bare.deliver_work(branch, &placed, &edge.branch.source).await?;
        Ok::<_, Error>((placed, delivery))
    };
    match placed.await {
        Ok((placed, Delivery::Delivered | Delivery::AlreadyThere)) => {
            Acted::Done(format!("{branch} is at {placed}"))
        }
        Ok((placed, Delivery::Refused(Refusal::CheckedOut { folder, command }))) => Acted::Done(format!(
            "{placed} is in the host's copy; {branch} is checked out in {}, to take it: {command}",
            folder.display()
        )),
        Ok((_, Delivery::Refused(Refusal::Moved { .. } | Refusal::NotOnlyArtifacts)))
        | Err(Error::HeadMoved { .. } | Error::NoSuchRevision { .. }) => moved(),
        Err(error) => trouble(&error),
    }
}
