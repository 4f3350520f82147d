//! Scripted agents under the real shepherd, and a real server on loopback. `cargo xtask test` builds the shepherd first.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod agents;
mod budgets;
mod ending;
#[path = "../process/run.rs"]
#[expect(dead_code, reason = "the tests of processes look at more of it")]
mod run;
mod secrets;
mod servers;
mod setting;
