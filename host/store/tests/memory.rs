//! The suite of every store, run against the one in memory.

use std::sync::Arc;

use stagewright_store::memory::MemoryStore;
use stagewright_store::suite::Place;
use stagewright_store::{Store, store_suite};

/// A store; each handle is a clone of it.
struct InMemory(MemoryStore);

impl Place for InMemory {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }
}

store_suite!(InMemory(MemoryStore::new()));
