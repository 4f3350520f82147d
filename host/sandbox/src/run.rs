//! One run of a component: a fresh instance, its limits, its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stagewright_capability::{Cancel, files::Files, probe::Probe, process::Process};
use stagewright_engine::ledger::Ledger;
use stagewright_engine::outcome::{Cause, Fault, Outcome};
use wasmtime::{Store, Trap, UpdateDeadline};

use crate::engine::TICK;
use crate::limits::{Counter, Limits};
use crate::producer::Producer;
use crate::seam::{Observer, Seam, TooManyCalls};
use crate::v1::{self, Descriptor, Finding, Job};

/// The capabilities of one run; what is `None` is not granted.
#[derive(Clone, Debug, Default)]
pub struct Capabilities {
    /// Local processes.
    pub process: Option<Process>,
    /// The run's files.
    pub files: Option<Files>,
    /// HTTP probes.
    pub probe: Option<Probe>,
}

/// Everything that a run is given.
pub struct Assignment {
    /// The job, as the component sees it.
    pub job: Job,
    /// What it may reach.
    pub capabilities: Capabilities,
    /// How much it may take.
    pub limits: Limits,
    /// The wish that it should end.
    pub cancel: Cancel,
    /// Who hears what it says.
    pub observer: Arc<dyn Observer>,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The component's outcome, or the host's in its place.
    pub outcome: Outcome,
    /// What the host saw it do.
    pub ledger: Ledger,
    /// What it took.
    pub usage: Usage,
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The most linear memory at once, in bytes.
    pub peak_memory: usize,
    /// From its start to its end.
    pub wall: Duration,
}

/// The data of a store: everything that belongs to one run.
pub(crate) struct RunState {
    pub(crate) seam: Seam,
    pub(crate) counter: Counter,
    pub(crate) capabilities: Capabilities,
    pub(crate) children: wasmtime::component::ResourceTable,
    pub(crate) cancel: Cancel,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) deadline: Instant,
    computed: u32,
}

/// A component computed for longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("the component computed for more than {} s", .0.as_secs_f32())]
struct TooMuchComputing(Duration);

impl Producer {
    /// Produces the artifact of a job. It answers whatever happens, and never with an error (P6).
    pub async fn produce(&self, assignment: Assignment) -> Produced {
        let Assignment { job, capabilities, limits, cancel, observer } = assignment;
        let begun = Instant::now();
        // A permit that can't be had means that the sandbox is closed, which nobody does.
        let room = Arc::clone(&self.engines.room).acquire_owned().await;
        let _running = self.engines.running();
        let mut store = self.store(capabilities, &limits, cancel.clone(), observer);
        let answer = {
            let call = self.ready.produce(&mut store, &job);
            tokio::select! {
                answer = call => End::Answer(answer),
                () = tokio::time::sleep(limits.wall) => End::Overran,
                cause = ended_after_grace(&cancel, limits.grace) => End::Cancelled(cause),
            }
        };
        drop(room);
        let state = store.into_data();
        let usage = Usage { peak_memory: state.counter.peak, wall: begun.elapsed() };
        let outcome = conclude(answer, &state.counter, &cancel, &limits);
        Produced { outcome, ledger: state.seam.into_ledger(), usage }
    }

    /// What the component says of itself.
    pub async fn describe(&self) -> Result<Descriptor, Fault> {
        let mut store = self.plain_store();
        let _running = self.engines.running();
        let call = self.ready.describe(&mut store);
        short(call, &store_limits()).await.map_err(|end| end.fault(&Counter::new(&store_limits())))
    }

    /// What the component finds in the environment, before it has any work.
    pub async fn preflight(&self, settings: &str, capabilities: Capabilities) -> Result<Vec<Finding>, Fault> {
        let limits = store_limits();
        let mut store = self.store(capabilities, &limits, Cancel::new(), Arc::new(Silent));
        let _running = self.engines.running();
        let call = self.ready.preflight(&mut store, settings);
        short(call, &limits).await.map_err(|end| end.fault(&Counter::new(&limits)))
    }

    fn plain_store(&self) -> Store<RunState> {
        self.store(Capabilities::default(), &store_limits(), Cancel::new(), Arc::new(Silent))
    }

