//! The worker: takes one claimed job from its clone to its new stage.
//!
//! It produces without a lease, so that a person's move can overtake it; whether what it found still matters
//! is decided by the store's condition at the end. It decides nothing: the engine does, and here is only
//! carried out what it says.

pub(crate) mod artifact;
mod comment;
mod grants;
mod models;
mod produce;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stagewright_capability::process::Shepherd;
use stagewright_capability::{Cancel, Place};
use stagewright_engine::identity::{Epoch, InstanceId, JobId, TaskKey};
use stagewright_engine::ledger::Ledger;
use stagewright_engine::name::{CommitId, ProducerName, RepoName, StageName};
use stagewright_engine::outcome::{Cause, Fault, Judgement, Outcome};
use stagewright_engine::pipeline::Pipeline;
use stagewright_engine::task::{StageVerdict, Task};
use stagewright_engine::time::Timestamp;
use stagewright_engine::transition::{self, AfterRun, RunEnd};
use stagewright_repository::Bare;
use stagewright_sandbox::{Observer, Sandbox};
use stagewright_store::Store;
use stagewright_store::request::artifact::Artifact;
use stagewright_store::request::conclusion::{
    Attempts, Becomes, ConcludeRefused, Conclusion, Ownership, StageChange,
};
use stagewright_store::request::job::{Claimed, Deference, NewJob};
use stagewright_store::request::run::{Attachment, EndRefused, EndRun, RunEnding};

use tracing::Instrument as _;

pub(crate) use self::grants::ssh_grant;
pub(crate) use self::models::role_of_model;

use crate::clock;
use crate::config::Config;
use crate::installation::Installation;
use crate::state::StateDir;
use crate::transition::FirstSeen;

/// How often a worker looks whether its job was overtaken.
const LOOK: Duration = Duration::from_secs(1);

/// Everything that a worker stands on.
#[derive(Clone)]
pub struct Worker {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// The state folder.
    pub state: StateDir,
    /// The configuration.
    pub config: Arc<Config>,
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
    /// Where this program's parts are.
    pub installation: Installation,
    /// The sandbox.
    pub sandbox: Sandbox,
    /// The shepherd.
    pub shepherd: Shepherd,
    /// This instance.
    pub instance: InstanceId,
    /// What becomes of the stage that follows.
    pub next_job: NextJob,
    /// Whether reports are committed to the task's branch before the stage is written (A3).
    pub commits_reports: bool,
    /// Since when this process knows of effects that others have left open.
    pub first_seen: FirstSeen,
}

/// Whether the job of the stage that follows is queued with the transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextJob {
    /// It is: whoever takes jobs goes on.
    Queue,
    /// It is left to whoever asks for it.
    Leave,
}

/// What a claimed job came to.
#[derive(Debug)]
pub struct Worked {
    /// What the run came to.
    pub outcome: Outcome,
    /// What the engine decided.
    pub after: AfterRun,
    /// The task afterwards.
    pub task: Task,
    /// The artifact as a file, if one was written.
    pub artifact: Option<PathBuf>,
    /// Somebody had taken over in the meantime: nothing was written.
    pub overtaken: bool,
    /// The verdict is kept, and its transition has yet to be completed: there are effects on its way.
    pub finished: bool,
}

