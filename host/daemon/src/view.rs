//! What is shown of tasks, jobs, leases and events: the form of the answers, apart from how the engine keeps things.
//!
//! A field once shown keeps its name and meaning. Times are RFC 3339 in UTC.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;
use stagewright_engine::instance::Instance;
use stagewright_engine::job::{Job, JobState};
use stagewright_engine::lease::Lease;
use stagewright_engine::outcome::{Fault, Judgement};
use stagewright_engine::task::{Hold, Task, TaskState};
use stagewright_engine::time::Timestamp;
use stagewright_store::request::event::Event;
use stagewright_store::request::queue::LiveJob;

use crate::clock::rfc3339;

/// A time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Time(String);

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        Self(rfc3339(time))
    }
}

impl JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time", "description": "RFC 3339, in UTC"})
    }
}

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TaskStateWord {
    /// On its way.
    Active,
    /// Waits for a person.
    Held,
    /// At the end of its pipeline.
    Done,
    /// Given up.
    Cancelled,
}

/// Why work did not run, or why a task is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct FaultView {
    /// A stable word.
    code: String,
    /// What is wrong.
    message: String,
    /// The lines that show it.
    evidence: String,
    /// The way out.
    remedy: Option<String>,
}

impl From<&Fault> for FaultView {
    fn from(fault: &Fault) -> Self {
        Self {
            code: fault.code.clone(),
            message: fault.message.clone(),
            evidence: fault.evidence.clone(),
            remedy: fault.remedy.clone(),
        }
    }
}

/// Why a task waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct HoldView {
    /// What is wrong, and the way out.
    fault: FaultView,
    /// The stage at which it was held.
    stage: String,
    /// The job that could not go on, if it was one.
    job: Option<String>,
    /// Since when.
    since: Time,
}

impl From<&Hold> for HoldView {
    fn from(hold: &Hold) -> Self {
        Self {
            fault: (&hold.fault).into(),
            stage: hold.stage.to_string(),
            job: hold.job.map(|job| job.to_string()),
            since: hold.since.into(),
        }
    }
}

/// Pass or fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JudgementWord {
    /// The stage's question was answered with yes.
    Pass,
    /// With no.
    Fail,
}

/// The last verdict of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct VerdictView {
    /// What was found.
    judgement: JudgementWord,
    /// The commit that was examined.
    commit: String,
    /// The run that found it.
    run: String,
    /// SHA-256 of the artifact, in hex.
    artifact_sha256: String,
    /// When.
    at: Time,
}

/// A task: one work item on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct TaskView {
    /// The work item's key.
    work_item: String,
    /// The repository's name.
    repo: String,
    /// Whether it moves.
    state: TaskStateWord,
    /// The stage at which it stands.
    stage: String,
    /// The fence: it grows with every owner.
    epoch: u64,
    /// Its branch.
    branch: String,
    /// The branch's head, as it was last seen.
    head: Option<String>,
    /// The commit that the last verdict is about.
    examined: Option<String>,
    /// How many developer attempts are spent.
    attempts_spent: u32,
    /// Why it is held, if it is.
    hold: Option<HoldView>,
    /// The last verdict of each stage.
    verdicts: BTreeMap<String, VerdictView>,
    /// When it began.
    created: Time,
    /// When anything of it last changed.
    updated: Time,
}

impl From<&Task> for TaskView {
    fn from(task: &Task) -> Self {
        let verdicts = task.verdicts.iter().map(|(stage, verdict)| {
            let judgement = match verdict.judgement {
                Judgement::Pass => JudgementWord::Pass,
                Judgement::Fail => JudgementWord::Fail,
            };
            let view = VerdictView {
                judgement,
                commit: verdict.commit.to_string(),
                run: verdict.run.to_string(),
                artifact_sha256: verdict.artifact_sha256.clone(),
                at: verdict.at.into(),
            };
            (stage.to_string(), view)
        });
        Self {
            work_item: task.key.work_item.to_string(),
            repo: task.key.repo.to_string(),
            state: match task.state {
                TaskState::Active => TaskStateWord::Active,
                TaskState::Held(_) => TaskStateWord::Held,
                TaskState::Done => TaskStateWord::Done,
                TaskState::Cancelled => TaskStateWord::Cancelled,
            },
            stage: task.stage.to_string(),
            epoch: task.epoch.get(),
            branch: task.branch.to_string(),
            head: task.head.as_ref().map(ToString::to_string),
            examined: task.examined.as_ref().map(ToString::to_string),
            attempts_spent: task.attempts_spent,
            hold: task.hold().map(Into::into),
            verdicts: verdicts.collect(),
            created: task.created.into(),
            updated: task.updated.into(),
        }
    }
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum JobStateWord {
    /// Due, and nobody is at it.
    Queued,
    /// Owned by one worker.
    Running,
    /// Tried again later.
    Deferred,
    /// Waits for a person.
    Held,
    /// Has a verdict; its transition is not yet completed.
    Finished,
    /// Has a verdict, and the stage was written.
    Done,
    /// Given up by the host.
    Failed,
    /// Somebody wanted it to end.
    Cancelled,
    /// Something newer took its place.
    Superseded,
}

/// A job: the producing of one stage's artifact for one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct JobView {
    /// Its id.
    id: String,
    /// The work item's key.
    work_item: String,
    /// The repository's name.
    repo: String,
    /// The stage whose artifact is wanted.
    stage: String,
    /// The commit to be examined.
    commit: String,
    /// Where it is in its life.
    state: JobStateWord,
    /// What it runs on, while it runs.
    producer: Option<String>,
    /// The running or the last run that has a verdict.
    run: Option<String>,
    /// Whose it is, while it runs.
    instance: Option<String>,
    /// Since when it runs.
    since: Option<Time>,
    /// Before which time it is not tried again.
    until: Option<Time>,
    /// Why the last run did not work, or why its task is held.
    fault: Option<FaultView>,
    /// How many of its runs ended without having worked.
    deferrals: u32,
    /// Which attempt of the task this is, from 1.
    attempt: u32,
    /// When it was queued.
    created: Time,
    /// When anything of it last changed.
    updated: Time,
}

