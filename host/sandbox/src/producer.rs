//! A loaded component: its bytes are the pinned ones, its imports are known, it is compiled.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::component::Component;

use crate::engine::Engines;
use crate::v1;
use crate::{Sandbox, cache, sha256};

/// The largest component that is loaded, in bytes.
const MAX_COMPONENT: u64 = 256 << 20;

/// A capability, as grants name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Local processes.
    Process,
    /// Commands on remote hosts.
    Ssh,
    /// The files of the run.
    Files,
    /// HTTP probes.
    Probe,
    /// Language models.
    Llm,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 5] = [Self::Process, Self::Ssh, Self::Files, Self::Probe, Self::Llm];

    /// Its name, in imports and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Ssh => "ssh",
            Self::Files => "files",
            Self::Probe => "probe",
            Self::Llm => "llm",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a component imports: everything that it could reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imports {
    /// Capabilities.
    pub capabilities: BTreeSet<Capability>,
    /// Imports that the host does not have, as they are written.
    pub unknown: Vec<String>,
}

/// A component that is ready to run. Clones share it.
#[derive(Clone)]
pub struct Producer {
    pub(crate) engines: Arc<Engines>,
    pub(crate) ready: v1::Ready,
    name: String,
    digest: String,
    imports: Imports,
}

/// Why a component is not loaded. Each is the operator's to mend; the task is held.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("the component {path} can't be read: {reason}")]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is not the one that was pinned.
    #[error(
        "the component {path} has changed: it is pinned to {expected} and its SHA-256 is {found}; if the change is \
         wanted, put the new digest into the configuration"
    )]
    PinMismatch {
        /// Where it is.
        path: PathBuf,
        /// The pinned digest.
        expected: String,
        /// The digest of the file.
        found: String,
    },
    /// It is no component, or no producer.
    #[error("{path} is not a producer that this host can run: {reason}")]
    NotAProducer {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It imports something that the host does not have.
    #[error(
        "{path} imports `{import}`, which this host does not have; build it against stagewright:producer@1"
    )]
    UnknownImport {
        /// Where it is.
        path: PathBuf,
        /// The import.
        import: String,
    },
    /// It imports a capability that is not granted.
    #[error(
        "the producer `{producer}` imports `{capability}`, which is not granted; to allow it, add \
         [producers.{producer}.grants.{capability}] to the configuration"
    )]
    NotGranted {
        /// The producer's name.
        producer: String,
        /// The capability.
        capability: Capability,
    },
}

impl LoadError {
    /// Stable and kebab-case.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "component-missing",
            Self::PinMismatch { .. } => "component-changed",
            Self::NotAProducer { .. } => "component-not-loadable",
            Self::UnknownImport { .. } => "component-import-unknown",
            Self::NotGranted { .. } => "capability-not-granted",
        }
    }
}

impl Sandbox {
    /// Loads the component in `file` as the producer `name`, if its bytes have the pinned digest.
    ///
    /// May compile it, which takes from milliseconds to seconds; call it where blocking is allowed.
    pub fn load(&self, name: &str, file: &Path, pin: Option<&str>) -> Result<Producer, LoadError> {
        let bytes = read(file)?;
        let digest = sha256(&bytes);
        if let Some(pin) = pin.filter(|pin| !pin.eq_ignore_ascii_case(&digest)) {
            let (path, expected) = (file.to_owned(), pin.to_owned());
            return Err(LoadError::PinMismatch { path, expected, found: digest });
        }
        let refused = |reason| LoadError::NotAProducer { path: file.to_owned(), reason };
        let component = cache::compiled(&self.inner, &bytes, &digest).map_err(refused)?;
        let imports = imports(&self.inner, &component);
        if let Some(import) = imports.unknown.first() {
            return Err(LoadError::UnknownImport { path: file.to_owned(), import: import.clone() });
        }
        let ready = v1::Ready::new(&self.inner.engine, &component).map_err(refused)?;
        let engines = Arc::clone(&self.inner);
        Ok(Producer { engines, ready, name: name.to_owned(), digest, imports })
    }
}

impl Producer {
    /// The name under which it was loaded.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the component's bytes, in hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What it could reach.
    pub fn imports(&self) -> &Imports {
        &self.imports
    }

    /// Refuses a component that imports more than is granted. What is granted and not imported does no harm.
    pub fn check(&self, granted: &BTreeSet<Capability>) -> Result<(), LoadError> {
        match self.imports.capabilities.difference(granted).next() {
            Some(&capability) => Err(LoadError::NotGranted { producer: self.name.clone(), capability }),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

fn read(file: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |reason: String| LoadError::Unreadable { path: file.to_owned(), reason };
    let facts = std::fs::metadata(file).map_err(|error| unreadable(error.to_string()))?;
    if !facts.is_file() {
        return Err(unreadable("it is not a file".to_owned()));
    }
    if facts.len() > MAX_COMPONENT {
        return Err(unreadable(format!("it has {} bytes, more than {MAX_COMPONENT}", facts.len())));
    }
    std::fs::read(file).map_err(|error| unreadable(error.to_string()))
}

fn imports(engines: &Engines, component: &Component) -> Imports {
    let mut found = Imports::default();
    for (import, _) in component.component_type().imports(&engines.engine) {
        let interface = import.strip_prefix("stagewright:producer/").and_then(|rest| rest.split_once("@1."));
        match interface.map(|(name, _)| name) {
            // Words, and what is always granted.
            Some("types" | "host") => {}
            Some(name) => match Capability::ALL.into_iter().find(|capability| capability.name() == name) {
                Some(capability) => {
                    found.capabilities.insert(capability);
                }
                None => found.unknown.push(import.to_owned()),
            },
            None => found.unknown.push(import.to_owned()),
        }
    }
    found
}
