//! `run`: one stage for one work item of a local repository, through the full path, without a daemon (S2).
//!
//! The user's checkout, index, branches and `.git` are only read. The repository is in scope by being named.

mod submit;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use stagewright_capability::Cancel;
use stagewright_engine::effect::EffectEnding;
use stagewright_engine::identity::JobId;
use stagewright_engine::name::{BranchName, ProducerName, StageName, WorkItem};
use stagewright_engine::outcome::{Outcome, Report, Tally};
use stagewright_engine::transition::AfterRun;
use stagewright_repository::source::Source;
use stagewright_repository::{Delivery, Refusal};

use self::submit::{Submitted, submit};
use super::config_command::load;
use super::output::print;
use super::progress::Progress;
use super::run_report::{RunOutcome, RunReport};
use super::{Failure, Global, run_text};
use crate::branch::ExaminedBranch;
use crate::effect::{ARTIFACT, WORK, commit_report};
use crate::exit::Exit;
use crate::host::{self, Host};
use crate::state;
use crate::transition::Completed;
use crate::worker::{Worked, Worker};

/// What `run` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stagewright run --repo . --work-item SHOP-12\n  stagewright run --repo ~/shop --work-item SHOP-12 --branch feature/basket --json\n\nExit code: 0 PASS, 1 FAIL, 75 deferred or busy, 78 held, 130 cancelled, 2 wrong use, 70 internal."
)]
pub(crate) struct RunArgs {
    /// The repository: its checkout, or a bare one
    #[arg(long, value_name = "FOLDER")]
    pub(crate) repo: PathBuf,
    /// The work item's key in the tracker, such as SHOP-12
    #[arg(long, value_name = "KEY")]
    pub(crate) work_item: String,
    /// The stage to do
    #[arg(long, value_name = "STAGE", default_value = "testing")]
    pub(crate) stage: String,
    /// The branch whose head is examined [default: the one that is checked out]
    #[arg(long, value_name = "BRANCH")]
    pub(crate) branch: Option<String>,
    /// Add the artifact to the task's branch, if that is not checked out anywhere
    #[arg(long)]
    pub(crate) commit: bool,
    /// Do the stage again though the task has moved on
    #[arg(long)]
    pub(crate) again: bool,
}

/// The arguments, checked.
struct Request {
    repo: PathBuf,
    work_item: WorkItem,
    stage: StageName,
    branch: Option<BranchName>,
    again: bool,
}

pub(crate) async fn run(global: &Global, args: &RunArgs) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let config = load(global)?;
    let pipeline = host::pipeline(&config, &args.repo)?;
    let request = Request {
        repo: args.repo.clone(),
        work_item: WorkItem::new(args.work_item.clone())?,
        stage: stage(&args.stage, &pipeline)?,
        branch: args.branch.clone().map(BranchName::new).transpose()?,
        again: args.again,
    };
    let progress = Arc::new(Progress::new(global.json));
    // Looked at before anything is made: a state folder in the repository would be examined with it.
    let git = host::git(&config).await?;
    let source = Source::find(&git, &request.repo).await?;
    state::outside_of(&host::state_location(&config)?, &source.top)?;

    let host = Host::start(config, pipeline, git).await?;
    for dead in &host.taken_over {
        progress.step(&format!(
            "process {} ended in the middle of its work; took over {} of its jobs",
            dead.instance.pid, dead.jobs
        ));
    }
    let ended = Run { host: &host, progress: &progress, begun }.of(&request, source, args.commit).await;
    host.end().await;
    progress.clear();
    let Ended { report, found } = ended?;
    let text = if global.json {
        let json = serde_json::to_string(&report);
        json.map_err(|error| Failure::internal("the result could not be written", &error))? + "\n"
    } else {
        run_text::text(&report, found.as_ref())
    };
    print(&text);
    Ok(report.exit())
}

fn stage(text: &str, pipeline: &stagewright_engine::pipeline::Pipeline) -> Result<StageName, Failure> {
    let stages = || {
        let names: Vec<&str> = pipeline.stages().iter().map(|stage| stage.name.as_str()).collect();
        names.join(", ")
    };
    let unknown = || {
        let near = pipeline.nearest(text).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        Failure::usage(format!("the pipeline has no stage `{text}`{near} (it has: {})", stages()))
    };
    let name = StageName::new(text)?;
    match pipeline.stage(&name) {
        None => Err(unknown()),
        Some(stage) if stage.work.is_none() => Err(Failure::usage(format!(
            "the stage `{text}` is the end of the pipeline; nothing is done there"
        ))),
        Some(_) => Ok(name),
    }
}

