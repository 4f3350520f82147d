//! Producers as sandboxed components: load, check against the grants, link, limit, run.
//!
//! This is the only crate that knows wasmtime. It never lets a component decide about itself: what a
//! component imports is what it could reach, what the operator grants is what it may reach, and a component
//! that imports more is refused before it runs.
//!
//! # What a run is
//!
//! Each run has a fresh instance, which is dropped whatever happened, and limits on memory, tables,
//! instances, computing time, wall time, host calls, log lines and what is handed over. Every host call
//! passes one seam ([`seam`]), where it is counted and what it did is put on the ledger.
//!
//! # What goes wrong ends as an outcome (J5, P6)
//!
//! | what happened | outcome | code |
//! |---|---|---|
//! | the component trapped | deferred | `component-trapped` |
//! | it wanted more memory than it may have | deferred | `component-out-of-memory` |
//! | it computed or ran for too long | deferred | `component-overran` |
//! | it called the host too often, or held too much | deferred | `component-over-limit` |
//! | it could not be made ready to run | deferred | `component-not-started` |
//! | its answer makes no sense | deferred | `component-answered-nonsense` |
//! | somebody wanted the run to end | cancelled | |
//!
//! All but the last may have a cause that passes (a machine short of memory), so they spend deferrals and
//! then hold the task. None of them is ever a verdict.

mod cache;
mod engine;
mod limits;
mod producer;
mod run;
mod seam;
mod v1;

use std::path::PathBuf;
use std::sync::Arc;

pub use limits::Limits;
pub use producer::{Capability, Imports, LoadError, Producer};
pub use run::{Assignment, Capabilities, Produced, Usage};
pub use seam::{Level, Observer};
pub use v1::{Descriptor, Finding, FindingState, Job};

/// How components are compiled and how many can run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where compiled components are kept. Suites must not be able to write there.
    pub cache: PathBuf,
    /// What compiles a component that is not in the cache.
    pub compiler: Compiler,
    /// How many components can run at once; more wait for their turn.
    pub max_runs: u32,
}

/// What compiles a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// This process. For components that the host brings along.
    InProcess,
    /// A child process, so that a component that is made to be hard to compile can't take the host down.
    /// It is called with these arguments, reads the component from standard input and writes what
    /// [`precompile`] gives to standard output.
    Child(PathBuf, Vec<String>),
}

/// The sandbox: an engine, its cache, and room for a number of runs. Clones share it.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) inner: Arc<engine::Engines>,
}

/// The sandbox can't be set up.
#[derive(Debug, thiserror::Error)]
#[error("the component engine could not be set up: {0}")]
pub struct Error(String);

impl Sandbox {
    /// Sets up the engine.
    pub fn new(config: Config) -> Result<Self, Error> {
        let engines = engine::Engines::new(config).map_err(|error| Error(format!("{error:#}")))?;
        Ok(Self { inner: Arc::new(engines) })
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

/// Compiles a component's bytes: what a compiling child process does.
pub fn precompile(component: &[u8]) -> Result<Vec<u8>, Error> {
    let engine = engine::plain().map_err(|error| Error(format!("{error:#}")))?;
    engine.precompile_component(component).map_err(|error| Error(format!("{error:#}")))
}

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
