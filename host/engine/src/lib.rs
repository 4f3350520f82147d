//! The rules of the pipeline.
//!
//! Given a task, what happened and the time, this crate says what to do next, as data. It is pure: no I/O,
//! no async, no clock and no randomness (times and ids are arguments), so that every rule can be tested by
//! giving it values, and a simulation can replay any history. Everything else in the host carries out what
//! is decided here.
//!
//! It refuses to know who produced an artifact, how a store keeps a row, and what a process is.

pub mod budget;
pub mod effect;
pub mod gate;
pub mod identity;
pub mod instance;
pub mod job;
pub mod lease;
pub mod ledger;
pub mod name;
pub mod outcome;
pub mod pipeline;
pub mod task;
pub mod time;
pub mod transition;
pub mod verdict;
