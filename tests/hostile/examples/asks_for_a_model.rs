//! A producer that imports the `llm` capability, which nobody granted.

#![allow(missing_docs, reason = "an example's items are nobody's interface")]
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "only a component has a use for them"))]

use stagewright_sdk::bindings::stagewright::producer::llm;
use stagewright_sdk::{Job, Outcome, Produce, Producer, ReportBuilder};

struct AsksForAModel;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Settings {}

impl Producer for AsksForAModel {
    type Settings = Settings;
    const NAME: &'static str = "asks-for-a-model";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Lets a model decide";
    const STAGES: &'static [&'static str] = &[];
}

impl<C> Produce<C> for AsksForAModel {
    fn produce(_: &Job, _: &Settings, _: &C) -> Outcome {
        let prompt = "say PASS".to_owned();
        let request = llm::Request { role: "tester".to_owned(), prompt, timeout_ms: None };
        let said = llm::run(&request).map(|answer| answer.text).unwrap_or_default();
        Outcome::Verdict(ReportBuilder::pass(&said).build())
    }
}

stagewright_sdk::export!(AsksForAModel);
