//! Rows of instances.

use rusqlite::{Connection, OptionalExtension as _, Result, params};
use serde_json::json;
use stagewright_engine::identity::InstanceId;
use stagewright_engine::instance::Instance;
use stagewright_engine::time::Timestamp;

use super::columns;
use super::event::{self, Subject};
use super::failure::{Failure, Step};
use super::writer::Batch;
use crate::request::instance::RetireRefused;

pub(super) fn register(batch: &mut Batch<'_>, instance: &Instance) -> Step<()> {
    let inserted = batch
        .conn()
        .prepare_cached(
            "INSERT INTO instances (id, facts, started) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            columns::bytes(instance.id.uuid()),
            columns::to_json(instance)?,
            instance.started.as_millis()
        ])?;
    if inserted == 1 {
        let detail = json!({ "instance": instance.id });
        event::write(batch, &Subject::new(instance.started), "instance-registered", &detail)?;
    }
    Ok(())
}

pub(super) fn all(conn: &Connection) -> Step<Vec<Instance>> {
    let mut query =
        conn.prepare_cached("SELECT facts FROM instances WHERE retired IS NULL ORDER BY started, id")?;
    let rows = query.query_map([], |row| columns::json(row, 0))?;
    Ok(rows.collect::<Result<_>>()?)
}

/// Whether it may own something: it is known and not retired.
pub(super) fn is_registered(conn: &Connection, instance: InstanceId) -> Result<bool> {
    let retired: Option<Option<i64>> = conn
        .prepare_cached("SELECT retired FROM instances WHERE id = ?1")?
        .query_row([columns::bytes(instance.uuid())], |row| row.get(0))
        .optional()?;
    Ok(retired == Some(None))
}

pub(super) fn retire(batch: &mut Batch<'_>, instance: InstanceId, now: Timestamp) -> Step<(), RetireRefused> {
    let conn = batch.conn();
    let id = columns::bytes(instance.uuid());
    let jobs: u32 = conn
        .prepare_cached("SELECT count(*) FROM jobs WHERE state = 'running' AND instance = ?1")?
        .query_row([id], |row| row.get(0))?;
    let leases: u32 = conn
        .prepare_cached("SELECT count(*) FROM leases WHERE owner = ?1")?
        .query_row([id], |row| row.get(0))?;
    if jobs + leases > 0 {
        return Err(Failure::Refused(RetireRefused::StillOwns { instance, jobs, leases }));
    }
    let retired = conn
        .prepare_cached("UPDATE instances SET retired = ?2 WHERE id = ?1 AND retired IS NULL")?
        .execute(params![id, now.as_millis()])?;
    if retired == 1 {
        event::write(batch, &Subject::new(now), "instance-retired", &json!({ "instance": instance }))?;
    }
    Ok(())
}
