//! The actors of the daemon: each wants something of tasks, and all go through the engine, the lease and the store's
//! conditional writes.
//!
//! ```text
//! pool         takes due jobs, works on them, writes what follows
//! finalizer    does the effects of finished jobs, and writes their stages
//! reconciler   compares tasks with their branches, and queues what is missing
//! reaper       takes over from the dead, and from whoever is at it for too long
//! orphans      clears away ended processes that were left to the daemon
//! preflight    looks once at the channel to staging, for people
//! ```
//!
//! No actor trusts another, or its own memory: what is true is read from the store, and what was read is compared again by
//! the write. So any of them may be slow, late, doubled or dead, here or in another process on the same store.

pub mod finalizer;
pub mod orphans;
pub mod pool;
pub mod preflight;
pub mod reaper;
pub mod reconciler;

mod pipelines;
mod stop;

pub use pipelines::Pipelines;
pub use stop::{Phase, Stop};
