//! The event log's rows.

use rusqlite::{Connection, Result, named_params, params};
use serde_json::Value;
use stagewright_engine::identity::{Epoch, JobId, RunId, TaskKey};
use stagewright_engine::time::Timestamp;

use super::columns;
use super::failure::Step;
use super::writer::Batch;
use crate::request::event::{Event, NewEvent};

/// What the events of one change have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    pub(super) at: Timestamp,
    pub(super) task: Option<i64>,
    pub(super) job: Option<JobId>,
    pub(super) run: Option<RunId>,
    pub(super) epoch: Option<Epoch>,
}

impl Subject {
    pub(super) fn new(at: Timestamp) -> Self {
        Self { at, task: None, job: None, run: None, epoch: None }
    }

    pub(super) fn task(mut self, row: i64, epoch: Epoch) -> Self {
        (self.task, self.epoch) = (Some(row), Some(epoch));
        self
    }

    pub(super) fn job(mut self, job: JobId) -> Self {
        self.job = Some(job);
        self
    }

    pub(super) fn run(mut self, run: RunId) -> Self {
        self.run = Some(run);
        self
    }
}

/// Writes one event.
pub(super) fn write(batch: &mut Batch<'_>, subject: &Subject, kind: &str, detail: &Value) -> Result<()> {
    let seq = batch
        .conn()
        .prepare_cached(
            "INSERT INTO events (at, kind, task, job, run, epoch, detail, batch)
             VALUES (:at, :kind, :task, :job, :run, :epoch, :detail, :batch)",
        )?
        .insert(named_params! {
            ":at": subject.at.as_millis(),
            ":kind": kind,
            ":task": subject.task,
            ":job": subject.job.map(|id| columns::bytes(id.uuid())),
            ":run": subject.run.map(|id| columns::bytes(id.uuid())),
            ":epoch": subject.epoch.map(columns::number),
            ":detail": columns::to_json(detail)?,
            ":batch": batch.number(),
        })?;
    batch.wrote_event(seq);
    Ok(())
}

/// Writes the events that a caller has added.
pub(super) fn write_all(batch: &mut Batch<'_>, subject: &Subject, events: &[NewEvent]) -> Result<()> {
    events.iter().try_for_each(|event| write(batch, subject, &event.kind, &event.detail))
}

pub(super) fn after(conn: &Connection, seq: u64, limit: u32) -> Step<Vec<Event>> {
    let mut query = conn.prepare_cached(
        "SELECT seq, at, kind, repo, work_item, job, run, events.epoch, detail
         FROM events LEFT JOIN tasks ON tasks.id = events.task
         WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let rows = query.query_map(params![i64::try_from(seq).unwrap_or(i64::MAX), limit], |row| {
        let task = match (columns::maybe_name(row, 3)?, columns::maybe_name(row, 4)?) {
            (Some(repo), Some(work_item)) => Some(TaskKey { repo, work_item }),
            _ => None,
        };
        Ok(Event {
            seq: row.get::<_, i64>(0)?.unsigned_abs(),
            at: columns::time(row, 1)?,
            kind: row.get(2)?,
            task,
            job: columns::maybe_id(row, 5, JobId::new)?,
            run: columns::maybe_id(row, 6, RunId::new)?,
            epoch: row.get::<_, Option<i64>>(7)?.map(|number| Epoch::new(number.unsigned_abs())),
            detail: columns::json(row, 8)?,
        })
    })?;
    Ok(rows.collect::<Result<_>>()?)
}
