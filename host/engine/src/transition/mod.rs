//! What follows from what happened: the one place where the next step of a task is decided (E2, E4, E5, J3).
//!
//! ```text
//! a run ended          after_run       move, defer, hold, cancel, requeue, supersede
//! a job is finished    after_finish    move, or nothing
//! the branch moved     after_push      back to an earlier stage, restart, nothing
//! a person asked       after_request   hold, resume, move, cancel, or why not
//! ```
//!
//! Each answers with data that holds everything its write needs and nothing that it must not do. The caller
//! takes the lease and makes the conditional write; if that is refused, the answer is void.
//!
//! What must never come out of here: a stage that changes without a verdict, a push or a person; an attempt
//! that is spent on an infra fault; a verdict that counts though the host saw no work; a held task that moves
//! by itself.

mod person;
mod push;
mod run_end;

pub use person::{AfterRequest, PersonMove, Refused, Request, Standing, after_request};
pub use push::{AfterPush, after_push};
pub use run_end::{AfterRun, Move, RunEnd, after_finish, after_run};

#[cfg(test)]
mod tests;