    fn store(
        &self,
        capabilities: Capabilities,
        limits: &Limits,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Store<RunState> {
        let mut children = wasmtime::component::ResourceTable::new();
        children.set_max_capacity(limits.handles);
        let state = RunState {
            seam: Seam::new(limits.calls, limits.log_lines),
            counter: Counter::new(limits),
            capabilities,
            children,
            cancel,
            observer,
            deadline: Instant::now() + limits.wall,
            computed: 0,
        };
        let mut store = Store::new(&self.engines.engine, state);
        store.limiter(|state| &mut state.counter);
        store.set_hostcall_fuel(limits.hostcall_bytes);
        limit_computing(&mut store, limits.computing);
        store
    }
}

/// Yields at every tick, so that others come to their turn, and ends what computes for too long. Host calls
/// do not count: the epoch stands still for whoever is not computing.
fn limit_computing(store: &mut Store<RunState>, limit: Duration) {
    let ticks = u32::try_from(limit.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |mut context| {
        let state = context.data_mut();
        state.computed += 1;
        if state.computed > ticks {
            return Err(wasmtime::Error::new(TooMuchComputing(limit)));
        }
        Ok(UpdateDeadline::Yield(1))
    });
}

/// How a call into a component ended.
enum End<T> {
    Answer(wasmtime::Result<T>),
    Overran,
    Cancelled(Cause),
}

/// Waits for the wish to end, then for as long as a well-behaved component needs to follow it.
async fn ended_after_grace(cancel: &Cancel, grace: Duration) -> Cause {
    let cause = cancel.cancelled().await;
    tokio::time::sleep(grace).await;
    cause
}

fn conclude(end: End<v1::Answer>, counter: &Counter, cancel: &Cancel, limits: &Limits) -> Outcome {
    // Whoever was told to end has no verdict, whatever it says: its processes were ended under it.
    if let Some(cause) = cancel.cause() {
        return match cause {
            Cause::Deadline => Outcome::Deferred(overran(limits)),
            other => Outcome::Cancelled(other),
        };
    }
    match end {
        End::Answer(Ok(answer)) => v1::outcome(answer, limits).unwrap_or_else(|why| {
            let message = format!("the component's answer makes no sense: {why}");
            Outcome::Deferred(mend(Fault::new("component-answered-nonsense", message)))
        }),
        End::Answer(Err(error)) => Outcome::Deferred(fault(&error, counter)),
        End::Overran => Outcome::Deferred(overran(limits)),
        End::Cancelled(cause) => Outcome::Cancelled(cause),
    }
}

fn overran(limits: &Limits) -> Fault {
    mend(Fault::new(
        "component-overran",
        format!("the component ran for more than {} s", limits.wall.as_secs()),
    ))
}

fn mend(fault: Fault) -> Fault {
    fault.with_remedy("this is a fault of the producer, not of the code under test: tell its author")
}

/// What a call that ended by an error was.
fn fault(error: &wasmtime::Error, counter: &Counter) -> Fault {
    let evidence: String = format!("{error:#}").chars().take(4_000).collect();
    let (code, message) = if error.is::<TooMuchComputing>() {
        ("component-overran", error.root_cause().to_string())
    } else if error.is::<TooManyCalls>() || error.is::<wasmtime::component::ResourceTableError>() {
        ("component-over-limit", error.root_cause().to_string())
    } else if counter.refused {
        ("component-out-of-memory", "the component wanted more memory than it may have".to_owned())
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        ("component-trapped", format!("the component trapped: {trap}"))
    } else {
        ("component-not-started", format!("the component failed: {}", error.root_cause()))
    };
    mend(Fault::new(code, message).with_evidence(evidence))
}

/// Limits for what has to be quick: describing and looking around.
fn store_limits() -> Limits {
    Limits { computing: Duration::from_secs(5), wall: Duration::from_secs(60), ..Limits::default() }
}

/// Why a short call gave no answer.
enum ShortEnd {
    Failed(wasmtime::Error),
    Overran,
}

impl ShortEnd {
    fn fault(self, counter: &Counter) -> Fault {
        match self {
            Self::Failed(error) => fault(&error, counter),
            Self::Overran => overran(&store_limits()),
        }
    }
}

async fn short<T>(call: impl Future<Output = wasmtime::Result<T>>, limits: &Limits) -> Result<T, ShortEnd> {
    match tokio::time::timeout(limits.wall, call).await {
        Ok(answer) => answer.map_err(ShortEnd::Failed),
        Err(_) => Err(ShortEnd::Overran),
    }
}

struct Silent;

impl Observer for Silent {
    fn log(&self, _: crate::Level, _: &str) {}
    fn progress(&self, _: u64, _: u64, _: &str) {}
}
