//! The two wasmtime engines, with the reason of each setting, and the thread that counts time.
//!
//! Both engines run the same compiled code; they differ in where instances come from. The *pooling* engine has room
//! set aside and starts a run in microseconds. The *on-demand* engine takes memory as it comes: for components that
//! don't fit the pool, and alone on a machine whose address space is too short for one.
//!
//! wasmtime ends a loop only if somebody raises the engine's epoch meanwhile. A thread of its own does it, since an
//! async task could be kept from running by the very guest that it is to interrupt. It ticks only while a component is
//! at work: an idle host burns nothing.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::{Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails};

use crate::cache::Cache;
use crate::{Config, Error};

/// How often a computing component is looked at: it gives its thread to others, and its time is added up.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// The longest memory that a component can be given, in bytes: the size of a slot of the pool.
pub(crate) const MAX_MEMORY: usize = 1 << 30;
/// The most core instances of one component of the pool. A Rust component takes 3, one of Python 14 to 38.
const MAX_CORE_INSTANCES: u32 = 40;
/// The most tables of one component of the pool. A Rust component takes 2.
const MAX_TABLES: u32 = 8;
/// The most memories of one component of the pool. Every language seen takes 1.
const MAX_MEMORIES: u32 = 2;
/// Elements of one table of the pool. A Python component has 20,000.
const MAX_TABLE_ELEMENTS: usize = 50_000;
/// How much of a table is overwritten for the next run instead of given back to the kernel, in bytes. Giving back stops the
/// host's threads on every processor for a moment. A Rust component's tables are far smaller.
const KEPT_OF_A_TABLE: usize = 16 << 10;

/// The engines of a sandbox, its cache, and room for its runs.
pub(crate) struct Engines {
    /// In order of preference; never empty.
    engines: Vec<Engine>,
    pub(crate) config: Config,
    pub(crate) cache: Cache,
    /// One permit a run. The pool has room for as many of the largest components that fit it, so a run waits here
    /// and never fails for want of room.
    pub(crate) room: Arc<Semaphore>,
    ticker: Ticker,
}

impl Engines {
    pub(crate) fn new(config: Config) -> Result<Self, Error> {
        let mut engines = Vec::with_capacity(2);
        match pooling(config.max_runs) {
            Ok(engine) => engines.push(engine),
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                runs = config.max_runs,
                "no address space for a pool of component instances; each run takes memory as it begins"
            ),
        }
        engines.push(on_demand().map_err(Error::Engine)?);
        let ticker = Ticker::start(engines.clone()).map_err(Error::Ticker)?;
        let cache = Cache::open(&config.cache)?;
        let room = Arc::new(Semaphore::new(config.max_runs as usize));
        Ok(Self { engines, config, cache, room, ticker })
    }

    /// The engines, the preferred one first.
    pub(crate) fn in_order(&self) -> &[Engine] {
        &self.engines
    }

    /// Time passes for components as long as the answer lives.
    pub(crate) fn running(&self) -> Running {
        self.ticker.running()
    }
}

/// What both engines share. Whatever is set here is part of the compatibility hash of compiled code.
fn settings() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config
        // With it, a synchronous export that awaits a host call can trap.
        .concurrency_support(false)
        .epoch_interruption(true)
        // The same run has the same result on every machine, so that a recorded one can be replayed.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .cranelift_opt_level(OptLevel::Speed)
        // Deep recursion ends here. The rest of the async stack is for host calls: 1.5 MiB, since the futures of a
        // debug build are large, and to overflow that stack would end the host.
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20)
        // Bounds are checked by code beyond this, and not by 4 GiB of address space for each of a thousand runs.
        .memory_reservation(MAX_MEMORY as u64)
        .memory_guard_size(64 << 10)
        // Said here, or a variable in the user's environment would say it.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// The engine that takes memory as it comes. The child that only compiles uses it, too.
pub(crate) fn on_demand() -> wasmtime::Result<Engine> {
    Engine::new(&settings())
}

fn pooling(runs: u32) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    // It is address space: memory is taken when an instance touches it.
    pool.total_component_instances(runs)
        .total_stacks(runs)
        .total_core_instances(runs.saturating_mul(MAX_CORE_INSTANCES))
        .total_tables(runs.saturating_mul(MAX_TABLES))
        .total_memories(runs.saturating_mul(MAX_MEMORIES))
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_tables_per_component(MAX_TABLES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_module(MAX_TABLES)
        .max_memories_per_module(MAX_MEMORIES)
        .max_memory_size(MAX_MEMORY)
        .table_elements(MAX_TABLE_ELEMENTS)
        .table_keep_resident(KEPT_OF_A_TABLE);
    let mut config = settings();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// Raises the epoch of every engine while somebody runs.
struct Ticker {
    state: Arc<State>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Default)]
struct Now {
    running: usize,
    ended: bool,
}

impl State {
    fn now(&self) -> MutexGuard<'_, Now> {
        // Nothing that holds this lock can leave a count half changed.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticker {
    fn start(engines: Vec<Engine>) -> std::io::Result<Self> {
        let state = Arc::new(State::default());
        let seen = Arc::clone(&state);
        let thread = std::thread::Builder::new().name("component-ticker".to_owned()).spawn(move || {
            loop {
                let mut now = seen.now();
                while now.running == 0 && !now.ended {
                    now = seen.changed.wait(now).unwrap_or_else(PoisonError::into_inner);
                }
                if now.ended {
                    return;
                }
                drop(now);
                std::thread::sleep(TICK);
                engines.iter().for_each(Engine::increment_epoch);
            }
        })?;
        Ok(Self { state, thread: Some(thread) })
    }

    fn running(&self) -> Running {
        let mut now = self.state.now();
        now.running += 1;
        if now.running == 1 {
            self.state.changed.notify_one();
        }
        Running { state: Arc::clone(&self.state) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.now().ended = true;
        self.state.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It ends within a tick; that it could have panicked changes nothing now.
            let _ = thread.join();
        }
    }
}

/// Somebody runs. Dropping it says that they do no more.
pub(crate) struct Running {
    state: Arc<State>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.state.now().running -= 1;
    }
}