/// How a run ended, for the caller.
struct Ended {
    report: RunReport,
    found: Option<Report>,
}

struct Run<'a> {
    host: &'a Host,
    progress: &'a Arc<Progress>,
    begun: Instant,
}

impl Run<'_> {
    async fn of(&self, request: &Request, source: Source, commit: bool) -> Result<Ended, Failure> {
        let worker = &self.host.worker;
        let producer = self.producer(request)?;
        self.check_commit(request, commit)?;
        let submitted = submit(self.host, request, source, &producer, self.progress).await?;
        let (claimed, bare, checkout) = match submitted {
            Submitted::Claimed { claimed, bare, checkout } => (claimed, bare, checkout),
            Submitted::Finished(job) => {
                self.progress.step("its suite was judged before; going on from there");
                let mut report = submit::finished(self.host, request, &job).await?;
                self.complete(job.id, commit, &mut report).await?;
                return Ok(Ended { report: self.timed(report), found: None });
            }
            Submitted::Ended(report) => return Ok(Ended { report: self.timed(*report), found: None }),
        };
        self.progress.step(&format!(
            "{} at {}, commit {} of {}, by {producer}",
            claimed.task.key.work_item,
            claimed.job.stage,
            claimed.job.commit.short(),
            claimed.task.branch
        ));
        let cancel = Cancel::new();
        let interrupted = tokio::spawn(watch::cancel_on_signal(cancel.clone()));
        let observer = Arc::new(watch::Shown::new(Arc::clone(self.progress)));
        // Boxed, as what it does is long, and whoever asks for it should not carry all of that.
        let work = worker.work(&claimed, &producer, &bare, checkout.as_deref(), cancel.clone(), observer);
        let worked = Box::pin(work).await;
        let worked = worked.map_err(|error| Failure::internal("the result could not be kept", &error))?;
        // A transition with effects commits the report itself, behind the work.
        if commit && !worked.finished && worked.judgement().is_some() {
            self.commit(&claimed, &bare).await?;
        }
        let mut ended = self.tell(request, &claimed, &worked);
        if worked.finished {
            self.complete(claimed.job.id, commit, &mut ended.report).await?;
        }
        if worker.wants_comment(&producer, &worked) {
            self.progress.step("asking a model for its comment");
            if let Some(file) = worker.comment(&claimed, &producer, &worked, cancel).await {
                self.progress.always(&format!("a model's comment on it is in {}", file.display()));
            }
        }
        interrupted.abort();
        Ok(ended)
    }

    /// The effects on the way to the next stage, and what became of them.
    async fn complete(&self, job: JobId, commit: bool, report: &mut RunReport) -> Result<(), Failure> {
        let worker = Worker { commits_reports: commit, ..self.host.worker.clone() };
        let Some(job) = worker.store.job(job).await? else { return Ok(()) };
        report.commit = Some(job.commit.clone());
        self.progress.step("doing what has to be done before the next stage");
        let cancel = Cancel::new();
        let interrupted = tokio::spawn(watch::cancel_on_signal(cancel.clone()));
        let completed = worker.complete(&job, &self.host.repositories, &cancel).await;
        interrupted.abort();
        for record in worker.store.effects(&job.task).await? {
            let of_the_branch = [ARTIFACT, WORK].contains(&record.name.as_str());
            if let (true, true, Some((EffectEnding::Done(what), _))) =
                (record.job == job.id, of_the_branch, &record.ended)
            {
                self.progress.always(&format!("{}: {what}", record.name));
            }
        }
        match completed.map_err(|error| Failure::internal("the transition could not be kept", &error))? {
            Completed::Moved { task, .. } => report.to_stage = task.stage,
            Completed::PutOff(fault) => {
                (report.outcome, report.fault) = (RunOutcome::Deferred, Some(fault.into()))
            }
            Completed::Held(fault) => (report.outcome, report.fault) = (RunOutcome::Held, Some(fault.into())),
            Completed::Busy => report.outcome = RunOutcome::Busy,
            // What was judged did not lead anywhere, so nothing vouches for what is on the branch now.
            Completed::Stale | Completed::Overtaken => {
                report.judgement = None;
                report.outcome = match cancel.cause() {
                    Some(_) => RunOutcome::Cancelled,
                    None => RunOutcome::Superseded,
                };
            }
        }
        Ok(())
    }

    /// The producer of the stage, or its fallback where the operator has switched it off (P4). The repository
    /// is in scope by being named.
    fn producer(&self, request: &Request) -> Result<ProducerName, Failure> {
        let worker = &self.host.worker;
        let work = worker.pipeline.stage(&request.stage).and_then(|stage| stage.work.as_ref());
        let work =
            work.ok_or_else(|| Failure::usage(format!("the stage `{}` has no work", request.stage)))?;
        match (worker.config.is_enabled(&work.producer), &work.fallback) {
            (true, _) => Ok(work.producer.clone()),
            (false, Some(fallback)) => Ok(fallback.clone()),
            (false, None) => Err(Failure::usage(format!(
                "the {} is switched off, and the stage `{}` has no fallback",
                work.producer, request.stage
            ))),
        }
    }

    /// A stage that leaves work has nowhere to leave it without the branch.
    fn check_commit(&self, request: &Request, commit: bool) -> Result<(), Failure> {
        let work = self.host.worker.pipeline.work(&request.stage);
        match work.is_some_and(|work| work.takes_work) && !commit {
            true => Err(Failure::usage(format!(
                "the stage `{}` leaves its work on the task's branch, so it needs --commit",
                request.stage
            ))),
            false => Ok(()),
        }
    }

    async fn commit(
        &self,
        claimed: &stagewright_store::request::job::Claimed,
        bare: &stagewright_repository::Bare,
    ) -> Result<(), Failure> {
        let store = &self.host.worker.store;
        let run = crate::worker::run_of(claimed);
        let stored = store.artifact_of_run(run).await?;
        let Some(stored) = stored else { return Ok(()) };
        let (branch, examined) = (&claimed.task.branch, &claimed.job.commit);
        let at = ExaminedBranch { source: bare.source_head(branch).await?, head: examined.clone() };
        let (made, delivery) = commit_report(bare, branch, &at, examined, &stored).await?;
        let told = match delivery {
            Delivery::Delivered | Delivery::AlreadyThere => {
                format!("the artifact is on {branch} in commit {}", made.short())
            }
            Delivery::Refused(Refusal::CheckedOut { folder, command }) => format!(
                "{branch} is checked out in {}, so it was left alone; to take the artifact's commit: {command}",
                folder.display()
            ),
            Delivery::Refused(Refusal::Moved { .. }) => {
                format!(
                    "{branch} has moved meanwhile, so the artifact was not added to it; run the stage again"
                )
            }
            Delivery::Refused(Refusal::NotTheHosts) => {
                format!("{branch} has other commits than the ones that were examined, so it was left alone")
            }
        };
        self.progress.always(&told);
        Ok(())
    }

    fn tell(
        &self,
        request: &Request,
        claimed: &stagewright_store::request::job::Claimed,
        worked: &Worked,
    ) -> Ended {
        let judgement = worked.judgement();
        let fault = worked.fault().cloned();
        let rejected = fault.as_ref().is_some_and(|fault| fault.code == "artifact-rejected");
        let outcome = match &worked.after {
            _ if worked.overtaken => RunOutcome::Superseded,
            AfterRun::Move(_) => RunOutcome::Verdict,
            // The work ran, and the gate does not accept what it left: a script sees a FAIL.
            AfterRun::Hold(_) if rejected => RunOutcome::Verdict,
            AfterRun::Hold(_) => RunOutcome::Held,
            AfterRun::Defer { .. } => RunOutcome::Deferred,
            AfterRun::Cancel(_) | AfterRun::Requeue => RunOutcome::Cancelled,
            AfterRun::Supersede => RunOutcome::Superseded,
        };
        let found = match &worked.outcome {
            Outcome::Verdict(report) => Some(report.clone()),
            _ => None,
        };
        let report = RunReport {
            work_item: request.work_item.clone(),
            stage: request.stage.clone(),
            job: Some(claimed.job.id),
            run: Some(crate::worker::run_of(claimed)),
            outcome,
            judgement,
            from_stage: claimed.job.stage.clone(),
            to_stage: worked.task.stage.clone(),
            artifact: worked.artifact.clone(),
            commit: Some(claimed.job.commit.clone()),
            fault: fault.map(Into::into),
            tally: found.as_ref().map_or_else(Tally::default, |found| found.tally),
            duration_ms: 0,
        };
        Ended { report: self.timed(report), found }
    }

    fn timed(&self, report: RunReport) -> RunReport {
        let duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        RunReport { duration_ms, ..report }
    }
}