/// The store failed, so that nothing could be written down.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The end of a run could not be written.
    #[error("the end of the run could not be written: {0}")]
    End(#[from] EndRefused),
    /// The new stage could not be written.
    #[error("the new stage could not be written: {0}")]
    Conclude(#[from] ConcludeRefused),
    /// The store is in trouble.
    #[error(transparent)]
    Store(#[from] stagewright_store::Error),
}

/// What a run left behind, whether or not it worked.
struct Left {
    outcome: Outcome,
    ledger: Ledger,
    artifact: Option<artifact::Made>,
    /// What the run has made of the code.
    work: Option<CommitId>,
}

impl Left {
    /// Nothing was run.
    fn not_run(outcome: Outcome) -> Self {
        Self { outcome, ledger: Ledger::default(), artifact: None, work: None }
    }
}

impl Worker {
    /// Does the claimed job.
    ///
    /// Whatever goes wrong with the work itself ends as an outcome; an error means that it could not be
    /// written down. The next start then finds the job as one of a dead instance.
    pub async fn work(
        &self,
        claimed: &Claimed,
        producer: &ProducerName,
        bare: &Bare,
        checkout: Option<&Path>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<Worked, Error> {
        // Of the highest level, so that its fields are on every line whatever the log's level is (S7).
        let span = tracing::error_span!(
            "job",
            task = %claimed.task.key,
            job = %claimed.job.id,
            run = %run_of(claimed),
            epoch = %claimed.epoch,
        );
        let work = async {
            let started = clock::now();
            let job = produce::Job { claimed, producer, bare, checkout, started };
            let left = self.produce(&job, cancel.clone(), observer).await;
            let worked = self.conclude(claimed, producer, left).await;
            self.clear_away(claimed).await;
            worked
        };
        tokio::select! {
            worked = work.instrument(span) => worked,
            never = self.end_when_overtaken(claimed, &cancel) => match never {},
        }
    }

    /// Looks whether the job is still ours, and ends its run when it is not: a person has moved or given up the task, or
    /// a lease was forced. Nothing depends on it but the time that a stale run wastes: what it wants to write is refused.
    async fn end_when_overtaken(&self, claimed: &Claimed, cancel: &Cancel) -> Infallible {
        loop {
            tokio::time::sleep(LOOK).await;
            // A store in trouble proves nothing.
            let Ok(Some(task)) = self.store.task(&claimed.task.key).await else { continue };
            if task.epoch != claimed.epoch {
                cancel.cancel(Cause::Superseded);
                return std::future::pending().await;
            }
        }
    }

    async fn produce(&self, job: &produce::Job<'_>, cancel: Cancel, observer: Arc<dyn Observer>) -> Left {
        let fault = match self.prepare(job, cancel).await {
            Ok(ready) => return self.run(job, ready, observer).await,
            Err(outcome) => *outcome,
        };
        Left::not_run(fault)
    }

    async fn conclude(
        &self,
        claimed: &Claimed,
        producer: &ProducerName,
        left: Left,
    ) -> Result<Worked, Error> {
        let Left { outcome, ledger, artifact, work } = left;
        let now = clock::now();
        let gate = artifact.as_ref().map(|made| &made.gate);
        let end = RunEnd { outcome: &outcome, gate, saw_work: ledger.shows_work() };
        // Of the producer that ran, which may be the stage's fallback.
        let budget = self.config.deferrals_of(producer);
        // The task as it is now, not as it was when the job began: a person may have moved it.
        let task = self.store.task(&claimed.task.key).await?.unwrap_or_else(|| claimed.task.clone());
        let after = transition::after_run(&self.pipeline, &task, &claimed.job, end, &budget, now);
        let run = run_of(claimed);
        let attachments = attachments(&ledger);
        let mut finished = false;
        let mut held_since = None;
        let projected = artifact.as_ref().map(|made| made.artifact.clone());
        let written = match (&after, artifact) {
            (AfterRun::Move(to), Some(made))
                if self.commits_reports || !to.effects.is_empty() || work.is_some() =>
            {
                let artifact_sha256 = made.artifact.sha256.clone();
                let mut verdict = verdict_of(to, claimed, artifact_sha256, now);
                // What was made is what the verdict is about, and what the stages that follow examine.
                verdict.commit = work.unwrap_or(verdict.commit);
                let end = EndRun {
                    job: claimed.job.id,
                    run,
                    epoch: claimed.epoch,
                    outcome: outcome.clone(),
                    ending: RunEnding::Finished { artifact: made.artifact, verdict },
                    ledger,
                    attachments,
                    events: Vec::new(),
                    now,
                };
                finished = true;
                self.end_run(end).await?
            }
            (AfterRun::Move(to), Some(made)) => {
                let verdict = verdict_of(to, claimed, made.artifact.sha256.clone(), now);
                let ownership = self.ownership(&claimed.task.key.repo, claimed.epoch);
                let conclusion = Conclusion {
                    job: claimed.job.id,
                    run,
                    outcome: outcome.clone(),
                    artifact: made.artifact,
                    verdict,
                    ledger: ledger.clone(),
                    attachments: attachments.clone(),
                    // No effects: nothing happens between taking the lease and the write.
                    change: self.stage_change(&claimed.task.key, to, ownership, &claimed.job.commit, now),
                };
                match self.store.conclude(conclusion).await {
                    Ok(_) => Ok(()),
                    // Held, or ended, between the look and the write: what follows from that is the engine's to say.
                    // Without a word the job would run on under nobody.
                    Err(ConcludeRefused::NotActive(task)) => {
                        let end = RunEnd { outcome: &outcome, gate: None, saw_work: ledger.shows_work() };
                        let after =
                            transition::after_run(&self.pipeline, &task, &claimed.job, end, &budget, now);
                        let end = EndRun {
                            job: claimed.job.id,
                            run,
                            epoch: claimed.epoch,
                            outcome: outcome.clone(),
                            ending: ending(&after),
                            ledger,
                            attachments,
                            events: Vec::new(),
                            now,
                        };
                        held_since = Some(after);
                        self.end_run(end).await?
                    }
                    Err(refused) if overtaken(&refused) => Err(Overtaken),
                    Err(refused) => return Err(refused.into()),
                }
            }
            (after, _) => {
                let end = EndRun {
                    job: claimed.job.id,
                    run,
                    epoch: claimed.epoch,
                    outcome: outcome.clone(),
                    ending: ending(after),
                    ledger,
                    attachments,
                    events: Vec::new(),
                    now,
                };
                self.end_run(end).await?
            }
        };
        let artifact = projected.and_then(|artifact| self.project(claimed, &artifact));
        let task = self.store.task(&claimed.task.key).await?.unwrap_or(task);
        let overtaken = written.is_err();
        let after = held_since.unwrap_or(after);
        Ok(Worked { outcome, after, task, artifact, overtaken, finished: finished && !overtaken })
    }

    async fn end_run(&self, end: EndRun) -> Result<Result<(), Overtaken>, Error> {
        match self.store.end_run(end).await {
            Ok(()) => Ok(Ok(())),
            Err(EndRefused::Fenced { .. } | EndRefused::NotRunning(_)) => Ok(Err(Overtaken)),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Writes the artifact's file, with the attachments beside it as the report says. What was decided stands without
    /// it.
    fn project(&self, claimed: &Claimed, artifact: &Artifact) -> Option<PathBuf> {
        let run = run_of(claimed);
        let folder = self.state.report(&claimed.task.key, &claimed.job.stage, run);
        match artifact::project(&folder, artifact) {
            Ok(file) => {
                let kept = self.state.log(run).join("attachments");
                if kept.is_dir() {
                    // Without them it is still a report.
                    let _ = std::fs::rename(kept, folder.join("attachments"));
                }
                Some(file)
            }
            Err(error) => {
                tracing::warn!(%error, "the report's file could not be written; the store has its text");
                None
            }
        }
    }

    /// The stage that a verdict leads to. The next job is for `commit`.
    pub(crate) fn stage_change(
        &self,
        task: &TaskKey,
        to: &transition::Move,
        ownership: Ownership,
        commit: &CommitId,
        now: Timestamp,
    ) -> StageChange {
        let becomes = match (&to.hold, to.arrives) {
            (Some(hold), _) => Becomes::Held(hold.clone()),
            (None, true) => Becomes::Done,
            (None, false) => Becomes::Active { next_job: self.next_job(task, &to.to, commit, now) },
        };
        StageChange {
            task: task.clone(),
            expected_stage: to.expected.clone(),
            to: to.to.clone(),
            ownership,
            completes: None,
            past_a_hold: false,
            attempts: if to.spends_attempt { Attempts::Spend } else { Attempts::Keep },
            becomes,
            reason: to.reason.clone(),
            events: Vec::new(),
            now,
        }
    }

    /// The job of the stage that follows.
    fn next_job(
        &self,
        task: &TaskKey,
        stage: &StageName,
        commit: &CommitId,
        now: Timestamp,
    ) -> Option<NewJob> {
        let queued = self.next_job == NextJob::Queue && self.pipeline.work(stage).is_some();
        queued.then(|| NewJob {
            id: JobId::new(clock::new_id()),
            task: task.clone(),
            stage: stage.clone(),
            commit: commit.clone(),
            now,
        })
    }

    /// Ends a claimed job whose work could not even be begun.
    pub(crate) async fn give_back(
        &self,
        claimed: &Claimed,
        producer: &ProducerName,
        outcome: Outcome,
    ) -> Result<Worked, Error> {
        self.conclude(claimed, producer, Left::not_run(outcome)).await
    }

    /// The right to write a stage in one transaction, by the operator's word on leases (O8).
    pub(crate) fn ownership(&self, repo: &RepoName, epoch: Epoch) -> Ownership {
        let owner = self.instance;
        match self.deference(repo) {
            Deference::ToOwner => Ownership::TakeNow { owner, epoch },
            Deference::ToNobody => Ownership::Unleased { owner, epoch },
        }
    }

    /// Whether actors defer to whoever holds the lease of a task of this repository (O8).
    pub(crate) fn deference(&self, repo: &RepoName) -> Deference {
        if self.config.lease_holds(repo) { Deference::ToOwner } else { Deference::ToNobody }
    }

    /// Removes the run's disposable folders. What can't be removed is for the next start's sweep.
    async fn clear_away(&self, claimed: &Claimed) {
        let run = run_of(claimed);
        let folders = [self.state.run(run), Place::tmp_of(run)];
        for folder in folders {
            if let Err(error) = stagewright_repository::removal::remove(&folder).await {
                tracing::warn!(folder = %folder.display(), %error, "a folder of a run could not be removed");
            }
        }
    }
}

/// Somebody had taken over, or moved the task: what the run came to no longer matters.
struct Overtaken;

fn overtaken(refused: &ConcludeRefused) -> bool {
    matches!(
        refused,
        ConcludeRefused::StageMoved { .. }
            | ConcludeRefused::EpochMoved { .. }
            | ConcludeRefused::Owned { .. }
            | ConcludeRefused::LeaseLost
            | ConcludeRefused::NotRunning(_)
    )
}

/// What the gate has read in the artifact of a claimed job.
fn verdict_of(
    to: &transition::Move,
    claimed: &Claimed,
    artifact_sha256: String,
    at: Timestamp,
) -> StageVerdict {
    StageVerdict {
        judgement: to.judgement,
        fails_in_a_row: to.fails_in_a_row,
        commit: claimed.job.commit.clone(),
        artifact_sha256,
        run: run_of(claimed),
        at,
    }
}

fn ending(after: &AfterRun) -> RunEnding {
    match after {
        AfterRun::Defer { until, fault } => RunEnding::Deferred { until: *until, fault: fault.clone() },
        AfterRun::Hold(hold) => RunEnding::Held(hold.clone()),
        AfterRun::Cancel(cause) => RunEnding::Cancelled(*cause),
        AfterRun::Requeue => RunEnding::Requeued,
        // A move without an artifact does not exist: the engine moves on what a gate read.
        AfterRun::Supersede | AfterRun::Move(_) => RunEnding::Superseded,
    }
}

fn attachments(ledger: &Ledger) -> Vec<Attachment> {
    use stagewright_engine::ledger::Act;
    let kept = ledger.entries().iter().filter_map(|entry| match &entry.act {
        Act::Attachment { name, content } => {
            Some(Attachment { name: name.clone(), content: content.clone() })
        }
        _ => None,
    });
    kept.collect()
}

/// The run of a claimed job.
pub fn run_of(claimed: &Claimed) -> stagewright_engine::identity::RunId {
    use stagewright_engine::job::JobState;
    match claimed.job.state {
        JobState::Running { run, .. } => run,
        _ => unreachable!("a claimed job is a running one"),
    }
}

impl Worked {
    /// What was found out, if the work ran and its artifact was accepted.
    pub fn judgement(&self) -> Option<Judgement> {
        match &self.after {
            AfterRun::Move(to) if !self.overtaken => Some(to.judgement),
            _ => None,
        }
    }

    /// Why the work did not run, or why its artifact was not accepted.
    pub fn fault(&self) -> Option<&Fault> {
        match &self.after {
            AfterRun::Defer { fault, .. } => Some(fault),
            AfterRun::Hold(hold) => Some(&hold.fault),
            _ => None,
        }
    }

    /// Whether the run was ended on purpose.
    pub fn cancelled(&self) -> Option<Cause> {
        match &self.outcome {
            Outcome::Cancelled(cause) => Some(*cause),
            _ => None,
        }
    }
}
