//! From a claimed job to a report: clone, component, capabilities, run, artifact.
//!
//! Whatever can't be prepared is a fault: held where a person has to mend something, deferred where it may
//! pass. None of it is ever a verdict.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stagewright_capability::{Cancel, Place};
use stagewright_engine::gate::Question;
use stagewright_engine::ledger::{Act, Ledger};
use stagewright_engine::name::{BranchName, CommitId, ProducerName};
use stagewright_engine::outcome::{Fault, Judgement, Outcome, Report};
use stagewright_engine::pipeline::Work;
use stagewright_engine::time::Timestamp;
use stagewright_engine::verdict::{Artifact, ArtifactFacts};
use stagewright_repository::{self as repository, Bare};
use stagewright_sandbox::{Assignment, Descriptor, Limits, Observer, Produced, Producer};
use stagewright_store::request::job::Claimed;

use super::models::TaskPurse;
use super::{Left, Worker, artifact, run_of};
use crate::config::sections::ModelWay;
use crate::config::{LLM_FALLBACK, TEST_RUNNER};
use crate::{clock, component};

/// A claimed job, and where its code comes from.
pub(super) struct Job<'a> {
    pub(super) claimed: &'a Claimed,
    pub(super) producer: &'a ProducerName,
    pub(super) bare: &'a Bare,
    /// The user's checkout, if there is one: its virtual environment is used, its code never.
    pub(super) checkout: Option<&'a Path>,
    pub(super) started: Timestamp,
}

/// Everything is in place.
pub(super) struct Ready {
    producer: Producer,
    descriptor: Descriptor,
    work: Work,
    assignment: Assignment,
}

impl Worker {
    /// Puts everything in place for the run.
    pub(super) async fn prepare(&self, job: &Job<'_>, cancel: Cancel) -> Result<Ready, Box<Outcome>> {
        let held = |fault| Box::new(Outcome::Held(fault));
        let deferred = |fault| Box::new(Outcome::Deferred(fault));
        let Claimed { job: row, task, .. } = job.claimed;
        let run = run_of(job.claimed);
        let repo = &task.key.repo;
        let work = self.pipeline.stage(&row.stage).and_then(|stage| stage.work.clone()).ok_or_else(|| {
            held(Fault::new(
                "stage-without-work",
                format!("the pipeline gives the stage `{}` no work", row.stage),
            ))
        })?;

        let (producer, descriptor) = self.load(job.producer).await.map_err(held)?;
        let objects = job.bare.path().join("objects");
        let granted =
            self.granted(job.producer, repo, (row.id, Some(&row.stage)), job.checkout, Some(&objects));
        producer
            .check(&component::granted(&self.config, job.producer, repo))
            .map_err(|error| held(Fault::new(error.code(), error.to_string())))?;
        if !descriptor.stages.is_empty() && !descriptor.stages.iter().any(|stage| stage == row.stage.as_str())
        {
            let message = format!("the producer `{}` does not make the stage `{}`", job.producer, row.stage);
            return Err(held(Fault::new("stage-not-produced", message)));
        }

        let place = Place::make(run, &self.state.run(run), self.state.log(run)).map_err(|error| {
            deferred(Fault::new(
                "no-run-folder",
                format!("the folders of the run could not be made: {error}"),
            ))
        })?;
        job.bare.clone_at(&row.commit, Some(&task.branch), &place.clone).await.map_err(|error| {
            deferred(Fault::new("clone-failed", format!("the clone could not be made: {error}")))
        })?;

        let mut settings = self.settings(job.producer, repo, job.checkout);
        match job.producer.as_str() {
            TEST_RUNNER => self.add_history(job, &mut settings).await,
            LLM_FALLBACK => self.add_role(job, &work, &place.clone, &mut settings).map_err(held)?,
            _ => {}
        }
        let purse = Arc::new(TaskPurse {
            store: Arc::clone(&self.store),
            config: Arc::clone(&self.config),
            task: task.key.clone(),
            stage: row.stage.clone(),
            run,
            producer: job.producer.clone(),
            unwritten: Default::default(),
        });
        let capabilities = granted.capabilities(&place, &self.shepherd, &cancel, purse).map_err(held)?;
        let limits = Limits {
            memory: (self.config.sandbox.memory_mb as usize) << 20,
            computing: Duration::from_secs(self.config.sandbox.cpu_s.0),
            wall: Duration::from(self.config.run_limit(job.producer, repo)),
            grace: Duration::from_secs(self.config.jobs.grace_s.0),
            ..Limits::default()
        };
        let told = stagewright_sandbox::Job {
            id: row.id.to_string(),
            run: run.to_string(),
            work_item: task.key.work_item.to_string(),
            repo: repo.to_string(),
            stage: row.stage.to_string(),
            branch: task.branch.to_string(),
            commit: row.commit.to_string(),
            attempt: row.attempt,
            deferrals: row.deferrals,
            worktree: place.clone.to_string_lossy().into_owned(),
            scratch: place.scratch.to_string_lossy().into_owned(),
            artifact: artifact_path(job, &work),
            settings: serde_json::Value::Object(settings).to_string(),
        };
        let observer: Arc<dyn Observer> = Arc::new(Unheard);
        let assignment = Assignment { job: told, capabilities, limits, cancel, observer };
        Ok(Ready { producer, descriptor, work, assignment })
    }

