//! The wasmtime engine: its settings, with the reason of each, and the ticker that makes time pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::{
    Config as WasmConfig, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Result,
};

use crate::Config;

/// How long one tick of the epoch is. A component that computes yields to others this often.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// The longest memory that a component can be given, in bytes: the size of a slot of the pool.
pub(crate) const MAX_MEMORY: usize = 1 << 30;

/// The engine, its configuration and its ticker.
pub(crate) struct Engines {
    pub(crate) engine: Engine,
    pub(crate) config: Config,
    /// Room in the pool; a run waits for it instead of failing.
    pub(crate) room: Arc<Semaphore>,
    ticker: Ticker,
}

impl Engines {
    pub(crate) fn new(config: Config) -> Result<Self> {
        // A machine whose address space is short can't reserve the pool; then instances are made on demand,
        // which costs some microseconds each.
        let engine = pooling(config.max_runs).or_else(|_| plain())?;
        let room = Arc::new(Semaphore::new(config.max_runs as usize));
        let ticker = Ticker::start(engine.clone());
        Ok(Self { engine, config, room, ticker })
    }

    /// Time passes for components as long as the answer lives.
    pub(crate) fn running(&self) -> Running {
        self.ticker.begin()
    }
}

/// What both allocators share; whatever is compiled with one loads in the other.
fn settings() -> WasmConfig {
    let mut config = WasmConfig::new();
    // Without it a synchronous export that awaits a host call can trap.
    config.concurrency_support(false);
    // Ends loops: see `run::limit_computing`.
    config.epoch_interruption(true);
    // Reproducible: a recorded run can be replayed on another machine.
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    // Deep recursion ends here. The stack that host calls run on is the rest of the async stack.
    config.max_wasm_stack(1 << 20);
    config.async_stack_size(2 << 20);
    config.cranelift_opt_level(OptLevel::Speed);
    config.memory_reservation(MAX_MEMORY as u64);
    config.memory_guard_size(64 << 10);
    config
}

/// An engine that makes instances on demand.
pub(crate) fn plain() -> Result<Engine> {
    Engine::new(&settings())
}

fn pooling(max_runs: u32) -> Result<Engine> {
    let mut pool = PoolingAllocationConfig::default();
    // A Rust component takes 3 core instances, 1 memory and 2 tables, one of Python up to 38 instances.
    pool.total_component_instances(max_runs);
    pool.total_core_instances(max_runs.saturating_mul(40));
    pool.total_memories(max_runs.saturating_mul(2));
    pool.total_tables(max_runs.saturating_mul(8));
    pool.total_stacks(max_runs);
    pool.max_memory_size(MAX_MEMORY);
    pool.max_memories_per_component(2);
    pool.max_tables_per_component(40);
    pool.max_core_instances_per_component(40);
    pool.table_elements(20_000);
    let mut config = settings();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// Advances the epoch while anything runs, and sleeps while nothing does.
struct Ticker {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    running: AtomicUsize,
    stop: AtomicBool,
}

/// Something runs. Dropping it says that it does no more.
pub(crate) struct Running {
    shared: Arc<Shared>,
}

impl Ticker {
    fn start(engine: Engine) -> Self {
        let shared = Arc::new(Shared { running: AtomicUsize::new(0), stop: AtomicBool::new(false) });
        let seen = Arc::clone(&shared);
        // A thread of its own: tasks of the runtime could be kept from running by what they are to end.
        let thread = std::thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || {
                while !seen.stop.load(Ordering::SeqCst) {
                    if seen.running.load(Ordering::SeqCst) == 0 {
                        std::thread::park();
                    } else {
                        std::thread::park_timeout(TICK);
                        engine.increment_epoch();
                    }
                }
            })
            .ok();
        Self { shared, thread }
    }

    fn begin(&self) -> Running {
        if self.shared.running.fetch_add(1, Ordering::SeqCst) == 0
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
