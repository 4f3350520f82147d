//! The queue as it is watched: counts and pages that walk small indexes.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};
use stagewright_engine::identity::TaskKey;
use stagewright_engine::job::Job;
use stagewright_engine::task::Hold;

use super::failure::Step;
use super::job::{self, JobRow};
use super::{columns, task};
use crate::request::queue::{EventCounts, LiveFilter, LiveJob, LiveState, Overview};
use crate::request::task::TaskStateKind;

const TASKS: &str = "SELECT state, count(*) FROM tasks GROUP BY state";
/// The states of the index, word for word, so that SQLite sees that it answers the question.
const LIVE: &str = "SELECT state, count(*) FROM jobs \
                    WHERE state <> 'done' AND state <> 'failed' AND state <> 'cancelled' \
                    AND state <> 'superseded' GROUP BY state";
const RUNNING: &str = "SELECT producer, count(*) FROM jobs WHERE state = 'running' GROUP BY producer";
const OPEN: &str = "SELECT count(*) FROM effects WHERE state = 'intended'";
const UNRESOLVED: &str = "SELECT count(*) FROM effects WHERE state = 'unresolved'";

fn count(row: &Row<'_>, column: usize) -> Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

/// Reads rows of a kind and how many there are of it.
fn counts<K: Ord>(
    conn: &Connection,
    sql: &str,
    kind: impl Fn(&Row<'_>) -> Result<Option<K>>,
) -> Result<BTreeMap<K, u64>> {
    let mut query = conn.prepare_cached(sql)?;
    let rows = query.query_map([], |row| Ok((kind(row)?, count(row, 1)?)))?;
    let mut found = BTreeMap::new();
    for row in rows {
        if let (Some(kind), number) = row? {
            found.insert(kind, number);
        }
    }
    Ok(found)
}

pub(super) fn overview(conn: &Connection) -> Step<Overview> {
    let task_state = |row: &Row<'_>| {
        let text: String = row.get(0)?;
        Ok(TaskStateKind::ALL.into_iter().find(|kind| kind.name() == text))
    };
    let job_state = |row: &Row<'_>| {
        let text: String = row.get(0)?;
        Ok(LiveState::ALL.into_iter().find(|state| state.as_str() == text))
    };
    let one = |sql: &str| conn.prepare_cached(sql)?.query_row([], |row| count(row, 0));
    Ok(Overview {
        tasks: counts(conn, TASKS, task_state)?,
        jobs: counts(conn, LIVE, job_state)?,
        running: counts(conn, RUNNING, |row| columns::maybe_name(row, 0).map(Some))?,
        open_effects: one(OPEN)?,
        unresolved_effects: one(UNRESOLVED)?,
    })
}

/// Jobs of one state behind a certain one, in the order of their ids. All live states stand in it too, since SQLite takes a
/// partial index only for its own words; and the index is named, since it would rather walk the whole table in that order.
fn page_of(state: LiveState) -> String {
    let select = job::SELECT.replacen("FROM jobs ", "FROM jobs INDEXED BY jobs_live_by_state ", 1);
    let state = state.as_str();
    format!(
        "{select} WHERE jobs.state = '{state}' AND {} AND jobs.id > ?1 ORDER BY jobs.id LIMIT ?2",
        job::LIVE
    )
}

pub(super) fn live(conn: &Connection, filter: &LiveFilter) -> Step<Vec<LiveJob>> {
    let mut found: Vec<LiveJob> = Vec::new();
    for state in LiveState::ALL {
        let behind = filter.after.is_none_or(|(last, _)| last <= state);
        if !behind || filter.state.is_some_and(|wanted| wanted != state) {
            continue;
        }
        let room = filter.limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if room == 0 {
            break;
        }
        let after = filter.after.filter(|(last, _)| *last == state).map(|(_, id)| columns::bytes(id.uuid()));
        let mut query = conn.prepare_cached(&page_of(state))?;
        // Every id is behind the empty one.
        let rows = query.query_map(params![after.as_ref().map_or(&[][..], |id| &id[..]), room], job::read)?;
        for row in rows {
            let JobRow { job, task, producer, .. } = row?;
            found.push(LiveJob { job, producer, hold: hold(conn, task)? });
        }
    }
    Ok(found)
}

fn hold(conn: &Connection, task: i64) -> Result<Option<Hold>> {
    let found = conn
        .prepare_cached("SELECT hold FROM tasks WHERE id = ?1")?
        .query_row([task], |row| columns::maybe_json(row, 0))
        .optional()?;
    Ok(found.flatten())
}

pub(super) fn jobs_of(conn: &Connection, key: &TaskKey, limit: u32) -> Step<Vec<Job>> {
    let Some(found) = task::find(conn, key)? else { return Ok(Vec::new()) };
    let mut query = conn.prepare_cached(&format!(
        "{} WHERE jobs.task = ?1 ORDER BY jobs.created DESC, jobs.id DESC LIMIT ?2",
        job::SELECT
    ))?;
    let rows = query.query_map(params![found.row, limit], |row| job::read(row).map(|found| found.job))?;
    Ok(rows.collect::<Result<_>>()?)
}

pub(super) fn held_by_fault(conn: &Connection) -> Step<BTreeMap<String, u64>> {
    let sql = "SELECT hold ->> '$.fault.code', count(*) FROM tasks WHERE state = 'held' GROUP BY 1";
    Ok(counts(conn, sql, |row| row.get(0))?)
}

pub(super) fn last_event(conn: &Connection) -> Step<u64> {
    let last = conn
        .prepare_cached("SELECT max(seq) FROM events")?
        .query_row([], |row| row.get::<_, Option<i64>>(0))?;
    Ok(last.unwrap_or_default().unsigned_abs())
}

pub(super) fn event_counts(conn: &Connection, after: u64) -> Step<EventCounts> {
    let mut query =
        conn.prepare_cached("SELECT kind, count(*), max(seq) FROM events WHERE seq > ?1 GROUP BY kind")?;
    let behind = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = query.query_map([behind], |row| Ok((row.get(0)?, count(row, 1)?, count(row, 2)?)))?;
    let mut counted = EventCounts { last: after, kinds: BTreeMap::new() };
    for row in rows {
        let (kind, number, last) = row?;
        counted.last = counted.last.max(last);
        counted.kinds.insert(kind, number);
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is watched once a second must not cost what has ever been done (B8).
    #[test]
    fn counts_and_pages_of_live_jobs_walk_small_indexes_and_sort_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite3");
        let conn = crate::sqlite::open::open(&path, &Default::default()).unwrap().conn;
        let page = page_of(LiveState::Queued);
        for (sql, index) in [
            (TASKS, "COVERING INDEX tasks_by_state"),
            (LIVE, "COVERING INDEX jobs_live_by_state"),
            (RUNNING, "INDEX jobs_running"),
            (OPEN, "INDEX effects_open"),
            (UNRESOLVED, "INDEX effects_unresolved"),
            (page.as_str(), "INDEX jobs_live_by_state"),
        ] {
            let mut query = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nulls = vec![rusqlite::types::Null; query.parameter_count()];
            let rows =
                query.query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3)).unwrap();
            let plan = rows.collect::<Result<Vec<_>>>().unwrap().join("; ");
            assert!(plan.contains(index), "{sql}: {plan}");
            // Some producers are sorted, never jobs.
            assert!(sql == RUNNING || !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }
}
