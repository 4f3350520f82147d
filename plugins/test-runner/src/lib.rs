//! The test-runner: runs a repository's suite in the run's clone and says whether it passed.
//!
//! PASS needs evidence that tests ran and passed. FAIL needs evidence that the runner was up and something about the
//! *code* is wrong. Everything else is held or deferred and never counts against the code; what each exit and each piece
//! of evidence becomes stands in a table for each runner, here and in `docs/evidence/`.
//!
//! It refuses to guess: which runner it is where two fit, what an unknown exit code means, whether a suite that left no
//! trace has passed. It can't tell an honest report from a forged one; code under test shares the runner's process.

mod bench;
pub mod cargo_build;
pub mod cargo_test;
pub mod command;
pub mod detect;
pub mod ending;
pub mod finding;
pub mod go_test;
pub mod junit;
pub mod nextest;
pub mod npm;
pub mod pytest;
pub mod report;
pub mod settings;
pub mod setup;
pub mod smoke;
mod watch;

use stagewright_sdk::evidence::Becomes;
use stagewright_sdk::{
    CheckState, Fault, Files, Finding as Preflight, FindingState, Host, Job, Level, Outcome, Probe, Process,
    Produce, Producer, fault, finding as found,
};

use crate::bench::Bench;
use crate::detect::Detected;
use crate::finding::{Checked, Finding};
use crate::settings::{Framework, Settings};

/// The producer of the stage `testing`.
#[derive(Debug)]
pub struct TestRunner;

impl Producer for TestRunner {
    type Settings = Settings;
    const NAME: &'static str = "test-runner";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Runs a repository's tests (pytest, cargo test, nextest, go test, npm, any command) and judges the evidence";
    const STAGES: &'static [&'static str] = &["testing"];
}

impl<C: Host + Process + Files + Probe> Produce<C> for TestRunner {
    fn produce(job: &Job, settings: &Settings, host: &C) -> Outcome {
        let bench = Bench { job, settings, host };
        let detected = match detected(&bench) {
            Ok(detected) => detected,
            Err(fault) => return Outcome::Held(*fault),
        };
        let name = detected.framework.name();
        host.log(Level::Info, &format!("the suite is run by {name} (by {})", detected.because));
        host.progress(0, 0, &format!("{name} (by {})", detected.because));
        let mut finding = setup::run(&bench).unwrap_or_else(|| judge(&bench, detected.framework));
        keep(host, &finding);
        shrink(settings, &mut finding);
        probe(&bench, &mut finding);
        host.log(Level::Info, &format!("{}: {}", finding.rule.becomes, finding.rule.code));
        report::outcome(&bench, &detected, &finding)
    }

    fn preflight(settings: &Settings, host: &C) -> Vec<Preflight> {
        let program = match settings.framework {
            Framework::Pytest => (settings.python.as_str(), vec!["-m", "pytest", "--version"]),
            Framework::CargoTest => ("cargo", vec!["--version"]),
            Framework::Nextest => ("cargo", vec!["nextest", "--version"]),
            Framework::GoTest => ("go", vec!["version"]),
            Framework::Npm => ("npm", vec!["--version"]),
            // What is not known before there is a worktree, or what running it might change, is not looked at.
            Framework::Auto | Framework::Command => return Vec::new(),
        };
        vec![works(host, program.0, &program.1)]
    }
}

stagewright_sdk::export!(TestRunner);

/// What runs the tests: the setting, or what the files say. Where they say nothing or too much, the task is held.
fn detected<C: Files>(bench: &Bench<'_, C>) -> Result<Detected, Box<Fault>> {
    if bench.settings.framework != Framework::Auto {
        return Ok(Detected { framework: bench.settings.framework, because: "the settings".to_owned() });
    }
    let mut all = detect::detect(bench.host);
    let list = all.iter().map(|it| format!("{} (by {})", it.framework.name(), it.because));
    let list = list.collect::<Vec<_>>().join(", ");
    let undecided = match all.pop() {
        Some(only) if all.is_empty() => return Ok(only),
        Some(_) => fault::new(
            "framework-ambiguous",
            format!("more than one test runner fits the repository: {list}"),
        )
        .with_remedy("set `test_runner.framework` to one of them"),
        None => fault::new("framework-unknown", "no file of the repository tells what runs its tests")
            .with_remedy(
                "set `test_runner.framework` to pytest, cargo-test, nextest, go-test, npm, or command with a \
             `test_runner.program`",
            ),
    };
    Err(Box::new(undecided.build()))
}

fn judge<C: Host + Process + Files>(bench: &Bench<'_, C>, framework: Framework) -> Finding {
    match framework {
        Framework::Pytest => pytest::run(bench),
        Framework::CargoTest => cargo_test::run(bench),
        Framework::Nextest => nextest::run(bench),
        Framework::GoTest => go_test::run(bench),
        Framework::Npm => npm::run(bench),
        // `auto` was made one of the others before.
        Framework::Command | Framework::Auto => command::run(bench),
    }
}

fn keep<C: Host + Files>(host: &C, finding: &Finding) {
    for (path, name) in &finding.keep {
        if let Err(failure) = host.attach(path, name) {
            host.log(Level::Warn, &format!("{name} could not be kept: {}", failure.message));
        }
    }
}

/// A suite that lost many of its tests has not passed.
fn shrink(settings: &Settings, finding: &mut Finding) {
    let counts = (finding.collected, settings.collected_baseline, settings.max_collected_drop);
    if let (Becomes::Pass, (Some(collected), Some(baseline), Some(percent))) = (finding.rule.becomes, counts)
        && report::dropped(collected, baseline, percent)
    {
        finding.rule = report::COLLECTED_DROPPED;
    }
}

/// Smoke probes come after a suite that passed.
fn probe<C: Host + Probe>(bench: &Bench<'_, C>, finding: &mut Finding) {
    if finding.rule.becomes != Becomes::Pass || bench.settings.smoke.is_empty() {
        return;
    }
    let probed = smoke::run(bench.host, &bench.settings.smoke);
    for it in &probed {
        let state = match it.rule.map(|rule| rule.becomes) {
            None => CheckState::Passed,
            Some(Becomes::Fail) => CheckState::Failed,
            Some(_) => CheckState::Errored,
        };
        let (name, detail) = (it.name.clone(), it.detail.clone());
        finding.probes.push(Checked { name, state, detail, duration_ms: it.duration_ms });
    }
    if let Some(rule) = smoke::verdict(&probed) {
        finding.rule = rule;
        let lines =
            probed.iter().filter(|it| it.rule.is_some()).map(|it| format!("{}: {}", it.name, it.detail));
        finding.evidence = lines.collect::<Vec<_>>().join("\n");
    }
}

fn works<C: Process>(host: &C, program: &str, args: &[&str]) -> Preflight {
    let command = stagewright_sdk::Command {
        program: program.to_owned(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        env: Vec::new(),
        cwd: None,
        stdin: Vec::new(),
        timeout_ms: Some(20_000),
    };
    let ending = match host.run(&command) {
        Ok(completed) => ending::Ending::Ended(completed),
        Err(failure) => ending::Ending::NotStarted(failure),
    };
    if ending.code() == Some(0) {
        let version = format!("{}{}", ending.stdout(), ending.stderr());
        return found::ok(program, version.lines().next().unwrap_or_default());
    }
    let message = format!("`{program} {}`: {}", args.join(" "), ending.describe());
    report::finding(FindingState::Defect, program, message, "install it, or name another in the settings")
}
