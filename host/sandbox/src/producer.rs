//! A loaded component: its bytes are the pinned ones, its imports are known, it is compiled and linked.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, Weak};

use wasmtime::component::Component;

use crate::compile::{self, MAX_COMPONENT};
use crate::engine::Engines;
use crate::imports::why_unknown;
use crate::{Capability, Imports, LoadError, Sandbox, cache, sha256, v1};

/// A component that is ready to run. Clones share it.
#[derive(Clone)]
pub struct Producer {
    pub(crate) engines: Arc<Engines>,
    pub(crate) loaded: Arc<Loaded>,
    name: String,
}

/// What is the same for every producer that is made of the same bytes.
pub(crate) struct Loaded {
    /// `None` where an import is not known: such a component can be shown and not run.
    pub(crate) ready: Option<v1::Ready>,
    /// What it says of itself. It can't say anything else the next time: it was given nothing to go by.
    pub(crate) described: tokio::sync::OnceCell<v1::Descriptor>,
    digest: String,
    imports: Imports,
    path: PathBuf,
}

/// The components of the files that were read last, and whatever else somebody still holds.
#[derive(Default)]
pub(crate) struct Shelf {
    by_file: HashMap<PathBuf, (Stamp, Arc<Loaded>)>,
    by_digest: HashMap<String, Weak<Loaded>>,
}

/// By what one sees, without reading it, that a file is still the same. If it were fooled, the component that runs
/// would still be the one with the pinned digest.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(facts: &Metadata) -> Self {
        Self {
            device: facts.dev(),
            inode: facts.ino(),
            size: facts.size(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
        }
    }
}

impl Sandbox {
    /// Loads the component in `file` as the producer `name`, if its bytes have the pinned SHA-256 (64 hex digits).
    ///
    /// The file is read once: what was compared with the pin is what is run. A file that has changed is another
    /// component; runs of the old one end on the old one. A component that somebody holds is not loaded twice.
    ///
    /// It blocks: a fraction of a millisecond if the cache has the component, as long as compiling takes if not. Call
    /// it where blocking is allowed.
    ///
    /// # Errors
    /// The file can't be read, has other bytes than the pinned ones, or is no producer. Imports that are not granted
    /// are no error here, so that they can be shown: [`Producer::check`] refuses them.
    pub fn load(&self, name: &str, file: &Path, pin: Option<&str>) -> Result<Producer, LoadError> {
        let (mut open, stamp) = open(file)?;
        // Asked in a statement of its own, which gives the shelf free again.
        let of_file = self.shelf().of_file(file, stamp);
        let loaded = match of_file {
            Some(loaded) => loaded,
            None => {
                let bytes = read(file, &mut open)?;
                let digest = sha256(&bytes);
                // Bytes that are not the pinned ones don't even reach the compiler.
                check_pin(file, pin, &digest)?;
                let held = self.shelf().of_digest(&digest);
                let loaded = match held {
                    Some(loaded) => loaded,
                    None => Arc::new(self.make(file, &bytes, digest)?),
                };
                self.shelf().put(file, stamp, &loaded);
                loaded
            }
        };
        check_pin(file, pin, &loaded.digest)?;
        Ok(Producer { engines: Arc::clone(&self.engines), loaded, name: name.to_owned() })
    }

    fn make(&self, file: &Path, bytes: &[u8], digest: String) -> Result<Loaded, LoadError> {
        let refused = |reason| LoadError::NotAProducer { path: file.to_owned(), reason };
        let component = self.component(bytes, &digest).map_err(|failure| match failure {
            compile::Failure::Component(reason) => refused(reason),
            compile::Failure::Compiler(reason) => LoadError::Compiler(reason),
        })?;
        let imports = Imports::of(&component);
        let ready = match imports.unknown.is_empty() {
            true => Some(v1::Ready::new(&component, !imports.wasi.is_empty()).map_err(refused)?),
            false => None,
        };
        let described = tokio::sync::OnceCell::new();
        Ok(Loaded { ready, described, digest, imports, path: file.to_owned() })
    }