    pub(super) async fn load(&self, name: &ProducerName) -> Result<(Producer, Descriptor), Fault> {
        let found = component::locate(&self.config, &self.installation, name).map_err(|error| {
            Fault::new("component-missing", error.to_string())
                .with_remedy(format!("name its file in [producers.{name}] of the configuration"))
        })?;
        let (sandbox, name) = (self.sandbox.clone(), name.to_string());
        let loaded =
            tokio::task::spawn_blocking(move || sandbox.load(&name, &found.file, Some(&found.sha256))).await;
        let producer = match loaded {
            Ok(loaded) => loaded.map_err(|error| Fault::new(error.code(), error.to_string()))?,
            Err(_) => {
                return Err(Fault::new("component-not-loadable", "loading the component ended abruptly"));
            }
        };
        let descriptor = producer.describe().await?;
        Ok((producer, descriptor))
    }

    /// What the host knows of the repository's history, for the report.
    async fn add_history(&self, job: &Job<'_>, settings: &mut serde_json::Map<String, serde_json::Value>) {
        let commit = &job.claimed.job.commit;
        // A history that can't be read leaves a fact out of the report; it is no reason not to test.
        let Some((branch, base)) = base_of(job.bare, commit).await else { return };
        if let Some(collected) = self.collected_on(&branch, job).await {
            settings.insert("collected_baseline".to_owned(), collected.into());
        }
        if base == *commit {
            return;
        }
        if let Ok(files) = job.bare.touched_suite_files(&base, commit).await {
            let paths: Vec<String> = files.into_iter().map(|file| file.path).collect();
            settings.insert("changed_config_files".to_owned(), paths.into());
        }
    }

    /// How many tests were collected when this stage was last judged on the base branch.
    async fn collected_on(&self, base: &BranchName, job: &Job<'_>) -> Option<u64> {
        let Claimed { job: row, task, .. } = job.claimed;
        let stored = self.store.artifact_on_branch(&task.key.repo, base, &row.stage).await.ok()??;
        let text = std::str::from_utf8(&stored.artifact.bytes).ok()?;
        Artifact::parse(text).ok()?.get("x-collected")?.parse().ok()
    }

    /// Runs the component, and makes the artifact if it has a verdict.
    pub(super) async fn run(&self, job: &Job<'_>, ready: Ready, observer: Arc<dyn Observer>) -> Left {
        let Ready { producer, descriptor, work, mut assignment } = ready;
        assignment.observer = observer;
        let clone = std::path::PathBuf::from(&assignment.job.worktree);
        let Produced { mut outcome, ledger, .. } = producer.produce(assignment).await;
        let failed =
            |fault, ledger| Left { outcome: Outcome::Deferred(fault), ledger, artifact: None, work: None };
        let Outcome::Verdict(report) = &mut outcome else {
            return Left { outcome, ledger, artifact: None, work: None };
        };
        let mut made_of_code = None;
        if work.takes_work && report.judgement == Judgement::Pass {
            match take_work(job, &clone, report).await {
                Ok(taken) => made_of_code = taken,
                Err(fault) => return failed(fault, ledger),
            }
        }
        let mut facts = facts(job, &descriptor, producer.digest(), &ledger);
        if let Some(commit) = &made_of_code {
            facts.commit = commit.clone();
        }
        match artifact::make(&artifact_path(job, &work), &facts, report, work.gate) {
            Ok(made) => Left { outcome, ledger, artifact: Some(made), work: made_of_code },
            Err(why) => {
                let fault = Fault::new("artifact-not-made", format!("the artifact can't be kept: {why}"));
                failed(fault, ledger)
            }
        }
    }

    /// The text of a role's prompt: the operator's file, else the one that came with this program.
    pub(super) fn prompt_of(&self, role: &str) -> Result<String, Fault> {
        let own = self.config.roles.get(role).and_then(|role| role.role.prompt.clone());
        let file = own.unwrap_or_else(|| self.installation.prompt(role));
        std::fs::read_to_string(&file).map_err(|error| {
            let message =
                format!("the prompt of the role `{role}` can't be read: {}: {error}", file.display());
            Fault::new("prompt-missing", message)
                .with_remedy(format!("write it, or name another file in `llm.roles.{role}.prompt`"))
        })
    }

