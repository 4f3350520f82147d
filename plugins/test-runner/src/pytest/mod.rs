//! pytest: `python -m pytest` with a reporter of our own, and the rule that its evidence meets.
//!
//! Standard output is never evidence. What counts is that the reporter was loaded and what it saw, the JUnit file
//! under a name that nobody can guess, and the exit code; all three have to agree before anything passes.

mod classify;
mod session;

use stagewright_sdk::evidence::Rule;
use stagewright_sdk::{Area, Command, Files, Host, Process};

pub use classify::{Evidence, TABLE, classify};
pub use session::Session;

use crate::bench::Bench;
use crate::finding::Finding;
use crate::junit::{self, Junit};
use crate::watch::{Lines, Watch, watch};

const REPORTER: &str = include_str!("reporter.py");
const SITECUSTOMIZE: &str = include_str!("sitecustomize.py");
/// How much of the reporter's file one read takes.
const PIECE: u32 = 256 * 1024;

/// Runs the suite and judges it.
pub(crate) fn run<C: Host + Process + Files>(bench: &Bench<'_, C>) -> Finding {
    let names = Names::new(bench);
    let command = command(bench, &names);
    let mut follower =
        Follower { names: &names, offset: 0, lines: Lines::default(), session: Session::default() };
    let ending = match write(bench, &names) {
        Ok(()) => watch(bench.host, &command, &mut follower),
        Err(failure) => crate::ending::Ending::NotStarted(failure),
    };
    let mut session = follower.session;
    session.end();
    let junit = match bench.host.read_whole(Area::Scratch, &names.junit, junit::MAX_BYTES) {
        Ok(bytes) => junit::read(&bytes),
        Err(failure) if failure.kind == stagewright_sdk::FailureKind::NotFound => Junit::Missing,
        Err(failure) => Junit::Broken(failure.message),
    };
    let evidence = Evidence {
        ending,
        session,
        junit,
        timeout_is: bench.settings.timeout_is,
        allow_no_tests: bench.settings.allow_no_tests,
        allow_nothing_passed: bench.settings.allow_nothing_passed,
    };
    let rule = classify(&evidence);
    finding(evidence, rule, command, &names)
}

/// The run's files, all of them in one folder of the scratch area. No other code of the run can know these names
/// before the runner starts.
struct Names {
    nonce: String,
    folder: String,
    module: String,
    events: String,
    junit: String,
}

impl Names {
    fn new<C: Host>(bench: &Bench<'_, C>) -> Self {
        let nonce = bench.nonce();
        let folder = format!("pytest-{}", bench.nonce());
        let module = format!("stagewright_{}", bench.nonce());
        let events = format!("{folder}/{}.jsonl", bench.nonce());
        let junit = format!("{folder}/{}.xml", bench.nonce());
        Self { nonce, folder, module, events, junit }
    }
}

fn write<C: Files>(bench: &Bench<'_, C>, names: &Names) -> Result<(), stagewright_sdk::Failure> {
    let checkout = bench.settings.source_checkout.as_deref().unwrap_or_default();
    let clone = &bench.job.worktree;
    let events = bench.scratch(&names.events);
    let reporter = format!(
        "NONCE = {}\nEVENTS = {}\nCHECKOUT = {}\nCLONE = {}\n{REPORTER}",
        literal(&names.nonce),
        literal(&events),
        literal(checkout),
        literal(clone),
    );
    bench.host.write(&format!("{}/{}.py", names.folder, names.module), reporter.as_bytes())?;
    if !checkout.is_empty() {
        let own = bench.scratch(&names.folder);
        let head = format!(
            "CHECKOUT = {}\nCLONE = {}\nOWN = {}\n",
            literal(checkout),
            literal(clone),
            literal(&own)
        );
        let text = format!("{head}{SITECUSTOMIZE}");
        bench.host.write(&format!("{}/sitecustomize.py", names.folder), text.as_bytes())?;
    }
    Ok(())
}

/// A Python string literal. JSON's escapes are Python's too; what is not ASCII stays as it is in UTF-8.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn command<C>(bench: &Bench<'_, C>, names: &Names) -> Command {
    let settings = bench.settings;
    let mut args: Vec<String> = ["-m", "pytest", "-p", &names.module].map(str::to_owned).to_vec();
    // The last `--junitxml` counts, so ours follows the user's; after a bare `--` it would be a path.
    let bare = settings.args.iter().position(|arg| arg == "--").unwrap_or(settings.args.len());
    args.extend(settings.args.iter().take(bare).cloned());
    args.push(format!("--junitxml={}", bench.scratch(&names.junit)));
    args.extend(settings.args.iter().skip(bare).cloned());
    let mut command = bench.command(&settings.python, args);
    let path = bench.scratch(&names.folder);
    match command.env.iter_mut().find(|(name, _)| name == "PYTHONPATH") {
        Some((_, theirs)) => *theirs = format!("{path}:{theirs}"),
        None => command.env.push(("PYTHONPATH".to_owned(), path)),
    }
    command
}

/// Follows the reporter's file while the suite runs.
struct Follower<'a> {
    names: &'a Names,
    offset: u64,
    lines: Lines,
    session: Session,
}

impl<C: Host + Files> Watch<C> for Follower<'_> {
    fn look(&mut self, host: &C) {
        let before = self.session.done;
        while let Ok(bytes) = host.read(Area::Scratch, &self.names.events, self.offset, PIECE) {
            if bytes.is_empty() {
                break;
            }
            self.offset = self.offset.saturating_add(bytes.len() as u64);
            let (session, nonce) = (&mut self.session, &self.names.nonce);
            self.lines.take(&bytes, 0, |line| session.take(line, nonce));
        }
        if self.session.done > before {
            host.progress(self.session.done, self.session.collected.unwrap_or(0), &self.session.last);
        }
    }
}

fn finding(evidence: Evidence, rule: Rule, command: Command, names: &Names) -> Finding {
    let Evidence { ending, session, junit, .. } = evidence;
    let mut notes = Vec::new();
    notes.extend(session.loaded.as_ref().map(|versions| format!("The reporter was loaded by {versions}.")));
    if session.deselected > 0 {
        notes.push(format!("{} tests were deselected.", session.deselected));
    }
    if let Junit::Broken(why) = &junit {
        notes.push(format!("The JUnit file can't be used: {why}"));
    }
    if let Junit::Read(report) = &junit
        && rule.code == "report-disagrees"
    {
        let (a, b) = (&report.tally, &session.tests.tally);
        notes.push(format!(
            "JUnit: {} passed, {} skipped. Reporter: {} passed, {} skipped.",
            a.passed, a.skipped, b.passed, b.skipped
        ));
    }
    if session.strange_lines > 0 {
        notes.push(format!("{} lines of the reporter's file are not of this run.", session.strange_lines));
    }
    let evidence = if rule.code == "wrong-tree" {
        format!("imported from the checkout: {}", session.foreign.join(", "))
    } else if let ("not-built", Some(path)) = (rule.code, &session.unbuilt) {
        format!("the checkout has {path}, which the commit does not")
    } else {
        session.conftest_error.clone().or_else(|| session.internal_error.clone()).unwrap_or_default()
    };
    let mut keep = Vec::new();
    if !matches!(junit, Junit::Missing) {
        keep.push((names.junit.clone(), "junit.xml".to_owned()));
    }
    if session.loaded.is_some() {
        keep.push((names.events.clone(), "pytest-events.jsonl".to_owned()));
    }
    let (collected, tests) = (session.collected, session.tests);
    Finding { rule, command, ending, collected, tests, evidence, notes, keep, ..Finding::empty() }
}
