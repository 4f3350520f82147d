//! Doubles of the host, so that a producer is unit-tested natively.
//!
//! [`Double`] has every capability: files in memory, processes and probes by script, a clock that moves only when
//! the producer waits, and a record of what it was asked. It enforces no grants: what an operator would refuse
//! is tested with the real host, by the conformance kit.

mod double;
mod processes;

pub use double::{Double, job};
pub use processes::{Run, ScriptedChild};
