//! What is taken from an instance that is proven dead.

use serde_json::json;
use stagewright_engine::identity::InstanceId;
use stagewright_engine::job::JobState;
use stagewright_engine::task::TaskState;
use stagewright_engine::time::Timestamp;

use super::failure::Step;
use super::writer::Batch;
use super::{effect, event, job, lease, task};
use crate::request::instance::Recovered;

/// Requeues its running jobs and releases its leases, in one transaction. The proof is the caller's.
pub(super) fn requeue_from_dead(batch: &mut Batch<'_>, dead: InstanceId, now: Timestamp) -> Step<Recovered> {
    let mut recovered = Recovered::default();
    for found in job::running(batch.conn(), Some(dead))? {
        let conn = batch.conn();
        let JobState::Running { run, .. } = found.state else { continue };
        let Some(row) = job::find(conn, found.id)? else { continue };
        // Fence first: a dead owner writes nothing, but one whose death was concluded wrongly must not either.
        let mut owner = task::of_row(conn, row.task)?;
        owner.task.epoch = task::raise_epoch(conn, &owner, now)?;
        job::requeue(conn, found.id, matches!(owner.task.state, TaskState::Held(_)), now)?;
        let subject = owner.subject(now).job(found.id).run(run);
        event::write(batch, &subject, "job-reclaimed", &json!({ "dead": dead }))?;
        recovered.requeued.extend(job::find(batch.conn(), found.id)?.map(|row| row.job));
    }
    for held in lease::of_owner(batch.conn(), dead)? {
        let Some(owner) = task::find(batch.conn(), &held.task)? else { continue };
        lease::take_away(batch, &owner, &held, "lease-reclaimed", now)?;
        if effect::any_open(batch.conn(), owner.row)? {
            recovered.open_effects.push(held.task.clone());
        }
        recovered.leases.push(held);
    }
    Ok(recovered)
}
