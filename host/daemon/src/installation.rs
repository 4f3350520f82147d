//! Where this program's own parts lie: the shepherd, and the built-in components with their pins.
//!
//! They are files beside the executable (`stagewright-shepherd`, `components/`), or in the folder that
//! `ORCH_LIB_DIR` names. A component is only ever loaded with the digest that the manifest, written by the
//! build, gives for it: a file that was exchanged afterwards is refused.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The folder with this program's parts.
#[derive(Clone, Debug)]
pub struct Installation {
    folder: PathBuf,
}

/// A built-in component and its pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builtin {
    /// Where it lies.
    pub file: PathBuf,
    /// SHA-256 of its bytes in hex, as the build wrote it down.
    pub sha256: String,
}

/// What is missing or wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program doesn't know where it is.
    #[error(
        "this program can't find its own file: {0}; set ORCH_LIB_DIR to the folder that holds `components/`"
    )]
    NoExecutable(io::Error),
    /// A part is not where it should be.
    #[error(
        "{what} is missing: {path} was not found; build it with `cargo xtask build`, or set ORCH_LIB_DIR to the folder that holds it"
    )]
    Missing {
        /// Which part.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The manifest can't be read.
    #[error("{path} can't be read: {reason}; write it anew with `cargo xtask build`")]
    Manifest {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No component of that name was built.
    #[error("there is no built-in producer `{name}`; built in are: {known}")]
    UnknownBuiltin {
        /// The name that was asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestEntry {
    file: String,
    sha256: String,
}

impl Installation {
    /// The folder that `ORCH_LIB_DIR` names, else the one of the executable.
    pub fn find() -> Result<Self, Error> {
        if let Some(folder) = std::env::var_os("ORCH_LIB_DIR").filter(|value| !value.is_empty()) {
            return Ok(Self { folder: PathBuf::from(folder) });
        }
        let executable =
            std::env::current_exe().and_then(|path| path.canonicalize()).map_err(Error::NoExecutable)?;
        Ok(Self { folder: executable.parent().unwrap_or(Path::new("/")).to_owned() })
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The shepherd's executable.
    pub fn shepherd(&self) -> Result<PathBuf, Error> {
        let path = self.folder.join("stagewright-shepherd");
        if path.is_file() { Ok(path) } else { Err(Error::Missing { what: "the shepherd", path }) }
    }

    /// The prompt of a role that came with this program. It may be changed in place.
    pub fn prompt(&self, role: &str) -> PathBuf {
        self.folder.join("components/prompts").join(format!("{role}.md"))
    }

    /// Every built-in component by name.
    pub fn builtins(&self) -> Result<BTreeMap<String, Builtin>, Error> {
        let folder = self.folder.join("components");
        let path = folder.join("manifest.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Missing { what: "the list of built-in components", path });
            }
            Err(error) => return Err(Error::Manifest { path, reason: error.to_string() }),
        };
        let entries: BTreeMap<String, ManifestEntry> = serde_json::from_slice(&text)
            .map_err(|error| Error::Manifest { path, reason: error.to_string() })?;
        Ok(entries
            .into_iter()
            .map(|(name, entry)| (name, Builtin { file: folder.join(entry.file), sha256: entry.sha256 }))
            .collect())
    }

    /// One built-in component.
    pub fn builtin(&self, name: &str) -> Result<Builtin, Error> {
        let mut all = self.builtins()?;
        all.remove(name).ok_or_else(|| Error::UnknownBuiltin {
            name: name.to_owned(),
            known: all.into_keys().collect::<Vec<_>>().join(", "),
        })
    }
}
