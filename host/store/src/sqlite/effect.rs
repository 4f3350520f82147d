//! Rows of the effects journal.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Result, Row, named_params, params};
use serde_json::json;
use stagewright_engine::effect::EffectClass;
use stagewright_engine::identity::{Epoch, InstanceId, JobId, TaskKey};
use stagewright_engine::task::TaskState;
use stagewright_engine::time::Timestamp;

use super::failure::{Failure, Step};
use super::writer::Batch;
use super::{columns, event, lease, task};
use crate::request::effect::{
    EffectEnding, EffectId, EffectRecord, IntendAgain, IntendRefused, Intended, NewEffect, SettleEffect,
    SettleRefused,
};

const SELECT: &str = "SELECT effects.id, repo, work_item, effects.epoch, name, class, idempotency, detail, \
                      effects.state, answer, intended, settled, effects.task, job, owner \
                      FROM effects JOIN tasks ON tasks.id = effects.task";

const fn class_text(class: EffectClass) -> &'static str {
    match class {
        EffectClass::Conditional => "conditional",
        EffectClass::Keyed => "keyed",
        EffectClass::Observable => "observable",
        EffectClass::Blind => "blind",
    }
}

fn read_class(row: &Row<'_>, column: usize) -> Result<EffectClass> {
    let text: String = row.get(column)?;
    [EffectClass::Conditional, EffectClass::Keyed, EffectClass::Observable, EffectClass::Blind]
        .into_iter()
        .find(|class| class_text(*class) == text)
        .ok_or_else(|| columns::malformed(column, Type::Text, format!("effect class `{text}`")))
}

/// An ending as its state and the words that belong to it.
fn ending_columns(ending: &EffectEnding) -> (&'static str, &str) {
    match ending {
        EffectEnding::Done(result) => ("done", result),
        EffectEnding::Failed(reason) => ("failed", reason),
        EffectEnding::Unresolved(reason) => ("unresolved", reason),
    }
}

fn read_ending(row: &Row<'_>) -> Result<Option<(EffectEnding, Timestamp)>> {
    let (answer, settled) = match (row.get::<_, Option<String>>(9)?, columns::maybe_time(row, 11)?) {
        (Some(answer), Some(settled)) => (answer, settled),
        _ => return Ok(None),
    };
    let ending = match row.get::<_, String>(8)?.as_str() {
        "done" => EffectEnding::Done(answer),
        "failed" => EffectEnding::Failed(answer),
        "unresolved" => EffectEnding::Unresolved(answer),
        other => return Err(columns::malformed(8, Type::Text, format!("effect state `{other}`"))),
    };
    Ok(Some((ending, settled)))
}

fn read(row: &Row<'_>) -> Result<(i64, EffectRecord)> {
    let record = EffectRecord {
        id: columns::id(row, 0, EffectId::new)?,
        task: TaskKey { repo: columns::name(row, 1)?, work_item: columns::name(row, 2)? },
        job: columns::id(row, 13, JobId::new)?,
        owner: columns::id(row, 14, InstanceId::new)?,
        epoch: columns::epoch(row, 3)?,
        name: row.get(4)?,
        class: read_class(row, 5)?,
        idempotency_key: row.get(6)?,
        detail: columns::json(row, 7)?,
        intended: columns::time(row, 10)?,
        ended: read_ending(row)?,
    };
    Ok((row.get(12)?, record))
}

fn by_id(conn: &Connection, id: EffectId) -> Result<Option<(i64, EffectRecord)>> {
    conn.prepare_cached(&format!("{SELECT} WHERE effects.id = ?1"))?
        .query_row([columns::bytes(id.uuid())], read)
        .optional()
}

pub(super) fn find(conn: &Connection, id: EffectId) -> Step<Option<EffectRecord>> {
    Ok(by_id(conn, id)?.map(|(_, record)| record))
}

pub(super) fn of_task(conn: &Connection, key: &TaskKey) -> Step<Vec<EffectRecord>> {
    let Some(found) = task::find(conn, key)? else { return Ok(Vec::new()) };
    let mut query =
        conn.prepare_cached(&format!("{SELECT} WHERE effects.task = ?1 ORDER BY intended, effects.id"))?;
    let rows = query.query_map([found.row], |row| read(row).map(|(_, record)| record))?;
    Ok(rows.collect::<Result<_>>()?)
}

