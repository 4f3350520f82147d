//! Gates: the pure checks that read a stage's artifact and say whether the task goes on.
//!
//! A gate reads the artifact and nothing else (E3): the same text gives the same decision, whoever made it.
//! What can't be read for certain is rejected: never a PASS, and no FAIL either. The host wrote the front matter
//! itself, so an artifact that can't be read says something about the host or its disk and nothing about the
//! code. The task stays where it is, held with the reason; whoever asked for a PASS did not get one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::outcome::Judgement;
use crate::verdict::{self, VerdictKey};

/// A gate, by its stable name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// `check_analysis_complete`, reads `result:`.
    CheckAnalysisComplete,
    /// `check_architecture_complete`, reads `result:`.
    CheckArchitectureComplete,
    /// `check_development_complete`, reads `result:`.
    CheckDevelopmentComplete,
    /// `check_review_approved`, reads `verdict:`.
    CheckReviewApproved,
    /// `check_ci_passed`, reads `result:` of what the host wrote about a commit's CI.
    CheckCiPassed,
    /// `check_tests_passed`, reads `result:`.
    CheckTestsPassed,
    /// `check_staging_status`, reads `staging_status:`.
    CheckStagingStatus,
    /// `check_deploy_status`, reads `deploy_status:`.
    CheckDeployStatus,
}

/// What a gate asks about the artifact's maker: what kind of answer the verdict is (P7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// Is the work made? The verdict is about the maker's own work, and what it made is judged by the stages that follow.
    Work,
    /// Is it good? Somebody has to weigh it.
    Judgement,
    /// What happened? A program can see that.
    Fact,
}

/// What a gate decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GateDecision {
    /// The artifact says PASS, and nothing in it says otherwise.
    Pass,
    /// The artifact says FAIL, and nothing in it says otherwise.
    Fail,
    /// The artifact can't be relied on. Never a PASS.
    Rejected {
        /// What is wrong with it.
        reason: String,
    },
}

/// A text that names no gate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no gate `{0}`")]
pub struct UnknownGate(String);

impl Gate {
    /// Every gate.
    pub const ALL: [Self; 8] = [
        Self::CheckAnalysisComplete,
        Self::CheckArchitectureComplete,
        Self::CheckDevelopmentComplete,
        Self::CheckReviewApproved,
        Self::CheckCiPassed,
        Self::CheckTestsPassed,
        Self::CheckStagingStatus,
        Self::CheckDeployStatus,
    ];

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CheckAnalysisComplete => "check_analysis_complete",
            Self::CheckArchitectureComplete => "check_architecture_complete",
            Self::CheckDevelopmentComplete => "check_development_complete",
            Self::CheckReviewApproved => "check_review_approved",
            Self::CheckCiPassed => "check_ci_passed",
            Self::CheckTestsPassed => "check_tests_passed",
            Self::CheckStagingStatus => "check_staging_status",
            Self::CheckDeployStatus => "check_deploy_status",
        }
    }

    /// The front matter key that this gate requires.
    pub const fn key(self) -> VerdictKey {
        match self {
            Self::CheckStagingStatus => VerdictKey::StagingStatus,
            Self::CheckDeployStatus => VerdictKey::DeployStatus,
            Self::CheckReviewApproved => VerdictKey::Verdict,
            Self::CheckAnalysisComplete
            | Self::CheckArchitectureComplete
            | Self::CheckDevelopmentComplete
            | Self::CheckCiPassed
            | Self::CheckTestsPassed => VerdictKey::Result,
        }
    }

    /// What it asks.
    pub const fn question(self) -> Question {
        match self {
            Self::CheckAnalysisComplete
            | Self::CheckArchitectureComplete
            | Self::CheckDevelopmentComplete => Question::Work,
            Self::CheckReviewApproved => Question::Judgement,
            Self::CheckCiPassed
            | Self::CheckTestsPassed
            | Self::CheckStagingStatus
            | Self::CheckDeployStatus => Question::Fact,
        }
    }

    /// Reads the artifact.
    pub fn judge(self, artifact: &str) -> GateDecision {
        match verdict::read(artifact, self.key()) {
            Ok(Judgement::Pass) => GateDecision::Pass,
            Ok(Judgement::Fail) => GateDecision::Fail,
            Err(error) => GateDecision::Rejected { reason: error.to_string() },
        }
    }
}

impl FromStr for Gate {
    type Err = UnknownGate;
    fn from_str(text: &str) -> Result<Self, UnknownGate> {
        Self::ALL.into_iter().find(|gate| gate.name() == text).ok_or_else(|| UnknownGate(text.to_owned()))
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gate_is_found_by_its_name_and_by_no_other() {
        for gate in Gate::ALL {
            assert_eq!(gate.name().parse(), Ok(gate));
            assert_eq!(serde_json::to_value(gate).unwrap(), gate.name());
        }
        assert!("check_tests".parse::<Gate>().is_err());
    }

    #[test]
    fn the_same_artifact_gives_the_same_decision_whoever_made_it() {
        for gate in Gate::ALL {
            let word = gate.key().word(Judgement::Pass);
            for producer in ["test-runner", "llm-fallback", "somebody's own"] {
                let artifact =
                    format!("---\nproducer: {producer}\n{}: {word}\n---\nbody\n", gate.key().name());
                assert_eq!(gate.judge(&artifact), GateDecision::Pass, "{gate} of {producer}");
            }
        }
    }

    #[test]
    fn a_gate_needs_its_own_key() {
        let tests = "---\nresult: PASS\nstatus: PASS\nverdict: PASS\n---\n";
        assert_eq!(Gate::CheckTestsPassed.judge(tests), GateDecision::Pass);
        assert!(matches!(Gate::CheckStagingStatus.judge(tests), GateDecision::Rejected { .. }));
        let staging = "---\nstaging_status: FAILED\n---\n";
        assert_eq!(Gate::CheckStagingStatus.judge(staging), GateDecision::Fail);
        assert!(matches!(Gate::CheckTestsPassed.judge(staging), GateDecision::Rejected { .. }));
    }

    #[test]
    fn a_rejection_says_why() {
        let GateDecision::Rejected { reason } = Gate::CheckTestsPassed.judge("---\nresult: GREEN\n---\n")
        else {
            panic!("it was not rejected")
        };
        assert_eq!(reason, "`result: GREEN` is unknown; it must be PASS or FAIL");
    }
}