    /// The component on the first engine that has room for its kind of instance.
    fn component(&self, bytes: &[u8], digest: &str) -> Result<Component, compile::Failure> {
        let Engines { cache, config, .. } = &*self.engines;
        let engines = self.engines.in_order();
        if let Some(component) = engines.iter().find_map(|engine| cache.get(engine, digest)) {
            return Ok(component);
        }
        let mut refused = String::from("there is no engine");
        let Some(first) = engines.first() else { return Err(compile::Failure::Compiler(refused)) };
        let code = compile::compile(first, &config.compiler, bytes)?;
        for engine in engines {
            match cache::load(engine, &code) {
                Ok(component) => {
                    cache.put(engine, digest, &code);
                    return Ok(component);
                }
                // One that is too large for the pool may do on demand.
                Err(error) => refused = format!("{error:#}"),
            }
        }
        Err(compile::Failure::Component(refused))
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        // A map is whole after every step of what holds this lock.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn of_file(&self, file: &Path, stamp: Stamp) -> Option<Arc<Loaded>> {
        let (seen, loaded) = self.by_file.get(file)?;
        (*seen == stamp).then(|| Arc::clone(loaded))
    }

    fn of_digest(&self, digest: &str) -> Option<Arc<Loaded>> {
        self.by_digest.get(digest)?.upgrade()
    }

    fn put(&mut self, file: &Path, stamp: Stamp, loaded: &Arc<Loaded>) {
        self.by_file.insert(file.to_owned(), (stamp, Arc::clone(loaded)));
        self.by_digest.retain(|_, loaded| loaded.strong_count() > 0);
        self.by_digest.insert(loaded.digest.clone(), Arc::downgrade(loaded));
    }
}

impl Producer {
    /// The name under which it was loaded.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the component's bytes, in hex.
    pub fn digest(&self) -> &str {
        &self.loaded.digest
    }

    /// What it could reach.
    pub fn imports(&self) -> &Imports {
        &self.loaded.imports
    }

    /// Refuses a component that imports more than is granted. What is granted and not imported does no harm.
    ///
    /// # Errors
    /// The first import that nobody gets, or that is not granted, with the configuration key that would grant it.
    pub fn check(&self, granted: &BTreeSet<Capability>) -> Result<(), LoadError> {
        let Imports { capabilities, unknown, wasi: _ } = self.imports();
        if let Some(import) = unknown.first() {
            let (path, reason) = (self.loaded.path.clone(), why_unknown(import));
            return Err(LoadError::UnknownImport { path, import: import.clone(), reason });
        }
        match capabilities.difference(granted).next() {
            Some(&capability) => Err(LoadError::NotGranted { producer: self.name.clone(), capability }),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("name", &self.name)
            .field("digest", &self.digest())
            .finish_non_exhaustive()
    }
}

fn check_pin(file: &Path, pin: Option<&str>, found: &str) -> Result<(), LoadError> {
    match pin.filter(|pin| !pin.eq_ignore_ascii_case(found)) {
        Some(pin) => Err(LoadError::PinMismatch {
            path: file.to_owned(),
            expected: pin.to_owned(),
            found: found.to_owned(),
        }),
        None => Ok(()),
    }
}

fn open(file: &Path) -> Result<(File, Stamp), LoadError> {
    let unreadable = |reason: String| LoadError::Unreadable { path: file.to_owned(), reason };
    // Looked at first, because opening a pipe would wait for its other end.
    if !std::fs::metadata(file).map_err(|error| unreadable(error.to_string()))?.is_file() {
        return Err(unreadable("it is not a file".to_owned()));
    }
    let open = File::open(file).map_err(|error| unreadable(error.to_string()))?;
    let facts = open.metadata().map_err(|error| unreadable(error.to_string()))?;
    Ok((open, Stamp::of(&facts)))
}

fn read(file: &Path, open: &mut File) -> Result<Vec<u8>, LoadError> {
    let unreadable = |reason: String| LoadError::Unreadable { path: file.to_owned(), reason };
    let mut bytes = Vec::new();
    open.take(MAX_COMPONENT + 1).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > MAX_COMPONENT {
        return Err(unreadable(format!("it has more than {MAX_COMPONENT} bytes")));
    }
    Ok(bytes)
}
