//! The limits of one run, and the one who counts what an instance takes.

use std::time::Duration;

use wasmtime::{ResourceLimiter, Result};

use crate::engine::MAX_MEMORY;

/// How much one run may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All linear memories together, in bytes; at most 1 GiB.
    pub memory: usize,
    /// All tables together, in elements.
    pub table_elements: usize,
    /// Time in which it computes, not counting host calls.
    pub computing: Duration,
    /// Time from its start to its end.
    pub wall: Duration,
    /// How long it may take to return after it was told to.
    pub grace: Duration,
    /// How much one host call may hand over, in bytes.
    pub hostcall_bytes: usize,
    /// How many host calls it may make.
    pub calls: u64,
    /// How many lines it may log; more are dropped.
    pub log_lines: u64,
    /// How many handles it may hold at once.
    pub handles: usize,
    /// How many checks a report may have; one with more is nonsense.
    pub checks: usize,
    /// How long a report's body may be, in bytes; more is cut off.
    pub body: usize,
}

impl Default for Limits {
    /// Room for a run of a large suite that takes up to two hours.
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            table_elements: 100_000,
            computing: Duration::from_secs(60),
            wall: Duration::from_secs(2 * 3_600),
            grace: Duration::from_secs(5),
            hostcall_bytes: 32 << 20,
            calls: 5_000_000,
            log_lines: 10_000,
            handles: 64,
            checks: 1_000,
            body: 1 << 20,
        }
    }
}

impl Limits {
    /// For describing and looking around, which has to be quick.
    pub(crate) fn short() -> Self {
        Self {
            computing: Duration::from_secs(5),
            wall: Duration::from_secs(60),
            grace: Duration::ZERO,
            ..Self::default()
        }
    }
}

/// Adds up what all memories and tables of an instance take; wasmtime asks about each by itself.
#[derive(Debug)]
pub(crate) struct Counter {
    memory: usize,
    memory_limit: usize,
    elements: usize,
    elements_limit: usize,
    /// Something was refused: an end by a trap was then an end for want of memory.
    pub(crate) refused: bool,
    pub(crate) peak: usize,
}

impl Counter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory: 0,
            memory_limit: limits.memory.min(MAX_MEMORY),
            elements: 0,
            elements_limit: limits.table_elements,
            refused: false,
            peak: 0,
        }
    }
}

/// Grows `taken` by what is desired beyond `current`, if the limit allows it.
fn grow(taken: &mut usize, limit: usize, current: usize, desired: usize) -> bool {
    let sum = taken.saturating_add(desired.saturating_sub(current));
    let allowed = sum <= limit;
    if allowed {
        *taken = sum;
    }
    allowed
}

impl ResourceLimiter for Counter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let within = maximum.is_none_or(|maximum| desired <= maximum);
        let allowed = within && grow(&mut self.memory, self.memory_limit, current, desired);
        self.refused |= !allowed;
        self.peak = self.peak.max(self.memory);
        Ok(allowed)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let within = maximum.is_none_or(|maximum| desired <= maximum);
        let allowed = within && grow(&mut self.elements, self.elements_limit, current, desired);
        self.refused |= !allowed;
        Ok(allowed)
    }

    // A component of Python has up to 38 instances, every other one far less. What passes the pool's bounds for one
    // component, which are tighter, is run on demand.
    fn instances(&self) -> usize {
        128
    }

    fn tables(&self) -> usize {
        32
    }

    fn memories(&self) -> usize {
        8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_memories_share_one_limit() {
        let mut counter = Counter::new(&Limits { memory: 10 << 16, ..Limits::default() });
        assert!(counter.memory_growing(0, 6 << 16, None).unwrap());
        assert!(!counter.memory_growing(0, 6 << 16, None).unwrap(), "a second memory got a limit of its own");
        assert!(counter.refused);
        assert!(counter.memory_growing(6 << 16, 10 << 16, None).unwrap());
        assert_eq!(counter.peak, 10 << 16);
    }

    #[test]
    fn two_tables_share_one_limit() {
        let mut counter = Counter::new(&Limits { table_elements: 100, ..Limits::default() });
        assert!(counter.table_growing(0, 60, None).unwrap());
        assert!(!counter.table_growing(0, 60, None).unwrap());
    }
}
