//! The step before the suite, such as the installation of dependencies.
//!
//! By default its failing says nothing about the code: a registry that does not answer is the usual reason. Its own
//! map of exit codes can say otherwise.

use stagewright_sdk::evidence::{Becomes, Rule, TimeoutIs};
use stagewright_sdk::{Command, Host, Process};

use crate::bench::Bench;
use crate::ending::{self, Ending};
use crate::finding::Finding;
use crate::settings::Setup;
use crate::watch::watch;

const FAILED: Rule =
    Rule::fail("setup-failed", "an exit code that `setup.exit_codes` calls `fail`", "the set-up step failed");
const HELD: Rule = Rule::held(
    "setup-held",
    "an exit code that `setup.exit_codes` calls `held`",
    "the set-up step says that the environment has to be mended",
    "read what the set-up step says",
);
const DEFERRED: Rule = Rule::deferred(
    "setup-did-not-work",
    "an exit code that it calls `deferred`, and any other but 0",
    "the set-up step did not work",
    "read what the set-up step says; if it is the code's fault, name its exit code in `setup.exit_codes`",
);

/// The rows of its own; the ends that are no exit code are shared by all.
pub const TABLE: &[Rule] = &[FAILED, HELD, DEFERRED];

/// What the step's end becomes; none if the suite may run.
pub fn classify(setup: &Setup, ending: &Ending) -> Option<Rule> {
    // A set-up step that overruns is infrastructure until somebody says otherwise; and it is no code under test.
    if let Some(rule) = ending::classify(ending, false, TimeoutIs::Deferred) {
        return Some(rule);
    }
    let code = ending.code()?;
    let means = setup.exit_codes.get(&code).copied();
    match means.unwrap_or(if code == 0 { Becomes::Pass } else { Becomes::Deferred }) {
        Becomes::Pass => None,
        Becomes::Fail => Some(FAILED),
        Becomes::Held => Some(HELD),
        Becomes::Deferred => Some(DEFERRED),
    }
}

/// Runs the step, if there is one. What it finds, if it is anything, stands for the whole run.
pub(crate) fn run<C: Host + Process>(bench: &Bench<'_, C>) -> Option<Finding> {
    let setup = bench.settings.setup.as_ref()?;
    bench.host.progress(0, 0, &format!("set-up: {}", setup.program));
    let command = Command {
        timeout_ms: Some(setup.timeout_s.saturating_mul(1_000)),
        ..bench.command(&setup.program, setup.args.clone())
    };
    let ending = watch(bench.host, &command, &mut ());
    let rule = classify(setup, &ending)?;
    Some(Finding {
        rule,
        command,
        ending,
        notes: vec!["The suite was not started: the set-up step came before it.".to_owned()],
        ..Finding::empty()
    })
}
