//! One running instance: state folder, store, lock, recovery, and what a worker stands on.
//!
//! Everything that can be wrong about configuration and machine is found here, before anything of a task is
//! touched: an error leaves nothing changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagewright_capability::harden;
use stagewright_capability::process::Shepherd;
use stagewright_engine::identity::InstanceId;
use stagewright_engine::instance::Instance;
use stagewright_engine::name::{EffectName, InvalidName, RepoName, StageName};
use stagewright_engine::pipeline::{self, Pipeline};
use stagewright_repository::Repositories;
use stagewright_repository::git::{self, Git};
use stagewright_sandbox::{Compiler, Sandbox};
use stagewright_store::sqlite::{OpenError, Options};
use stagewright_store::{SqliteStore, Store};

use crate::clock;
use crate::config::Config;
use crate::crash;
use crate::installation::{self, Installation};
use crate::instance::{self, Alive};
use crate::recovery::{self, TakenOver};
use crate::state::{self, StateDir};
use crate::worker::{NextJob, Worker};

/// A running instance.
pub struct Host {
    /// What a worker stands on.
    pub worker: Worker,
    /// The host's bare copies.
    pub repositories: Repositories,
    /// What was taken over from dead instances at the start.
    pub taken_over: Vec<TakenOver>,
    alive: Alive,
}

