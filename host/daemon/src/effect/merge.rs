//! Merges the task's branch into another branch of the same repository (X1).

use stagewright_engine::effect::Acted;
use stagewright_engine::name::BranchName;
use stagewright_engine::outcome::Fault;
use stagewright_repository::{Error, Merge, MergeRefusal, Merged};

use super::{Edge, author, trouble};
use crate::clock;

pub(super) async fn merge(edge: &Edge<'_>, into: &BranchName) -> Acted {
    let (key, branch) = (&edge.task.key, &edge.task.branch);
    if branch == into {
        return Acted::Done(format!("the task stands on {into} itself"));
    }
    let merged = async {
        let message = format!(
            "Merge {} ({branch}) into {into}\n\nStagewright-Examined: {}\n",
            key.work_item, edge.examined
        );
        let merge = Merge {
            branch,
            expected: &edge.branch.source,
            head: &edge.branch.head,
            into,
            message: &message,
            author: &author(),
            when: clock::now(),
        };
        edge.bare.merge(&merge).await
    };
    match merged.await {
        Ok(Merged::Merged(commit)) => Acted::Done(format!("{into} is at {commit}")),
        Ok(Merged::AlreadyIn(commit)) => Acted::Done(format!("{into}, at {commit}, has it")),
        Ok(Merged::Refused(refusal)) => refused(edge, into, refusal),
        Err(error @ Error::GitTooOld { .. }) => Acted::NotThis(Fault::new("git-too-old", error.to_string())),
        Err(error) => trouble(&error),
    }
}

fn refused(edge: &Edge<'_>, into: &BranchName, refusal: MergeRefusal) -> Acted {
    let branch = &edge.task.branch;
    let (code, message, remedy) = match refusal {
        // The reconciler sends the task back; until then there is nothing to merge.
        MergeRefusal::HeadMoved { .. } => {
            return Acted::NotNow(Fault::new(
                "branch-moved",
                format!("{branch} has moved since it was examined"),
            ));
        }
        MergeRefusal::Busy => {
            return Acted::NotNow(Fault::new(
                "target-moves",
                format!("{into} moved each time it was to be merged into"),
            ));
        }
        MergeRefusal::NoTarget => (
            "no-target-branch",
            format!("there is no branch {into}"),
            "make it, or name another one in the configuration".to_owned(),
        ),
        MergeRefusal::CheckedOut { folder } => (
            "target-checked-out",
            format!("{into} is checked out in {}, so it was left alone", folder.display()),
            format!("check out something else there (`git -C '{}' checkout --detach`)", folder.display()),
        ),
        MergeRefusal::Conflict { files } => (
            "merge-conflict",
            format!("{branch} and {into} contradict each other in {}", files.join(", ")),
            format!("merge {into} into {branch} and push it; the new commit is examined"),
        ),
    };
    Acted::NotThis(Fault::new(code, message).with_remedy(format!("{remedy}; then `stagewright task resume`")))
}
