//! Everything that must hold before a change is good: form, layers, lints, documentation, tests.
//!
//! It goes on after a failure, so that one run tells all that is wrong, and it ends with a list of it and with a
//! summary in the form of nextest's. What could not be looked at, because a tool is missing, is named as skipped and
//! never counted as good.

pub(crate) mod api;
mod runner;
mod tally;

use std::time::Instant;

pub(crate) use self::runner::Selection;
use crate::command;
use crate::error::Error;
use crate::step::{say, step};
use crate::workspace::{Profile, Workspace};
use crate::{build, layers, setup, soak};

/// How many times the daemon is killed at its work (R1). `cargo xtask soak` does more.
const KILLS: u32 = 200;

/// What one run of the task found.
#[derive(Default)]
struct Report {
    tests: runner::Outcome,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Report {
    /// Takes note of how a step ended.
    fn note(&mut self, name: &str, result: Result<(), Error>) {
        if let Err(error) = result {
            self.failed.push(format!("{name}: {error}"));
        }
    }

    /// One that needs a tool which not every Rust installation has.
    fn check(&mut self, workspace: &Workspace, name: &str, tool: &str, remedy: &str, args: &[&str]) {
        if command::ask(workspace.cargo().args([tool, "--version"])).is_none() {
            say(format!("skipped: {name}; there is no `cargo {tool}` here ({remedy})"));
            self.skipped.push(format!("{name}: there is no `cargo {tool}` here ({remedy})"));
            return;
        }
        let mut command = workspace.cargo();
        command.args(args);
        let result = step(name, || command::watch(name, &mut command));
        self.note(name, result);
    }
}

/// Sets up, builds, and looks at everything that is selected. With a filter only tests are run; `quick` leaves out the
/// end-to-end tests, the lints and the documentation.
pub(crate) fn run(workspace: &Workspace, selection: &Selection) -> Result<(), Error> {
    let start = Instant::now();
    setup::run(workspace)?;
    if !selection.quick {
        setup::for_tests()?;
    }
    let mut report = Report::default();
    let only_tests = selection.filter.is_some();
    if !only_tests {
        let args = ["fmt", "--all", "--check"];
        report.check(workspace, "form", "fmt", "rustup component add rustfmt", &args);
        report.note("layers", layers::run(workspace));
    }
    // The program itself is built with the tests: cargo builds it for them anyhow, with the features that they have.
    let built = build::beside(workspace, Profile::Debug);
    let is_built = built.is_ok();
    report.note("build", built);
    if is_built {
        let Report { tests, .. } = &mut report;
        let ran = step("tests", || runner::tests(workspace, selection, tests));
        report.note("tests", ran);
        if !selection.quick {
            let Report { tests, .. } = &mut report;
            let ran =
                step("examples in the documentation", || runner::doc_tests(workspace, selection, tests));
            report.note("examples in the documentation", ran);
        }
    } else {
        report.skipped.push("tests: the build failed".to_owned());
    }
    if !only_tests && !selection.quick {
        let args = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        report.check(workspace, "lints", "clippy", "rustup component add clippy", &args);
        let documented = step("documentation", || documentation(workspace));
        report.note("documentation", documented);
        if is_built {
            match step("the HTTP surface against its document", || api::run(workspace)) {
                Ok(api::Outcome::Good) => {}
                Ok(api::Outcome::Skipped(why)) => {
                    report.skipped.push(format!("the HTTP surface against its document: {why}"));
                }
                Err(error) => report.note("the HTTP surface against its document", Err(error)),
            }
        }
    }
    if !only_tests && !selection.quick && is_built {
        let kills = step("kills of the daemon at its work", || soak::kill(workspace, KILLS, None));
        report.note("kills of the daemon at its work", kills);
    }
    close(&report, start)
}

fn documentation(workspace: &Workspace) -> Result<(), Error> {
    let mut doc = workspace.cargo();
    doc.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    command::watch("the documentation", &mut doc)
}

/// Prints what failed and what was skipped, and the summary as the last line.
fn close(report: &Report, start: Instant) -> Result<(), Error> {
    println!();
    for skipped in &report.skipped {
        println!("skipped  {skipped}");
    }
    for failed in &report.failed {
        println!("failed   {failed}");
    }
    for failure in &report.tests.failures {
        println!("         {failure}");
    }
    let nothing_ran = report.tests.tally.passed + report.tests.tally.failed == 0;
    if nothing_ran && report.failed.is_empty() {
        println!("failed   no test was run");
    }
    println!("     Summary [{:>8.3}s] {}", start.elapsed().as_secs_f64(), report.tests.tally);
    if nothing_ran || !report.failed.is_empty() {
        return Err(Error::Told);
    }
    Ok(())
}
