//! Rows of jobs: queueing them and claiming them.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Result, Row, named_params, params};
use serde_json::json;
use stagewright_engine::identity::{InstanceId, JobId, RunId, TaskKey};
use stagewright_engine::job::{Job, JobState, PutOff};
use stagewright_engine::name::{CommitId, ProducerName};
use stagewright_engine::outcome::Fault;
use stagewright_engine::task::TaskState;
use stagewright_engine::time::Timestamp;

use super::event;
use super::failure::{Failure, Step};
use super::task::{self, TaskRow};
use super::writer::Batch;
use super::{columns, effect, instance, lease};
use crate::error::Error;
use crate::request::job::{
    Claim, ClaimNext, ClaimRefused, Claimed, Deference, Due, EnqueueRefused, Limits, NewJob,
};

pub(super) const SELECT: &str = "SELECT jobs.id, repo, work_item, jobs.stage, commit_id, jobs.state, due, run, instance, \
                      jobs.epoch, since, deferrals, attempt, fault, jobs.created, jobs.updated, jobs.task, \
                      jobs.producer \
                      FROM jobs JOIN tasks ON tasks.id = jobs.task";
/// The states of the unique index, word for word, so that SQLite sees that the index answers the question.
pub(super) const LIVE: &str = "jobs.state <> 'done' AND jobs.state <> 'failed' \
                               AND jobs.state <> 'cancelled' AND jobs.state <> 'superseded'";

/// A queued job is due whatever the clock says: it may have been set back since. Deferred ones that are not due
/// are looked at only when nothing else is left, since what is due has an earlier time.
const NEXT_DUE: &str = "jobs.stage = ?1 AND (jobs.state = 'queued' OR jobs.state = 'deferred') \
                        AND (jobs.state = 'queued' OR jobs.due <= ?2) \
                        AND tasks.stage = jobs.stage AND tasks.state = 'active' \
                        AND (?3 IS NULL OR tasks.repo IN (SELECT value FROM json_each(?3))) \
                        AND NOT EXISTS (SELECT 1 FROM leases WHERE leases.task = jobs.task) \
                        ORDER BY jobs.due, jobs.id LIMIT 1";
/// One that was not put off is due whatever the clock says. The `+` keeps SQLite from walking all active tasks instead of
/// the few finished jobs.
const TO_COMPLETE: &str = "jobs.state = 'finished' AND (jobs.fault IS NULL OR jobs.due <= ?1) \
                           AND +tasks.state = 'active' \
                           AND NOT EXISTS (SELECT 1 FROM leases WHERE leases.task = jobs.task) \
                           ORDER BY jobs.due, jobs.id LIMIT ?2";
const RUNNING: &str = "SELECT count(*) FROM jobs WHERE state = 'running'";
const RUNNING_ON: &str = "SELECT count(*) FROM jobs WHERE state = 'running' AND producer = ?1";

/// A job, when it is due, the row of its task, and what it runs on while it runs.
pub(super) struct JobRow {
    pub(super) job: Job,
    pub(super) due: Timestamp,
    pub(super) task: i64,
    pub(super) producer: Option<ProducerName>,
}

pub(super) fn read(row: &Row<'_>) -> Result<JobRow> {
    let due = columns::time(row, 6)?;
    let run = || -> Result<RunId> {
        columns::maybe_id(row, 7, RunId::new)?.ok_or_else(|| columns::malformed(7, Type::Null, "no run"))
    };
    let state = match row.get::<_, String>(5)?.as_str() {
        "queued" => JobState::Queued,
        "running" => JobState::Running {
            run: run()?,
            instance: columns::id(row, 8, InstanceId::new)?,
            epoch: columns::epoch(row, 9)?,
            since: columns::time(row, 10)?,
        },
        "deferred" => JobState::Deferred { until: due, fault: columns::json(row, 13)? },
        "held" => JobState::Held,
        "finished" => {
            let fault: Option<Fault> = columns::maybe_json(row, 13)?;
            JobState::Finished { run: run()?, put_off: fault.map(|fault| PutOff { until: due, fault }) }
        }
        "done" => JobState::Done { run: run()? },
        "failed" => JobState::Failed,
        "cancelled" => JobState::Cancelled,
        "superseded" => JobState::Superseded,
        other => return Err(columns::malformed(5, Type::Text, format!("job state `{other}`"))),
    };
    let job = Job {
        id: columns::id(row, 0, JobId::new)?,
        task: TaskKey { repo: columns::name(row, 1)?, work_item: columns::name(row, 2)? },
        stage: columns::name(row, 3)?,
        commit: columns::name(row, 4)?,
        state,
        deferrals: row.get(11)?,
        attempt: row.get(12)?,
        created: columns::time(row, 14)?,
        updated: columns::time(row, 15)?,
    };
    Ok(JobRow { job, due, task: row.get(16)?, producer: columns::maybe_name(row, 17)? })
}

