//! Rows of tasks, and what changes them beside a stage.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Result, Row, ToSql, params};
use serde_json::json;
use stagewright_engine::identity::{Epoch, TaskKey};
use stagewright_engine::name::{BranchName, CommitId, RepoName, StageName, WorkItem};
use stagewright_engine::task::{Hold, StageVerdict, Task, TaskState};
use stagewright_engine::time::Timestamp;

use super::columns;
use super::event::{self, Subject};
use super::failure::{Failure, Step};
use super::repo;
use super::writer::Batch;
use crate::request::task::{NewTask, ObserveHead, TaskFilter, TaskRefused, TaskStateKind};

const COLUMNS: &str =
    "id, repo, work_item, stage, state, hold, epoch, branch, examined, head, attempts, created, updated";

/// A task and the number of its row.
pub(super) struct TaskRow {
    pub(super) row: i64,
    pub(super) task: Task,
}

impl TaskRow {
    /// What events about it have in common.
    pub(super) fn subject(&self, at: Timestamp) -> Subject {
        Subject::new(at).task(self.row, self.task.epoch)
    }
}

/// The task of this key.
pub(super) fn find(conn: &Connection, key: &TaskKey) -> Result<Option<TaskRow>> {
    let found = conn
        .prepare_cached(&format!("SELECT {COLUMNS} FROM tasks WHERE repo = ?1 AND work_item = ?2"))?
        .query_row(params![key.repo.as_str(), key.work_item.as_str()], read)
        .optional()?;
    found.map(|task| with_verdicts(conn, task)).transpose()
}

/// The task in this row.
pub(super) fn of_row(conn: &Connection, row: i64) -> Result<TaskRow> {
    let found =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM tasks WHERE id = ?1"))?.query_row([row], read)?;
    with_verdicts(conn, found)
}

fn read(row: &Row<'_>) -> Result<TaskRow> {
    let state = match (row.get::<_, String>(4)?.as_str(), columns::maybe_json::<Hold>(row, 5)?) {
        ("active", None) => TaskState::Active,
        ("held", Some(hold)) => TaskState::Held(hold),
        ("done", None) => TaskState::Done,
        ("cancelled", None) => TaskState::Cancelled,
        (other, _) => {
            return Err(columns::malformed(4, rusqlite::types::Type::Text, format!("task state `{other}`")));
        }
    };
    let task = Task {
        key: TaskKey { repo: columns::name(row, 1)?, work_item: columns::name(row, 2)? },
        stage: columns::name(row, 3)?,
        state,
        epoch: columns::epoch(row, 6)?,
        branch: columns::name(row, 7)?,
        examined: columns::maybe_name(row, 8)?,
        head: columns::maybe_name(row, 9)?,
        attempts_spent: row.get(10)?,
        created: columns::time(row, 11)?,
        updated: columns::time(row, 12)?,
        verdicts: BTreeMap::new(),
    };
    Ok(TaskRow { row: row.get(0)?, task })
}

fn with_verdicts(conn: &Connection, mut found: TaskRow) -> Result<TaskRow> {
    let mut query = conn.prepare_cached("SELECT stage, verdict FROM verdicts WHERE task = ?1")?;
    let rows = query.query_map([found.row], |row| {
        Ok((columns::name::<StageName>(row, 0)?, columns::json::<StageVerdict>(row, 1)?))
    })?;
    found.task.verdicts = rows.collect::<Result<_>>()?;
    Ok(found)
}

pub(super) fn list(conn: &Connection, filter: &TaskFilter) -> Step<Vec<Task>> {
    // Only the wanted conditions are put in, so that each form can walk an index: of keys, or of states.
    // The row value comparison goes on behind the last one of the former page.
    let mut sql =
        format!("SELECT {COLUMNS} FROM tasks WHERE (repo, work_item) > (:repo_before, :item_before)");
    let (repo_before, item_before) =
        filter.after.as_ref().map_or(("", ""), |key| (key.repo.as_str(), key.work_item.as_str()));
    let mut values: Vec<(&str, &dyn ToSql)> =
        vec![(":repo_before", &repo_before), (":item_before", &item_before), (":limit", &filter.limit)];
    let state = filter.state.map(TaskStateKind::name);
    let repo = filter.repo.as_ref().map(RepoName::as_str);
    let item = filter.work_item.as_ref().map(WorkItem::as_str);
    let branch = filter.branch.as_ref().map(BranchName::as_str);
    let wanted = [
        ("state", ":state", &state),
        ("repo", ":repo", &repo),
        ("work_item", ":work_item", &item),
        ("branch", ":branch", &branch),
    ];
    for (column, place, value) in wanted {
        if let Some(value) = value {
            sql.push_str(&format!(" AND {column} = {place}"));
            values.push((place, value));
        }
    }
    sql.push_str(" ORDER BY repo, work_item LIMIT :limit");
    let mut query = conn.prepare_cached(&sql)?;
    let rows = query.query_map(values.as_slice(), read)?;
    let found: Vec<TaskRow> = rows.collect::<Result<_>>()?;
    let tasks = found.into_iter().map(|task| with_verdicts(conn, task).map(|found| found.task));
    Ok(tasks.collect::<Result<_>>()?)
}

