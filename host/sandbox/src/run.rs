//! One run of a component: a fresh instance, its limits, its end.
//!
//! The order of an end, whatever brought it about: the component's call is over or dropped; then its processes are
//! ended and waited for; then memory and handles go. A component that is told to end, by a cancellation or because its
//! time is over, first gets a grace period in which it may end by itself.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use stagewright_capability::{Cancel, files::Files, llm::Llm, probe::Probe, process::Process, ssh::Ssh};
use stagewright_engine::ledger::Ledger;
use stagewright_engine::outcome::{Cause, Fault, Outcome};
use wasmtime::component::ResourceTable;
use wasmtime::{Store, UpdateDeadline};

use crate::Capability;
use crate::family::Family;
use crate::fault::{self, TooMuchComputing};
use crate::limits::{Counter, Limits};
use crate::producer::Producer;
use crate::seam::{Level, Observer, Seam};
use crate::stopwatch::Stopwatch;
use crate::v1::{self, Descriptor, Finding, Job};
use crate::wasi::Wasi;

/// The capabilities of one run; what is `None` is not granted.
#[derive(Clone, Debug, Default)]
pub struct Capabilities {
    /// Local processes.
    pub process: Option<Process>,
    /// The run's files.
    pub files: Option<Files>,
    /// HTTP probes.
    pub probe: Option<Probe>,
    /// Commands on remote hosts.
    pub ssh: Option<Ssh>,
    /// Language models.
    pub llm: Option<Llm>,
}

impl Capabilities {
    /// Which there are.
    pub fn names(&self) -> std::collections::BTreeSet<Capability> {
        let process = self.process.is_some().then_some(Capability::Process);
        let files = self.files.is_some().then_some(Capability::Files);
        let probe = self.probe.is_some().then_some(Capability::Probe);
        let ssh = self.ssh.is_some().then_some(Capability::Ssh);
        let llm = self.llm.is_some().then_some(Capability::Llm);
        [process, files, probe, ssh, llm].into_iter().flatten().collect()
    }
}

/// Everything that a run is given.
pub struct Assignment {
    /// The job, as the component sees it.
    pub job: Job,
    /// What it may reach.
    pub capabilities: Capabilities,
    /// How much it may take.
    pub limits: Limits,
    /// The wish that it should end. The capabilities must have been made with the same one, so that their processes
    /// end with it. The run utters it itself when its time is over.
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
    /// Time in which the component's own code ran: an upper bound of its processor time.
    pub computing: Duration,
    /// From its start to its end, waiting included.
    pub wall: Duration,
}

/// The data of a store: everything that belongs to one run.
pub(crate) struct RunState {
    pub(crate) seam: Seam,
    pub(crate) counter: Counter,
    pub(crate) capabilities: Capabilities,
    pub(crate) handles: ResourceTable,
    pub(crate) wasi: Wasi,
    pub(crate) family: Family,
    pub(crate) cancel: Cancel,
    pub(crate) watch: Stopwatch,
    /// The instance was made, and the component's function was called.
    pub(crate) begun: bool,
}

/// How a call into a component ended.
enum End<T> {
    Answered(wasmtime::Result<T>),
    /// It didn't end by itself in its grace period.
    Dropped,
}

impl Producer {
    /// Produces the artifact of a job. It answers whatever happens, and never with an error or a panic (P6).
    ///
    /// When it answers, every process of the run has ended, or is on the ledger as lost. If it is dropped before that, the
    /// processes are ended without being waited for.
    pub async fn produce(&self, assignment: Assignment) -> Produced {
        let begun = Instant::now();
        let mut produced = match unwinding(Box::pin(self.run(assignment))).await {
            Ok(produced) => produced,
            Err(panic) => not_run(Outcome::Deferred(fault::host_failed(&panic))),
        };
        produced.usage.wall = begun.elapsed();
        produced
    }

