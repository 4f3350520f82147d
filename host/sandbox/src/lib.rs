//! Producers as sandboxed components: load, check against the grants, link, limit, run.
//!
//! This is the only crate that knows wasmtime. It never lets a component decide about itself: what a component
//! imports is what it could reach, what the operator grants is what it may reach, and a component that imports more is
//! refused before it runs.
//!
//! # What a run is
//!
//! Each run has a fresh instance, which is dropped whatever happened, and limits on memory, tables, instances,
//! computing time, wall time, host calls, handles, log lines and what is handed over. Every host call passes one seam
//! (`seam.rs`), where it is counted, bounded in time, and what it did is put on the ledger. A run is over when its
//! processes are.
//!
//! # What goes wrong ends as an outcome (J5, P6)
//!
//! | what happened | outcome | code |
//! |---|---|---|
//! | the component trapped | deferred | `component-trapped` |
//! | it wanted more memory or larger tables than it may have | deferred | `component-out-of-memory` |
//! | it computed or ran for too long | deferred | `component-overran` |
//! | it left by `wasi:cli/exit`, with whatever status | deferred | `component-exited` |
//! | it called the host too often, held too much, or handed too much over | deferred | `component-over-limit` |
//! | its instance could not be made | deferred | `component-not-started` |
//! | its answer makes no sense, or breaks the interface's rules | deferred | `component-answered-nonsense` |
//! | no room for it came free in its time | deferred | `sandbox-full` |
//! | the host failed at it | deferred | `sandbox-failed` |
//! | it imports what was not granted to this run | held | `capability-not-granted` |
//! | it imports what no component gets | held | `component-import-unknown` |
//! | somebody wanted the run to end | cancelled | |
//!
//! What is deferred may have a cause that passes (a machine short of memory, an odd repository): it spends deferrals, and
//! then holds the task. What is held only a person can mend. None of them is ever a verdict.
//!
//! # What this crate refuses to do
//!
//! It gives nothing by way of WASI: components of Python, JavaScript and Go need it, and find it without files, network,
//! environment and input (`wasi/`); what is not on its list is refused by name. It stubs no import to make a component
//! fit. It knows no tasks, stages or gates, and whether a PASS with an empty ledger
//! is believed is not its question; it hands the ledger over.

mod cache;
mod compile;
mod engine;
mod error;
mod family;
mod fault;
mod imports;
mod limits;
mod log;
mod producer;
mod run;
mod seam;
mod stopwatch;
mod text;
mod v1;
mod wasi;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

pub use compile::precompile;
pub use error::{Error, LoadError};
pub use imports::{Capability, Imports};
pub use limits::Limits;
pub use producer::Producer;
pub use run::{Assignment, Capabilities, Produced, Usage};
pub use seam::{Level, Observer};
pub use v1::{Descriptor, Finding, FindingState, Job};

/// How components are compiled and how many can run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where compiled components are kept: native code that the host runs, so suites must not be able to write there. It
    /// is made, with mode 0700, if it isn't there.
    pub cache: PathBuf,
    /// What compiles a component that is not in the cache.
    pub compiler: Compiler,
    /// How many components can run at once; more wait for their turn.
    pub max_runs: u32,
}

/// What compiles a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// This process. A component that is made to be hard to compile can then take much of its time and memory.
    InProcess,
    /// A child process: a program and its arguments. It limits itself, reads the component on its standard input and
    /// writes what [`precompile`] answers to its standard output. Its exit code is 2, and standard error tells the
    /// reason, if the component can't be compiled.
    Child(PathBuf, Vec<String>),
}

/// The sandbox: engines, cache, and room for a number of runs. Clones share it.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) engines: Arc<engine::Engines>,
    pub(crate) shelf: Arc<Mutex<producer::Shelf>>,
}

impl Sandbox {
    /// Sets up engines, cache and the thread that counts time.
    ///
    /// # Errors
    /// The cache's folder can't be used, or the machine has no room for the engine.
    pub fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { engines: Arc::new(engine::Engines::new(config)?), shelf: Arc::default() })
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