/// The job of this id.
pub(super) fn find(conn: &Connection, id: JobId) -> Result<Option<JobRow>> {
    conn.prepare_cached(&format!("{SELECT} WHERE jobs.id = ?1"))?
        .query_row([columns::bytes(id.uuid())], read)
        .optional()
}

/// The live job of the task in this row.
pub(super) fn live(conn: &Connection, task: i64) -> Result<Option<JobRow>> {
    conn.prepare_cached(&format!("{SELECT} WHERE jobs.task = ?1 AND {LIVE}"))?
        .query_row([task], read)
        .optional()
}

/// The live job of the task of this key.
pub(super) fn live_of(conn: &Connection, key: &TaskKey) -> Step<Option<Job>> {
    let Some(found) = task::find(conn, key)? else { return Ok(None) };
    Ok(live(conn, found.row)?.map(|found| found.job))
}

/// Running jobs, of one instance or all.
pub(super) fn running(conn: &Connection, instance: Option<InstanceId>) -> Step<Vec<Job>> {
    let mut sql = format!("{SELECT} WHERE jobs.state = 'running'");
    if instance.is_some() {
        sql.push_str(" AND jobs.instance = ?1");
    }
    sql.push_str(" ORDER BY jobs.since, jobs.id");
    let mut query = conn.prepare_cached(&sql)?;
    let id = instance.map(|id| columns::bytes(id.uuid()));
    let rows = query.query_map(rusqlite::params_from_iter(id), |row| read(row).map(|found| found.job))?;
    Ok(rows.collect::<Result<_>>()?)
}

/// Finished jobs whose transition can be completed now, oldest first.
pub(super) fn finished(conn: &Connection, now: Timestamp, limit: u32) -> Step<Vec<Job>> {
    let mut query = conn.prepare_cached(&format!("{SELECT} WHERE {TO_COMPLETE}"))?;
    let rows = query.query_map(params![now.as_millis(), limit], |row| read(row).map(|found| found.job))?;
    Ok(rows.collect::<Result<_>>()?)
}

pub(super) fn enqueue(batch: &mut Batch<'_>, new: &NewJob) -> Step<Job, EnqueueRefused> {
    let conn = batch.conn();
    let Some(found) = task::find(conn, &new.task)? else {
        return Err(Failure::Refused(EnqueueRefused::NoSuchTask(new.task.clone())));
    };
    if found.task.state != TaskState::Active {
        return Err(Failure::Refused(EnqueueRefused::NotActive(Box::new(found.task))));
    }
    if found.task.stage != new.stage {
        return Err(Failure::Refused(EnqueueRefused::StageMoved { actual: found.task.stage }));
    }
    if let Some(live) = live(conn, found.row)? {
        let waits = matches!(live.job.state, JobState::Queued | JobState::Deferred { .. });
        let same = live.job.stage == new.stage && live.job.commit == new.commit;
        if !waits || same {
            return Ok(live.job);
        }
        supersede_live(batch, &found, new.now)?;
    }
    Ok(insert(batch, &found, new)?)
}

/// Queues a job for a task that is known to have no live one.
pub(super) fn insert(batch: &mut Batch<'_>, found: &TaskRow, new: &NewJob) -> Result<Job> {
    let conn = batch.conn();
    let job = new.queued(found.task.attempts_spent);
    conn.prepare_cached(
        "INSERT INTO jobs (id, task, stage, commit_id, state, due, attempt, created, updated)
         VALUES (:id, :task, :stage, :commit, 'queued', :now, :attempt, :now, :now)",
    )?
    .execute(named_params! {
        ":id": columns::bytes(new.id.uuid()),
        ":task": found.row,
        ":stage": new.stage.as_str(),
        ":commit": new.commit.as_str(),
        ":attempt": job.attempt,
        ":now": new.now.as_millis(),
    })?;
    let detail = json!({ "stage": new.stage, "commit": new.commit });
    event::write(batch, &found.subject(new.now).job(new.id), "job-queued", &detail)?;
    Ok(job)
}

/// Supersedes whatever live job the task has.
pub(super) fn supersede_live(batch: &mut Batch<'_>, found: &TaskRow, now: Timestamp) -> Result<()> {
    let Some(live) = live(batch.conn(), found.row)? else { return Ok(()) };
    write_state(batch.conn(), live.job.id, "superseded", now)?;
    event::write(batch, &found.subject(now).job(live.job.id), "job-superseded", &json!({}))?;
    if matches!(live.job.state, JobState::Finished { .. }) {
        effect::cut_off(batch, found, live.job.id, now)?;
    }
    Ok(())
}

