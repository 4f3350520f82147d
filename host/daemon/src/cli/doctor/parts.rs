//! The parts of this program: the store, the shepherd with its isolation, and the components.

use std::fs;
use std::path::{Path, PathBuf};

use stagewright_store::SqliteStore;
use stagewright_store::sqlite::Options;

use super::finding::{Finding, Findings};
use crate::config::Config;
use crate::installation::Installation;

/// The store: opened as every command does it. Where there is none yet, one is made beside its place and removed
/// again, so that the file system has shown what it can.
pub(super) async fn store(file: &Path) -> Finding {
    if file.exists() {
        return match SqliteStore::open(file, Options::default()) {
            Ok(_) => Finding::ok("store", file.display().to_string()),
            Err(error) => Finding::defect("store", error.to_string(), "see what it says, and ask again"),
        };
    }
    let Some(existing) = file.ancestors().skip(1).find(|ancestor| ancestor.is_dir()) else {
        return Finding::defect(
            "store",
            "its folder can't be reached",
            "use another with --state-dir <folder>",
        );
    };
    let trial = Trial(existing.join(format!(".stagewright-doctor-{}", crate::clock::new_id())));
    if let Err(error) = fs::create_dir(&trial.0) {
        let message = format!("{} can't be written: {error}", existing.display());
        return Finding::defect("store", message, "use another with --state-dir <folder>");
    }
    match SqliteStore::open(&trial.0.join("store.sqlite3"), Options::default()) {
        Ok(_) => Finding::ok("store", "none yet; one could be made here"),
        Err(error) => {
            Finding::defect("store", error.to_string(), "use another folder with --state-dir <folder>")
        }
    }
}

/// A folder that goes with the value.
struct Trial(PathBuf);

impl Drop for Trial {
    fn drop(&mut self) {
        // An empty folder with a name that says whose it is harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The shepherd, the isolation and the components.
pub(super) async fn all(config: &Config, installation: &Installation, state: &Path, findings: &mut Findings) {
    let _ = (config, state);
    findings.add(match installation.shepherd() {
        Ok(path) => Finding::ok("shepherd", path.display().to_string()),
        Err(error) => Finding::defect("shepherd", error.to_string(), "install the program anew"),
    });
}
