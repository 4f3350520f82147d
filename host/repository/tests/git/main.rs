//! The repository crate against real git: what it makes of a user's repository, and what it leaves untouched.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod clones;
mod commits;
mod crashes;
mod deliveries;
mod hostile;
mod merges;
mod opening;
mod place;
mod questions;
mod work;
mod work_hostile;
mod work_placed;