    async fn run(&self, assignment: Assignment) -> Produced {
        let Assignment { job, capabilities, limits, cancel, observer } = assignment;
        // Whoever loaded it has checked it; a capability that nobody granted must not depend on that.
        if let Err(error) = self.check(&capabilities.names()) {
            return not_run(Outcome::Held(Fault::new(error.code(), error.to_string())));
        }
        let Some(ready) = &self.loaded.ready else {
            return not_run(Outcome::Held(Fault::new(
                "component-import-unknown",
                "it has an import that nobody gets",
            )));
        };
        let _room = tokio::select! {
            biased;
            cause = cancel.cancelled() => return not_run(cancelled(cause, &limits)),
            room = Arc::clone(&self.engines.room).acquire_owned() => room,
            () = tokio::time::sleep(limits.wall) => {
                return not_run(Outcome::Deferred(fault::no_room(self.engines.config.max_runs)));
            }
        };
        let _running = self.engines.running();
        let mut store = store(ready, capabilities, &limits, cancel.clone(), observer);
        let end = end(ready.produce(&mut store, &job), &cancel, &limits).await;
        // Asked now: a wish that is uttered after the answer has no part in it.
        let cause = cancel.cause();
        let mut state = store.into_data();
        state.watch.stop();
        state.family.end(&mut state.seam).await;
        state.wasi.end();
        let usage = Usage {
            peak_memory: state.counter.peak,
            computing: state.watch.computed(),
            wall: Duration::ZERO,
        };
        let outcome = conclude(end, cause, &state.counter, state.begun, &limits);
        Produced { outcome, ledger: state.seam.into_ledger(), usage }
    }

    /// What the component says of itself. It is asked once, with nothing granted.
    ///
    /// # Errors
    /// It doesn't answer, or answers nonsense; the fault says which.
    pub async fn describe(&self) -> Result<Descriptor, Fault> {
        let ask = self
            .short(Capabilities::default(), Cancel::new(), async |ready, store| ready.describe(store).await);
        let described = async { v1::descriptor(ask.await?).map_err(|why| fault::nonsense(&why)) };
        self.loaded.described.get_or_try_init(|| described).await.cloned()
    }

    /// What the component finds in the environment, before it has any work.
    ///
    /// # Errors
    /// It doesn't answer; the fault says why.
    pub async fn preflight(&self, settings: &str, capabilities: Capabilities) -> Result<Vec<Finding>, Fault> {
        if let Err(error) = self.check(&capabilities.names()) {
            return Err(Fault::new(error.code(), error.to_string()));
        }
        let ask =
            async |ready: &v1::Ready, store: &mut Store<RunState>| ready.preflight(store, settings).await;
        Ok(v1::findings(self.short(capabilities, Cancel::new(), ask).await?))
    }

    /// A call that has to be quick.
    async fn short<T>(
        &self,
        capabilities: Capabilities,
        cancel: Cancel,
        ask: impl AsyncFnOnce(&v1::Ready, &mut Store<RunState>) -> wasmtime::Result<T>,
    ) -> Result<T, Fault> {
        let limits = Limits::short();
        let Some(ready) = &self.loaded.ready else {
            return Err(Fault::new("component-import-unknown", "it has an import that nobody gets"));
        };
        let room = Arc::clone(&self.engines.room).acquire_owned();
        let Ok(_room) = tokio::time::timeout(limits.wall, room).await else {
            return Err(fault::no_room(self.engines.config.max_runs));
        };
        let _running = self.engines.running();
        let mut store = store(ready, capabilities, &limits, cancel.clone(), Arc::new(Silent));
        let end = unwinding(Box::pin(end(ask(ready, &mut store), &cancel, &limits))).await;
        let mut state = store.into_data();
        state.family.end(&mut state.seam).await;
        match end {
            Ok(End::Answered(Ok(answer))) => Ok(answer),
            Ok(End::Answered(Err(error))) => Err(fault::failed(&error, &state.counter, state.begun)),
            Ok(End::Dropped) => Err(fault::overran(limits.wall)),
            Err(panic) => Err(fault::host_failed(&panic)),
        }
    }
}

