//! A producer that runs `sleep 5` and waits for it: what is measured with it is how many can wait at once.

use stagewright_sdk::{Command, Exit, Job, Outcome, Process, Produce, Producer, ReportBuilder, fault};

/// The producer.
#[derive(Debug)]
pub struct Waits;

/// It has nothing to set.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

impl Producer for Waits {
    type Settings = Settings;
    const NAME: &'static str = "waits";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Runs `sleep 5`";
    const STAGES: &'static [&'static str] = &[];
}

impl<C: Process> Produce<C> for Waits {
    fn produce(_: &Job, _: &Settings, host: &C) -> Outcome {
        let command = Command {
            program: "sleep".to_owned(),
            args: vec!["5".to_owned()],
            env: Vec::new(),
            cwd: None,
            stdin: Vec::new(),
            timeout_ms: None,
        };
        match host.run(&command) {
            Ok(completed) if matches!(completed.exit, Exit::Code(0)) => {
                Outcome::Verdict(ReportBuilder::pass("it has waited").build())
            }
            Ok(completed) => {
                let message = format!("`sleep` ended otherwise: {:?}", completed.exit);
                Outcome::Deferred(fault::new("not-slept", message).build())
            }
            Err(failure) => Outcome::Deferred(fault::new(&failure.code, &failure.message).build()),
        }
    }
}

stagewright_sdk::export!(Waits);
