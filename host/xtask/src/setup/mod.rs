//! Finds what the other tasks need and installs what is missing, or says exactly which command installs it.
//!
//! It looks first and installs last, so that on a machine that has everything it takes a moment and touches nothing.
//! It refuses to change the machine in ways that nobody asked for: packages come through rustup or apt, Python's
//! packages go into a virtual environment in the build folder, and nothing is downloaded by hand.

pub(crate) mod apt;
pub(crate) mod python;
pub(crate) mod wasm;

use std::path::Path;
use std::process::Command;

use crate::command;
use crate::error::Error;
use crate::step::{say, step};
use crate::workspace::Workspace;

/// A shell in one file, which needs no library: all that a test's container has.
pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// Looks for everything and installs what is missing.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    step("set-up", || {
        program("git", "git", "git")?;
        program("cc", "a C compiler", "gcc")?;
        let toolchain = wasm::find_or_install(workspace)?;
        say(format!("components are built by {toolchain}"));
        let python = python::for_tests(workspace)?;
        say(format!("suites are run by {}", workspace.shown(&python)));
        Ok(())
    })
}

/// Looks for what only the tests need, and installs what is missing.
pub(crate) fn for_tests() -> Result<(), Error> {
    step("set-up of the tests", || {
        ssh()?;
        // Where no container engine runs, the tests that use one say that they are skipped.
        let engine =
            command::ask(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]));
        if engine.is_some() && !Path::new(BUSYBOX).exists() {
            apt::install("a shell for containers", &["busybox-static"])?;
        }
        Ok(())
    })
}

/// Sees to it that `name` can be run; `package` is Debian's that has it.
fn program(name: &str, what: &str, package: &str) -> Result<(), Error> {
    let there = || command::ask(Command::new(name).arg("--version")).is_some();
    if there() {
        return Ok(());
    }
    // The C compiler is of no use without the headers of the C library.
    let packages: &[&str] = if name == "cc" { &[package, "libc6-dev"] } else { &[package] };
    apt::install(what, packages)?;
    if there() {
        Ok(())
    } else {
        Err(Error::Missing { what: what.to_owned(), remedy: apt::by_hand(packages) })
    }
}

/// Sees to it that there are an ssh client and a server, for the tests and the whole demo. Neither tells its version as others
/// do, and the server is in a folder where only root looks.
pub(crate) fn ssh() -> Result<(), Error> {
    let missing = || {
        let absent =
            [("ssh", "openssh-client"), ("sshd", "openssh-server")].into_iter().filter(|(name, _)| {
                !["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"]
                    .iter()
                    .any(|folder| Path::new(folder).join(name).is_file())
            });
        absent.map(|(_, package)| package).collect::<Vec<_>>()
    };
    let packages = missing();
    if packages.is_empty() {
        return Ok(());
    }
    apt::install("OpenSSH", &packages)?;
    if missing().is_empty() { Ok(()) } else { Err(apt::missing("OpenSSH", &packages)) }
}
