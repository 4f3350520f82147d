//! Commands on a real sshd, through the real client under the real shepherd. `cargo xtask test` builds the shepherd first.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says why")]

mod container;
mod ended;
mod ending;
mod never;
mod scene;
mod sshd;