impl From<&Job> for JobView {
    fn from(job: &Job) -> Self {
        let (mut run, mut instance, mut since, mut until, mut fault) = (None, None, None, None, None);
        let state = match &job.state {
            JobState::Queued => JobStateWord::Queued,
            JobState::Running { run: is, instance: whose, since: when, .. } => {
                (run, instance, since) = (Some(*is), Some(*whose), Some((*when).into()));
                JobStateWord::Running
            }
            JobState::Deferred { until: when, fault: why } => {
                (until, fault) = (Some((*when).into()), Some(why.into()));
                JobStateWord::Deferred
            }
            JobState::Held => JobStateWord::Held,
            JobState::Finished { run: was, put_off } => {
                run = Some(*was);
                if let Some(put_off) = put_off {
                    (until, fault) = (Some(put_off.until.into()), Some((&put_off.fault).into()));
                }
                JobStateWord::Finished
            }
            JobState::Done { run: was } => {
                run = Some(*was);
                JobStateWord::Done
            }
            JobState::Failed => JobStateWord::Failed,
            JobState::Cancelled => JobStateWord::Cancelled,
            JobState::Superseded => JobStateWord::Superseded,
        };
        Self {
            id: job.id.to_string(),
            work_item: job.task.work_item.to_string(),
            repo: job.task.repo.to_string(),
            stage: job.stage.to_string(),
            commit: job.commit.to_string(),
            state,
            producer: None,
            run: run.map(|run| run.to_string()),
            instance: instance.map(|instance| instance.to_string()),
            since,
            until,
            fault,
            deferrals: job.deferrals,
            attempt: job.attempt,
            created: job.created.into(),
            updated: job.updated.into(),
        }
    }
}

impl From<&LiveJob> for JobView {
    fn from(live: &LiveJob) -> Self {
        let mut view = Self::from(&live.job);
        view.producer = live.producer.as_ref().map(ToString::to_string);
        view.fault = view.fault.or_else(|| live.hold.as_ref().map(|hold| (&hold.fault).into()));
        view
    }
}

/// A transition lease: somebody is in a task's side-effectful region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct LeaseView {
    /// The work item's key.
    work_item: String,
    /// The repository's name.
    repo: String,
    /// The stage at which it was taken.
    stage: String,
    /// Whether edge effects are done under it: then nobody else of the repository holds such a lease.
    exclusive: bool,
    /// The epoch that came with it.
    epoch: u64,
    /// Since when it is held.
    taken: Time,
    /// For how long that is, in milliseconds.
    age_ms: u64,
    /// Who holds it.
    owner: OwnerView,
}

/// Who holds a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct OwnerView {
    /// The instance.
    instance: String,
    /// Its process, as it was recorded on its own machine; `null` if the instance is not known any more.
    pid: Option<u32>,
    /// Its machine.
    host: Option<String>,
}

impl LeaseView {
    /// A lease as it is at `now`, with what is known of its owner.
    pub(crate) fn of(lease: &Lease, instances: &[Instance], now: Timestamp) -> Self {
        let owner = instances.iter().find(|instance| instance.id == lease.owner);
        Self {
            work_item: lease.task.work_item.to_string(),
            repo: lease.task.repo.to_string(),
            stage: lease.stage.to_string(),
            exclusive: lease.exclusive,
            epoch: lease.epoch.get(),
            taken: lease.taken.into(),
            age_ms: now.since(lease.taken).as_millis(),
            owner: OwnerView {
                instance: lease.owner.to_string(),
                pid: owner.map(|owner| owner.pid),
                host: owner.map(|owner| owner.host.clone()),
            },
        }
    }
}

/// An entry of the event log.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct EventView {
    /// Its place in the log.
    seq: u64,
    /// When it happened.
    at: Time,
    /// What happened, such as `stage-written`.
    kind: String,
    /// The work item's key, if it belongs to a task.
    work_item: Option<String>,
    /// The repository's name, if it belongs to a task.
    repo: Option<String>,
    /// The job, if it belongs to one.
    job: Option<String>,
    /// The run, if it belongs to one.
    run: Option<String>,
    /// The task's epoch after it.
    epoch: Option<u64>,
    /// Further facts.
    detail: Value,
}

impl From<&Event> for EventView {
    fn from(event: &Event) -> Self {
        Self {
            seq: event.seq,
            at: event.at.into(),
            kind: event.kind.clone(),
            work_item: event.task.as_ref().map(|key| key.work_item.to_string()),
            repo: event.task.as_ref().map(|key| key.repo.to_string()),
            job: event.job.map(|job| job.to_string()),
            run: event.run.map(|run| run.to_string()),
            epoch: event.epoch.map(|epoch| epoch.get()),
            detail: event.detail.clone(),
        }
    }
}
