//! A producer that does no harm: it shows that the host is well after an attack.

#![allow(missing_docs, reason = "an example's items are nobody's interface")]
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "only a component has a use for them"))]

use stagewright_sdk::{Job, Outcome, Produce, Producer, ReportBuilder};

struct WellBehaved;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Settings {}

impl Producer for WellBehaved {
    type Settings = Settings;
    const NAME: &'static str = "well-behaved";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Passes";
    const STAGES: &'static [&'static str] = &["testing"];
}

impl<C> Produce<C> for WellBehaved {
    fn produce(job: &Job, _: &Settings, _: &C) -> Outcome {
        Outcome::Verdict(ReportBuilder::pass(&format!("{} is well", job.work_item)).build())
    }
}

stagewright_sdk::export!(WellBehaved);
