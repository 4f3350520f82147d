//! Stage writes: the conditions of O1, O2 and O4 in one place.
//!
//! There is one statement in the whole program that writes a task's stage, and it is in [`write_stage`].
//! Whoever advances, rolls back or moves a task comes through here, with the stage that it expects, an
//! epoch and a lease.

use rusqlite::{Result, named_params};
use serde_json::json;
use stagewright_engine::identity::JobId;
use stagewright_engine::job::JobState;
use stagewright_engine::name::CommitId;
use stagewright_engine::task::{Task, TaskState};

use super::failure::{Failure, Step};
use super::run::{self, Remains, store_only};
use super::task::{self, TaskRow};
use super::writer::Batch;
use super::{columns, event, instance, job, lease};
use crate::request::conclusion::{Becomes, ConcludeRefused, Conclusion, Ownership, StageChange};

type Concluded<T> = Step<T, ConcludeRefused>;

fn refused<T>(why: ConcludeRefused) -> Concluded<T> {
    Err(Failure::Refused(why))
}

/// A run's verdict and the stage that follows from it.
pub(super) fn conclude(batch: &mut Batch<'_>, conclusion: &Conclusion) -> Concluded<Task> {
    let conn = batch.conn();
    let change = &conclusion.change;
    let mut found = check(batch, change)?;
    let running = run::running(conn, conclusion.job, conclusion.run)?;
    let Some(job) = running.filter(|job| job.task == found.row && job.job.stage == found.task.stage) else {
        return refused(overtaken(&found, change, conclusion.job));
    };
    let remains = Remains {
        run: conclusion.run,
        outcome: &conclusion.outcome,
        ledger: &conclusion.ledger,
        attachments: &conclusion.attachments,
        now: change.now,
    };
    run::write_end(conn, &remains)?;
    run::write_finding(conn, &job, conclusion.run, &conclusion.artifact, &conclusion.verdict, change.now)
        .map_err(store_only)?;
    job::write_state(conn, conclusion.job, "done", change.now)?;
    let subject = found.subject(change.now).job(conclusion.job).run(conclusion.run);
    let detail = json!({ "judgement": conclusion.verdict.judgement, "artifact": conclusion.artifact.sha256 });
    event::write(batch, &subject, "job-done", &detail)?;
    found.task.examined = Some(conclusion.verdict.commit.clone());
    found.task.verdicts.insert(job.job.stage.clone(), conclusion.verdict.clone());
    apply(batch, found, change, true)
}

/// A stage without a run's end.
pub(super) fn move_stage(batch: &mut Batch<'_>, change: &StageChange) -> Concluded<Task> {
    let found = check(batch, change)?;
    if let Some(completes) = change.completes {
        let finished = job::find(batch.conn(), completes)?.filter(|finished| {
            finished.task == found.row && matches!(finished.job.state, JobState::Finished { .. })
        });
        if finished.is_none() {
            return refused(overtaken(&found, change, completes));
        }
        job::write_state(batch.conn(), completes, "done", change.now)?;
        event::write(batch, &found.subject(change.now).job(completes), "job-done", &json!({}))?;
    }
    apply(batch, found, change, change.completes.is_some())
}

/// A hold binds whoever acts by itself; only a person's move goes past it (J4).
fn must_be_active(found: &TaskRow) -> Concluded<()> {
    match found.task.state {
        TaskState::Active => Ok(()),
        _ => refused(ConcludeRefused::NotActive(Box::new(found.task.clone()))),
    }
}

/// Why a job that should be the task's own is not: the task has moved on, or the job has.
fn overtaken(found: &TaskRow, change: &StageChange, job: JobId) -> ConcludeRefused {
    if found.task.stage == change.expected_stage {
        ConcludeRefused::NotRunning(job)
    } else {
        ConcludeRefused::StageMoved { actual: found.task.stage.clone() }
    }
}

