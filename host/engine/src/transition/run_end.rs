//! What follows from the end of a run.

use crate::budget::DeferralBudget;
use crate::gate::GateDecision;
use crate::job::{Job, JobState};
use crate::name::{EffectName, StageName};
use crate::outcome::{Cause, Fault, Judgement, Outcome};
use crate::pipeline::{OnFail, Pipeline, Work};
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
    /// The work can't run, or what it came to can't be believed, until a person has acted. The stage stays
    /// and no attempt is spent.
    Hold(Hold),
    /// Somebody wanted the run to end: the job is over, the task stays as it is.
    Cancel(Cause),
    /// The run was ended because the host stops: the job is due again at once, and no deferral is spent.
    Requeue,
    /// The job is stale: the task is elsewhere or another commit is asked for.
    Supersede,
}

/// A stage to be written because of a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The stage at which the task has to be.
    pub expected: StageName,
    /// The stage that follows; the same one where it is done again.
    pub to: StageName,
    /// Whether the task has arrived: `to` is an end of the pipeline.
    pub arrives: bool,
    /// What was found out.
    pub judgement: Judgement,
    /// Whether one of the developer's attempts is spent.
    pub spends_attempt: bool,
    /// What the stage's verdict has to carry as its count of FAILs in a row.
    pub fails_in_a_row: u32,
    /// A hold that begins with the new stage: the attempts are spent.
    pub hold: Option<Hold>,
    /// Outside acts that have to be done before the stage is written, in order.
    pub effects: Vec<EffectName>,
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
///
/// The verdict is about `job.commit`. A branch that has moved meanwhile is for
/// [`after_push`](super::after_push()) to see: it makes the job stale, so that this decision is never written.
pub fn after_run(
    pipeline: &Pipeline,
    task: &Task,
    job: &Job,
    end: RunEnd<'_>,
    budget: &DeferralBudget,
    now: Timestamp,
) -> AfterRun {
    if task.stage != job.stage {
        return AfterRun::Supersede;
    }
    match &task.state {
        TaskState::Active => {}
        // Held while it ran. The job waits with its task, so that resuming finds it.
        TaskState::Held(hold) => return AfterRun::Hold(hold.clone()),
        TaskState::Done | TaskState::Cancelled => return AfterRun::Supersede,
    }
    let Some(work) = pipeline.work(&job.stage) else {
        let fault = Fault::new("stage-without-work", format!("the pipeline gives `{}` no work", job.stage))
            .with_remedy("mend the pipeline, then `stagewright task resume`");
        return hold(job, fault, now);
    };
    match end.outcome {
        Outcome::Verdict(report) => match (end.gate, report.judgement) {
            (Some(GateDecision::Pass), Judgement::Pass) | (Some(GateDecision::Fail), Judgement::Fail)
                if work.evidence && !end.saw_work =>
            {
                hold(job, unproven(report.judgement), now)
            }
            (Some(GateDecision::Pass), Judgement::Pass) => AfterRun::Move(advance(pipeline, job, work)),
            (Some(GateDecision::Fail), Judgement::Fail) => {
                let before = task.verdicts.get(&job.stage).map_or(0, |verdict| verdict.fails_in_a_row);
                AfterRun::Move(repair(pipeline, task, job, work, before.saturating_add(1), now))
            }
            (gate, judgement) => hold(job, rejected(gate, judgement), now),
        },
        Outcome::Deferred(fault) => put_off(job, fault, budget, now),
        Outcome::Held(fault) => hold(job, fault.clone(), now),
        Outcome::Cancelled(Cause::Superseded) => AfterRun::Supersede,
        Outcome::Cancelled(Cause::Shutdown) => AfterRun::Requeue,
        Outcome::Cancelled(Cause::Operator) => AfterRun::Cancel(Cause::Operator),
        // Nobody wanted that. A run that does not end in its time is a tool error like any other (J5).
        Outcome::Cancelled(Cause::Deadline) => put_off(job, &overran(), budget, now),
    }
}

/// Decides where a finished job leads, by the verdict that was kept with it (J6, second tier).
///
/// It is what [`after_run`] has decided when the run ended, found again by whoever completes the transition. `None`: the
/// task has moved on, or a person has it, and there is nothing to complete now.
pub fn after_finish(pipeline: &Pipeline, task: &Task, job: &Job, now: Timestamp) -> Option<Move> {
    let JobState::Finished { run, .. } = job.state else { return None };
    if task.stage != job.stage || task.state != TaskState::Active {
        return None;
    }
    let verdict = task.verdicts.get(&job.stage).filter(|verdict| verdict.run == run)?;
    let work = pipeline.work(&job.stage)?;
    Some(match verdict.judgement {
        Judgement::Pass => advance(pipeline, job, work),
        Judgement::Fail => repair(pipeline, task, job, work, verdict.fails_in_a_row, now),
    })
}