pub(super) fn add(batch: &mut Batch<'_>, new: &NewTask) -> Step<Task, TaskRefused> {
    let conn = batch.conn();
    if let Some(found) = find(conn, &new.key)? {
        return Ok(found.task);
    }
    if repo::get(conn, &new.key.repo)?.is_none() {
        return Err(Failure::Refused(TaskRefused::NoSuchRepo(new.key.repo.clone())));
    }
    conn.prepare_cached(
        "INSERT INTO tasks (repo, work_item, stage, state, branch, created, updated)
         VALUES (?1, ?2, ?3, 'active', ?4, ?5, ?5)",
    )?
    .execute(params![
        new.key.repo.as_str(),
        new.key.work_item.as_str(),
        new.stage.as_str(),
        new.branch.as_str(),
        new.now.as_millis()
    ])?;
    let added = require(conn, &new.key)?;
    event::write(
        batch,
        &added.subject(new.now),
        "task-added",
        &json!({ "stage": new.stage, "branch": new.branch }),
    )?;
    Ok(added.task)
}

/// The task of this key, or the refusal that there is none.
fn require(conn: &Connection, key: &TaskKey) -> Step<TaskRow, TaskRefused> {
    find(conn, key)?.ok_or_else(|| Failure::Refused(TaskRefused::NoSuchTask(key.clone())))
}

pub(super) fn observe_head(batch: &mut Batch<'_>, observed: &ObserveHead) -> Step<Task, TaskRefused> {
    let conn = batch.conn();
    let found = require(conn, &observed.task)?;
    if found.task.head.as_ref() == Some(&observed.head) {
        return Ok(found.task);
    }
    conn.prepare_cached("UPDATE tasks SET head = ?2, updated = ?3 WHERE id = ?1")?.execute(params![
        found.row,
        observed.head.as_str(),
        observed.now.as_millis()
    ])?;
    let mut detail = json!({ "head": observed.head, "before": found.task.head });
    if !observed.changed_reports.is_empty() {
        detail["changed_reports"] = json!(observed.changed_reports);
    }
    event::write(batch, &found.subject(observed.now), "head-observed", &detail)?;
    Ok(of_row(conn, found.row)?.task)
}

/// Writes a hold on the task itself, unless it has one: the first reason stays. Its job is the caller's to see to.
pub(super) fn write_hold(conn: &Connection, row: i64, hold: &Hold, now: Timestamp) -> Result<()> {
    conn.prepare_cached(
        "UPDATE tasks SET state = 'held', hold = ?2, updated = ?3 WHERE id = ?1 AND state = 'active'",
    )?
    .execute(params![row, columns::to_json(hold)?, now.as_millis()])
    .map(drop)
}

pub(super) fn hold(
    batch: &mut Batch<'_>,
    key: &TaskKey,
    hold: &Hold,
    now: Timestamp,
) -> Step<Task, TaskRefused> {
    let conn = batch.conn();
    let found = require(conn, key)?;
    if found.task.state != TaskState::Active {
        return Err(Failure::Refused(TaskRefused::NotActive(Box::new(found.task))));
    }
    write_hold(conn, found.row, hold, now)?;
    conn.prepare_cached(
        "UPDATE jobs SET state = 'held', updated = ?2 WHERE task = ?1 AND (state = 'queued' OR state = 'deferred')",
    )?
    .execute(params![found.row, now.as_millis()])?;
    event::write(batch, &found.subject(now), "task-held", &json!({ "fault": hold.fault.code }))?;
    Ok(of_row(conn, found.row)?.task)
}

pub(super) fn resume(batch: &mut Batch<'_>, key: &TaskKey, now: Timestamp) -> Step<Task, TaskRefused> {
    let conn = batch.conn();
    let found = require(conn, key)?;
    if !matches!(found.task.state, TaskState::Held(_)) {
        return Err(Failure::Refused(TaskRefused::NotHeld(key.clone())));
    }
    conn.prepare_cached("UPDATE tasks SET state = 'active', hold = NULL, updated = ?2 WHERE id = ?1")?
        .execute(params![found.row, now.as_millis()])?;
    conn.prepare_cached(
        "UPDATE jobs SET state = 'queued', due = ?2, deferrals = 0, fault = NULL, updated = ?2
         WHERE task = ?1 AND state = 'held'",
    )?
    .execute(params![found.row, now.as_millis()])?;
    // A transition that was put off is due again as well.
    conn.prepare_cached(
        "UPDATE jobs SET due = ?2, deferrals = 0, fault = NULL, updated = ?2 WHERE task = ?1 AND state = 'finished'",
    )?
    .execute(params![found.row, now.as_millis()])?;
    event::write(batch, &found.subject(now), "task-resumed", &json!({}))?;
    Ok(of_row(conn, found.row)?.task)
}

/// Raises the epoch of a task that this transaction has read, and gives the new one back (O4).
pub(super) fn raise_epoch(conn: &Connection, found: &TaskRow, now: Timestamp) -> Result<Epoch> {
    let epoch = found.task.epoch.next();
    conn.prepare_cached("UPDATE tasks SET epoch = ?2, updated = ?3 WHERE id = ?1")?.execute(params![
        found.row,
        columns::number(epoch),
        now.as_millis()
    ])?;
    Ok(epoch)
}

/// Keeps the verdict of a stage.
pub(super) fn write_verdict(
    conn: &Connection,
    row: i64,
    stage: &StageName,
    verdict: &StageVerdict,
) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO verdicts (task, stage, verdict) VALUES (?1, ?2, ?3)
         ON CONFLICT (task, stage) DO UPDATE SET verdict = excluded.verdict",
    )?
    .execute(params![row, stage.as_str(), columns::to_json(verdict)?])
    .map(drop)
}

/// Keeps which commit the newest verdict is about.
pub(super) fn write_examined(conn: &Connection, row: i64, commit: &CommitId) -> Result<()> {
    conn.prepare_cached("UPDATE tasks SET examined = ?2 WHERE id = ?1 AND examined IS NOT ?2")?
        .execute(params![row, commit.as_str()])
        .map(drop)
}
