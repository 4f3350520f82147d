//! What a run may reach, and the enforcement of it.
//!
//! A capability is a value that only a grant produces: whoever holds a [`Process`](process::Process) may
//! start what its grant names, and nobody else may. There are no WebAssembly types in here, so that every
//! version of the plugin interface stands on the same enforcement.
//!
//! It refuses to know tasks and stages, and never asks a component what it may do.

pub mod cancel;
mod failure;
pub mod files;
pub mod harden;
mod http;
pub mod isolation;
pub mod llm;
pub mod place;
pub mod probe;
pub mod process;
pub mod ssh;
pub mod survivors;

pub use cancel::Cancel;
pub use failure::{Failure, FailureKind};
pub use place::Place;
