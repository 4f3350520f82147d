//! From what the user asked for to a claimed job: repository, branch, task, job.
//!
//! Each step can end the call: the task is held, is elsewhere, or somebody else is at it. Then nothing is
//! done, and the report says where the task is.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use stagewright_engine::identity::{JobId, RunId, TaskKey};
use stagewright_engine::job::{Job, JobState};
use stagewright_engine::name::{CommitId, ProducerName};
use stagewright_engine::outcome::{Fault, Tally};
use stagewright_engine::task::{Task, TaskState};
use stagewright_engine::transition::{self, AfterPush, AfterRequest, PersonMove};
use stagewright_repository::Bare;
use stagewright_repository::source::Source;
use stagewright_store::request::conclusion::{Attempts, Becomes, StageChange};
use stagewright_store::request::job::{Claim, ClaimRefused, Claimed, Due, EnqueueRefused, Limits, NewJob};
use stagewright_store::request::repo::NewRepo;
use stagewright_store::request::task::{NewTask, ObserveHead};

use super::Request;
use crate::cli::Failure;
use crate::cli::progress::Progress;
use crate::cli::run_report::{RunOutcome, RunReport};
use crate::clock;
use crate::host::{self, Host};

/// A job that is ours, or the end of the call.
pub(super) enum Submitted {
    /// Ours.
    Claimed { claimed: Box<Claimed>, bare: Box<Bare>, checkout: Option<PathBuf> },
    /// Its work was done before, and its transition was not completed: the next thing is that.
    Finished(Box<Job>),
    /// There is nothing to do, or not now.
    Ended(Box<RunReport>),
}

pub(super) async fn submit(
    host: &Host,
    request: &Request,
    source: Source,
    producer: &ProducerName,
    progress: &Arc<Progress>,
) -> Result<Submitted, Failure> {
    let worker = &host.worker;
    let store = &worker.store;
    let repo = host::repo_name(&worker.config, &request.repo)?;
    progress.step(&format!("copying {}", request.repo.display()));
    let bare = host.repositories.open_source(&repo, source).await?;
    let source = bare.source();
    let branch = match &request.branch {
        Some(branch) => branch.clone(),
        None => source.branch().cloned().ok_or_else(|| {
            Failure::usage(format!(
                "{} has no branch checked out; name one with --branch <branch>",
                request.repo.display()
            ))
        })?,
    };
    let head = bare.head_when_opened(&branch).await?;
    let checkout = (!source.bare).then(|| source.top.clone());

    let now = clock::now();
    store.put_repo(NewRepo { name: repo.clone(), source: source.top.clone(), now }).await?;
    let key = TaskKey { repo, work_item: request.work_item.clone() };
    let new = NewTask { key: key.clone(), stage: request.stage.clone(), branch: branch.clone(), now };
    let mut task = store.add_task(new).await?;
    if task.branch != branch && request.branch.is_some() {
        return Err(Failure::usage(format!(
            "{} is on the branch `{}`, not on `{branch}`; leave --branch away, or use another work item key",
            key.work_item, task.branch
        )));
    }
    let head = if task.branch == branch { head } else { bare.head_when_opened(&task.branch).await? };
    task = store
        .observe_head(ObserveHead { task: key.clone(), head: head.clone(), changed_reports: Vec::new(), now })
        .await?;

    if let Some(hold) = task.hold() {
        return Ok(ended(request, &task, RunOutcome::Held, Some(hold.fault.clone())));
    }
    if let Some(report) = busy(host, request, &task).await? {
        return Ok(report);
    }
    let same;
    (task, same) = follow_push(host, &bare, task, &head).await?;
    if task.stage != request.stage || task.state != TaskState::Active {
        if !request.again {
            // An old verdict vouches for the code that it is about, and for no other.
            task.verdicts.retain(|_, verdict| same.contains(&verdict.commit));
            return Ok(ended(request, &task, RunOutcome::Superseded, Some(moved_on(&task))));
        }
        task = put_back(host, request, task).await?;
    }
    let limit = worker.config.producers.get(producer).and_then(|producer| producer.producer.jobs);
    let limits =
        Limits { host: worker.config.limits.jobs, producer: limit.map(|limit| (producer.clone(), limit)) };
    claim(host, request, task, head, limits, bare, checkout).await
}

