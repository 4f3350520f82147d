//! What the author of a stagewright producer in Rust uses.
//!
//! A producer is a component that does the work of one pipeline stage and says how it ended. It owns nothing
//! durable: the host keeps the task, writes the artifact and moves the stage. So there is nothing here to write
//! front matter, to set a stage or to reach the network; a producer returns an [`Outcome`], and that is all.
//!
//! - [`Producer`] says what a producer is; [`Produce`] does the work, and its bounds name the capabilities.
//! - [`Host`], [`Process`], [`Files`], [`Probe`], [`Ssh`], [`Llm`]: one trait for each capability. [`Granted`] is the real thing.
//! - [`export!`](crate::export) makes a component of a producer.
//! - [`front_matter`] reads the verdict from a draft that somebody else wrote, as the host's gates read artifacts.
//! - [`ReportBuilder`] builds a report that keeps the interface's limits; [`fault`] and [`finding`] do the same for theirs, and
//!   [`text`] has what they show.
//! - [`evidence`] is the form of a runner's rules: what was seen, and what it becomes.
//! - [`testing`] (not in components) has doubles of the host, so that a producer is tested natively.
//!
//! ```
//! use stagewright_sdk::{Files, Host, Job, Outcome, Process, Produce, Producer, ReportBuilder};
//!
//! /// Passes when the repository has a readme.
//! struct Readme;
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Settings {
//!     /// The file's name.
//!     name: String,
//! }
//!
//! impl Producer for Readme {
//!     type Settings = Settings;
//!     const NAME: &'static str = "readme";
//!     const VERSION: &'static str = "1.0.0";
//!     const SUMMARY: &'static str = "Looks for a readme";
//!     const STAGES: &'static [&'static str] = &["review"];
//! }
//!
//! // The bound is the capability: with `C: Host + Files` this producer cannot start a process.
//! impl<C: Host + Files> Produce<C> for Readme {
//!     fn produce(_: &Job, settings: &Settings, host: &C) -> Outcome {
//!         let there = host.exists(stagewright_sdk::Area::Worktree, &settings.name);
//!         let report = if there { ReportBuilder::pass("there is a readme") } else { ReportBuilder::fail("no readme") };
//!         Outcome::Verdict(report.build())
//!     }
//! }
//!
//! let double = stagewright_sdk::testing::Double::new().with_file("README.md", "# Hello");
//! let settings = Settings { name: "README.md".to_owned() };
//! let outcome = Readme::produce(&stagewright_sdk::testing::job(), &settings, &double);
//! assert!(matches!(outcome, Outcome::Verdict(_)));
//! ```

pub mod bindings;
mod capability;
pub mod evidence;
pub mod fault;
pub mod finding;
mod granted;
pub mod guest;
mod producer;
mod report;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod text;

pub use bindings::stagewright::producer::files::{Area, Entry, Kind as FileKind};
pub use bindings::stagewright::producer::host::{Cause, Level};
pub use bindings::stagewright::producer::llm::{
    Request as ModelRequest, Response as ModelResponse, Usage as ModelUsage,
};
pub use bindings::stagewright::producer::probe::Response as ProbeResponse;
pub use bindings::stagewright::producer::process::{Chunk, Command, Completed, Event, Exit, StreamEnd};
pub use bindings::stagewright::producer::ssh::{RemoteCommand, RemoteCompleted, RemoteExit, RemoteState};
pub use bindings::stagewright::producer::types::{
    Check, CheckState, Descriptor, Failure, FailureKind, Fault, Finding, FindingState, Job, Judgement,
    Outcome, Report, Tally,
};
pub use capability::{Child, Files, Host, Llm, Probe, Process, Ssh};
pub use granted::Granted;
pub use producer::{Produce, Producer};
pub use report::{MAX_CHECKS, ReportBuilder};
pub use stagewright_front_matter as front_matter;
pub use text::{last_lines, plain_line};
