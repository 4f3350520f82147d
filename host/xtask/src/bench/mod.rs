//! Measures against bare baselines: builds for release, runs `stagewright-bench`, shows the table, and keeps it in
//! `docs/benchmarks.md`.
//!
//! The bars and their baselines are in `tests/bench`. Here is only how they are called and shown. Nothing fails because
//! a bar was not reached: the table says so.

mod page;

use std::fs;

use serde_json::Value;

use self::page::{Bare, Row, Unit};
use crate::command;
use crate::error::Error;
use crate::setup::{self, python};
use crate::step::{say, step};
use crate::workspace::{Profile, Workspace};
use crate::{build, place};

/// Measures the named bars, or all of them.
pub(crate) fn run(workspace: &Workspace, names: &[String]) -> Result<(), Error> {
    setup::run(workspace)?;
    build::beside(workspace, Profile::Release)?;
    build::programs(workspace, Profile::Release, &["stagewright", "stagewright-bench"])?;

    let programs = workspace.programs(Profile::Release);
    let mut bench = std::process::Command::new(programs.join("stagewright-bench"));
    bench.arg("--programs").arg(&programs);
    bench.arg("--components").arg(workspace.target().join("components/bench"));
    bench.arg("--scratch").arg(workspace.target().join("bench"));
    bench.arg("--python").arg(python::for_tests(workspace)?).args(names);
    let rows = step("measuring", || {
        let text = command::read("measuring", &mut bench)?;
        text.lines().map(row).collect::<Result<Vec<_>, _>>()
    })?;

    let path = workspace.root().join("docs/benchmarks.md");
    let old = fs::read_to_string(&path).map_err(Error::file(&path))?;
    let new = page::with(&old, &rows, &machine(workspace)).ok_or_else(|| {
        Error::Verdict(format!(
            "{} has lost the marks between which the table stands",
            workspace.shown(&path)
        ))
    })?;
    place::file(&path, new.as_bytes())?;
    println!("\n{}", page::table(&rows));
    say(format!("written to {}", workspace.shown(&path)));
    Ok(())
}

/// One line of what `stagewright-bench` prints.
fn row(line: &str) -> Result<Row, Error> {
    let read = |value: &Value| {
        let bare = |bare: &Value| {
            Some(Bare { what: bare["what"].as_str()?.to_owned(), value: bare["value"].as_f64()? })
        };
        Some(Row {
            bar: value["bar"].as_str()?.to_owned(),
            what: value["what"].as_str()?.to_owned(),
            unit: Unit::of(value["unit"].as_str()?)?,
            value: value["value"].as_f64()?,
            bare: bare(&value["bare"]),
            ratio_limit: value["ratio_limit"].as_f64(),
            limit: value["limit"].as_f64(),
        })
    };
    serde_json::from_str(line)
        .ok()
        .as_ref()
        .and_then(read)
        .ok_or_else(|| Error::Verdict(format!("the benches printed something unexpected: {line}")))
}

/// What was measured where: commit, processor, kernel, compiler.
fn machine(workspace: &Workspace) -> String {
    let ask = |program: &str, args: &[&str]| {
        command::ask(std::process::Command::new(program).args(args).current_dir(workspace.root()))
            .unwrap_or_default()
    };
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model.trim());
    format!(
        "{} cores of {model}, Linux {}, {}, commit {}",
        ask("nproc", &[]),
        ask("uname", &["-r"]),
        ask("rustc", &["--version"]),
        ask("git", &["rev-parse", "--short", "HEAD"]),
    )
}