/// Why an instance does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No state folder.
    #[error(transparent)]
    State(#[from] state::Error),
    /// A part of the installation is missing.
    #[error(transparent)]
    Installation(#[from] installation::Error),
    /// The pipeline can't be read.
    #[error("the pipeline {path} can't be read: {reason}")]
    PipelineFile {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The pipeline is wrong.
    #[error(transparent)]
    Pipeline(#[from] pipeline::Error),
    /// The pipeline has an effect that is not configured.
    #[error("the stage `{stage}` has the effect `{effect}`, which is not configured; add [effects.{effect}]")]
    UnknownEffect {
        /// The stage.
        stage: StageName,
        /// The effect.
        effect: EffectName,
    },
    /// The store can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] stagewright_store::Error),
    /// The lock file can't be made.
    #[error(transparent)]
    Instance(#[from] instance::Error),
    /// The folder of the bare copies can't be made.
    #[error(transparent)]
    Repositories(#[from] stagewright_repository::Error),
    /// The component engine can't be set up.
    #[error(transparent)]
    Sandbox(#[from] stagewright_sandbox::Error),
    /// This process can't be protected from others.
    #[error("this process can't be closed to others of its user: {0}")]
    Harden(std::io::Error),
}

/// Where the state folder is: configured, else the user's.
pub fn state_location(config: &Config) -> Result<PathBuf, state::Error> {
    let configured = config.state.dir.clone();
    configured.or_else(|| state::default_location(|name| std::env::var_os(name))).ok_or(state::Error::Nowhere)
}

/// The git program of the configuration.
pub async fn git(config: &Config) -> Result<Git, git::Error> {
    let program = config.git.program.as_path();
    let path = std::env::var_os("PATH");
    match crate::programs::find(program, path.as_deref()) {
        Some(program) => Git::at(&program).await,
        None => Git::find(None).await,
    }
}

/// The pipeline of the repository in `folder`: its own of the configuration, else everybody's, else the built-in
/// one. Never one from the repository itself.
pub fn pipeline(config: &Config, folder: &Path) -> Result<Pipeline, Error> {
    let own = config.repo_at(folder).and_then(|name| config.repo(name).repo.pipeline);
    match own.or_else(|| config.pipeline.file.clone()) {
        Some(file) => pipeline_file(&file),
        None => Ok(Pipeline::embedded()?),
    }
}

/// The pipeline in a file.
pub(crate) fn pipeline_file(path: &Path) -> Result<Pipeline, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::PipelineFile { path: path.to_owned(), reason: error.to_string() })?;
    Ok(Pipeline::parse(&path.display().to_string(), &text)?)
}

/// The repository's name: the configured one, else its folder's name with a mark of its path, so that two
/// folders of one name are two repositories.
pub fn repo_name(config: &Config, repo: &Path) -> Result<RepoName, InvalidName> {
    if let Some(name) = config.repo_at(repo) {
        return Ok(name.clone());
    }
    let path = repo.canonicalize().unwrap_or_else(|_| repo.to_owned());
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    let folder = path.file_name().unwrap_or_default().to_string_lossy();
    let folder: String = folder.trim_end_matches(".git").chars().take(40).map(plain).collect();
    let folder = folder.trim_start_matches(['-', '_']);
    let folder = if folder.is_empty() { "repository" } else { folder };
    let digest = {
        use sha2::Digest as _;
        use std::os::unix::ffi::OsStrExt as _;
        sha2::Sha256::digest(path.as_os_str().as_bytes())
    };
    let mark: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    RepoName::new(format!("{folder}-{mark}"))
}

/// Opens the store in this file.
pub async fn open_store(path: PathBuf) -> Result<Arc<dyn Store>, Error> {
    let options = Options { at_commit: crash::at_commit, ..Options::default() };
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&path, options)).await;
    let store = opened.map_err(|_| stagewright_store::Error::Closed)??;
    Ok(Arc::new(store))
}

impl Host {
    /// Starts an instance on the state folder: opens the store, proves its life, takes over from the dead.
    pub async fn start(config: impl Into<Arc<Config>>, pipeline: Pipeline, git: Git) -> Result<Self, Error> {
        let config = config.into();
        harden::this_process().map_err(Error::Harden)?;
        let installation = Installation::find()?;
        let shepherd = Shepherd::new(installation.shepherd()?);
        let state = StateDir::open(&state_location(&config)?)?;
        let store = open_store(state.store()).await?;
        state.make_parts()?;

        let alive = join(&store, &state).await?;
        let id = alive.id();
        let taken_over = recovery::take_stock(&store, &state, clock::now()).await?;
        recovery::sweep(&store, &state).await?;

        let cache = config.sandbox.cache_dir.clone().unwrap_or_else(|| state.component_cache());
        let sandbox = Sandbox::new(stagewright_sandbox::Config {
            cache,
            compiler: compiler(),
            max_runs: config.limits.jobs,
        })?;
        let repositories = Repositories::new(git, &state.repos())?;
        let worker = Worker {
            store,
            state,
            config,
            pipeline: Arc::new(pipeline),
            installation,
            sandbox,
            shepherd,
            instance: id,
            // `run` does one stage only.
            next_job: NextJob::Leave,
            commits_reports: false,
            first_seen: Default::default(),
        };
        Ok(Self { worker, repositories, taken_over, alive })
    }

    /// Ends the instance in order: it owns nothing any more.
    pub async fn end(self) {
        leave(&self.worker.store, self.alive).await;
    }
}

/// Makes this start of the program known, with the proof of its life.
pub(crate) async fn join(store: &Arc<dyn Store>, state: &StateDir) -> Result<Alive, Error> {
    let alive = Alive::begin(&state.instances(), InstanceId::new(clock::new_id()))?;
    store.register_instance(this_instance(alive.id())).await?;
    Ok(alive)
}

/// Ends this start of the program in order.
pub(crate) async fn leave(store: &Arc<dyn Store>, alive: Alive) {
    match store.retire_instance(alive.id(), clock::now()).await {
        Ok(()) => alive.end(),
        // The lock goes with this process, and the next start takes over what is left.
        Err(error) => tracing::warn!(%error, "this instance could not be retired"),
    }
}

/// Components are compiled by a child process of this very program, so that one that is made to be hard to
/// compile can't take the host down.
pub(crate) fn compiler() -> Compiler {
    match std::env::current_exe() {
        Ok(program) => Compiler::Child(program, vec!["compile-component".to_owned()]),
        Err(_) => Compiler::InProcess,
    }
}

fn this_instance(id: InstanceId) -> Instance {
    let here = instance::this_process();
    Instance {
        id,
        host: here.host,
        boot: here.boot,
        pid_namespace: here.pid_namespace,
        pid: here.pid,
        process_start: here.process_start,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: clock::now(),
    }
}
