//! Writing an artifact: the host's own front matter, then the producer's markdown.

use std::fmt::Write as _;

use stagewright_front_matter::ARTIFACT_ONLY;

use super::{VerdictKey, keys_for};
use crate::identity::{Epoch, JobId, RunId};
use crate::name::{CommitId, StageName, WorkItem};
use crate::outcome::Report;
use crate::time::Span;

/// How long a fact's key may be, in characters, without its prefix.
const MAX_FACT_KEY: usize = 60;
/// Words that YAML takes for something else than a text, in one version of it or another.
const RESERVED: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];

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
/// report's judgement, and the body as it was, ended by a line feed.
pub fn write(facts: &ArtifactFacts, report: &Report, key: VerdictKey) -> String {
    let mut front = FrontMatter::default();
    front.text("work_item", facts.work_item.as_str());
    front.text("stage", facts.stage.as_str());
    for verdict in keys_for(key) {
        front.text(verdict.name(), verdict.word(report.judgement));
    }
    front.text("summary", &report.summary);
    front.text("commit", facts.commit.as_str());
    front.text("branch", &facts.branch);
    front.text("producer", &facts.producer);
    front.text("producer_version", &facts.producer_version);
    front.text("producer_sha256", &facts.producer_sha256);
    front.text("job", &facts.job.to_string());
    front.text("run", &facts.run.to_string());
    front.number("epoch", facts.epoch.get());
    front.text("started", &facts.started);
    front.number("duration_ms", facts.duration.as_millis());
    front.text("isolation", &facts.isolation);
    front.text(ARTIFACT_ONLY, &facts.ledger_sha256);
    front.number("passed", report.tally.passed);
    front.number("failed", report.tally.failed);
    front.number("skipped", report.tally.skipped);
    front.number("errored", report.tally.errored);
    for (name, value) in &report.facts {
        front.fact(name, value);
    }
    let ending = if report.body.ends_with('\n') { "" } else { "\n" };
    format!("---\n{}---\n\n{}{ending}", front.lines, report.body)
}

#[derive(Default)]
struct FrontMatter {
    lines: String,
    facts: Vec<String>,
}

impl FrontMatter {
    fn text(&mut self, key: &str, value: &str) {
        let value = if is_plain(value) { value.to_owned() } else { quoted(value) };
        self.line(key, &value);
    }

    fn number(&mut self, key: &str, value: u64) {
        self.line(key, &value.to_string());
    }

    /// A producer's own fact. The prefix keeps it away from the host's keys; a second one of the same key
    /// gets a number, since a doubled key would make the whole artifact unreadable.
    fn fact(&mut self, name: &str, value: &str) {
        let name = fact_key(name);
        let numbered = |number: usize| if number == 1 { name.clone() } else { format!("{name}.{number}") };
        let free = (1..).map(numbered).find(|key| !self.facts.contains(key));
        let Some(key) = free else { return };
        self.text(&key, value);
        self.facts.push(key);
    }

    fn line(&mut self, key: &str, value: &str) {
        // Writing to a string can't fail.
        let _ = writeln!(self.lines, "{key}: {value}");
    }
}

/// `x-` and the name in a form that a key can have.
fn fact_key(name: &str) -> String {
    let name = name.strip_prefix("x-").unwrap_or(name);
    let plain = name.chars().take(MAX_FACT_KEY).map(|c| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') => c,
        _ => '-',
    });
    format!("x-{}", plain.collect::<String>())
}

/// Whether every YAML reader takes the bare word for the same text. A number or a date is none: it begins
/// with a digit.
fn is_plain(value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.chars().all(plain)
        && !RESERVED.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// A string of JSON, which is a double-quoted one of YAML, too, with everything escaped that YAML does not
/// print or breaks a line at.
fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                // All of these lie below U+10000, so four digits do.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
