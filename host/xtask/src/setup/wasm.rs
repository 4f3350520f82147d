//! The compiler of the components: one that has, or can build, the standard library of `wasm32-unknown-unknown`.
//!
//! In this order: a toolchain whose sysroot has that library; one that has the library's *source*, from which cargo
//! builds it (Debian's `rustc-web` with `rust-web-src`, or rustup's `rust-src`); `rustup target add`, for twenty
//! seconds; Debian's packages by apt. The target is not named in a `rust-toolchain.toml`, because rustup would then
//! try to download it at every call. See `docs/adr/0001-two-compilers.md`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::apt;
use crate::command;
use crate::error::Error;
use crate::step::say;
use crate::workspace::Workspace;

/// What the components are compiled for: it brings no WASI, so a component imports our interfaces and nothing else.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's complete Rust with its library's source, and a linker for it.
const PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "lld-19"];

/// `rustup target add` can hang for minutes where Rust's own server can't be reached.
const RUSTUP_LIMIT: Duration = Duration::from_secs(20);

/// The oldest compiler that takes our sources (`rust-version` of the workspace), as its minor version.
const OLDEST_MINOR: u32 = 95;

/// A Rust that can compile components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    /// As `rustc --version` gives it.
    version: String,
    library: Library,
}

/// Where the target's standard library comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Library {
    /// It is in the sysroot.
    Installed,
    /// It is built from the sysroot's source, and linked by this linker, or by the compiler's own.
    BuiltFromSource { linker: Option<PathBuf> },
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.library {
            Library::Installed => "its own",
            Library::BuiltFromSource { .. } => "a standard library built from source",
        };
        write!(f, "{} with {how} for {TARGET}", self.version)
    }
}

impl Toolchain {
    /// `cargo build` for the components' target, into the folder `into`, with nothing of the calling cargo's
    /// environment that would lead it to another compiler or folder.
    pub(crate) fn build(&self, into: &Path) -> Command {
        let mut command = Command::new(&self.cargo);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let leads_astray = text.starts_with("RUSTUP_")
                || text.starts_with("CARGO_BUILD_")
                || text.starts_with("CARGO_PROFILE_")
                || text.starts_with("CARGO_PKG_")
                || matches!(
                    &*text,
                    "CARGO"
                        | "CARGO_TARGET_DIR"
                        | "CARGO_ENCODED_RUSTFLAGS"
                        | "CARGO_MANIFEST_DIR"
                        | "CARGO_MANIFEST_PATH"
                        | "RUSTC"
                        | "RUSTC_WRAPPER"
                        | "RUSTC_WORKSPACE_WRAPPER"
                        | "RUSTDOC"
                        | "RUSTFLAGS"
                        | "LD_LIBRARY_PATH"
                );
            // Rustup's home stays: its proxies need it to find the toolchains.
            if leads_astray && text != "RUSTUP_HOME" {
                command.env_remove(&name);
            }
        }
        command
            .args(["build", "--profile", "component", "--target", TARGET, "--target-dir"])
            .arg(into)
            .env("RUSTC", &self.rustc);
        if let Library::BuiltFromSource { linker } = &self.library {
            // Building the standard library is unstable, and this is a stable compiler.
            command.env("RUSTC_BOOTSTRAP", "1").args(["-Z", "build-std=std,panic_abort"]);
            if let Some(linker) = linker {
                command.env("RUSTFLAGS", format!("-C linker={}", linker.display()));
            }
        }
        command
    }
}

/// The best toolchain that is here; if there is none, installs one.
pub(crate) fn find_or_install(workspace: &Workspace) -> Result<Toolchain, Error> {
    if let Some(found) = find(workspace) {
        return Ok(found);
    }
    say(format!(
        "no compiler here has the standard library of {TARGET}; trying rustup (for {} s at most)",
        RUSTUP_LIMIT.as_secs()
    ));
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]).current_dir(workspace.root());
    if command::within(RUSTUP_LIMIT, &mut rustup)
        && let Some(found) = find(workspace)
    {
        return Ok(found);
    }
    say("rustup can't get it");
    let what = format!("a Rust compiler for {TARGET}");
    let installed = if apt::may_install() { apt::install(&what, PACKAGES) } else { Ok(()) };
    find(workspace).ok_or_else(|| {
        // What apt says of packages that it doesn't know has been shown; here is the way out.
        let tried = installed.err().map_or_else(String::new, |error| format!("\n({error})"));
        let by_apt = apt::by_hand(PACKAGES);
        let remedy = format!(
            "Install it with: rustup target add {TARGET}\nor, where that can't be downloaded, on Debian with: {by_apt}{tried}"
        );
        Error::Missing { what, remedy }
    })
}

