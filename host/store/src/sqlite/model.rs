//! Rows of calls of language models.

use rusqlite::{Connection, Result, Row, ToSql, named_params};
use stagewright_engine::time::Span;

use super::failure::{Failure, Step};
use super::writer::Batch;
use super::{columns, task};
use crate::error::Error;
use crate::request::model::{ModelCall, RoleSpending, Spending, SpendingOf};

pub(super) fn write(batch: &mut Batch<'_>, call: &ModelCall) -> Step<(), Error> {
    let conn = batch.conn();
    let Some(found) = task::find(conn, &call.task)? else {
        let detail = format!("a model was asked for {}, a task that is not there", call.task);
        return Err(Failure::Refused(Error::Rejected { detail }));
    };
    let usage = &call.usage;
    conn.prepare_cached(
        "INSERT INTO model_calls (run, task, stage, producer, role, answer, tokens_in, tokens_out, cache_read,
                                  cache_write, cost, duration, at)
         VALUES (:run, :task, :stage, :producer, :role, :answer, :tokens_in, :tokens_out, :cache_read,
                 :cache_write, :cost, :duration, :at)",
    )?
    .execute(named_params! {
        ":run": columns::bytes(call.run.uuid()),
        ":task": found.row,
        ":stage": call.stage.as_str(),
        ":producer": call.producer.as_str(),
        ":role": call.role,
        ":answer": call.answer,
        ":tokens_in": whole(usage.input_tokens),
        ":tokens_out": whole(usage.output_tokens),
        ":cache_read": whole(usage.cache_read_tokens),
        ":cache_write": whole(usage.cache_write_tokens),
        ":cost": usage.cost_micro_usd.map(whole),
        ":duration": whole(call.duration.as_millis()),
        ":at": call.at.as_millis(),
    })?;
    Ok(())
}

pub(super) fn spending(conn: &Connection, of: &SpendingOf) -> Step<Spending> {
    let row = match &of.task {
        None => None,
        Some(key) => match task::find(conn, key)? {
            Some(found) => Some(found.row),
            None => return Ok(Spending::default()),
        },
    };
    let since = of.since.map_or(i64::MIN, |time| time.as_millis());
    let mut sql =
        "SELECT count(*), total(cost), count(*) - count(cost) FROM model_calls WHERE at >= :since".to_owned();
    let mut values: Vec<(&str, &dyn ToSql)> = vec![(":since", &since)];
    if let Some(row) = &row {
        sql.push_str(" AND task = :task");
        values.push((":task", row));
    }
    let read = |row: &Row<'_>| spent(row, 0);
    Ok(conn.prepare_cached(&sql)?.query_row(values.as_slice(), read)?)
}

pub(super) fn by_role(conn: &Connection) -> Step<Vec<RoleSpending>> {
    let mut query = conn.prepare_cached(
        "SELECT count(*), total(cost), count(*) - count(cost), role, stage, producer, count(DISTINCT run),
                count(CASE WHEN answer <> 'ok' THEN 1 END), total(tokens_in + cache_read + cache_write),
                total(tokens_out), total(duration)
         FROM model_calls GROUP BY role, stage, producer ORDER BY role, stage, producer",
    )?;
    let rows = query.query_map([], |row| {
        Ok(RoleSpending {
            spending: spent(row, 0)?,
            role: row.get(3)?,
            stage: columns::name(row, 4)?,
            producer: columns::name(row, 5)?,
            runs: count(row, 6)?,
            failed: count(row, 7)?,
            tokens_in: total(row, 8)?,
            tokens_out: total(row, 9)?,
            duration: Span::from_millis(total(row, 10)?),
        })
    })?;
    Ok(rows.collect::<Result<_>>()?)
}

/// Calls, their cost and those of unknown cost, from three columns on.
fn spent(row: &Row<'_>, from: usize) -> Result<Spending> {
    Ok(Spending {
        calls: count(row, from)?,
        micro_usd: total(row, from + 1)?,
        unknown: count(row, from + 2)?,
    })
}

fn count(row: &Row<'_>, column: usize) -> Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

/// `total` answers with a float, and can't overflow. It is exact up to 2^53: nine thousand million dollars.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn total(row: &Row<'_>, column: usize) -> Result<u64> {
    Ok(row.get::<_, f64>(column)? as u64)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
