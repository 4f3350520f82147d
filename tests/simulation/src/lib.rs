//! A simulation of the host from a seed: all actors over the real engine, with everything that can go wrong (R2).
//!
//! Workers, finalizers, reconcilers, reapers and people share one store in memory. A scheduler of one thread lets one of
//! them do one step at a time, a step being one store call or one word to the outside world, and between any two steps it
//! may kill a process, stop it for hours, set the clock, push to a branch, or let a signal get lost or come twice. The
//! same seed tells the same story. What must never happen is looked at after every step, and at the end things calm down
//! and every task has to arrive.
//!
//! ```text
//! chance      numbers from a seed
//! world       clocks, processes, the giving way between two steps, the story
//! history     one seed from its set-up to its end
//! faults      what goes wrong
//! actors      who acts, as in the daemon
//! outside     targets of effects that remember what was done to them
//! stepped     the store as an actor meets it
//! without     a store that has lost a protection
//! watch       what must never happen
//! ```
//!
//! It refuses to simulate what has a test of its own: real processes, real locks, real disks (`tests/e2e`, the store's
//! tests).

mod actors;
mod chance;
mod faults;
mod forward;
mod history;
mod outside;
mod stepped;
mod watch;
mod without;
mod world;

pub use history::{Options, Report, run};
pub use without::Protection;

/// How many jobs may run at once on the whole store.
const HOST_LIMIT: u32 = 3;
