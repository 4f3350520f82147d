//! Rows of transition leases.

use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};
use serde_json::json;
use stagewright_engine::identity::{Epoch, InstanceId, TaskKey};
use stagewright_engine::job::JobState;
use stagewright_engine::lease::Lease;
use stagewright_engine::name::RepoName;
use stagewright_engine::task::TaskState;
use stagewright_engine::time::Timestamp;

use super::failure::{Failure, Step};
use super::task::{self, TaskRow};
use super::writer::Batch;
use super::{columns, effect, event, instance, job};
use crate::request::job::Deference;
use crate::request::lease::{
    Fence, FenceRefused, ForceRelease, LeaseRefused, LeaveRefused, LeaveRegion, Leaving, ReleaseRefused,
    Released, TakeLease,
};

const SELECT: &str = "SELECT repo, work_item, leases.epoch, owner, leases.stage, exclusive, taken \
                      FROM leases JOIN tasks ON tasks.id = leases.task";

fn read(row: &Row<'_>) -> Result<Lease> {
    Ok(Lease {
        task: TaskKey { repo: columns::name(row, 0)?, work_item: columns::name(row, 1)? },
        epoch: columns::epoch(row, 2)?,
        owner: columns::id(row, 3, InstanceId::new)?,
        stage: columns::name(row, 4)?,
        exclusive: row.get(5)?,
        taken: columns::time(row, 6)?,
    })
}

/// The lease of the task in this row.
pub(super) fn of_task(conn: &Connection, row: i64) -> Result<Option<Lease>> {
    conn.prepare_cached(&format!("{SELECT} WHERE leases.task = ?1"))?.query_row([row], read).optional()
}

/// The lease of the task of this key.
pub(super) fn of_key(conn: &Connection, key: &TaskKey) -> Step<Option<Lease>> {
    let Some(found) = task::find(conn, key)? else { return Ok(None) };
    Ok(of_task(conn, found.row)?)
}

pub(super) fn all(conn: &Connection) -> Step<Vec<Lease>> {
    let mut query = conn.prepare_cached(&format!("{SELECT} ORDER BY taken, leases.task"))?;
    let rows = query.query_map([], read)?;
    Ok(rows.collect::<Result<_>>()?)
}

/// The lease under which somebody does effects in a repository.
fn exclusive_of(conn: &Connection, repo: &RepoName) -> Result<Option<Lease>> {
    conn.prepare_cached(&format!("{SELECT} WHERE exclusive AND repo = ?1 LIMIT 1"))?
        .query_row([repo.as_str()], read)
        .optional()
}

/// The leases of one owner.
pub(super) fn of_owner(conn: &Connection, owner: InstanceId) -> Result<Vec<Lease>> {
    let mut query = conn.prepare_cached(&format!("{SELECT} WHERE owner = ?1 ORDER BY taken, leases.task"))?;
    let rows = query.query_map([columns::bytes(owner.uuid())], read)?;
    rows.collect()
}

pub(super) fn take(batch: &mut Batch<'_>, take: &TakeLease) -> Step<Lease, LeaseRefused> {
    let conn = batch.conn();
    let refused = |why| Err(Failure::Refused(why));
    let Some(found) = task::find(conn, &take.task)? else {
        return refused(LeaseRefused::NoSuchTask(take.task.clone()));
    };
    if !instance::is_registered(conn, take.owner)? {
        return refused(LeaseRefused::NoSuchInstance(take.owner));
    }
    let other = of_task(conn, found.row)?;
    if take.deference == Deference::ToOwner {
        if let Some(lease) = other {
            return refused(LeaseRefused::Owned { by: lease.owner, since: lease.taken });
        }
        if take.exclusive
            && let Some(lease) = exclusive_of(conn, &take.task.repo)?
        {
            let (task, by, since) = (lease.task, lease.owner, lease.taken);
            return refused(LeaseRefused::RegionBusy { task, by, since });
        }
    }
    if found.task.stage != take.expected_stage {
        return refused(LeaseRefused::StageMoved { actual: found.task.stage });
    }
    if found.task.state != TaskState::Active {
        return refused(LeaseRefused::NotActive);
    }
    if found.task.epoch != take.epoch {
        return refused(LeaseRefused::EpochMoved { actual: found.task.epoch });
    }
    let epoch = task::raise_epoch(conn, &found, take.now)?;
    remove(conn, found.row)?;
    conn.prepare_cached(
        "INSERT INTO leases (task, owner, stage, epoch, exclusive, taken) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        found.row,
        columns::bytes(take.owner.uuid()),
        take.expected_stage.as_str(),
        columns::number(epoch),
        take.exclusive,
        take.now.as_millis()
    ])?;
    write_event(batch, found.row, epoch, "lease-taken", take.owner, take.now)?;
    Ok(Lease {
        task: take.task.clone(),
        epoch,
        owner: take.owner,
        stage: take.expected_stage.clone(),
        exclusive: take.exclusive,
        taken: take.now,
    })
}

/// Whether the task still has exactly this lease, and the epoch that came with it.
pub(super) fn holds(conn: &Connection, found: &TaskRow, lease: &Lease) -> Result<bool> {
    let held = of_task(conn, found.row)?;
    Ok(held.is_some_and(|held| held.owner == lease.owner && held.epoch == lease.epoch)
        && found.task.epoch == lease.epoch)
}

