//! The pipeline as data: its stages, what makes and judges each one's artifact, and where the task goes (E1).
//!
//! A [`Pipeline`] exists only after it was checked: every target is a stage, every stage can be reached from
//! the first, the end can be reached from every stage, every stage that works has a gate, and every way back
//! spends from a budget. It comes from the operator or from the protected default branch; where from is for
//! the caller to see to, never the commit under examination.

mod check;
mod read;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::gate::Gate;
use crate::name::{ProducerName, StageName};

pub use check::{Error, Problem};

/// The default pipeline, as it is embedded.
pub const DEFAULT: &str = include_str!("../../pipelines/default.toml");

/// A checked pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    stages: Vec<Stage>,
    index: BTreeMap<StageName, usize>,
    attempts: u32,
    digest: String,
}

/// A stage of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Its name.
    pub name: StageName,
    /// What happens there; `None` for an end of the pipeline.
    pub work: Option<Work>,
}

/// The work of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// What makes the artifact.
    pub producer: ProducerName,
    /// What makes it where the producer is switched off or out of scope (P4).
    pub fallback: Option<ProducerName>,
    /// What reads it.
    pub gate: Gate,
    /// Its file name below `docs/work-items/<KEY>/`.
    pub artifact: String,
    /// Where PASS leads.
    pub on_pass: StageName,
    /// Where FAIL leads. To the stage itself: it repeats itself.
    pub on_fail: StageName,
    /// Outside acts on the way to `on_pass`, in order.
    pub effects: Vec<String>,
    /// Whether a PASS needs evidence that the host saw (P8).
    pub evidence: bool,
}

/// Which stage comes from where: the keys of a pipeline's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The text that is embedded in the program.
    Embedded,
    /// A file that the operator named.
    Operator,
}

impl Pipeline {
    /// Reads and checks a pipeline. `source` names the text in errors, such as a file's path.
    pub fn parse(source: &str, text: &str) -> Result<Self, Error> {
        let draft = read::read(source, text)?;
        let stages = check::check(source, text, draft.stages, draft.attempts)?;
        let index = stages.iter().enumerate().map(|(at, stage)| (stage.name.clone(), at)).collect();
        let digest = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { stages, index, attempts: draft.attempts, digest })
    }

    /// The embedded pipeline.
    ///
    /// # Errors
    /// Never, as a test shows; the embedded text is checked like any other.
    pub fn embedded() -> Result<Self, Error> {
        Self::parse("the built-in pipeline", DEFAULT)
    }

    /// The stage of this name.
    pub fn stage(&self, name: &StageName) -> Option<&Stage> {
        self.index.get(name).and_then(|&at| self.stages.get(at))
    }

    /// All stages, in their order.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// How many attempts a developer has before a person has to look (E4).
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// SHA-256 of the text that it was read from, in hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The stage's place in the order; `None` if it is not one of them.
    pub fn position(&self, name: &StageName) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The stage whose name is most like `text`, for a question back to whoever mistyped it.
    pub fn nearest(&self, text: &str) -> Option<&StageName> {
        self.stages
            .iter()
            .map(|stage| (strsim::jaro_winkler(stage.name.as_str(), text), &stage.name))
            .filter(|(likeness, _)| *likeness > 0.75)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, name)| name)
    }
}

impl Stage {
    /// Whether a FAIL here goes back to another stage and so spends one of the developer's attempts (E4).
    /// A stage that repeats itself spends one, too: its budget is the same.
    pub fn fail_goes_back(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.on_fail != self.name)
    }
}

#[cfg(test)]
mod tests;
