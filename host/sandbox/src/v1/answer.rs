//! From a component's answer to the engine's outcome: what makes no sense is refused, what is long is cut.

use stagewright_engine::outcome::{Check, CheckState, Fault, Judgement, Outcome, Report, Tally};

use super::{Descriptor, Finding, FindingState, exported, types};
use crate::limits::Limits;
use crate::text::{block, is_kebab, line};

/// The longest line for people, in characters.
const MAX_LINE: usize = 500;
/// The longest text of one check or of a fault's evidence, in bytes.
const MAX_TEXT: usize = 16_000;
/// The most facts of one report.
const MAX_FACTS: usize = 100;
/// The most findings of one preflight; the rest is left out.
const MAX_FINDINGS: usize = 200;
/// The longest settings schema, in bytes.
const MAX_SCHEMA: usize = 256 << 10;
/// The latest time that a fault may ask to be tried again at: a day.
const MAX_RETRY_MS: u64 = 24 * 3_600 * 1_000;

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
    if checks.len() > limits.checks {
        return Err(format!("its report has {} checks, and {} is the most", checks.len(), limits.checks));
    }
    let summary = line(&summary, MAX_LINE);
    if summary.trim().is_empty() {
        return Err("its report has no summary".to_owned());
    }
    Ok(Report {
        judgement,
        summary,
        body: block(body, limits.body),
        tally,
        checks: checks.into_iter().map(check).collect(),
        facts: facts.into_iter().take(MAX_FACTS).map(fact).collect::<Result<_, _>>()?,
    })
}

/// A fact becomes a line of the front matter, so its name must be a key.
fn fact((name, value): (String, String)) -> Result<(String, String), String> {
    match is_kebab(&name) {
        true => Ok((name, line(&value, MAX_LINE))),
        false => Err(format!("the fact's name {:?} is not kebab-case", line(&name, 80))),
    }
}

fn check(told: types::Check) -> Check {
    let state = match told.state {
        types::CheckState::Passed => CheckState::Passed,
        types::CheckState::Failed => CheckState::Failed,
        types::CheckState::Skipped => CheckState::Skipped,
        types::CheckState::Errored => CheckState::Errored,
    };
    Check {
        name: line(&told.name, MAX_LINE),
        state,
        detail: block(told.detail, MAX_TEXT),
        duration_ms: told.duration_ms,
    }
}

fn fault(told: types::Fault) -> Result<Fault, String> {
    if !is_kebab(&told.code) {
        return Err(format!("the fault's code {:?} is not kebab-case", line(&told.code, 80)));
    }
    // The host's own words for what components do wrong.
    if told.code.starts_with("component-") || told.code.starts_with("sandbox-") {
        return Err(format!("the fault's code `{}` is one that only the host gives", told.code));
    }
    Ok(Fault {
        code: told.code,
        message: line(&told.message, MAX_LINE),
        evidence: block(told.evidence, MAX_TEXT),
        remedy: told.remedy.map(|remedy| line(&remedy, MAX_LINE)),
        retry_after_ms: told.retry_after_ms.map(|after| after.min(MAX_RETRY_MS)),
    })
}

/// What a component says of itself; an error says what makes no sense.
pub(crate) fn descriptor(told: exported::Descriptor) -> Result<Descriptor, String> {
    let exported::Descriptor { name, version, summary, stages, settings_schema } = told;
    let schema: Result<serde_json::Map<String, serde_json::Value>, _> =
        serde_json::from_str(&settings_schema);
    if settings_schema.len() > MAX_SCHEMA || schema.is_err() {
        return Err("its settings schema is not a JSON object of a sensible size".to_owned());
    }
    if !is_kebab(&name) {
        return Err(format!("its name {:?} is not kebab-case", line(&name, 80)));
    }
    if let Some(stage) = stages.iter().find(|stage| !is_kebab(stage)) {
        return Err(format!("its stage {:?} is not kebab-case", line(stage, 80)));
    }
    let (version, summary) = (line(&version, 80), line(&summary, MAX_LINE));
    Ok(Descriptor { name, version, summary, stages, settings_schema })
}

/// What a component found.
pub(crate) fn findings(told: Vec<exported::Finding>) -> Vec<Finding> {
    told.into_iter().take(MAX_FINDINGS).map(finding).collect()
}

fn finding(told: exported::Finding) -> Finding {
    let state = match told.state {
        types::FindingState::Ok => FindingState::Ok,
        types::FindingState::Warning => FindingState::Warning,
        types::FindingState::Defect => FindingState::Defect,
    };
    Finding {
        check: line(&told.check, MAX_LINE),
        state,
        message: line(&told.message, MAX_LINE),
        remedy: told.remedy.map(|remedy| line(&remedy, MAX_LINE)),
    }
}