/// Queues the job and makes it ours.
async fn claim(
    host: &Host,
    request: &Request,
    task: Task,
    head: CommitId,
    limits: Limits,
    bare: Bare,
    checkout: Option<PathBuf>,
) -> Result<Submitted, Failure> {
    let worker = &host.worker;
    let now = clock::now();
    let new = NewJob {
        id: JobId::new(clock::new_id()),
        task: task.key.clone(),
        stage: request.stage.clone(),
        commit: head,
        now,
    };
    let job = match worker.store.enqueue(new).await {
        Ok(job) => job,
        Err(EnqueueRefused::Store(error)) => return Err(error.into()),
        Err(refused) => return Err(Failure::later(format!("{}: {refused}; try again", task.key))),
    };
    let claim = Claim {
        job: job.id,
        expected_stage: request.stage.clone(),
        instance: worker.instance,
        run: RunId::new(clock::new_id()),
        // A person who calls `run` wants it now.
        due: Due::AtOnce,
        deference: worker.deference(&task.key.repo),
        now,
        limits,
    };
    if matches!(job.state, JobState::Finished { .. }) {
        return Ok(Submitted::Finished(Box::new(job)));
    }
    match worker.store.claim(claim).await {
        Ok(claimed) => Ok(Submitted::Claimed { claimed: Box::new(claimed), bare: Box::new(bare), checkout }),
        Err(ClaimRefused::Busy { .. }) => match busy(host, request, &task).await? {
            Some(report) => Ok(report),
            None => Err(Failure::later(format!("somebody else was at {} just now; try again", task.key))),
        },
        Err(ClaimRefused::LimitReached { running, limit, .. }) => {
            let message = format!("{running} of at most {limit} jobs are running on this state folder");
            let fault =
                Fault::new("limit-reached", message).with_remedy("try again later, or raise limits.jobs");
            Ok(ended(request, &task, RunOutcome::Busy, Some(fault)))
        }
        Err(ClaimRefused::Store(error)) => Err(error.into()),
        Err(refused) => Err(Failure::later(format!("{}: {refused}; try again", task.key))),
    }
}

/// Who is at the task, if somebody living is.
async fn busy(host: &Host, request: &Request, task: &Task) -> Result<Option<Submitted>, Failure> {
    let store = &host.worker.store;
    let running = store.live_job(&task.key).await?.and_then(|job| match job.state {
        JobState::Running { instance, since, .. } => Some((instance, since)),
        _ => None,
    });
    let lease = store.lease(&task.key).await?.map(|lease| (lease.owner, lease.taken));
    let Some((owner, since)) = running.or(lease) else { return Ok(None) };
    let instances = store.instances().await?;
    let who = instances.iter().find(|instance| instance.id == owner).map_or_else(
        || format!("instance {owner}"),
        |instance| format!("process {} on {}", instance.pid, instance.host),
    );
    let message = format!("{who} is at {} since {} ago", task.key.work_item, clock::now().since(since));
    let fault = Fault::new("busy", message).with_remedy("wait for its end, or end that process");
    Ok(Some(ended(request, task, RunOutcome::Busy, Some(fault))))
}

/// A push voids verdicts about other code: back to the earliest stage that has to judge anew (E5). With the task come the
/// commits that are the same code as the branch's head.
async fn follow_push(
    host: &Host,
    bare: &Bare,
    task: Task,
    head: &CommitId,
) -> Result<(Task, BTreeSet<CommitId>), Failure> {
    // A waiting job for the old commit needs no word here: the one for the new head takes its place as it is queued. One
    // whose work is done would be gone on with.
    let finished = host.worker.store.live_job(&task.key).await?;
    let finished = finished.filter(|job| matches!(job.state, JobState::Finished { .. }));
    let same = host.worker.same_code(bare, &task, finished.as_ref(), head).await?;
    let after = transition::after_push(&host.worker.pipeline, &task, finished.as_ref(), |commit| {
        same.contains(commit)
    });
    let reason = format!("the branch moved to {}", head.short());
    let task = match after {
        AfterPush::Back { expected, to } => move_to(host, task, expected, to, Attempts::Keep, reason).await?,
        AfterPush::Restart => {
            let stage = task.stage.clone();
            move_to(host, task, stage.clone(), stage, Attempts::Keep, reason).await?
        }
        AfterPush::Nothing => task,
    };
    Ok((task, same))
}

