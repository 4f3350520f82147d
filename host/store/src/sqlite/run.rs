//! Rows of runs, and the end of a run that writes no stage.

use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};
use stagewright_engine::identity::{InstanceId, JobId, RunId, TaskKey};
use stagewright_engine::job::{JobState, Run};
use stagewright_engine::ledger::Ledger;
use stagewright_engine::name::StageName;
use stagewright_engine::outcome::Outcome;
use stagewright_engine::task::{StageVerdict, TaskState};
use stagewright_engine::time::Timestamp;

use super::failure::{Failure, Step};
use super::job::JobRow;
use super::writer::Batch;
use super::{artifact, columns, event, job, task};
use crate::request::artifact::Artifact;
use crate::request::run::{Attachment, EndRefused, EndRun, RunEnding};

const SELECT: &str = "SELECT id, job, instance, epoch, started, ended, outcome FROM runs";

fn read(row: &Row<'_>) -> Result<Run> {
    Ok(Run {
        id: columns::id(row, 0, RunId::new)?,
        job: columns::id(row, 1, JobId::new)?,
        instance: columns::id(row, 2, InstanceId::new)?,
        epoch: columns::epoch(row, 3)?,
        started: columns::time(row, 4)?,
        ended: columns::maybe_time(row, 5)?,
        outcome: columns::maybe_json(row, 6)?,
    })
}

pub(super) fn find(conn: &Connection, id: RunId) -> Step<Option<Run>> {
    Ok(conn
        .prepare_cached(&format!("{SELECT} WHERE id = ?1"))?
        .query_row([columns::bytes(id.uuid())], read)
        .optional()?)
}

pub(super) fn of_job(conn: &Connection, job: JobId) -> Step<Vec<Run>> {
    let mut query = conn.prepare_cached(&format!("{SELECT} WHERE job = ?1 ORDER BY started, id"))?;
    let rows = query.query_map([columns::bytes(job.uuid())], read)?;
    Ok(rows.collect::<Result<_>>()?)
}

pub(super) fn last(conn: &Connection, key: &TaskKey, stage: &StageName) -> Step<Option<Run>> {
    let Some(found) = task::find(conn, key)? else { return Ok(None) };
    Ok(conn
        .prepare_cached(&format!(
            "{SELECT} WHERE job IN (SELECT jobs.id FROM jobs WHERE task = ?1 AND stage = ?2)
             ORDER BY started DESC, id DESC LIMIT 1"
        ))?
        .query_row(params![found.row, stage.as_str()], read)
        .optional()?)
}

pub(super) fn ledger(conn: &Connection, id: RunId) -> Step<Option<Ledger>> {
    let found = conn
        .prepare_cached("SELECT ledger FROM runs WHERE id = ?1")?
        .query_row([columns::bytes(id.uuid())], |row| columns::maybe_json(row, 0))
        .optional()?;
    Ok(found.flatten())
}

pub(super) fn attachments(conn: &Connection, id: RunId) -> Step<Vec<Attachment>> {
    let found = conn
        .prepare_cached("SELECT attachments FROM runs WHERE id = ?1")?
        .query_row([columns::bytes(id.uuid())], |row| columns::maybe_json(row, 0))
        .optional()?;
    Ok(found.flatten().unwrap_or_default())
}

/// The job, if it is running under this run.
pub(super) fn running(conn: &Connection, job: JobId, run: RunId) -> Result<Option<JobRow>> {
    let found = job::find(conn, job)?;
    Ok(found
        .filter(|found| matches!(found.job.state, JobState::Running { run: current, .. } if current == run)))
}

/// What a run leaves behind, however it ended.
pub(super) struct Remains<'a> {
    pub(super) run: RunId,
    pub(super) outcome: &'a Outcome,
    pub(super) ledger: &'a Ledger,
    pub(super) attachments: &'a [Attachment],
    pub(super) now: Timestamp,
}

/// Writes the end of a run into its row.
pub(super) fn write_end(conn: &Connection, remains: &Remains<'_>) -> Result<()> {
    conn.prepare_cached(
        "UPDATE runs SET ended = ?2, outcome = ?3, ledger = ?4, attachments = ?5 WHERE id = ?1",
    )?
    .execute(params![
        columns::bytes(remains.run.uuid()),
        remains.now.as_millis(),
        columns::to_json(remains.outcome)?,
        columns::to_json(remains.ledger)?,
        columns::to_json(&remains.attachments)?,
    ])
    .map(drop)
}

/// Keeps what a stage's run has found out: its artifact, and the verdict that the gate read in it.
pub(super) fn write_finding(
    conn: &Connection,
    job: &JobRow,
    run: RunId,
    artifact: &Artifact,
    verdict: &StageVerdict,
    now: Timestamp,
) -> Step<()> {
    artifact::write(conn, job.task, &job.job.stage, run, artifact, now)?;
    Ok(task::write_verdict(conn, job.task, &job.job.stage, verdict)?)
}

pub(super) fn end(batch: &mut Batch<'_>, end: &EndRun) -> Step<(), EndRefused> {
    let conn = batch.conn();
    let Some(found) = running(conn, end.job, end.run)? else {
        return Err(Failure::Refused(EndRefused::NotRunning(end.run)));
    };
    let owner = task::of_row(conn, found.task)?;
    if !end.ending.gives_up() && owner.task.epoch != end.epoch {
        return Err(Failure::Refused(EndRefused::Fenced { held: end.epoch, actual: owner.task.epoch }));
    }
    let remains = Remains {
        run: end.run,
        outcome: &end.outcome,
        ledger: &end.ledger,
        attachments: &end.attachments,
        now: end.now,
    };
    write_end(conn, &remains)?;
    let held = matches!(owner.task.state, TaskState::Held(_));
    match &end.ending {
        RunEnding::Deferred { until, fault } => {
            job::write_state(conn, end.job, if held { "held" } else { "deferred" }, end.now)?;
            job::put_off(conn, end.job, *until, fault)?;
        }
        RunEnding::Held(hold) => {
            job::write_state(conn, end.job, "held", end.now)?;
            task::write_hold(conn, owner.row, hold, end.now)?;
        }
        RunEnding::Cancelled(_) => job::write_state(conn, end.job, "cancelled", end.now)?,
        RunEnding::Superseded => job::write_state(conn, end.job, "superseded", end.now)?,
        RunEnding::Requeued => job::requeue(conn, end.job, held, end.now)?,
        RunEnding::Finished { artifact, verdict } => {
            write_finding(conn, &found, end.run, artifact, verdict, end.now).map_err(store_only)?;
            task::write_examined(conn, found.task, &verdict.commit)?;
            job::finish(conn, end.job, &verdict.commit, end.now)?;
        }
    }
    let (kind, detail) = end.ending.event();
    let subject = owner.subject(end.now).job(end.job).run(end.run);
    event::write(batch, &subject, kind, &detail)?;
    event::write_all(batch, &subject, &end.events)?;
    Ok(())
}

/// The trouble of an inner step that no rule refuses, as that of the outer one.
pub(super) fn store_only<R>(failure: Failure<crate::Error>) -> Failure<R> {
    match failure {
        Failure::Refused(error) | Failure::Store(error) => Failure::Store(error),
    }
}