/// Effects that a person has to look at, oldest first.
pub(super) fn unresolved(conn: &Connection, limit: u32) -> Step<Vec<EffectRecord>> {
    let mut query = conn.prepare_cached(&format!(
        "{SELECT} WHERE effects.state = 'unresolved' ORDER BY intended, effects.id LIMIT ?1"
    ))?;
    let rows = query.query_map([limit], |row| read(row).map(|(_, record)| record))?;
    Ok(rows.collect::<Result<_>>()?)
}

/// Whether the task has an effect whose end nobody has written.
pub(super) fn any_open(conn: &Connection, task: i64) -> Result<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM effects WHERE task = ?1 AND state = 'intended')")?
        .query_row([task], |row| row.get(0))
}

pub(super) fn intend(batch: &mut Batch<'_>, new: &NewEffect) -> Step<Intended, IntendRefused> {
    let conn = batch.conn();
    let found = task::find(conn, &new.lease.task)?;
    let Some(found) = found else { return Err(Failure::Refused(IntendRefused::LeaseLost)) };
    if !lease::holds(conn, &found, &new.lease)? {
        return Err(Failure::Refused(IntendRefused::LeaseLost));
    }
    let known = conn
        .prepare_cached(&format!("{SELECT} WHERE effects.idempotency = ?1"))?
        .query_row([&new.idempotency_key], read)
        .optional()?;
    if let Some((_, known)) = known {
        return Ok(Intended::Known(known));
    }
    if found.task.state != TaskState::Active {
        return Err(Failure::Refused(IntendRefused::NotActive));
    }
    let record = EffectRecord {
        id: new.id,
        task: new.lease.task.clone(),
        job: new.job,
        owner: new.lease.owner,
        epoch: new.lease.epoch,
        name: new.name.clone(),
        class: new.class,
        idempotency_key: new.idempotency_key.clone(),
        detail: new.detail.clone(),
        intended: new.now,
        ended: None,
    };
    conn.prepare_cached(
        "INSERT INTO effects (id, task, job, owner, epoch, idempotency, state, name, class, detail, intended)
         VALUES (:id, :task, :job, :owner, :epoch, :key, 'intended', :name, :class, :detail, :now)",
    )?
    .execute(named_params! {
        ":id": columns::bytes(new.id.uuid()),
        ":task": found.row,
        ":job": columns::bytes(new.job.uuid()),
        ":owner": columns::bytes(new.lease.owner.uuid()),
        ":epoch": columns::number(new.lease.epoch),
        ":key": new.idempotency_key,
        ":name": new.name,
        ":class": class_text(new.class),
        ":detail": columns::to_json(&new.detail)?,
        ":now": new.now.as_millis(),
    })?;
    let detail = json!({ "effect": new.id, "name": new.name, "class": class_text(new.class) });
    event::write(batch, &found.subject(new.now).job(new.job), "effect-intended", &detail)?;
    Ok(Intended::New(record))
}

pub(super) fn intend_again(batch: &mut Batch<'_>, again: &IntendAgain) -> Step<EffectRecord, IntendRefused> {
    let conn = batch.conn();
    let refused = |why| Err(Failure::Refused(why));
    let Some(found) = task::find(conn, &again.lease.task)? else { return refused(IntendRefused::LeaseLost) };
    if !lease::holds(conn, &found, &again.lease)? {
        return refused(IntendRefused::LeaseLost);
    }
    let Some((_, record)) = by_id(conn, again.id)?.filter(|(row, _)| *row == found.row) else {
        return refused(IntendRefused::NoSuchEffect);
    };
    if matches!(record.ended, Some((EffectEnding::Done(_) | EffectEnding::Unresolved(_), _))) {
        return refused(IntendRefused::Settled(Box::new(record)));
    }
    if found.task.state != TaskState::Active {
        return refused(IntendRefused::NotActive);
    }
    conn.prepare_cached(
        "UPDATE effects SET state = 'intended', answer = NULL, settled = NULL, owner = ?2, epoch = ?3, intended = ?4
         WHERE id = ?1",
    )?
    .execute(params![
        columns::bytes(again.id.uuid()),
        columns::bytes(again.lease.owner.uuid()),
        columns::number(again.lease.epoch),
        again.now.as_millis()
    ])?;
    let detail = json!({ "effect": again.id, "name": record.name, "class": class_text(record.class) });
    event::write(batch, &found.subject(again.now).job(record.job), "effect-intended-again", &detail)?;
    Ok(EffectRecord {
        owner: again.lease.owner,
        epoch: again.lease.epoch,
        intended: again.now,
        ended: None,
        ..record
    })
}