/// Puts a job into a state in which nobody owns it.
pub(super) fn write_state(conn: &Connection, job: JobId, state: &str, now: Timestamp) -> Result<()> {
    conn.prepare_cached(
        "UPDATE jobs SET state = ?2, instance = NULL, producer = NULL, epoch = NULL, since = NULL, updated = ?3
         WHERE id = ?1",
    )?
    .execute(params![columns::bytes(job.uuid()), state, now.as_millis()])
    .map(drop)
}

/// A job's work has a verdict; its transition is due from now on, with deferrals of its own to spend.
pub(super) fn finish(conn: &Connection, job: JobId, commit: &CommitId, now: Timestamp) -> Result<()> {
    write_state(conn, job, "finished", now)?;
    conn.prepare_cached(
        "UPDATE jobs SET commit_id = ?2, due = ?3, deferrals = 0, fault = NULL WHERE id = ?1",
    )?
    .execute(params![columns::bytes(job.uuid()), commit.as_str(), now.as_millis()])
    .map(drop)
}

/// Puts off a job that was deferred, or whose transition was: one deferral is spent.
pub(super) fn put_off(conn: &Connection, job: JobId, until: Timestamp, fault: &Fault) -> Result<()> {
    conn.prepare_cached("UPDATE jobs SET due = ?2, fault = ?3, deferrals = deferrals + 1 WHERE id = ?1")?
        .execute(params![columns::bytes(job.uuid()), until.as_millis(), columns::to_json(fault)?])
        .map(drop)
}

/// Puts a job back into the queue, due at once; to the held ones if its task is held.
pub(super) fn requeue(conn: &Connection, job: JobId, held: bool, now: Timestamp) -> Result<()> {
    write_state(conn, job, if held { "held" } else { "queued" }, now)?;
    conn.prepare_cached("UPDATE jobs SET due = ?2 WHERE id = ?1")?
        .execute(params![columns::bytes(job.uuid()), now.as_millis()])
        .map(drop)
}

pub(super) fn claim(batch: &mut Batch<'_>, claim: &Claim) -> Step<Claimed, ClaimRefused> {
    let conn = batch.conn();
    let refused = |why| Err(Failure::Refused(why));
    let Some(found) = find(conn, claim.job)? else { return refused(ClaimRefused::NoSuchJob(claim.job)) };
    if !instance::is_registered(conn, claim.instance)? {
        return refused(ClaimRefused::NoSuchInstance(claim.instance));
    }
    match &found.job.state {
        JobState::Queued => {}
        JobState::Deferred { .. } if claim.due == Due::AtOnce || found.due <= claim.now => {}
        JobState::Deferred { until, .. } => return refused(ClaimRefused::NotDue { until: *until }),
        JobState::Running { run, instance, since, .. } => {
            return refused(ClaimRefused::Busy { owner: *instance, run: Some(*run), since: *since });
        }
        JobState::Held => return refused(ClaimRefused::Held),
        _ => return refused(ClaimRefused::Ended),
    }
    let task = task::of_row(conn, found.task)?;
    if matches!(task.task.state, TaskState::Held(_)) {
        return refused(ClaimRefused::Held);
    }
    if task.task.stage != claim.expected_stage || found.job.stage != claim.expected_stage {
        return refused(ClaimRefused::StageMoved { actual: task.task.stage });
    }
    // A claim raises the epoch, which would fence whoever is in the region: so it waits for them.
    if claim.deference == Deference::ToOwner
        && let Some(lease) = lease::of_task(conn, found.task)?
    {
        return refused(ClaimRefused::Busy { owner: lease.owner, run: None, since: lease.taken });
    }
    if let Some(reached) = limit_reached(conn, &claim.limits)? {
        return refused(reached);
    }
    let producer = claim.limits.producer.as_ref().map(|(name, _)| name);
    Ok(own(batch, &found, task, claim.instance, claim.run, producer, claim.now)?)
}

