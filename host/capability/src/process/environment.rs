//! The environment of a run's processes, built from nothing: an allowlist, not a blocklist.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::grant::{Grant, Program};
use crate::survivors::RUN_VARIABLE;
use crate::{Failure, FailureKind, Place};

/// Marks a process as part of a test run: the guard over tracker writes looks at it (G2, G5).
pub(super) const TEST_RUN_VARIABLE: &str = "STAGEWRIGHT_TEST_RUN";

/// Variables that a component can't set: they are the host's, or they run foreign code in every process.
const RESERVED: [&str; 5] = [RUN_VARIABLE, TEST_RUN_VARIABLE, "LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH"];

/// The whole environment of a process.
pub(super) fn build(
    grant: &Grant,
    place: &Place,
    program: &Program,
    asked: &[(String, String)],
) -> Result<Vec<(OsString, OsString)>, Failure> {
    let mut env: BTreeMap<OsString, OsString> = BTreeMap::new();
    let mut set = |name: &str, value: OsString| env.insert(name.into(), value);
    set("PATH", path(grant, program));
    set("HOME", place.home.clone().into());
    set("TMPDIR", place.tmp.clone().into());
    set("LANG", "C.UTF-8".into());
    set("LC_ALL", "C.UTF-8".into());
    set("TZ", "UTC".into());
    set("USER", "stagewright".into());
    set("LOGNAME", "stagewright".into());
    set("SHELL", "/bin/sh".into());
    set("TERM", "dumb".into());
    set("GIT_CONFIG_NOSYSTEM", "1".into());
    set("GIT_TERMINAL_PROMPT", "0".into());
    for (name, value) in &grant.env {
        set(name, value.into());
    }
    for (name, value) in asked {
        allowed(grant, name)?;
        set(name, value.into());
    }
    if grant.test_run {
        set(TEST_RUN_VARIABLE, "1".into());
    }
    set(RUN_VARIABLE, place.run.to_string().into());
    Ok(env.into_iter().collect())
}

fn allowed(grant: &Grant, name: &str) -> Result<(), Failure> {
    let well_formed = !name.is_empty() && !name.contains(['=', '\0']);
    let granted = grant.env_names.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    });
    if well_formed && granted && !RESERVED.contains(&name) {
        return Ok(());
    }
    let message = format!(
        "the variable `{name}` is not granted; the operator can add it to the producer's grants.process.env"
    );
    Err(Failure::new(FailureKind::Denied, "variable-not-granted", message))
}

/// The folders of the program and of the other granted ones, then the system's.
fn path(grant: &Grant, program: &Program) -> OsString {
    let mut folders: Vec<PathBuf> = Vec::new();
    let own = std::iter::once(program).chain(grant.programs.values());
    let system = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];
    let all = own.filter_map(|program| program.path.parent()).chain(system.iter().map(Path::new));
    for folder in all {
        if !folders.iter().any(|known| known == folder) {
            folders.push(folder.to_owned());
        }
    }
    // A folder whose name holds a colon can't stand in PATH; the program itself is started by its path.
    folders.retain(|folder| !folder.as_os_str().as_encoded_bytes().contains(&b':'));
    std::env::join_paths(folders).unwrap_or_else(|_| "/usr/bin:/bin".into())
}
