//! What `run --json` prints: one object whose keys are part of the interface (S2).

use std::path::PathBuf;

use serde::Serialize;
use stagewright_engine::identity::{JobId, RunId};
use stagewright_engine::name::{CommitId, StageName, WorkItem};
use stagewright_engine::outcome::{Fault, Judgement, Tally};

use crate::exit::Exit;

/// How a `run` ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// The work item's key.
    pub work_item: WorkItem,
    /// The stage that was asked for.
    pub stage: StageName,
    /// The job, if there was one.
    pub job: Option<JobId>,
    /// The run, if one began.
    pub run: Option<RunId>,
    /// How it ended.
    pub outcome: RunOutcome,
    /// What was found out, if the work ran.
    pub judgement: Option<Judgement>,
    /// The task's stage before.
    pub from_stage: StageName,
    /// The task's stage now.
    pub to_stage: StageName,
    /// The artifact as a file, if one was written.
    pub artifact: Option<PathBuf>,
    /// The commit that was examined.
    pub commit: Option<CommitId>,
    /// Why the work did not run, or why the artifact was not accepted.
    pub fault: Option<ToldFault>,
    /// Counts of the checks.
    pub tally: Tally,
    /// How long all of it took.
    pub duration_ms: u64,
}

/// The ends that a `run` can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunOutcome {
    /// The work ran; `judgement` says what it found.
    Verdict,
    /// The work did not run and may be tried again.
    Deferred,
    /// The work can't run until somebody mends something.
    Held,
    /// Somebody wanted it to end.
    Cancelled,
    /// The task stands elsewhere, or the commit is an old one by now.
    Superseded,
    /// Somebody else is at it.
    Busy,
}

/// A fault as it is told: without what only the host needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToldFault {
    /// Stable and kebab-case.
    pub code: String,
    /// What happened.
    pub message: String,
    /// The lines that show it.
    pub evidence: String,
    /// The way out.
    pub remedy: Option<String>,
}

impl From<Fault> for ToldFault {
    fn from(fault: Fault) -> Self {
        Self { code: fault.code, message: fault.message, evidence: fault.evidence, remedy: fault.remedy }
    }
}

impl RunReport {
    /// The exit code that belongs to this end.
    ///
    /// A task that has moved on answers with its last verdict on this stage: a script that asks again
    /// gets the same answer. Without one there is nothing to vouch for, so it is not a success.
    pub fn exit(&self) -> Exit {
        match (self.outcome, self.judgement) {
            (RunOutcome::Verdict | RunOutcome::Superseded, Some(Judgement::Pass)) => Exit::Success,
            (RunOutcome::Verdict, _) | (RunOutcome::Superseded, Some(Judgement::Fail)) => Exit::Failure,
            (RunOutcome::Deferred | RunOutcome::Busy | RunOutcome::Superseded, _) => Exit::Later,
            (RunOutcome::Held, _) => Exit::Held,
            (RunOutcome::Cancelled, _) => Exit::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcome: RunOutcome, judgement: Option<Judgement>) -> RunReport {
        RunReport {
            work_item: WorkItem::new("A-1").unwrap(),
            stage: StageName::new("testing").unwrap(),
            job: None,
            run: None,
            outcome,
            judgement,
            from_stage: StageName::new("testing").unwrap(),
            to_stage: StageName::new("testing").unwrap(),
            artifact: None,
            commit: None,
            fault: None,
            tally: Tally::default(),
            duration_ms: 0,
        }
    }

    #[test]
    fn only_a_pass_is_a_success() {
        use RunOutcome::*;
        for outcome in [Verdict, Deferred, Held, Cancelled, Superseded, Busy] {
            for judgement in [None, Some(Judgement::Fail)] {
                assert_ne!(report(outcome, judgement).exit(), Exit::Success, "{outcome:?} {judgement:?}");
            }
        }
        assert_eq!(report(Verdict, Some(Judgement::Pass)).exit(), Exit::Success);
    }

    #[test]
    fn the_object_has_the_keys_that_scripts_rely_on() {
        let value = serde_json::to_value(report(RunOutcome::Held, None)).unwrap();
        let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "work_item",
                "stage",
                "job",
                "run",
                "outcome",
                "judgement",
                "from_stage",
                "to_stage",
                "artifact",
                "commit",
                "fault",
                "tally",
                "duration_ms"
            ]
        );
        assert_eq!(value["outcome"], "held");
    }
}
