//! A producer that runs `true` and reports its exit code: what is measured with it is the start and the end of a
//! process, with everything that the host does around it.

use stagewright_sdk::{Command, Exit, Job, Outcome, Process, Produce, Producer, ReportBuilder, fault};

/// The producer.
#[derive(Debug)]
pub struct StartsTrue;

/// It has nothing to set.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

impl Producer for StartsTrue {
    type Settings = Settings;
    const NAME: &'static str = "starts-true";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Runs `true`";
    const STAGES: &'static [&'static str] = &[];
}

impl<C: Process> Produce<C> for StartsTrue {
    fn produce(_: &Job, _: &Settings, host: &C) -> Outcome {
        let command = Command {
            program: "true".to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdin: Vec::new(),
            timeout_ms: None,
        };
        match host.run(&command) {
            Ok(completed) if matches!(completed.exit, Exit::Code(0)) => {
                Outcome::Verdict(ReportBuilder::pass("true is true").build())
            }
            Ok(completed) => {
                let message = format!("`true` ended otherwise: {:?}", completed.exit);
                Outcome::Deferred(fault::new("not-true", message).build())
            }
            Err(failure) => Outcome::Deferred(fault::new(&failure.code, &failure.message).build()),
        }
    }
}

stagewright_sdk::export!(StartsTrue);
