//! What the bars share: a loaded component, and a job for it.

use std::path::Path;
use std::sync::Arc;

use stagewright_capability::Cancel;
use stagewright_engine::outcome::{Judgement, Outcome};
use stagewright_sandbox::{
    Assignment, Capabilities, Compiler, Config, Job, Level, Limits, Observer, Produced, Producer, Sandbox,
};

use crate::measure::Failed;

/// A component in the sandbox, with the folder of its cache.
pub(crate) struct Loaded {
    producer: Producer,
    _cache: tempfile::TempDir,
}

impl Loaded {
    /// Loads `<folder>/<name>.wasm`.
    pub(crate) fn new(folder: &Path, name: &str) -> Result<Self, Failed> {
        Self::with_room(folder, name, 100)
    }

    /// The same with room for so many runs at once.
    pub(crate) fn with_room(folder: &Path, name: &str, max_runs: u32) -> Result<Self, Failed> {
        let cache = tempfile::tempdir()?;
        let config = Config { cache: cache.path().to_owned(), compiler: Compiler::InProcess, max_runs };
        let producer = Sandbox::new(config)?.load(name, &folder.join(name).with_extension("wasm"), None)?;
        Ok(Self { producer, _cache: cache })
    }

    /// The component's digest.
    pub(crate) fn digest(&self) -> &str {
        self.producer.digest()
    }

    /// One run with a fresh instance. An error unless it ends as a PASS.
    pub(crate) async fn pass(&self, capabilities: Capabilities, cancel: Cancel) -> Result<Produced, Failed> {
        let assignment = Assignment {
            job: job(),
            capabilities,
            limits: Limits::default(),
            cancel,
            observer: Arc::new(Nobody),
        };
        let produced = self.producer.produce(assignment).await;
        match &produced.outcome {
            Outcome::Verdict(report) if report.judgement == Judgement::Pass => Ok(produced),
            other => Err(format!("the component did not pass: {other:?}").into()),
        }
    }
}

/// A job as a component sees it.
pub(crate) fn job() -> Job {
    Job {
        id: "0198c0de-0000-7000-8000-000000000001".to_owned(),
        run: "0198c0de-0000-7000-8000-000000000002".to_owned(),
        work_item: "BENCH-1".to_owned(),
        repo: "bench".to_owned(),
        stage: "testing".to_owned(),
        branch: "main".to_owned(),
        commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        attempt: 1,
        deferrals: 0,
        worktree: "worktree".to_owned(),
        scratch: "scratch".to_owned(),
        artifact: "docs/work-items/BENCH-1/13-test-report.md".to_owned(),
        settings: "{}".to_owned(),
    }
}

/// Hears nothing.
struct Nobody;

impl Observer for Nobody {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64, _: &str) {}
}
