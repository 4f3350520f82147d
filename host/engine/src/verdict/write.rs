//! Writing an artifact: the host's own front matter, then the producer's markdown.

use std::fmt::Write as _;

use super::{VerdictKey, keys_for};
use crate::identity::{Epoch, JobId, RunId};
use crate::name::{CommitId, StageName, WorkItem};
use crate::outcome::Report;
use crate::time::Span;

/// What the host knows about a run and writes into the front matter (A2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactFacts {
    /// The work item.
    pub work_item: WorkItem,
    /// The stage.
    pub stage: StageName,
    /// The commit that was examined.
    pub commit: CommitId,
    /// The branch it was taken from.
    pub branch: String,
    /// The producer's name.
    pub producer: String,
    /// The producer's own version.
    pub producer_version: String,
    /// SHA-256 of the component's bytes, in hex.
    pub producer_sha256: String,
    /// The job.
    pub job: JobId,
    /// The run.
    pub run: RunId,
    /// The epoch of the claim.
    pub epoch: Epoch,
    /// When the run began, as RFC 3339 in UTC.
    pub started: String,
    /// How long it took.
    pub duration: Span,
    /// What kept its processes in their bounds, such as `landlock-7`; `none` where nothing did.
    pub isolation: String,
    /// The digest of what the host saw the run do.
    pub ledger_sha256: String,
}

/// The artifact's whole text. Whatever the report holds, reading it back with the same key gives exactly the
/// report's judgement.
pub fn write(facts: &ArtifactFacts, report: &Report, key: VerdictKey) -> String {
    let mut out = String::from("---\n");
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(out, "{key}: {}", scalar(value));
    };
    line("work_item", facts.work_item.as_str());
    line("stage", facts.stage.as_str());
    for verdict in keys_for(key) {
        line(verdict.name(), verdict.word(report.judgement));
    }
    line("summary", &report.summary);
    line("commit", facts.commit.as_str());
    line("branch", &facts.branch);
    line("producer", &facts.producer);
    line("producer_version", &facts.producer_version);
    line("producer_sha256", &facts.producer_sha256);
    line("job", &facts.job.to_string());
    line("run", &facts.run.to_string());
    line("epoch", &facts.epoch.to_string());
    line("started", &facts.started);
    line("duration_ms", &facts.duration.as_millis().to_string());
    line("isolation", &facts.isolation);
    line("ledger_sha256", &facts.ledger_sha256);
    line("passed", &report.tally.passed.to_string());
    line("failed", &report.tally.failed.to_string());
    line("skipped", &report.tally.skipped.to_string());
    line("errored", &report.tally.errored.to_string());
    let mut written: Vec<String> = Vec::new();
    for (name, value) in &report.facts {
        let name = fact_key(name);
        // The first one of a name stands; a doubled key would make the whole artifact unreadable.
        if !written.contains(&name) {
            line(&name, value);
            written.push(name);
        }
    }
    out.push_str("---\n\n");
    out.push_str(&report.body);
    if !report.body.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// `x-` and the name in a form that a key can have.
fn fact_key(name: &str) -> String {
    let name = name.strip_prefix("x-").unwrap_or(name);
    let plain = name.chars().take(60).map(|c| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') => c,
        _ => '-',
    });
    format!("x-{}", plain.collect::<String>())
}

/// A value as a plain word where YAML reads it as the same text, else as a double-quoted string.
fn scalar(value: &str) -> String {
    let plain_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let starts_well = value.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && value.chars().all(plain_char) {
        return value.to_owned();
    }
    // JSON's strings are YAML's double-quoted ones. Line separators that YAML breaks lines at are escaped.
    let quoted = serde_json::to_string(value).unwrap_or_else(|_| "\"\"".to_owned());
    quoted
        .replace('\u{7f}', "\\u007f")
        .replace('\u{85}', "\\u0085")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
        .replace('\u{feff}', "\\ufeff")
}