/// A store with its limits in place before anything of the component runs.
fn store(
    ready: &v1::Ready,
    capabilities: Capabilities,
    limits: &Limits,
    cancel: Cancel,
    observer: Arc<dyn Observer>,
) -> Store<RunState> {
    let mut handles = ResourceTable::new();
    handles.set_max_capacity(limits.handles);
    let watch = Stopwatch::new();
    let seam = Seam::new(limits, watch.clone(), observer);
    let state = RunState {
        wasi: Wasi::new(seam.log()),
        seam,
        counter: Counter::new(limits),
        capabilities,
        handles,
        family: Family::default(),
        cancel,
        watch: watch.clone(),
        begun: false,
    };
    let mut store = Store::new(ready.engine(), state);
    store.limiter(|state| &mut state.counter);
    store.set_hostcall_fuel(limits.hostcall_bytes);
    store.set_max_component_handles(limits.handles);
    limit_computing(&mut store, limits.computing, watch.clone());
    watch.start();
    store
}

/// Looks at a computing component once a tick: it yields, so that others come to their turn, and it is ended when it
/// has computed for too long or called too often.
fn limit_computing(store: &mut Store<RunState>, limit: Duration, watch: Stopwatch) {
    // Counted from now, so it must be set before anything runs.
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |store| {
        watch.stop();
        store.data().seam.check_calls()?;
        if watch.computed() > limit {
            return Err(wasmtime::Error::new(TooMuchComputing(limit)));
        }
        let watch = watch.clone();
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(async move {
                tokio::task::yield_now().await;
                watch.start();
            }),
        ))
    });
}

/// Waits for the call's end. A wish to end, from outside or because the time is over, is followed by the grace
/// period; after that the call is dropped, wherever it was.
async fn end<T>(call: impl Future<Output = wasmtime::Result<T>>, cancel: &Cancel, limits: &Limits) -> End<T> {
    let mut call = pin!(call);
    tokio::select! {
        biased;
        answer = &mut call => return End::Answered(answer),
        _ = cancel.cancelled() => {}
        () = tokio::time::sleep(limits.wall) => cancel.cancel(Cause::Deadline),
    }
    tokio::time::timeout(limits.grace, call).await.map_or(End::Dropped, End::Answered)
}

fn conclude(
    end: End<v1::Answer>,
    cause: Option<Cause>,
    counter: &Counter,
    begun: bool,
    limits: &Limits,
) -> Outcome {
    let answered = match end {
        End::Answered(Ok(answer)) => {
            v1::outcome(answer, limits).unwrap_or_else(|why| Outcome::Deferred(fault::nonsense(&why)))
        }
        End::Answered(Err(error)) => Outcome::Deferred(fault::failed(&error, counter, begun)),
        End::Dropped => Outcome::Deferred(fault::overran(limits.wall)),
    };
    match (cause, answered) {
        (None, answered) => answered,
        // It could tell by itself why there is no verdict.
        (Some(Cause::Deadline), told @ (Outcome::Deferred(_) | Outcome::Held(_))) => told,
        // Its processes were ended under it: whatever it concludes from that is no verdict.
        (Some(cause), _) => cancelled(cause, limits),
    }
}

fn cancelled(cause: Cause, limits: &Limits) -> Outcome {
    match cause {
        Cause::Deadline => Outcome::Deferred(fault::overran(limits.wall)),
        other => Outcome::Cancelled(other),
    }
}

fn not_run(outcome: Outcome) -> Produced {
    Produced { outcome, ledger: Ledger::default(), usage: Usage::default() }
}

/// Awaits, and answers with a panic's message instead of passing the panic on.
async fn unwinding<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        // The future is not polled again after a panic, so nobody sees what it left half done.
        match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                Poll::Ready(Err(text.unwrap_or("a panic without a message").to_owned()))
            }
        }
    })
    .await
}

struct Silent;

impl Observer for Silent {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64, _: &str) {}
}
