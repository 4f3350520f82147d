//! What a runner found out: the rule that its evidence meets, and what the report shows of it.

use stagewright_sdk::evidence::Rule;
use stagewright_sdk::{CheckState, Command, MAX_CHECKS, Tally};

use crate::ending::Ending;

/// What a runner found out.
#[derive(Debug)]
pub struct Finding {
    /// The rule that the evidence meets.
    pub rule: Rule,
    /// What was run.
    pub command: Command,
    /// How that ended.
    pub ending: Ending,
    /// The single tests.
    pub tests: Tests,
    /// How many tests were found; not known for every runner.
    pub collected: Option<u64>,
    /// Lines that show why, where no failing test does.
    pub evidence: String,
    /// Further lines for the report.
    pub notes: Vec<String>,
    /// Scratch files worth keeping, and their plain names.
    pub keep: Vec<(String, String)>,
    /// Smoke probes; they are not among the suite's tests.
    pub probes: Vec<Checked>,
}

impl Finding {
    /// One that knows nothing, to be filled in.
    pub(crate) fn empty() -> Self {
        Self {
            rule: crate::ending::UNEXPLAINED,
            command: Command {
                program: String::new(),
                args: Vec::new(),
                env: Vec::new(),
                cwd: None,
                stdin: Vec::new(),
                timeout_ms: None,
            },
            ending: never_started("nothing ran"),
            tests: Tests::default(),
            collected: None,
            evidence: String::new(),
            notes: Vec::new(),
            keep: Vec::new(),
            probes: Vec::new(),
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its name, as the runner gives it.
    pub name: String,
    /// How it ended.
    pub state: CheckState,
    /// The lines that show why.
    pub detail: String,
    /// How long it took.
    pub duration_ms: u64,
}

/// The single tests of a run, counted all and kept in part: what failed before what did not.
#[derive(Clone, Debug)]
pub struct Tests {
    /// How many there were of each kind.
    pub tally: Tally,
    bad: Vec<Checked>,
    good: Vec<Checked>,
}

impl Default for Tests {
    fn default() -> Self {
        let tally = Tally { passed: 0, failed: 0, skipped: 0, errored: 0 };
        Self { tally, bad: Vec::new(), good: Vec::new() }
    }
}

impl Tests {
    /// One more.
    pub fn add(&mut self, name: &str, state: CheckState, detail: &str, duration_ms: u64) {
        let (count, kept) = match state {
            CheckState::Passed => (&mut self.tally.passed, &mut self.good),
            CheckState::Skipped => (&mut self.tally.skipped, &mut self.good),
            CheckState::Failed => (&mut self.tally.failed, &mut self.bad),
            CheckState::Errored => (&mut self.tally.errored, &mut self.bad),
        };
        *count = count.saturating_add(1);
        if kept.len() < MAX_CHECKS {
            let (name, detail) = (name.to_owned(), detail.to_owned());
            kept.push(Checked { name, state, detail, duration_ms });
        }
    }

    /// Those that failed or could not be run, at most 1,000.
    pub fn bad(&self) -> &[Checked] {
        &self.bad
    }

    /// Those that passed or were skipped, at most 1,000.
    pub fn good(&self) -> &[Checked] {
        &self.good
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        let Tally { passed, failed, skipped, errored } = self.tally;
        passed.saturating_add(failed).saturating_add(skipped).saturating_add(errored)
    }
}

/// The end of what was not started at all, because it could not have counted.
pub(crate) fn never_started(why: &str) -> Ending {
    Ending::NotStarted(stagewright_sdk::Failure {
        kind: stagewright_sdk::FailureKind::Other,
        code: "not-started".to_owned(),
        message: why.to_owned(),
    })
}
