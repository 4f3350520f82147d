//! Real processes under the real shepherd. `cargo xtask test` builds the shepherd first.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod bounds;
mod ending;
mod grants;
mod killed;
mod output;
mod run;