pub(super) fn settle(batch: &mut Batch<'_>, settle: &SettleEffect) -> Step<EffectRecord, SettleRefused> {
    let conn = batch.conn();
    let Some((row, record)) = by_id(conn, settle.id)? else {
        return Err(Failure::Refused(SettleRefused::NoSuchEffect));
    };
    // Asked again after a lost answer.
    if record.ended.as_ref().is_some_and(|(ending, _)| *ending == settle.ending) {
        return Ok(record);
    }
    let task = task::of_row(conn, row)?;
    if task.task.epoch != settle.epoch {
        return Err(Failure::Refused(SettleRefused::Fenced { actual: task.task.epoch }));
    }
    // What nobody could say may be found out later; what is known does not change any more.
    if matches!(record.ended, Some((EffectEnding::Done(_) | EffectEnding::Failed(_), _))) {
        return Err(Failure::Refused(SettleRefused::Settled(Box::new(record))));
    }
    write_ending(conn, settle.id, &settle.ending, settle.now)?;
    let (state, _) = ending_columns(&settle.ending);
    let detail = json!({ "effect": settle.id, "name": record.name, "state": state });
    event::write(batch, &task.subject(settle.now).job(record.job), "effect-settled", &detail)?;
    Ok(EffectRecord { ended: Some((settle.ending.clone(), settle.now)), ..record })
}

/// Marks every effect of the task whose end is not written as unresolved, and says which they are.
pub(super) fn give_up_open(
    batch: &mut Batch<'_>,
    task: i64,
    epoch: Epoch,
    reason: &str,
    now: Timestamp,
) -> Result<Vec<EffectId>> {
    let conn = batch.conn();
    let open: Vec<EffectId> = {
        let mut query =
            conn.prepare_cached("SELECT id FROM effects WHERE task = ?1 AND state = 'intended'")?;
        let rows = query.query_map([task], |row| columns::id(row, 0, EffectId::new))?;
        rows.collect::<Result<_>>()?
    };
    for id in &open {
        write_ending(conn, *id, &EffectEnding::Unresolved(reason.to_owned()), now)?;
        let detail = json!({ "effect": id, "state": "unresolved" });
        event::write(batch, &event::Subject::new(now).task(task, epoch), "effect-settled", &detail)?;
    }
    Ok(open)
}

/// A finished job is stale before its transition was complete: what was done or begun for it can't be taken back, and is
/// a person's to look at.
pub(super) fn cut_off(
    batch: &mut Batch<'_>,
    found: &task::TaskRow,
    job: JobId,
    now: Timestamp,
) -> Result<()> {
    let conn = batch.conn();
    let of_job: Vec<EffectRecord> = {
        let mut query = conn.prepare_cached(&format!("{SELECT} WHERE job = ?1"))?;
        let rows =
            query.query_map([columns::bytes(job.uuid())], |row| read(row).map(|(_, record)| record))?;
        rows.collect::<Result<_>>()?
    };
    for record in of_job {
        let Some(ending) = record.cut_off() else { continue };
        write_ending(conn, record.id, &ending, now)?;
        let detail = json!({ "effect": record.id, "name": record.name, "state": ending.name() });
        event::write(batch, &found.subject(now).job(job), "effect-settled", &detail)?;
    }
    Ok(())
}

fn write_ending(conn: &Connection, id: EffectId, ending: &EffectEnding, now: Timestamp) -> Result<()> {
    let (state, answer) = ending_columns(ending);
    conn.prepare_cached("UPDATE effects SET state = ?2, answer = ?3, settled = ?4 WHERE id = ?1")?
        .execute(params![columns::bytes(id.uuid()), state, answer, now.as_millis()])
        .map(drop)
}
