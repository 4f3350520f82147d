//! Who does which stage of the default pipeline, and by which key its gate reads the end.
//!
//! They stand in for what the host does not say. A stage of another pipeline has no role here, and none is guessed.

use stagewright_sdk::front_matter::VerdictKey;

/// A stage of the default pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name.
    pub stage: &'static str,
    /// Who does it.
    pub role: &'static str,
    /// The key that its gate requires.
    pub key: VerdictKey,
}

const fn row(stage: &'static str, role: &'static str, key: VerdictKey) -> Row {
    Row { stage, role, key }
}

/// The stages of the default pipeline that a model can do.
pub const TABLE: &[Row] = &[
    row("analysis", "analyst", VerdictKey::Result),
    row("architecture", "architect", VerdictKey::Result),
    row("development", "developer", VerdictKey::Result),
    row("review", "reviewer", VerdictKey::Verdict),
    row("testing", "tester", VerdictKey::Result),
    row("deploy-staging", "deployer", VerdictKey::StagingStatus),
    row("deploy", "deployer", VerdictKey::DeployStatus),
];

/// The row of a stage.
pub fn of(stage: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.stage == stage)
}
