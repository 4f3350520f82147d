//! Why there is no sandbox, or a component is not loaded. What goes wrong in a *run* is no error but an
//! [outcome](stagewright_engine::outcome::Outcome).

use std::path::PathBuf;

use crate::imports::Capability;

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The WebAssembly engine refuses its settings.
    #[error("the WebAssembly engine can't be set up: {0:#}")]
    Engine(wasmtime::Error),
    /// The thread that counts time for components can't be started.
    #[error("the thread that counts time for components can't be started: {0}")]
    Ticker(std::io::Error),
    /// The folder for compiled components can't be used.
    #[error(
        "the folder for compiled components can't be used: {}: {source}; set `sandbox.cache_dir` to a folder that this \
         user can write",
        path.display()
    )]
    Cache {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a component is not loaded. Each is the operator's to mend; the task is held.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Its file can't be read.
    #[error("the component {} can't be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Its bytes are not the ones that were pinned.
    #[error(
        "the component {} has changed: its SHA-256 is {found}, and {expected} is pinned; if you trust the new file, set \
         the producer's `sha256` to its digest, else put the old file back",
        path.display()
    )]
    PinMismatch {
        /// The file.
        path: PathBuf,
        /// The pinned digest.
        expected: String,
        /// The digest of the file.
        found: String,
    },
    /// It is no component, can't be compiled, or is no producer.
    #[error("{} is not a producer that this host can run: {reason}", path.display())]
    NotAProducer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The program that compiles components can't be run.
    #[error("the compiler of components can't be used: {0}")]
    Compiler(String),
    /// It imports something that no component gets.
    #[error("{} imports `{import}`, which no component gets: {reason}", path.display())]
    UnknownImport {
        /// The file.
        path: PathBuf,
        /// The import's name.
        import: String,
        /// Why not, and the way out.
        reason: &'static str,
    },
    /// It imports a capability that is not granted to it.
    #[error(
        "the producer `{producer}` imports `{capability}`, which is not granted to it; to allow it, set \
         `producers.{producer}.{}` in the configuration",
        capability.grant_key()
    )]
    NotGranted {
        /// The producer's name.
        producer: String,
        /// The capability.
        capability: Capability,
    },
}

impl LoadError {
    /// Stable and kebab-case, for metrics and for a held task's reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "component-missing",
            Self::PinMismatch { .. } => "component-changed",
            Self::NotAProducer { .. } | Self::Compiler(_) => "component-not-loadable",
            Self::UnknownImport { .. } => "component-import-unknown",
            Self::NotGranted { .. } => "capability-not-granted",
        }
    }
}
