//! What the store is asked, and what it answers: plain data, one module for each thing that is kept.
//!
//! A request says everything that its condition needs (expected stage, epoch, lease), so that no caller can
//! leave a condition out. A refusal is a type of its own that says what was found instead.

pub mod artifact;
pub mod conclusion;
pub mod effect;
pub mod event;
pub mod instance;
pub mod job;
pub mod lease;
pub mod model;
pub mod queue;
pub mod repo;
pub mod run;
pub mod task;
