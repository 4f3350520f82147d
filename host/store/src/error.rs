//! What can go wrong with the store itself, as opposed to a rule that says no.
//!
//! Whichever it is: the change that was asked for has not happened, and nothing of it is in the store. A
//! refusal by a rule (a lost race, a moved stage) is a type of its own beside each request.

use std::time::Duration;

/// The store could not carry out a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another process kept the store busy for the whole time that was allowed.
    #[error(
        "the store is locked by another process (waited {} s); try again, or end the program that holds it",
        waited.as_secs_f32()
    )]
    Locked {
        /// How long this request waited.
        waited: Duration,
    },
    /// There is no room for the change.
    #[error("the disk that holds the store is full: {detail}; free some space and try again")]
    Full {
        /// What the store's engine said.
        detail: String,
    },
    /// The store can be read but not written.
    #[error("the store can't be written: {detail}; make the file and its folder writable")]
    ReadOnly {
        /// What the store's engine said.
        detail: String,
    },
    /// What is in the store contradicts its own form.
    #[error(
        "the store is damaged: {detail}; stop every stagewright that uses it and restore the file from a backup"
    )]
    Damaged {
        /// Where, and what was found.
        detail: String,
    },
    /// The medium failed while reading or writing.
    #[error("the store's disk failed: {detail}; check the disk and the system's log")]
    Disk {
        /// What the store's engine said.
        detail: String,
    },
    /// The store was closed, or its writer has ended.
    #[error("the store is closed")]
    Closed,
    /// The request can't be carried out for a reason that lies in the request or in this program.
    #[error("the store refused a request: {detail}; this is a fault of the program, please report it")]
    Rejected {
        /// What was refused.
        detail: String,
    },
}