/// The task, if it is there and its lease is as the change expects it. Stage and epoch are the write's own
/// conditions.
fn check(batch: &mut Batch<'_>, change: &StageChange) -> Concluded<TaskRow> {
    let conn = batch.conn();
    let Some(found) = task::find(conn, &change.task)? else {
        return refused(ConcludeRefused::NoSuchTask(change.task.clone()));
    };
    match &change.ownership {
        Ownership::Lease(held) => {
            if held.task != change.task || !lease::holds(conn, &found, held)? {
                return refused(ConcludeRefused::LeaseLost);
            }
        }
        Ownership::TakeNow { owner, .. } => {
            if !instance::is_registered(conn, *owner)? {
                return refused(ConcludeRefused::NoSuchInstance(*owner));
            }
            if let Some(other) = lease::of_task(conn, found.row)? {
                return refused(ConcludeRefused::Owned { by: other.owner, since: other.taken });
            }
        }
        Ownership::Unleased { owner, .. } => {
            if !instance::is_registered(conn, *owner)? {
                return refused(ConcludeRefused::NoSuchInstance(*owner));
            }
        }
    }
    if !change.past_a_hold {
        must_be_active(&found)?;
    }
    Ok(found)
}

/// Writes the stage of a task that this transaction has read, and all that goes with it. The task's live job has ended in this write already, or it is superseded.
fn apply(
    batch: &mut Batch<'_>,
    found: TaskRow,
    change: &StageChange,
    ended_its_job: bool,
) -> Concluded<Task> {
    let conn = batch.conn();
    if !write_stage(batch, &found, change)? {
        let actual = task::of_row(conn, found.row)?.task;
        return refused(if actual.stage == change.expected_stage {
            ConcludeRefused::EpochMoved { actual: actual.epoch }
        } else {
            ConcludeRefused::StageMoved { actual: actual.stage }
        });
    }
    // Taken and given back in this very write, it was never in the table.
    if !matches!(change.ownership, Ownership::TakeNow { .. }) {
        lease::remove(conn, found.row)?;
    }
    let mut moved = found;
    change.apply_to(&mut moved.task);
    // A task has one live job (J1): if that has just ended, there is no other.
    if !ended_its_job {
        job::supersede_live(batch, &moved, change.now)?;
    }
    let subject = moved.subject(change.now);
    let detail = json!({
        "from": change.expected_stage,
        "to": change.to,
        "reason": change.reason,
        "owner": change.ownership.owner(),
        "state": change.becomes.kind().name(),
        "attempts": moved.task.attempts_spent,
    });
    event::write(batch, &subject, "stage-written", &detail)?;
    event::write_all(batch, &subject, &change.events)?;
    if let Becomes::Active { next_job: Some(next) } = &change.becomes {
        change.must_lead_to(next)?;
        job::insert(batch, &moved, next)?;
    }
    Ok(moved.task)
}

/// **The one statement that writes a stage.** `false` if the task is at another stage or has another epoch.
fn write_stage(batch: &Batch<'_>, found: &TaskRow, change: &StageChange) -> Result<bool> {
    let hold = match &change.becomes {
        Becomes::Held(hold) => Some(columns::to_json(hold)?),
        _ => None,
    };
    let written = batch
        .conn()
        .prepare_cached(
            "UPDATE tasks SET stage = :to, epoch = epoch + 1, state = :state, hold = :hold,
                              examined = :examined, attempts = :attempts, updated = :now
             WHERE id = :id AND stage = :expected AND epoch = :epoch",
        )?
        .execute(named_params! {
            ":id": found.row,
            ":expected": change.expected_stage.as_str(),
            ":epoch": columns::number(change.ownership.epoch()),
            ":to": change.to.as_str(),
            ":state": change.becomes.kind().name(),
            ":hold": hold,
            ":examined": found.task.examined.as_ref().map(CommitId::as_str),
            ":attempts": change.attempts.applied_to(found.task.attempts_spent),
            ":now": change.now.as_millis(),
        })?;
    Ok(written == 1)
}