    /// What an agent is told of its role: its prompt, and what the stages before have left.
    fn add_role(
        &self,
        job: &Job<'_>,
        work: &Work,
        clone: &Path,
        settings: &mut serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), Fault> {
        let role = self.config.role_of(&job.claimed.job.stage);
        let by_server = self.config.model_of(&role).way() == ModelWay::Server;
        if by_server && work.gate.question() == Question::Fact {
            let message = format!(
                "the stage `{}` asks what happened, and the role `{role}` is answered by a server that can look at nothing",
                job.claimed.job.stage
            );
            return Err(Fault::new("role-can-not-look", message).with_remedy(format!(
                "have an agent answer (`llm.roles.{role}.way`), or switch on the stage's program"
            )));
        }
        let prompt = self.prompt_of(&role)?;
        let folder = format!("docs/work-items/{}", job.claimed.task.key.work_item);
        settings.insert("role".to_owned(), role.into());
        settings.insert("prompt".to_owned(), prompt.into());
        settings.insert("verdict_key".to_owned(), work.gate.key().name().into());
        settings.insert("reports".to_owned(), reports(clone, &folder).into());
        // What an agent says last is no draft, and a server leaves no file.
        settings.entry("draft").or_insert_with(|| if by_server { "answer" } else { "file" }.into());
        Ok(())
    }
}

/// Makes a commit of what the run has changed in its clone, and says in the report what could not be taken.
async fn take_work(job: &Job<'_>, clone: &Path, report: &mut Report) -> Result<Option<CommitId>, Fault> {
    let Claimed { job: row, task, .. } = job.claimed;
    let (run, item) = (run_of(job.claimed), &task.key.work_item);
    let message = format!("{item}: {}\n\nStagewright-Run: {run}\n", report.summary);
    let work = repository::work::Work {
        clone,
        base: &row.commit,
        run,
        message: &message,
        author: &crate::effect::author(),
        when: clock::now(),
        limits: repository::work::Limits::default(),
    };
    let kept = job.bare.keep_work(&work).await.map_err(|error| match error {
        repository::Error::Work(why) => {
            Fault::new("work-not-taken", format!("what the run has made can't be committed: {why}"))
        }
        error => Fault::new("repository-trouble", error.to_string()),
    })?;
    let left_out: Vec<String> =
        kept.left_out.iter().map(|left| format!("{} ({})", left.path, left.what)).collect();
    if !left_out.is_empty() {
        report.facts.push(("left-out".to_owned(), left_out.join(", ")));
    }
    report.facts.push(("work-base".to_owned(), row.commit.to_string()));
    Ok(kept.commit)
}

/// The reports that lie in a folder of the clone, in the order of their names.
fn reports(clone: &Path, folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(clone.join(folder)).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let names = files.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    names.sort();
    names.into_iter().map(|name| format!("{folder}/{name}")).collect()
}

/// The base branch, and where the commit's branch left it: the commit itself on the base branch.
async fn base_of(bare: &Bare, commit: &CommitId) -> Option<(BranchName, CommitId)> {
    for name in ["main", "master"] {
        let branch = BranchName::new(name).ok()?;
        let Ok(head) = bare.source_head_when_opened(&branch) else { continue };
        let base = bare.merge_base(&head, commit).await.ok().flatten()?;
        return Some((branch, base));
    }
    None
}

/// Where the artifact lies in the repository (A1).
fn artifact_path(job: &Job<'_>, work: &Work) -> String {
    format!("docs/work-items/{}/{}", job.claimed.task.key.work_item, work.artifact)
}

fn facts(job: &Job<'_>, descriptor: &Descriptor, digest: &str, ledger: &Ledger) -> ArtifactFacts {
    let Claimed { job: row, task, epoch } = job.claimed;
    ArtifactFacts {
        work_item: task.key.work_item.clone(),
        stage: row.stage.clone(),
        commit: row.commit.clone(),
        branch: task.branch.to_string(),
        producer: job.producer.to_string(),
        producer_version: descriptor.version.clone(),
        producer_sha256: digest.to_owned(),
        job: row.id,
        run: run_of(job.claimed),
        epoch: *epoch,
        started: clock::rfc3339(job.started),
        duration: clock::now().since(job.started),
        isolation: isolation(ledger),
        ledger_sha256: ledger.digest(),
    }
}

/// What confined the commands of a run: the weakest of them. `none` where nothing was run.
fn isolation(ledger: &Ledger) -> String {
    let mut names = ledger.entries().iter().filter_map(|entry| match &entry.act {
        Act::Command { isolation, .. } => Some(isolation.as_str()),
        _ => None,
    });
    let first = names.next().unwrap_or("none");
    if names.all(|name| name == first) { first.to_owned() } else { "none".to_owned() }
}

/// Nobody listens yet: the run's own observer takes its place when it begins.
struct Unheard;

impl Observer for Unheard {
    fn log(&self, _: stagewright_sandbox::Level, _: &str) {}
    fn progress(&self, _: u64, _: u64, _: &str) {}
}
