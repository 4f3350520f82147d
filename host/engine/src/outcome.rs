//! How a run ended, on two levels (J3): *the work ran* and found something, or *the work did not run*.
//!
//! Only a [`Report`] carries a [`Judgement`]; there is no way to make one from a run that did not work, and
//! nothing here guesses. Where a run's end is doubtful it is deferred or held, never a verdict.

use serde::{Deserialize, Serialize};

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The work ran to its end, and this is what it found. Only this can move a task.
    Verdict(Report),
    /// The work did not run, for a reason that may pass: try again within the budget.
    Deferred(Fault),
    /// The work cannot run until somebody mends the environment: the task is held.
    Held(Fault),
    /// The host ended the run because somebody wanted it to end.
    Cancelled(Cause),
}

/// What a program or a person found out about the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// The stage's question was answered with yes.
    Pass,
    /// It was answered with no.
    Fail,
}

/// Why the host ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The job became stale: another commit, another stage, or another owner.
    Superseded,
    /// A person asked for it.
    Operator,
    /// The run's time is over.
    Deadline,
    /// The host is stopping.
    Shutdown,
}

/// A finding, as the producer tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Pass or fail.
    pub judgement: Judgement,
    /// One line for people.
    pub summary: String,
    /// Markdown below the artifact's front matter.
    pub body: String,
    /// How many there were of each kind.
    pub tally: Tally,
    /// What was looked at; failures first.
    pub checks: Vec<Check>,
    /// Further facts for the front matter, written with the prefix `x-`.
    pub facts: Vec<(String, String)>,
}

/// Counts of checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Looked at and good.
    pub passed: u64,
    /// Looked at and not good.
    pub failed: u64,
    /// Not looked at, on purpose.
    pub skipped: u64,
    /// Could not be looked at.
    pub errored: u64,
}

impl Tally {
    /// All of them together.
    pub const fn total(&self) -> u64 {
        self.passed.saturating_add(self.failed).saturating_add(self.skipped).saturating_add(self.errored)
    }
}

/// One thing that was looked at, such as a test or a smoke probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, as the runner gives it.
    pub name: String,
    /// How it ended.
    pub state: CheckState,
    /// The lines that show why; empty where there is nothing to say.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// Good.
    Passed,
    /// Not good.
    Failed,
    /// Not looked at, on purpose.
    Skipped,
    /// Could not be looked at.
    Errored,
}

/// Why work did not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Stable, kebab-case, meant for metrics and alerts: `runner-missing`, `component-trapped`.
    pub code: String,
    /// What happened, for people.
    pub message: String,
    /// The lines that show it.
    pub evidence: String,
    /// What a person can do about it.
    pub remedy: Option<String>,
    /// The earliest time at which another run makes sense, from now on, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

impl Fault {
    /// A fault with neither evidence nor remedy yet.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            evidence: String::new(),
            remedy: None,
            retry_after_ms: None,
        }
    }

    /// The same with the lines that show it.
    #[must_use]
    pub fn with_evidence(mut self, evidence: impl Into<String>) -> Self {
        self.evidence = evidence.into();
        self
    }

    /// The same with the way out.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}
