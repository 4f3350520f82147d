//! What follows from what happened: the one place where the next step of a task is decided (E2, E4, E5, J3).
//!
//! [`after_run`] decides about the end of a run, [`after_push`] about a moved branch. Each answers with data;
//! the caller takes the lease and makes the conditional write.
//!
//! What must never come out of here: a stage that changes without a verdict or a person; an attempt that is
//! spent on an infra fault; an advance on a PASS for which the host saw no work; a held task that moves.

use crate::budget::DeferralBudget;
use crate::gate::GateDecision;
use crate::job::Job;
use crate::name::{CommitId, StageName};
use crate::outcome::{Cause, Fault, Judgement, Outcome};
use crate::pipeline::{Pipeline, Stage, Work};
use crate::task::{Hold, Task, TaskState};
use crate::time::{Span, Timestamp};

/// What is to be done with a job whose run has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterRun {
    /// The work ran and the gate has read its artifact: write the stage, if it is still the expected one.
    Move(Move),
    /// The work did not run: try again, not before this time.
    Defer {
        /// When.
        until: Timestamp,
        /// Why.
        fault: Fault,
    },
    /// The work can't run until a person has acted.
    Hold(Hold),
    /// The run was ended on purpose and the job with it.
    Cancel(Cause),
    /// The run was ended because the host stops: the job is due again at once.
    Requeue,
    /// The job is stale: the task is elsewhere or another commit is asked for.
    Supersede,
}

/// A stage to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The stage at which the task has to be.
    pub expected: StageName,
    /// The stage that follows.
    pub to: StageName,
    /// What was found out.
    pub judgement: Judgement,
    /// Whether one of the developer's attempts is spent.
    pub spends_attempt: bool,
    /// A hold that begins with the new stage: the attempts are spent.
    pub hold: Option<Hold>,
    /// In words, for the event log.
    pub reason: String,
}

/// The end of a run, with everything that the decision needs.
#[derive(Clone, Copy, Debug)]
pub struct RunEnd<'a> {
    /// What the producer said, or the host in its place.
    pub outcome: &'a Outcome,
    /// What the gate read in the artifact; `None` if none was written.
    pub gate: Option<&'a GateDecision>,
    /// Whether the host saw the run do anything (P8).
    pub saw_work: bool,
}

/// Decides what follows from the end of a run of `job`.
pub fn after_run(
    pipeline: &Pipeline,
    task: &Task,
    job: &Job,
    end: RunEnd<'_>,
    budget: &DeferralBudget,
    now: Timestamp,
) -> AfterRun {
    if task.stage != job.stage || task.state != TaskState::Active {
        return AfterRun::Supersede;
    }
    let Some((stage, work)) = stage_with_work(pipeline, &job.stage) else {
        let fault = Fault::new("stage-without-work", format!("the pipeline gives `{}` no work", job.stage))
            .with_remedy("mend the pipeline, then `stagewright task resume`");
        return AfterRun::Hold(hold(task, job, fault, now));
    };
    match end.outcome {
        Outcome::Verdict(report) => match (end.gate, report.judgement) {
            (Some(GateDecision::Pass), Judgement::Pass) if work.evidence && !end.saw_work => {
                AfterRun::Hold(hold(task, job, unproven(), now))
            }
            (Some(GateDecision::Pass), Judgement::Pass) => AfterRun::Move(advance(stage, work)),
            (Some(GateDecision::Fail), Judgement::Fail) => {
                AfterRun::Move(go_back(pipeline, task, job, stage, work, now))
            }
            (gate, judgement) => AfterRun::Hold(hold(task, job, unreadable(gate, judgement), now)),
        },
        Outcome::Deferred(fault) => {
            let asked = fault.retry_after_ms.map(Span::from_millis);
            match budget.next(job.deferrals, asked, now) {
                Some(until) => AfterRun::Defer { until, fault: fault.clone() },
                None => AfterRun::Hold(hold(task, job, exhausted(fault, job.deferrals), now)),
            }
        }
        Outcome::Held(fault) => AfterRun::Hold(hold(task, job, fault.clone(), now)),
        Outcome::Cancelled(Cause::Superseded) => AfterRun::Supersede,
        Outcome::Cancelled(Cause::Shutdown) => AfterRun::Requeue,
        Outcome::Cancelled(cause @ (Cause::Operator | Cause::Deadline)) => AfterRun::Cancel(*cause),
    }
}

