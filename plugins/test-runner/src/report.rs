//! Turns a finding into the outcome that the host is told: a report for a verdict, a fault for everything else.

use stagewright_sdk::evidence::{Becomes, Rule};
use stagewright_sdk::text::{self, capital, fence, seconds};
use stagewright_sdk::{
    CheckState, Command, FindingState, Outcome, ReportBuilder, Tally, fault, last_lines, plain_line,
};

use crate::bench::Bench;
use crate::detect::Detected;
use crate::finding::{Checked, Finding};

/// How many failures the report shows with their last lines.
const SHOWN: usize = 20;
/// How many last lines of each, and how many bytes of those.
const LINES: usize = 30;
const BYTES: usize = 3_000;

/// The rule for a suite that shrank.
pub const COLLECTED_DROPPED: Rule = Rule::fail(
    "collected-dropped",
    "all else is a PASS, and fewer tests were collected than `max_collected_drop` allows below the base branch",
    "far fewer tests were collected than on the base branch",
);

/// Whether `collected` is further below `baseline` than `percent` allows.
pub fn dropped(collected: u64, baseline: u64, percent: u32) -> bool {
    let allowed = u128::from(100_u32.saturating_sub(percent));
    u128::from(collected).saturating_mul(100) < u128::from(baseline).saturating_mul(allowed)
}

/// What the host is told.
pub(crate) fn outcome<C>(bench: &Bench<'_, C>, detected: &Detected, finding: &Finding) -> Outcome {
    let report =
        |judgement| report(bench, detected, finding, ReportBuilder::new(judgement, &summary(finding)));
    finding.rule.outcome(report, || fault_of(bench, detected, finding))
}

fn summary(finding: &Finding) -> String {
    let counts = counts(&finding.tests.tally);
    let seconds = seconds(finding.ending.duration_ms());
    match (finding.rule.code, counts.is_empty()) {
        ("all-passed" | "tests-failed", false) => format!("{counts} in {seconds}"),
        (_, false) => format!("{} ({counts} in {seconds})", finding.rule.says),
        (_, true) => format!("{} (in {seconds})", finding.rule.says),
    }
}

/// "3 failed, 120 passed"; empty where there was nothing.
fn counts(tally: &Tally) -> String {
    let kinds = [
        (tally.failed, "failed"),
        (tally.errored, "errors"),
        (tally.passed, "passed"),
        (tally.skipped, "skipped"),
    ];
    let kinds = kinds.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}"));
    kinds.collect::<Vec<_>>().join(", ")
}

fn fault_of<C>(bench: &Bench<'_, C>, detected: &Detected, finding: &Finding) -> stagewright_sdk::Fault {
    let rule = &finding.rule;
    let mut evidence = format!(
        "{}: {}\n{}",
        detected.framework.name(),
        shown_command(bench, &finding.command),
        finding.ending.describe()
    );
    for text in [&finding.evidence, &finding.ending.stdout(), &finding.ending.stderr()] {
        let text = last_lines(text, LINES, BYTES);
        if !text.is_empty() {
            evidence.push('\n');
            evidence.push_str(text);
        }
    }
    let built = fault::new(rule.code, rule.says).with_evidence(&plain(bench, &evidence));
    if rule.remedy.is_empty() { built.build() } else { built.with_remedy(rule.remedy).build() }
}

fn report<C>(
    bench: &Bench<'_, C>,
    detected: &Detected,
    finding: &Finding,
    mut builder: ReportBuilder,
) -> stagewright_sdk::Report {
    let rule = &finding.rule;
    for checked in finding.probes.iter().chain(finding.tests.bad()).chain(finding.tests.good()) {
        let detail = plain(bench, &checked.detail);
        builder = builder.with_check(&checked.name, checked.state, &detail, checked.duration_ms);
    }
    builder = builder
        .with_tally(finding.tests.tally)
        .with_body(&body(bench, detected, finding))
        .with_fact("framework", detected.framework.name())
        .with_fact("rule", rule.code)
        .with_fact("suite-end", finding.ending.describe());
    if let Some(collected) = finding.collected {
        builder = builder.with_fact("collected", collected.to_string());
    }
    if let Some(baseline) = bench.settings.collected_baseline {
        builder = builder.with_fact("collected-on-base", baseline.to_string());
    }
    builder.build()
}