/// A person asks for the stage again: the engine says what that means.
async fn put_back(host: &Host, request: &Request, task: Task) -> Result<Task, Failure> {
    let wish = transition::Request::Move { to: request.stage.clone() };
    let after = transition::after_request(&host.worker.pipeline, &task, &wish, clock::now());
    match after.map_err(|refused| Failure::usage(format!("{}: {refused}", task.key)))? {
        AfterRequest::Move(PersonMove { expected, to, .. }) => {
            move_to(host, task, expected, to, Attempts::Reset, "run --again".to_owned()).await
        }
        AfterRequest::Hold(_) | AfterRequest::Resume | AfterRequest::Nothing => Ok(task),
    }
}

async fn move_to(
    host: &Host,
    task: Task,
    expected: stagewright_engine::name::StageName,
    to: stagewright_engine::name::StageName,
    attempts: Attempts,
    reason: String,
) -> Result<Task, Failure> {
    let change = StageChange {
        task: task.key.clone(),
        expected_stage: expected,
        to,
        ownership: host.worker.ownership(&task.key.repo, task.epoch),
        completes: None,
        // Who begins the attempts anew is a person.
        past_a_hold: attempts == Attempts::Reset,
        attempts,
        becomes: Becomes::Active { next_job: None },
        reason,
        events: Vec::new(),
        now: clock::now(),
    };
    let moved = host.worker.store.move_stage(change).await;
    moved.map_err(|refused| Failure::later(format!("{} was not moved: {refused}; try again", task.key)))
}

fn moved_on(task: &Task) -> Fault {
    let place = match &task.state {
        TaskState::Done => "is done".to_owned(),
        TaskState::Cancelled => "is cancelled".to_owned(),
        TaskState::Active | TaskState::Held(_) => format!("is at `{}`", task.stage),
    };
    Fault::new("moved-on", format!("{} {place}; nothing was done", task.key.work_item))
        .with_remedy("to do the stage again: run --again")
}

/// The report of a job whose work was done before.
pub(super) async fn finished(host: &Host, request: &Request, job: &Job) -> Result<RunReport, Failure> {
    let worker = &host.worker;
    let verdict = worker.store.task(&job.task).await?.and_then(|mut task| task.verdicts.remove(&job.stage));
    let file = match &verdict {
        None => None,
        Some(verdict) => worker.store.artifact_of_run(verdict.run).await?.map(|stored| {
            let name = stored.artifact.path.rsplit('/').next().unwrap_or_default().to_owned();
            worker.state.report(&job.task, &job.stage, verdict.run).join(name)
        }),
    };
    Ok(RunReport {
        work_item: request.work_item.clone(),
        stage: request.stage.clone(),
        job: Some(job.id),
        run: verdict.as_ref().map(|verdict| verdict.run),
        outcome: RunOutcome::Verdict,
        judgement: verdict.as_ref().map(|verdict| verdict.judgement),
        from_stage: job.stage.clone(),
        to_stage: job.stage.clone(),
        artifact: file.filter(|file| file.exists()),
        commit: Some(job.commit.clone()),
        fault: None,
        tally: Tally::default(),
        duration_ms: 0,
    })
}

fn ended(request: &Request, task: &Task, outcome: RunOutcome, fault: Option<Fault>) -> Submitted {
    let verdict = task.verdicts.get(&request.stage).filter(|_| outcome == RunOutcome::Superseded);
    Submitted::Ended(Box::new(RunReport {
        work_item: request.work_item.clone(),
        stage: request.stage.clone(),
        job: None,
        run: None,
        outcome,
        judgement: verdict.map(|verdict| verdict.judgement),
        from_stage: task.stage.clone(),
        to_stage: task.stage.clone(),
        artifact: None,
        commit: verdict.map(|verdict| verdict.commit.clone()).or_else(|| task.head.clone()),
        fault: fault.map(Into::into),
        tally: Tally::default(),
        duration_ms: 0,
    }))
}
