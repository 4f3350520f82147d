//! What `run` tells a person: the end in one line, what failed, why work did not run, where things lie.

use std::fmt::Write as _;
use std::io::IsTerminal;

use stagewright_engine::outcome::{Check, CheckState, Judgement, Report};
use stagewright_engine::time::Span;

use super::progress::printable;
use super::run_report::{RunOutcome, RunReport};

/// How many failed checks are shown; the report has all of them.
const SHOWN_CHECKS: usize = 5;
/// How many of the last lines of a failed check, or of a fault's evidence, are shown.
const SHOWN_LINES: usize = 12;

/// The text, for standard output.
pub(crate) fn text(report: &RunReport, found: Option<&Report>) -> String {
    let paint = Paint { on: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() };
    let mut out = String::new();
    headline(&mut out, report, found, paint);
    if let Some(found) = found {
        failed_checks(&mut out, found);
    }
    if let Some(fault) = &report.fault {
        let _ = writeln!(out, "      {}", printable(&fault.message));
        last_lines(&mut out, &fault.evidence);
        let _ = writeln!(out, "      code     {}", fault.code);
        if let Some(remedy) = &fault.remedy {
            let _ = writeln!(out, "      way out  {}", printable(remedy));
        }
    }
    if let Some(commit) = &report.commit {
        let _ = writeln!(out, "      commit   {commit}");
    }
    if let Some(artifact) = &report.artifact {
        let _ = writeln!(out, "      report   {}", artifact.display());
    }
    out
}

fn headline(out: &mut String, report: &RunReport, found: Option<&Report>, paint: Paint) {
    let (word, colour) = match (report.outcome, report.judgement) {
        (RunOutcome::Verdict, Some(Judgement::Pass)) => ("PASS", "32"),
        (RunOutcome::Verdict, _) => ("FAIL", "31"),
        (RunOutcome::Deferred, _) => ("DEFERRED", "33"),
        (RunOutcome::Held, _) => ("HELD", "33"),
        (RunOutcome::Cancelled, _) => ("CANCELLED", "33"),
        (RunOutcome::Superseded, _) => ("MOVED ON", "36"),
        (RunOutcome::Busy, _) => ("BUSY", "33"),
    };
    let stage = if report.from_stage == report.to_stage {
        format!("stays in {}", report.to_stage)
    } else {
        format!("{} → {}", report.from_stage, report.to_stage)
    };
    let summary = found.map(|found| printable(&found.summary)).unwrap_or_default();
    let _ = writeln!(
        out,
        "{}  {}  {stage}  {summary}{}{}",
        paint.with(colour, word),
        report.work_item,
        if summary.is_empty() { "" } else { "  " },
        Span::from_millis(report.duration_ms),
    );
}

fn failed_checks(out: &mut String, found: &Report) {
    let failed: Vec<&Check> = found
        .checks
        .iter()
        .filter(|check| matches!(check.state, CheckState::Failed | CheckState::Errored))
        .collect();
    for check in failed.iter().take(SHOWN_CHECKS) {
        let _ = writeln!(out, "      ✗ {}", printable(&check.name));
        last_lines(out, &check.detail);
    }
    if failed.len() > SHOWN_CHECKS {
        let _ = writeln!(out, "      … and {} more, in the report", failed.len() - SHOWN_CHECKS);
    }
}

fn last_lines(out: &mut String, text: &str) {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(SHOWN_LINES)) {
        let _ = writeln!(out, "        | {}", printable(line));
    }
}

#[derive(Clone, Copy)]
struct Paint {
    on: bool,
}

impl Paint {
    fn with(self, colour: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[1;{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
