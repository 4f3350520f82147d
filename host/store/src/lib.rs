//! Durable state behind one trait, [`Store`].
//!
//! What the host knows for certain is what is in here. Every change is one transaction that takes effect
//! whole or not at all, and is on the disk before anybody hears of it. The conditions that keep two actors
//! apart (the expected stage, the epoch, the lease, the one live job) are checked inside that transaction
//! and nowhere else.
//!
//! ```text
//! store      the trait
//! request    what it is asked and what it answers
//! error      trouble of the store itself
//! sqlite     one file on a local disk
//! memory     nothing on any disk, for simulations and tests (feature `memory`)
//! suite      the tests that every store must pass
//! ```
//!
//! It refuses to decide: which stage follows, whether a job is worth a retry and who is alive are questions
//! for the engine and the daemon. It reads no clock and makes no ids.

pub mod error;
#[cfg(feature = "memory")]
pub mod memory;
pub mod request;
pub mod sqlite;
mod store;
#[cfg(feature = "suite")]
pub mod suite;

pub use error::Error;
#[cfg(feature = "memory")]
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;
pub use store::{Metrics, Store};