fn hold(job: &Job, fault: Fault, now: Timestamp) -> AfterRun {
    AfterRun::Hold(Hold { fault, stage: job.stage.clone(), job: Some(job.id), since: now })
}

fn put_off(job: &Job, fault: &Fault, budget: &DeferralBudget, now: Timestamp) -> AfterRun {
    let asked = fault.retry_after_ms.map(Span::from_millis);
    match budget.next(job.deferrals, asked, now) {
        Some(until) => AfterRun::Defer { until, fault: fault.clone() },
        None => hold(job, exhausted(fault, job.deferrals), now),
    }
}

fn advance(pipeline: &Pipeline, job: &Job, work: &Work) -> Move {
    Move {
        expected: job.stage.clone(),
        to: work.on_pass.clone(),
        arrives: pipeline.work(&work.on_pass).is_none(),
        judgement: Judgement::Pass,
        spends_attempt: false,
        fails_in_a_row: 0,
        hold: None,
        effects: work.effects.clone(),
        reason: format!("{} read PASS", work.gate),
    }
}

/// Where a FAIL leads, and the hold if that was the last one that the budget allows. `fails_in_a_row` counts this one.
fn repair(
    pipeline: &Pipeline,
    task: &Task,
    job: &Job,
    work: &Work,
    fails_in_a_row: u32,
    now: Timestamp,
) -> Move {
    let (to, spends_attempt, spent, allowed) = match &work.on_fail {
        OnFail::BackTo(to) => (to, true, task.attempts_spent.saturating_add(1), pipeline.attempts()),
        OnFail::Repeat { attempts } => (&job.stage, false, fails_in_a_row, *attempts),
    };
    let hold = (spent >= allowed).then(|| Hold {
        fault: attempts_spent(job, spent, allowed),
        stage: to.clone(),
        job: Some(job.id),
        since: now,
    });
    Move {
        expected: job.stage.clone(),
        to: to.clone(),
        arrives: false,
        judgement: Judgement::Fail,
        spends_attempt,
        fails_in_a_row,
        hold,
        effects: Vec::new(),
        reason: format!("{} read FAIL", work.gate),
    }
}

fn attempts_spent(job: &Job, spent: u32, allowed: u32) -> Fault {
    let message = format!("{spent} of {allowed} attempts are spent; the last one failed in `{}`", job.stage);
    Fault::new("attempts-spent", message)
        .with_remedy("look at the reports, then `stagewright task resume`, which grants one more attempt")
}

fn unproven(judgement: Judgement) -> Fault {
    let word = match judgement {
        Judgement::Pass => "PASS",
        Judgement::Fail => "FAIL",
    };
    Fault::new(
        "verdict-without-evidence",
        format!("the producer answered {word}, but the host saw it do nothing"),
    )
    .with_remedy(
        "mend the producer; a stage that needs no evidence says so in the pipeline (`evidence = false`)",
    )
}

fn rejected(gate: Option<&GateDecision>, judgement: Judgement) -> Fault {
    let reason = match (gate, judgement) {
        (None, _) => "no artifact was written",
        (Some(GateDecision::Rejected { reason }), _) => reason.as_str(),
        (Some(GateDecision::Pass | GateDecision::Fail), Judgement::Pass) => {
            "the producer said PASS and it does not"
        }
        (Some(GateDecision::Pass | GateDecision::Fail), Judgement::Fail) => {
            "the producer said FAIL and it does not"
        }
    };
    Fault::new("artifact-rejected", format!("the gate does not accept the artifact: {reason}"))
        .with_remedy("look at the artifact and at who may have changed it, then `stagewright task resume`")
}

fn overran() -> Fault {
    Fault::new("deadline", "the run was ended because its time was over before it had a verdict")
        .with_remedy("allow it more time, or find out what it waits for")
}

fn exhausted(fault: &Fault, deferrals: u32) -> Fault {
    let mut fault = fault.clone();
    if deferrals > 0 {
        fault.message = format!("{} (put off {deferrals} times already)", fault.message);
    }
    fault.retry_after_ms = None;
    fault
}
