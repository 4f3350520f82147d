//! What the tests of the sandbox share: built components, a sandbox of their own, and runs.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use stagewright_capability::process::{self, Confinement, Process, Program, Shepherd};
use stagewright_capability::{Cancel, Place};
use stagewright_engine::identity::RunId;
use stagewright_engine::outcome::{Fault, Judgement, Outcome, Report};
use stagewright_sandbox::{
    Assignment, Capabilities, Compiler, Config, Job, Level, Limits, Observer, Produced, Producer, Sandbox,
};

/// A time that no test needs unless it hangs.
pub(crate) const SAFETY_NET: Duration = Duration::from_secs(60);

/// A built guest, `hostile/<name>.wasm`.
pub(crate) fn guest(name: &str) -> PathBuf {
    let folder =
        std::env::var_os("ORCH_COMPONENTS_DIR").map_or_else(|| target().join("components"), PathBuf::from);
    let file = folder.join("hostile").join(name).with_extension("wasm");
    assert!(file.is_file(), "{} is not there; run `cargo xtask components`", file.display());
    file
}

/// The shepherd that was built.
pub(crate) fn shepherd() -> Shepherd {
    let program = target().join("debug").join("stagewright-shepherd");
    assert!(
        program.is_file(),
        "{} is not there; run `cargo build -p stagewright-shepherd`",
        program.display()
    );
    Shepherd::new(program)
}

/// The build folder: this test's executable lies in `<it>/<profile>/deps`.
fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().to_owned()
}

/// A sandbox, and what is run on it.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
}

/// One sandbox for every test that doesn't need its own: it has to be well whatever all the others do to it.
static SHARED: LazyLock<Bench> = LazyLock::new(|| {
    let bench = Bench::with_room(16);
    bench.hostile();
    bench
});

impl Bench {
    pub(crate) fn shared() -> Self {
        SHARED.clone()
    }

    pub(crate) fn with_room(max_runs: u32) -> Self {
        // Compiled once for all test runs: the cache tells by itself whether it still fits.
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("components");
        Self { sandbox: sandbox(cache, max_runs) }
    }

    pub(crate) fn hostile(&self) -> Producer {
        self.sandbox.load("hostile", &guest("hostile"), None).unwrap()
    }

    /// One attack with every program that it could want, and limits that end it soon.
    pub(crate) async fn attack(&self, attack: &str) -> Produced {
        self.attack_with(attack, limits()).await
    }

    pub(crate) async fn attack_with(&self, attack: &str, limits: Limits) -> Produced {
        let run = Run::new(attack);
        run.on(&self.hostile(), limits).await
    }

    /// The host is well: a component that does no harm runs as if nothing had been.
    pub(crate) async fn is_well(&self) {
        let producer = self.sandbox.load("well-behaved", &guest("well-behaved"), None).unwrap();
        let produced = Run::new("nothing").on(&producer, limits()).await;
        assert_eq!(verdict(&produced).judgement, Judgement::Pass, "{produced:?}");
    }
}

pub(crate) fn sandbox(cache: PathBuf, max_runs: u32) -> Sandbox {
    Sandbox::new(Config { cache, compiler: Compiler::InProcess, max_runs }).unwrap()
}

/// Enough for everything that ends by itself, and soon over for what does not.
pub(crate) fn limits() -> Limits {
    Limits {
        memory: 64 << 20,
        computing: Duration::from_millis(500),
        wall: Duration::from_secs(20),
        grace: Duration::from_millis(300),
        calls: 50_000,
        ..Limits::default()
    }
}

/// A run with a place and processes of its own.
pub(crate) struct Run {
    pub(crate) job: Job,
    pub(crate) capabilities: Capabilities,
    pub(crate) cancel: Cancel,
    pub(crate) heard: Arc<Heard>,
    pub(crate) id: RunId,
    _folder: tempfile::TempDir,
}

impl Run {
    pub(crate) fn new(attack: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let id = RunId::new(uuid::Uuid::now_v7());
        let place = Place::make(id, folder.path(), folder.path().join("logs")).unwrap();
        std::fs::create_dir(&place.clone).unwrap();
        let programs = [("sleep", "/bin/sleep"), ("true", "/bin/true")];
        let grant = process::Grant {
            programs: programs.map(|(name, path)| (name.to_owned(), Program::new(path.into()))).into(),
            confinement: Confinement::BestEffort,
            ..process::Grant::default()
        };
        let cancel = Cancel::new();
        let process = Process::new(grant, place, shepherd(), cancel.clone());
        let capabilities = Capabilities { process: Some(process), ..Capabilities::default() };
        let job = job(id, attack);
        Self { job, capabilities, cancel, heard: Arc::default(), id, _folder: folder }
    }

    /// Runs it; the folders last as long as the run.
    pub(crate) async fn on(self, producer: &Producer, limits: Limits) -> Produced {
        let assignment = Assignment {
            job: self.job.clone(),
            capabilities: self.capabilities.clone(),
            limits,
            cancel: self.cancel.clone(),
            observer: self.heard.clone(),
        };
        tokio::time::timeout(SAFETY_NET, producer.produce(assignment)).await.expect("the run did not end")
    }
}

fn job(run: RunId, attack: &str) -> Job {
    Job {
        id: "0198c0de-0000-7000-8000-000000000001".to_owned(),
        run: run.to_string(),
        work_item: "EVIL-1".to_owned(),
        repo: "evil".to_owned(),
        stage: "testing".to_owned(),
        branch: "main".to_owned(),
        commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        attempt: 1,
        deferrals: 0,
        worktree: "worktree".to_owned(),
        scratch: "scratch".to_owned(),
        artifact: "docs/work-items/EVIL-1/13-test-report.md".to_owned(),
        settings: format!("{{\"attack\": \"{attack}\"}}"),
    }
}

/// Keeps what a component says.
#[derive(Default)]
pub(crate) struct Heard {
    lines: Mutex<Vec<String>>,
    spoke: tokio::sync::Notify,
}

impl Heard {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits until the component has said something.
    pub(crate) async fn something(&self) {
        tokio::time::timeout(SAFETY_NET, self.spoke.notified()).await.expect("the component said nothing");
    }

    fn keep(&self, line: &str) {
        self.lines.lock().unwrap().push(line.to_owned());
        self.spoke.notify_one();
    }
}

impl Observer for Heard {
    fn log(&self, _: Level, message: &str) {
        self.keep(message);
    }

    fn progress(&self, _: u64, _: u64, message: &str) {
        self.keep(message);
    }
}

pub(crate) fn verdict(produced: &Produced) -> &Report {
    match &produced.outcome {
        Outcome::Verdict(report) => report,
        other => panic!("no verdict: {other:?}"),
    }
}

pub(crate) fn deferred(produced: &Produced) -> &Fault {
    match &produced.outcome {
        Outcome::Deferred(fault) => fault,
        other => panic!("not deferred: {other:?}"),
    }
}

/// The processes that a run has left: those that carry its id in their environment.
pub(crate) fn left_behind(run: RunId) -> Vec<String> {
    let mark = format!("STAGEWRIGHT_RUN={run}").into_bytes();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let of_run = processes.filter(|entry| {
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == mark)
    });
    of_run.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