/// The best toolchain that is here: an installed library before one that has to be built.
fn find(workspace: &Workspace) -> Option<Toolchain> {
    let active = look(Path::new("rustc"), Path::new("cargo"), workspace.root());
    let system = look(Path::new("/usr/bin/rustc"), Path::new("/usr/bin/cargo"), workspace.root());
    let (installed, from_source): (Vec<_>, Vec<_>) =
        [active, system].into_iter().flatten().partition(|one| one.library == Library::Installed);
    installed.into_iter().chain(from_source).next()
}

/// What the compiler `rustc` can do for us, if anything.
fn look(rustc: &Path, cargo: &Path, folder: &Path) -> Option<Toolchain> {
    let version = command::ask(Command::new(rustc).arg("--version").current_dir(folder))?;
    if minor(&version)? < OLDEST_MINOR {
        return None;
    }
    let sysroot = command::ask(Command::new(rustc).args(["--print", "sysroot"]).current_dir(folder))?;
    let sysroot = PathBuf::from(sysroot);
    // Rustup's proxy chooses a toolchain anew at every call: name the chosen one's own programs.
    let own = |name: &str, given: &Path| {
        let path = sysroot.join("bin").join(name);
        if path.is_file() { path } else { given.to_owned() }
    };
    let library = if has_library(&sysroot.join("lib/rustlib").join(TARGET).join("lib")) {
        Library::Installed
    } else if sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file() {
        Library::BuiltFromSource { linker: linker(&sysroot)? }
    } else {
        return None;
    };
    Some(Toolchain { cargo: own("cargo", cargo), rustc: own("rustc", rustc), version, library })
}

/// The minor version in `rustc 1.96.0 (…)`; nothing for another major version.
fn minor(version: &str) -> Option<u32> {
    version.strip_prefix("rustc 1.")?.split('.').next()?.parse().ok()
}

fn has_library(folder: &Path) -> bool {
    let names = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.into_iter().any(|name| name.to_string_lossy().starts_with("libstd-"))
}

/// `None`: there is no linker for WebAssembly. `Some(None)`: the compiler brings its own.
fn linker(sysroot: &Path) -> Option<Option<PathBuf>> {
    let host_folders = sysroot.join("lib/rustlib").read_dir().ok()?.flatten();
    if host_folders.into_iter().any(|folder| folder.path().join("bin/rust-lld").is_file()) {
        return Some(None);
    }
    let path = std::env::var_os("PATH")?;
    let names =
        std::iter::once("wasm-ld".to_owned()).chain((15..40).rev().map(|major| format!("wasm-ld-{major}")));
    let mut places = names.flat_map(|name| {
        std::env::split_paths(&path).map(move |folder| folder.join(&name)).collect::<Vec<_>>()
    });
    places.find(|place| place.is_file()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minor_version_is_read_from_what_rustc_says() {
        assert_eq!(minor("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)"), Some(96));
        assert_eq!(minor("rustc 1.100.0-nightly (1 2)"), Some(100));
        assert_eq!(minor("gcc 12"), None);
    }

    #[test]
    fn a_library_counts_only_when_its_files_are_there() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!has_library(folder.path()));
        std::fs::write(folder.path().join("libstd-0123.rlib"), "").unwrap();
        assert!(has_library(folder.path()));
    }

    #[test]
    fn a_component_build_is_not_led_astray_by_the_calling_cargo() {
        let toolchain = Toolchain {
            cargo: "cargo".into(),
            rustc: "rustc".into(),
            version: "rustc 1.96.0".to_owned(),
            library: Library::BuiltFromSource { linker: Some("/usr/bin/wasm-ld-19".into()) },
        };
        let command = toolchain.build(Path::new("guests"));
        let variable = |name: &str| command.get_envs().find(|(key, _)| *key == name).map(|(_, value)| value);
        // Cargo sets this one for every test.
        assert_eq!(variable("CARGO_MANIFEST_DIR"), Some(None));
        assert_eq!(variable("RUSTC_BOOTSTRAP"), Some(Some("1".as_ref())));
        assert_eq!(variable("RUSTFLAGS"), Some(Some("-C linker=/usr/bin/wasm-ld-19".as_ref())));
    }
}
