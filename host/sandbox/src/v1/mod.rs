//! Version 1 of the interface: the bindings, and the shim between them and the capabilities.
//!
//! No policy is in here. A shim translates; what may be done is enforced by the capabilities below it, and
//! what was done is seen by the seam.

mod answer;
mod host;

pub(crate) use answer::{descriptor, findings, outcome};

use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Store};

use crate::run::RunState;
use crate::wasi;

mod bindings {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, reason = "generated code")]

    wasmtime::component::bindgen!({
        path: "../../wit/v1",
        world: "full",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "stagewright:producer/process.child": crate::family::Running },
        additional_derives: [PartialEq],
    });
}

use bindings::exports::stagewright::producer::producer as exported;
use bindings::stagewright::producer::types;

/// A job, as a component sees it. The fields are those of the interface.
pub use bindings::stagewright::producer::types::Job;

/// What a component answers.
pub(crate) type Answer = types::Outcome;

/// What a component says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The name that its author gave it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line about it.
    pub summary: String,
    /// The stages that it can produce; empty for any.
    pub stages: Vec<String>,
    /// JSON Schema of its settings.
    pub settings_schema: String,
}

/// What a component found in the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it looked at.
    pub check: String,
    /// How that is.
    pub state: FindingState,
    /// In words.
    pub message: String,
    /// The way out.
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingState {
    /// Good.
    Ok,
    /// Odd.
    Warning,
    /// Not good.
    Defect,
}

/// A component that is linked and only needs an instance.
#[derive(Clone)]
pub(crate) struct Ready {
    linked: bindings::FullPre<RunState>,
}

impl Ready {
    /// Links a component; an error says what doesn't fit. Only one that imports WASI is given it.
    pub(crate) fn new(component: &Component, wants_wasi: bool) -> Result<Self, String> {
        let linked = || {
            let mut linker = Linker::new(component.engine());
            if wants_wasi {
                wasi::link(&mut linker)?;
            }
            bindings::Full::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut RunState| state)?;
            bindings::FullPre::new(linker.instantiate_pre(component)?)
        };
        linked().map(|linked| Self { linked }).map_err(|error: wasmtime::Error| format!("{error:#}"))
    }

    /// The engine that the component was made for.
    pub(crate) fn engine(&self) -> &Engine {
        self.linked.engine()
    }

    pub(crate) async fn produce(&self, store: &mut Store<RunState>, job: &Job) -> wasmtime::Result<Answer> {
        self.instance(store).await?.stagewright_producer_producer().call_produce(store, job).await
    }

    pub(crate) async fn describe(
        &self,
        store: &mut Store<RunState>,
    ) -> wasmtime::Result<exported::Descriptor> {
        self.instance(store).await?.stagewright_producer_producer().call_describe(store).await
    }

    pub(crate) async fn preflight(
        &self,
        store: &mut Store<RunState>,
        settings: &str,
    ) -> wasmtime::Result<Vec<exported::Finding>> {
        self.instance(store).await?.stagewright_producer_producer().call_preflight(store, settings).await
    }

    async fn instance(&self, store: &mut Store<RunState>) -> wasmtime::Result<bindings::Full> {
        let instance = self.linked.instantiate_async(&mut *store).await?;
        store.data_mut().begun = true;
        Ok(instance)
    }
}
