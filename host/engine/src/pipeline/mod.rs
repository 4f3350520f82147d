//! The pipeline as data: its stages, what makes and judges each one's artifact, and where the task goes (E1).
//!
//! A [`Pipeline`] exists only after it was checked. Its stages stand in the order in which PASS leads through
//! them; FAIL leads back or to the stage itself, and never past a stage that has not passed. So a row of
//! PASSes always ends, and every cycle has a FAIL in it, which spends from a budget. Every target is a stage,
//! every stage can be reached, and every stage that works has a gate.
//!
//! It comes from the operator or from the protected default branch. Seeing to that is the caller's; a text
//! that comes from the commit under examination must never get here.

mod check;
mod problem;
mod read;

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::gate::Gate;
use crate::name::{EffectName, ProducerName, StageName};

pub use problem::{Error, Problem};

/// The default pipeline, as it is embedded.
pub const DEFAULT: &str = include_str!("../../pipelines/default.toml");

/// How often something may FAIL where the text doesn't say.
const DEFAULT_ATTEMPTS: u32 = 3;

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
    /// Where FAIL leads, and what it spends.
    pub on_fail: OnFail,
    /// Outside acts on the way to `on_pass`, in order. While there are any, at most one task of a repository
    /// is in this region (X3).
    pub effects: Vec<EffectName>,
    /// Whether a verdict needs evidence that the host saw (P8).
    pub evidence: bool,
    /// Whether what its run changed in the clone becomes a commit of the task's branch, with a PASS. Only of a stage that
    /// repeats itself: one that judges the code must not change what it judged.
    pub takes_work: bool,
}

/// Where FAIL leads, and what it spends (E4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnFail {
    /// Back to a stage before, to be mended there: the code was judged, and one of the developer's attempts
    /// is spent.
    BackTo(StageName),
    /// The stage is done again: it has not judged the code, it has not made what it should.
    Repeat {
        /// So many FAILs in a row, and a person has to look. At least 1.
        attempts: u32,
    },
}

impl Pipeline {
    /// Reads and checks a pipeline. `source` names the text in errors, such as a file's path.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line and column.
    pub fn parse(source: &str, text: &str) -> Result<Self, Error> {
        let mut findings = problem::Findings::new(source, text);
        let draft = read::read(text, &mut findings);
        let stages = check::check(&draft, &mut findings);
        let stages = findings.unless_any(stages)?;
        let index = stages.iter().enumerate().map(|(at, stage)| (stage.name.clone(), at)).collect();
        let digest = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let attempts = draft.attempts.map_or(DEFAULT_ATTEMPTS, |attempts| attempts.value);
        Ok(Self { stages, index, attempts, digest })
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
        self.stages.get(self.position(name)?)
    }

    /// The work of the stage of this name; `None` if there is no such stage, or if it is an end.
    pub fn work(&self, name: &StageName) -> Option<&Work> {
        self.stage(name)?.work.as_ref()
    }

    /// All stages, in the order in which PASS leads through them.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// How many attempts a developer has before a person has to look (E4). At least 1.
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
        let near = problem::nearest(text, self.stages.iter().map(|stage| stage.name.as_str()))?;
        self.stages.iter().map(|stage| &stage.name).find(|name| name.as_str() == near)
    }
}

impl Stage {
    /// Whether a task that is here has arrived: nothing is left to be done.
    pub const fn is_end(&self) -> bool {
        self.work.is_none()
    }

    /// Whether its verdict is about the code, and is void once the code is another (E4, E5). A stage that
    /// repeats itself makes something; one that leads back judges what was made.
    pub fn judges_code(&self) -> bool {
        self.work.as_ref().is_some_and(|work| matches!(work.on_fail, OnFail::BackTo(_)))
    }
}

#[cfg(test)]
mod tests;
