//! A producer that returns at once: what is measured with it is the host alone.

use stagewright_sdk::{Job, Outcome, Produce, Producer, ReportBuilder};

/// The producer.
#[derive(Debug)]
pub struct Returns;

/// It has nothing to set.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

impl Producer for Returns {
    type Settings = Settings;
    const NAME: &'static str = "returns";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Returns a PASS at once";
    const STAGES: &'static [&'static str] = &[];
}

impl<C> Produce<C> for Returns {
    fn produce(_: &Job, _: &Settings, _: &C) -> Outcome {
        Outcome::Verdict(ReportBuilder::pass("it returned").build())
    }
}

stagewright_sdk::export!(Returns);