fn body<C>(bench: &Bench<'_, C>, detected: &Detected, finding: &Finding) -> String {
    let Tally { passed, failed, skipped, errored } = finding.tests.tally;
    let mut text = String::from("## What ran\n\n");
    fence(&mut text, &shown_command(bench, &finding.command));
    text.push_str(&format!(
        "\n{} after {}. Runner: {} (by {}).\n",
        capital(&finding.ending.describe()),
        seconds(finding.ending.duration_ms()),
        detected.framework.name(),
        detected.because
    ));
    text.push_str(&format!(
        "\n## Tally\n\n| passed | failed | errors | skipped |\n|---|---|---|---|\n| {passed} | {failed} | {errored} | {skipped} |\n"
    ));
    match (finding.collected, bench.settings.collected_baseline) {
        (Some(now), Some(base)) => {
            text.push_str(&format!("\nCollected: {now} (on the base branch last: {base}).\n"))
        }
        (Some(now), None) => text.push_str(&format!("\nCollected: {now}.\n")),
        (None, _) => {}
    }
    failures(&mut text, bench, finding);
    if !finding.probes.is_empty() {
        text.push_str("\n## Smoke probes\n\n");
        for Checked { name, state, detail, .. } in &finding.probes {
            let detail = if *state == CheckState::Passed { "as expected" } else { detail };
            text.push_str(&format!("- `{}`: {}\n", name.replace('`', "'"), plain_line(detail)));
        }
    }
    text.push_str(&format!(
        "\n## How this was judged\n\n{} by the rule `{}`: {}.\n",
        finding.rule.becomes, finding.rule.code, finding.rule.seen
    ));
    for note in &finding.notes {
        text.push_str(&format!("\n{note}\n"));
    }
    let touched = &bench.settings.changed_config_files;
    if !touched.is_empty() {
        text.push_str("\n## Files that steer the tests, changed by this commit\n\n");
        for path in touched.iter().take(SHOWN) {
            text.push_str(&format!("- `{}`\n", path.replace('`', "'")));
        }
        if let Some(more) = touched.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            text.push_str(&format!("- and {more} more\n"));
        }
    }
    text
}

fn failures<C>(text: &mut String, bench: &Bench<'_, C>, finding: &Finding) {
    let bad = finding.tests.bad();
    if !bad.is_empty() {
        text.push_str("\n## What failed\n");
        for Checked { name, state, detail, .. } in bad.iter().take(SHOWN) {
            let kind = if *state == CheckState::Errored { "error" } else { "failed" };
            text.push_str(&format!("\n### `{}` ({kind})\n\n", name.replace(['`', '\n', '\r'], " ")));
            fence(text, &plain(bench, last_lines(detail, LINES, BYTES)));
        }
        let all = finding.tests.tally.failed.saturating_add(finding.tests.tally.errored);
        if let Some(more) = all.checked_sub(SHOWN as u64).filter(|more| *more > 0) {
            text.push_str(&format!("\n{more} more are not shown here.\n"));
        }
    } else if finding.rule.becomes == Becomes::Fail {
        let lines = [&finding.evidence, &finding.ending.stderr(), &finding.ending.stdout()]
            .into_iter()
            .map(|output| last_lines(output, LINES, BYTES).to_owned())
            .find(|output| !output.is_empty());
        if let Some(lines) = lines {
            text.push_str("\n## Its last lines\n\n");
            fence(text, &plain(bench, &lines));
        }
    }
}

fn shown_command<C>(bench: &Bench<'_, C>, command: &Command) -> String {
    plain(bench, &text::command(std::iter::once(&command.program).chain(&command.args)))
}

/// The folders of this run are of no interest to a reader, and differ from run to run.
fn plain<C>(bench: &Bench<'_, C>, text: &str) -> String {
    let (worktree, scratch) = (&bench.job.worktree, &bench.job.scratch);
    let mut text = text.to_owned();
    for (folder, name) in [(worktree, "."), (scratch, "$SCRATCH")] {
        if !folder.is_empty() {
            text = text.replace(folder.as_str(), name);
        }
    }
    text::plain(&text)
}

/// What a preflight found about a program.
pub(crate) fn finding(
    state: FindingState,
    check: &str,
    message: String,
    remedy: &str,
) -> stagewright_sdk::Finding {
    stagewright_sdk::Finding { check: check.to_owned(), state, message, remedy: Some(remedy.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_is_told_by_whole_percents() {
        assert!(!dropped(90, 100, 10));
        assert!(dropped(89, 100, 10));
        assert!(!dropped(0, 0, 0));
        assert!(!dropped(0, 100, 100));
        assert!(dropped(u64::MAX - 1, u64::MAX, 0));
        assert!(!dropped(120, 100, 0), "more is never a drop");
    }
}