pub(super) fn claim_next(batch: &mut Batch<'_>, claim: &ClaimNext) -> Step<Option<Claimed>> {
    let conn = batch.conn();
    if !instance::is_registered(conn, claim.instance)? {
        let detail = format!("instance {} is not registered", claim.instance);
        return Err(Error::Rejected { detail }.into());
    }
    let mut oldest: Option<(JobRow, &ProducerName)> = None;
    for lane in &claim.lanes {
        let limits = Limits { host: claim.host_limit, producer: Some((lane.producer.clone(), lane.limit)) };
        if limit_reached(conn, &limits)?.is_some() {
            continue;
        }
        // The index `jobs_due` gives the oldest of a stage at once, however many have ended. A task in whose
        // region somebody is has to wait, and one that has moved on has no waiting job.
        let repos = lane.repos.as_ref().map(columns::to_json).transpose()?;
        let due = conn
            .prepare_cached(&format!("{SELECT} WHERE {NEXT_DUE}"))?
            .query_row(params![lane.stage.as_str(), claim.now.as_millis(), repos], read)
            .optional()?;
        if let Some(due) = due
            && oldest.as_ref().is_none_or(|(best, _)| (due.due, due.job.id) < (best.due, best.job.id))
        {
            oldest = Some((due, &lane.producer));
        }
    }
    let Some((found, producer)) = oldest else { return Ok(None) };
    let task = task::of_row(conn, found.task)?;
    Ok(Some(own(batch, &found, task, claim.instance, claim.run, Some(producer), claim.now)?))
}

/// The refusal, if as many jobs run as may.
fn limit_reached(conn: &Connection, limits: &Limits) -> Result<Option<ClaimRefused>> {
    let running: u32 = conn.prepare_cached(RUNNING)?.query_row([], |row| row.get(0))?;
    if running >= limits.host {
        return Ok(Some(ClaimRefused::LimitReached { producer: None, running, limit: limits.host }));
    }
    let Some((producer, limit)) = &limits.producer else { return Ok(None) };
    let running: u32 = conn.prepare_cached(RUNNING_ON)?.query_row([producer.as_str()], |row| row.get(0))?;
    let reached = ClaimRefused::LimitReached { producer: Some(producer.clone()), running, limit: *limit };
    Ok((running >= *limit).then_some(reached))
}

/// Makes `instance` the owner of a job that is known to be free.
fn own(
    batch: &mut Batch<'_>,
    found: &JobRow,
    mut task: TaskRow,
    instance: InstanceId,
    run: RunId,
    producer: Option<&ProducerName>,
    now: Timestamp,
) -> Result<Claimed> {
    let conn = batch.conn();
    let epoch = task::raise_epoch(conn, &task, now)?;
    (task.task.epoch, task.task.updated) = (epoch, now);
    conn.prepare_cached(
        "UPDATE jobs SET state = 'running', run = :run, instance = :instance, producer = :producer,
                         epoch = :epoch, since = :now, updated = :now
         WHERE id = :id AND (state = 'queued' OR state = 'deferred')",
    )?
    .execute(named_params! {
        ":id": columns::bytes(found.job.id.uuid()),
        ":run": columns::bytes(run.uuid()),
        ":instance": columns::bytes(instance.uuid()),
        ":producer": producer.map(ProducerName::as_str),
        ":epoch": columns::number(epoch),
        ":now": now.as_millis(),
    })?;
    conn.prepare_cached("INSERT INTO runs (id, job, instance, epoch, started) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            columns::bytes(run.uuid()),
            columns::bytes(found.job.id.uuid()),
            columns::bytes(instance.uuid()),
            columns::number(epoch),
            now.as_millis()
        ])?;
    let subject = task.subject(now).job(found.job.id).run(run);
    event::write(batch, &subject, "job-claimed", &json!({ "instance": instance, "producer": producer }))?;
    let mut job = found.job.clone();
    job.state = JobState::Running { run, instance, epoch, since: now };
    job.updated = now;
    Ok(Claimed { job, task: task.task, epoch })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What SQLite means to walk for a query.
    fn plan(conn: &Connection, sql: &str) -> String {
        let mut query = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nulls = vec![rusqlite::types::Null; query.parameter_count()];
        let rows = query.query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3)).unwrap();
        rows.collect::<Result<Vec<_>>>().unwrap().join("; ")
    }

    /// Ended jobs are in none of these indexes, so a claim costs the same however many there are (B6).
    #[test]
    fn a_claim_walks_indexes_of_live_jobs_only_and_sorts_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite3");
        let conn = crate::sqlite::open::open(&path, &Default::default()).unwrap().conn;
        for (sql, index) in [
            (format!("{SELECT} WHERE {NEXT_DUE}"), "jobs_due"),
            (format!("{SELECT} WHERE jobs.task = ?1 AND {LIVE}"), "jobs_one_live"),
            (format!("{SELECT} WHERE {TO_COMPLETE}"), "jobs_finished"),
            (RUNNING.to_owned(), "jobs_running"),
            (RUNNING_ON.to_owned(), "jobs_running"),
        ] {
            let plan = plan(&conn, &sql);
            assert!(plan.contains(index), "{sql}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }
}
