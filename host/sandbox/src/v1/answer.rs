//! From a component's answer to the engine's outcome: what makes no sense is refused, what is long is cut.

use stagewright_engine::outcome::{Check, CheckState, Fault, Judgement, Outcome, Report, Tally};

use super::types;
use crate::limits::Limits;

/// The longest line for people, in characters.
const MAX_LINE: usize = 500;
/// The longest text of one check or of a fault's evidence, in characters.
const MAX_TEXT: usize = 16_000;
/// The most facts of one report.
const MAX_FACTS: usize = 100;

/// The outcome; an error says what makes no sense.
pub(crate) fn outcome(answer: types::Outcome, limits: &Limits) -> Result<Outcome, String> {
    match answer {
        types::Outcome::Verdict(report) => verdict(report, limits).map(Outcome::Verdict),
        types::Outcome::Deferred(told) => fault(told).map(Outcome::Deferred),
        types::Outcome::Held(told) => fault(told).map(Outcome::Held),
    }
}

fn verdict(report: types::Report, limits: &Limits) -> Result<Report, String> {
    let types::Report { judgement, summary, body, tally, checks, facts } = report;
    let judgement = match judgement {
        types::Judgement::Pass => Judgement::Pass,
        types::Judgement::Fail => Judgement::Fail,
    };
    let tally =
        Tally { passed: tally.passed, failed: tally.failed, skipped: tally.skipped, errored: tally.errored };
    // A PASS that names a failure contradicts itself; which half is wrong can't be known.
    let bad =
        |check: &types::Check| matches!(check.state, types::CheckState::Failed | types::CheckState::Errored);
    if judgement == Judgement::Pass && (tally.failed > 0 || tally.errored > 0 || checks.iter().any(bad)) {
        return Err("it says PASS and counts failures or errors".to_owned());
    }
    let checks = checks.into_iter().take(limits.checks).map(check).collect();
    let facts = facts.into_iter().take(MAX_FACTS).map(|(name, value)| (cut(name, 60), cut(value, MAX_LINE)));
    let facts = facts.collect();
    Ok(Report { judgement, summary: line(&summary), body: cut(body, limits.body), tally, checks, facts })
}

fn check(told: types::Check) -> Check {
    let state = match told.state {
        types::CheckState::Passed => CheckState::Passed,
        types::CheckState::Failed => CheckState::Failed,
        types::CheckState::Skipped => CheckState::Skipped,
        types::CheckState::Errored => CheckState::Errored,
    };
    Check { name: line(&told.name), state, detail: cut(told.detail, MAX_TEXT), duration_ms: told.duration_ms }
}

fn fault(told: types::Fault) -> Result<Fault, String> {
    let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let code = &told.code;
    if !(1..=60).contains(&code.len()) || !code.chars().all(kebab) || code.starts_with('-') {
        return Err(format!("the fault's code {:?} is not kebab-case", cut(code.clone(), 80)));
    }
    Ok(Fault {
        code: told.code,
        message: line(&told.message),
        evidence: cut(told.evidence, MAX_TEXT),
        remedy: told.remedy.map(|remedy| line(&remedy)),
        retry_after_ms: told.retry_after_ms,
    })
}

/// One line of bounded length.
fn line(text: &str) -> String {
    text.chars().take(MAX_LINE).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// At most `max` bytes, cut where a character ends.
fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
