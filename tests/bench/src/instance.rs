//! B1: a fresh instance and a `produce` that returns at once, against the same component on bare wasmtime.
//!
//! Bare means: the pooling allocator and a linked component as well, but no limits, no epochs, no ledger, no async.

use std::time::Duration;

use stagewright_capability::Cancel;
use stagewright_sandbox::Capabilities;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use crate::Setting;
use crate::component::{Loaded, job};
use crate::measure::{Bar, Failed, in_turns};

mod bindings {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, reason = "generated code")]

    wasmtime::component::bindgen!({ path: "../../wit/v1", world: "base" });
}

use bindings::stagewright::producer::types::{Job, Judgement, Outcome};

const NAME: &str = "returns";

pub(crate) async fn measure(setting: &Setting) -> Result<Bar, Failed> {
    let ours = Loaded::new(&setting.components, NAME)?;
    let bare = Bare::new(setting)?;
    let times = in_turns(
        20,
        500,
        async || ours.pass(Capabilities::default(), Cancel::new()).await.map(drop),
        async || bare.pass(),
    );
    Ok(Bar {
        name: "B1",
        what: "a fresh instance and a `produce` that returns at once",
        bare: "the same component on bare wasmtime",
        ratio: 1.5,
        limit: Some(Duration::from_micros(60)),
        times: times.await?,
    })
}

/// The component on wasmtime alone.
struct Bare {
    engine: Engine,
    linked: bindings::BasePre<()>,
}

impl Bare {
    fn new(setting: &Setting) -> Result<Self, Failed> {
        let mut pool = PoolingAllocationConfig::default();
        pool.max_memory_size(1 << 30);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        config.concurrency_support(false);
        let engine = Engine::new(&config)?;
        let component = Component::from_file(&engine, setting.components.join(NAME).with_extension("wasm"))?;
        let mut linker = Linker::new(&engine);
        // The only import is the host's log, for panics.
        linker.define_unknown_imports_as_traps(&component)?;
        let linked = bindings::BasePre::new(linker.instantiate_pre(&component)?)?;
        Ok(Self { engine, linked })
    }

    fn pass(&self) -> Result<(), Failed> {
        let mut store = Store::new(&self.engine, ());
        let instance = self.linked.instantiate(&mut store)?;
        let answer = instance.stagewright_producer_producer().call_produce(&mut store, &bare_job())?;
        match answer {
            Outcome::Verdict(report) if report.judgement == Judgement::Pass => Ok(()),
            other => Err(format!("the component did not pass: {other:?}").into()),
        }
    }
}

/// The same job in the other bindings.
fn bare_job() -> Job {
    let job = job();
    Job {
        id: job.id,
        run: job.run,
        work_item: job.work_item,
        repo: job.repo,
        stage: job.stage,
        branch: job.branch,
        commit: job.commit,
        attempt: job.attempt,
        deferrals: job.deferrals,
        worktree: job.worktree,
        scratch: job.scratch,
        artifact: job.artifact,
        settings: job.settings,
    }
}
