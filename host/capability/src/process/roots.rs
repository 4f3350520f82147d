//! Which folders a good program needs, so that a protection never turns a good suite into a failing one.
//!
//! Landlock allows and can't except, so these are lists of what is allowed. The user's home is on none of
//! them: of it only the prefixes of granted programs are readable.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The system's own folders. What is secret in them is closed by their modes.
const SYSTEM: [&str; 14] = [
    "/bin",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/opt",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib",
];
/// What is written by everyone.
const WRITABLE: [&str; 13] = [
    "/tmp",
    "/var/tmp",
    "/dev/shm",
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/fd",
    "/dev/mqueue",
];
/// Prefixes that would open everything.
const TOO_WIDE: [&str; 5] = ["/", "/home", "/root", "/usr", "/var"];

/// The system's folders that may be read.
pub fn system() -> Vec<PathBuf> {
    SYSTEM.iter().map(PathBuf::from).collect()
}

/// The places that may be written.
pub(super) fn writable() -> Vec<PathBuf> {
    WRITABLE.iter().map(PathBuf::from).collect()
}

/// What a program needs of its own: itself, its installation prefix, a virtual environment and the
/// installation below that, a Rust toolchain's home.
pub fn of_program(program: &Path) -> Vec<PathBuf> {
    let mut roots = BTreeSet::new();
    // Each link of a chain may be in another installation (a venv's python, rustup's cargo).
    let mut next = Some(program.to_owned());
    for _ in 0..8 {
        let Some(path) = next else { break };
        roots.insert(path.clone());
        if let Some(prefix) = prefix(&path) {
            roots.extend(base_of_environment(&prefix));
            roots.insert(prefix);
        }
        next = fs::read_link(&path).ok().map(|target| path.parent().unwrap_or(Path::new("/")).join(target));
    }
    if let Ok(real) = program.canonicalize() {
        roots.extend(prefix(&real));
        roots.insert(real);
    }
    if program.file_name().is_some_and(|name| name == "cargo" || name == "cargo-nextest") {
        roots.extend(rust_toolchains());
    }
    roots.into_iter().collect()
}

/// `<prefix>` of `<prefix>/bin/<program>`, unless that is a folder of everything.
fn prefix(program: &Path) -> Option<PathBuf> {
    let bin = program.parent()?;
    let prefix = if bin.file_name()? == "bin" { bin.parent()? } else { return None };
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let wide = TOO_WIDE.iter().any(|wide| prefix == Path::new(wide)) || home.as_deref() == Some(prefix);
    // `~/.local/bin/x` and `~/bin/x`: the prefix holds the user's data, so only the folder of programs.
    let personal = prefix.file_name().is_some_and(|name| name == ".local");
    if wide || personal { Some(bin.to_owned()) } else { Some(prefix.to_owned()) }
}

/// The installation that a virtual environment stands on, as its `pyvenv.cfg` tells.
fn base_of_environment(prefix: &Path) -> Vec<PathBuf> {
    let Ok(text) = fs::read_to_string(prefix.join("pyvenv.cfg")) else { return Vec::new() };
    let homes = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "home").then(|| PathBuf::from(value.trim()))
    });
    homes
        .flat_map(|bin| [prefix_of_bin(&bin), bin.canonicalize().ok().and_then(|real| prefix_of_bin(&real))])
        .flatten()
        .collect()
}

fn prefix_of_bin(bin: &Path) -> Option<PathBuf> {
    prefix(&bin.join("python3"))
}

fn rust_toolchains() -> Vec<PathBuf> {
    let home = |variable: &str, folder: &str| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(folder)))
    };
    let cargo = home("CARGO_HOME", ".cargo");
    // Of cargo's home only programs and downloaded sources: not its credentials.
    let cargo = cargo.iter().flat_map(|home| [home.join("bin"), home.join("registry"), home.join("git")]);
    cargo.chain(home("RUSTUP_HOME", ".rustup")).collect()
}
