//! The staging-runner: runs the staging suite where staging is, and says whether it passed.
//!
//! The suite runs on the host of staging, over ssh and in its container, and its exit code is the verdict, if the host's marks
//! show that it began and ended. Everything that keeps it from running is held or deferred and never counts against the code: a
//! host without a docker client was once taken for broken code. What each end becomes stands in a table, here and in
//! `docs/evidence/staging.md`.
//!
//! It refuses to judge by words: what a suite prints is shown to people and decides nothing. Docker's words are looked at only
//! where the suite never began. It deploys nothing and repairs nothing.

pub mod channel;
pub mod classify;
pub mod docker;
pub mod engine;
mod preflight;
mod report;
pub mod run;
pub mod settings;
pub mod tally;

use stagewright_sdk::{
    Files, Finding, Host, Job, Level, Outcome, Process, Produce, Producer, Ssh, fault, finding,
};

use crate::run::Shown;
use crate::settings::Settings;

/// The producer of the stage `deploy-staging`.
#[derive(Debug)]
pub struct StagingRunner;

const MEND: &str = "mend the settings of staging-runner";

impl Producer for StagingRunner {
    type Settings = Settings;
    const NAME: &'static str = "staging-runner";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "Runs the staging suite where staging is (over ssh, in its container) and judges how it ended";
    const STAGES: &'static [&'static str] = &["deploy-staging"];
}

impl<C: Host + Process + Ssh + Files> Produce<C> for StagingRunner {
    fn produce(_: &Job, settings: &Settings, host: &C) -> Outcome {
        if let Some(wrong) = settings.wrong() {
            return Outcome::Held(fault::new("settings-invalid", wrong).with_remedy(MEND).build());
        }
        host.progress(0, 0, &format!("the staging suite runs {}", report::place(settings)));
        let run = run::run(settings, host);
        let rule = classify::classify(settings, &run);
        if !matches!(run.shown, Shown::NotStarted(_) | Shown::LeftRunning) {
            report::keep(host, &run.seen);
        }
        host.log(Level::Info, &format!("{}: {} ({})", rule.becomes, rule.code, report::describe(&run.shown)));
        report::outcome(settings, &run, &rule)
    }

    fn preflight(settings: &Settings, host: &C) -> Vec<Finding> {
        match settings.wrong() {
            Some(wrong) => vec![finding::defect("settings", wrong, MEND)],
            None => preflight::look(settings, host),
        }
    }
}

stagewright_sdk::export!(StagingRunner);
