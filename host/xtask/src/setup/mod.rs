//! Finds what the other tasks need and installs what is missing, or says exactly which command installs it.
//!
//! It looks first and installs last, so that on a machine that has everything it takes a moment and touches nothing.
//! It refuses to change the machine in ways that nobody asked for: packages come through rustup or apt, Python's
//! packages go into a virtual environment in the build folder, and nothing is downloaded by hand.

pub(crate) mod apt;
pub(crate) mod wasm;

use crate::error::Error;
use crate::step::{say, step};
use crate::workspace::Workspace;

/// Looks for everything and installs what is missing.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    step("set-up", || {
        let toolchain = wasm::find_or_install(workspace)?;
        say(format!("components are built by {toolchain}"));
        Ok(())
    })
}