/// Removes the task's lease.
pub(super) fn remove(conn: &Connection, row: i64) -> Result<()> {
    conn.prepare_cached("DELETE FROM leases WHERE task = ?1")?.execute([row]).map(drop)
}

pub(super) fn release(batch: &mut Batch<'_>, lease: &Lease, now: Timestamp) -> Step<(), ReleaseRefused> {
    let conn = batch.conn();
    let Some(found) = task::find(conn, &lease.task)? else {
        return Err(Failure::Refused(ReleaseRefused::Gone));
    };
    if !holds(conn, &found, lease)? {
        return Err(Failure::Refused(ReleaseRefused::Gone));
    }
    remove(conn, found.row)?;
    write_event(batch, found.row, lease.epoch, "lease-released", lease.owner, now)?;
    Ok(())
}

pub(super) fn leave(batch: &mut Batch<'_>, leave: &LeaveRegion) -> Step<(), LeaveRefused> {
    let conn = batch.conn();
    let found = task::find(conn, &leave.lease.task)?;
    let Some(found) = found else { return Err(Failure::Refused(LeaveRefused::LeaseLost)) };
    if !holds(conn, &found, &leave.lease)? {
        return Err(Failure::Refused(LeaveRefused::LeaseLost));
    }
    let finished = job::find(conn, leave.job)?
        .filter(|job| job.task == found.row && matches!(job.job.state, JobState::Finished { .. }));
    if finished.is_none() {
        return Err(Failure::Refused(LeaveRefused::NotFinished(leave.job)));
    }
    remove(conn, found.row)?;
    let subject = found.subject(leave.now).job(leave.job);
    match &leave.leaving {
        Leaving::Deferred { until, fault } => job::put_off(conn, leave.job, *until, fault)?,
        Leaving::Held(hold) => task::write_hold(conn, found.row, hold, leave.now)?,
    }
    let (kind, detail) = leave.leaving.event();
    event::write(batch, &subject, kind, &detail)?;
    event::write_all(batch, &subject, &leave.events)?;
    Ok(())
}

pub(super) fn fence(batch: &mut Batch<'_>, fence: &Fence) -> Step<Epoch, FenceRefused> {
    let conn = batch.conn();
    let Some(found) = task::find(conn, &fence.task)? else {
        return Err(Failure::Refused(FenceRefused::NoSuchTask(fence.task.clone())));
    };
    if found.task.epoch != fence.epoch {
        return Err(Failure::Refused(FenceRefused::EpochMoved { actual: found.task.epoch }));
    }
    let epoch = task::raise_epoch(conn, &found, fence.now)?;
    let subject = event::Subject::new(fence.now).task(found.row, epoch);
    event::write(batch, &subject, "task-fenced", &json!({ "reason": fence.reason }))?;
    Ok(epoch)
}

/// Takes the lease away from an owner that is proven dead.
pub(super) fn reclaim(
    batch: &mut Batch<'_>,
    key: &TaskKey,
    dead: InstanceId,
    now: Timestamp,
) -> Step<Epoch, ReleaseRefused> {
    let found = task::find(batch.conn(), key)?;
    let lease = found.as_ref().map(|found| of_task(batch.conn(), found.row)).transpose()?.flatten();
    match (found, lease) {
        (Some(found), Some(lease)) if lease.owner == dead => {
            Ok(take_away(batch, &found, &lease, "lease-reclaimed", now)?)
        }
        _ => Err(Failure::Refused(ReleaseRefused::Gone)),
    }
}

pub(super) fn force_release(batch: &mut Batch<'_>, force: &ForceRelease) -> Step<Released, ReleaseRefused> {
    let found = task::find(batch.conn(), &force.task)?;
    let lease = found.as_ref().map(|found| of_task(batch.conn(), found.row)).transpose()?.flatten();
    let (Some(found), Some(lease)) = (found, lease.filter(|lease| lease.epoch == force.epoch)) else {
        return Err(Failure::Refused(ReleaseRefused::Gone));
    };
    let epoch = take_away(batch, &found, &lease, "lease-forced", force.now)?;
    let unresolved = effect::give_up_open(batch, found.row, epoch, &force.reason(), force.now)?;
    Ok(Released { owner: lease.owner, epoch, unresolved })
}

/// Fences the owner by a higher epoch and removes the lease.
pub(super) fn take_away(
    batch: &mut Batch<'_>,
    found: &TaskRow,
    lease: &Lease,
    kind: &str,
    now: Timestamp,
) -> Result<Epoch> {
    let epoch = task::raise_epoch(batch.conn(), found, now)?;
    remove(batch.conn(), found.row)?;
    write_event(batch, found.row, epoch, kind, lease.owner, now)?;
    Ok(epoch)
}

fn write_event(
    batch: &mut Batch<'_>,
    row: i64,
    epoch: Epoch,
    kind: &str,
    owner: InstanceId,
    now: Timestamp,
) -> Result<()> {
    event::write(batch, &event::Subject::new(now).task(row, epoch), kind, &json!({ "owner": owner }))
}