fn stage_with_work<'a>(pipeline: &'a Pipeline, name: &StageName) -> Option<(&'a Stage, &'a Work)> {
    let stage = pipeline.stage(name)?;
    Some((stage, stage.work.as_ref()?))
}

fn advance(stage: &Stage, work: &Work) -> Move {
    Move {
        expected: stage.name.clone(),
        to: work.on_pass.clone(),
        judgement: Judgement::Pass,
        spends_attempt: false,
        hold: None,
        reason: format!("{} read PASS", work.gate),
    }
}

fn go_back(pipeline: &Pipeline, task: &Task, job: &Job, stage: &Stage, work: &Work, now: Timestamp) -> Move {
    let spent = task.attempts_spent.saturating_add(1);
    let hold = (spent >= pipeline.attempts()).then(|| Hold {
        fault: Fault::new(
            "attempts-spent",
            format!(
                "{spent} of {} attempts are spent; the last one failed in `{}`",
                pipeline.attempts(),
                stage.name
            ),
        )
        .with_remedy("look at the reports, then `stagewright task resume`"),
        stage: work.on_fail.clone(),
        job: Some(job.id),
        since: now,
    });
    Move {
        expected: stage.name.clone(),
        to: work.on_fail.clone(),
        judgement: Judgement::Fail,
        spends_attempt: true,
        hold,
        reason: format!("{} read FAIL", work.gate),
    }
}

fn hold(task: &Task, job: &Job, fault: Fault, now: Timestamp) -> Hold {
    Hold { fault, stage: task.stage.clone(), job: Some(job.id), since: now }
}

fn unproven() -> Fault {
    Fault::new("verdict-without-work", "the producer answered PASS, but the host saw it do nothing")
        .with_remedy(
            "mend the producer; a stage that needs no evidence says so in the pipeline (`evidence = false`)",
        )
}

fn unreadable(gate: Option<&GateDecision>, judgement: Judgement) -> Fault {
    let reason = match gate {
        None => "no artifact was written".to_owned(),
        Some(GateDecision::Rejected { reason }) => reason.clone(),
        Some(GateDecision::Pass | GateDecision::Fail) => {
            format!("the artifact says otherwise than the producer, which said {judgement:?}")
        }
    };
    Fault::new("artifact-rejected", format!("the gate does not accept the artifact: {reason}"))
        .with_remedy("look at the artifact and its producer, then `stagewright task resume`")
}

fn exhausted(fault: &Fault, deferrals: u32) -> Fault {
    let mut fault = fault.clone();
    fault.message = format!("{} (put off {deferrals} times already)", fault.message);
    fault.retry_after_ms = None;
    fault
}

/// What a moved branch means for a task (E5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterPush {
    /// Nothing: no verdict is about another commit, or only artifacts of the host were added.
    Nothing,
    /// Jobs for other commits are stale; the stage stays.
    Restart,
    /// Back to the earliest stage whose verdict is about another commit.
    Back {
        /// The stage at which the task has to be.
        expected: StageName,
        /// The stage that has to judge the new commit.
        to: StageName,
    },
}

/// Decides what follows from a new head of the branch.
///
/// `same_code` answers for a commit whether the new head differs from it by the host's own artifact commits
/// only, proved by the difference of their trees. Creative stages make the commits themselves; only verdicts
/// of stages behind the first that leads back to another one are about a commit's code.
pub fn after_push(pipeline: &Pipeline, task: &Task, same_code: impl Fn(&CommitId) -> bool) -> AfterPush {
    if task.state != TaskState::Active {
        return AfterPush::Nothing;
    }
    let Some(here) = pipeline.position(&task.stage) else { return AfterPush::Nothing };
    let before = pipeline.stages().iter().take(here).filter(|stage| stage.fail_goes_back());
    let voided = before.into_iter().find(|stage| {
        let verdict = task.verdicts.get(&stage.name);
        verdict.is_some_and(|verdict| !same_code(&verdict.commit))
    });
    match voided {
        Some(stage) => AfterPush::Back { expected: task.stage.clone(), to: stage.name.clone() },
        None if task.head.as_ref().is_some_and(|head| !same_code(head)) => AfterPush::Restart,
        None => AfterPush::Nothing,
    }
}

#[cfg(test)]
mod tests;
