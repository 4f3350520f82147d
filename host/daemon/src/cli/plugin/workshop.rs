//! Loads components to look at them: compiled and described, never given any work.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_sandbox::{Capability, Descriptor, Imports, LoadError, Producer, Sandbox};

use super::super::trial::Trial;
use crate::component;
use crate::config::Config;
use crate::host;
use crate::installation::{self, Installation};

/// An engine with a cache.
pub(crate) struct Workshop {
    sandbox: Sandbox,
    /// The cache, if there is no state folder with one yet. It goes when the looking is done.
    _cache: Option<Trial>,
}

/// A component that was looked at.
pub(crate) struct Inspected {
    /// Where it lies.
    pub(crate) file: PathBuf,
    /// What it says of itself.
    pub(crate) descriptor: Descriptor,
    /// Itself.
    pub(crate) producer: Producer,
    /// Whether it came with this program.
    pub(crate) built_in: bool,
    /// What it is granted; `None` for a file that no producer names.
    pub(crate) granted: Option<BTreeSet<Capability>>,
}

/// Why a component can't be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no place for compiled components.
    #[error("no folder for temporary files could be made: {0}; set TMPDIR to one that this user can write")]
    NoTrial(std::io::Error),
    /// The engine can't be set up.
    #[error(transparent)]
    Engine(#[from] stagewright_sandbox::Error),
    /// It was not found.
    #[error(transparent)]
    Installation(#[from] installation::Error),
    /// It can't be loaded, or it may not be.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It does not say what it is.
    #[error("{file} can be loaded, and doesn't say what it is: {reason}")]
    Silent {
        /// Where it lies.
        file: PathBuf,
        /// What came instead.
        reason: String,
    },
    /// Looking ended abruptly.
    #[error("loading {0} ended abruptly; please report this")]
    Abrupt(PathBuf),
}

impl Workshop {
    /// Sets up the engine. It uses the cache of the state folder if that is there, and makes no state folder.
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let own = config.sandbox.cache_dir.clone();
        let own =
            own.or_else(|| host::state_location(config).ok().map(|state| state.join("cache/components")));
        let (cache, trial) = match own.filter(|folder| folder.is_dir()) {
            Some(folder) => (folder, None),
            None => {
                let trial = Trial::within(&std::env::temp_dir()).map_err(Error::NoTrial)?;
                (trial.path().to_owned(), Some(trial))
            }
        };
        let compiler = host::compiler();
        let sandbox = Sandbox::new(stagewright_sandbox::Config { cache, compiler, max_runs: 1 })?;
        Ok(Self { sandbox, _cache: trial })
    }

    /// Looks at the component of a producer: it must be the pinned one, and import no more than is granted.
    pub(crate) async fn producer(
        &self,
        config: &Config,
        installation: &Installation,
        name: &ProducerName,
        repo: &RepoName,
    ) -> Result<Inspected, Error> {
        let found = component::locate(config, installation, name)?;
        let granted = component::granted(config, name, repo);
        let mut inspected = self.look(name.as_str(), &found.file, Some(found.sha256)).await?;
        inspected.producer.check(&granted)?;
        inspected.built_in = found.built_in;
        inspected.granted = Some(granted);
        Ok(inspected)
    }

    /// What the component of a producer imports, whether or not it is granted.
    pub(crate) async fn imports(
        &self,
        config: &Config,
        installation: &Installation,
        name: &ProducerName,
    ) -> Result<Imports, Error> {
        let found = component::locate(config, installation, name)?;
        let inspected = self.look(name.as_str(), &found.file, Some(found.sha256)).await?;
        Ok(inspected.producer.imports().clone())
    }

    /// Looks at any file.
    pub(crate) async fn file(&self, file: &Path) -> Result<Inspected, Error> {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // Whole, so that it can be copied into a configuration that lies elsewhere.
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        self.look(&name, &file, None).await
    }

    async fn look(&self, name: &str, file: &Path, pin: Option<String>) -> Result<Inspected, Error> {
        let (sandbox, name, path) = (self.sandbox.clone(), name.to_owned(), file.to_owned());
        let loaded = tokio::task::spawn_blocking(move || sandbox.load(&name, &path, pin.as_deref())).await;
        let producer = loaded.map_err(|_| Error::Abrupt(file.to_owned()))??;
        let descriptor = producer
            .describe()
            .await
            .map_err(|fault| Error::Silent { file: file.to_owned(), reason: fault.message })?;
        Ok(Inspected { file: file.to_owned(), descriptor, producer, built_in: false, granted: None })
    }
}
