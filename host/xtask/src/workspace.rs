//! Where things lie: the checkout, the build folder (which `CARGO_TARGET_DIR` may move), the packages.
//!
//! Every path of a task comes from here, and here it comes from `cargo metadata`: nothing else knows the word
//! `target`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::command;
use crate::error::Error;

/// The two builds of the host that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// `target/debug`: tests and daily work.
    Debug,
    /// `target/release`: benchmarks and installing.
    Release,
}

impl Profile {
    /// The profile that `--release` chooses.
    pub(crate) fn of(release: bool) -> Self {
        if release { Self::Release } else { Self::Debug }
    }

    /// Its folder in the build folder.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// The checkout as cargo sees it.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    metadata: Value,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn find() -> Result<Self, Error> {
        let mut command = cargo_program();
        command.args(["metadata", "--format-version=1", "--no-deps"]);
        // Asked at run time: with one build folder for several checkouts, the folder that this was compiled in may be
        // another checkout's. Without cargo the current folder decides.
        if let Some(manifest) = std::env::var_os("CARGO_MANIFEST_DIR") {
            command.current_dir(manifest);
        }
        let text = command::read("reading the workspace", &mut command)?;
        let metadata: Value =
            serde_json::from_str(&text).map_err(|error| Error::Metadata(error.to_string()))?;
        let folder = |key: &str| {
            let path = metadata[key].as_str().ok_or_else(|| Error::Metadata(format!("no `{key}`")))?;
            Ok::<_, Error>(PathBuf::from(path))
        };
        Ok(Self { root: folder("workspace_root")?, target: folder("target_directory")?, metadata })
    }

    /// The top folder of the checkout.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The build folder.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The folder of the finished programs of a profile.
    pub(crate) fn programs(&self, profile: Profile) -> PathBuf {
        self.target.join(profile.folder())
    }

    /// The packages of the workspace, as `cargo metadata` describes them.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &Value> {
        self.metadata["packages"].as_array().into_iter().flatten()
    }

    /// Whether the workspace has a package of this name.
    pub(crate) fn has(&self, package: &str) -> bool {
        self.packages().any(|one| one["name"] == package)
    }

    /// A path as short as it can be said to somebody who stands in the top folder.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    /// `cargo` in the top folder of the checkout.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = cargo_program();
        command.current_dir(&self.root);
        command
    }
}

/// The cargo that started this task, so that one toolchain does all of it.
fn cargo_program() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
