//! What the end-to-end tests stand on: a host with a state folder of its own, and real git repositories.
//!
//! It runs the built program as a user would and looks at what a user sees: exit code, output, files. It
//! knows nothing of the host's crates, so a test here can't pass by sharing a mistake with the code.

mod daemon;
mod host;
mod installed;
mod locker;
mod namespace;
mod repo;
mod slow_suite;

pub mod agent;
pub mod busybox;
pub mod container;
pub mod http;
pub mod instances;
pub mod processes;
pub mod snapshot;
pub mod sshd;

pub use daemon::Daemon;
pub use host::{Host, Ran};
pub use installed::{component, python, shepherd, stagewright};
pub use locker::Locker;
pub use namespace::Namespaced;
pub use repo::Repo;
pub use slow_suite::SlowSuite;
