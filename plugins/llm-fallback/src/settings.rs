//! The settings of the llm-fallback, as the host hands them over.
//!
//! Most of them are the host's to give: it knows the pipeline, and it reads the role's prompt from its file.

use schemars::JsonSchema;
use serde::Deserialize;
use stagewright_sdk::front_matter::VerdictKey;

/// What a model is asked, and where its draft is looked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Set by the host: the role that is asked. By default the one that does this stage in the default pipeline.
    pub role: Option<String>,
    /// Set by the host: the text of the role's prompt, with its placeholders.
    pub prompt: String,
    /// Set by the host: the front matter key that the stage's gate reads. By default the stage's own in the default
    /// pipeline, else `result`.
    pub verdict_key: Option<Key>,
    /// How long the model may take, in seconds. Not set: as long as the run.
    #[schemars(range(min = 1))]
    pub timeout_s: Option<u64>,
    /// Set by the host: paths in the clone of the reports that earlier stages left.
    pub reports: Vec<String>,
    /// Where the draft is looked for.
    pub draft: DraftIn,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            role: None,
            prompt: String::new(),
            verdict_key: None,
            timeout_s: None,
            reports: Vec::new(),
            draft: DraftIn::Auto,
        }
    }
}

/// Where the draft is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DraftIn {
    /// In the file, if the model left one, else in its answer, if that begins with front matter.
    Auto,
    /// In the file at the artifact's place only: the model is an agent.
    File,
    /// In the answer only: the model can't write files.
    Answer,
}

/// A front matter key that carries a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// `result: PASS|FAIL`
    Result,
    /// `status: PASS|FAIL`
    Status,
    /// `verdict: PASS|FAIL`
    Verdict,
    /// `staging_status: SUCCESS|FAILED`
    StagingStatus,
    /// `deploy_status: SUCCESS|FAILED`
    DeployStatus,
}

impl From<Key> for VerdictKey {
    fn from(key: Key) -> Self {
        match key {
            Key::Result => Self::Result,
            Key::Status => Self::Status,
            Key::Verdict => Self::Verdict,
            Key::StagingStatus => Self::StagingStatus,
            Key::DeployStatus => Self::DeployStatus,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_key_can_be_set_by_its_own_name() {
        for key in VerdictKey::ALL {
            let set: Key = serde_json::from_str(&format!("{:?}", key.name())).unwrap();
            assert_eq!(VerdictKey::from(set), key);
        }
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let error = serde_json::from_str::<Settings>(r#"{"promt": "x"}"#).unwrap_err().to_string();
        assert!(error.contains("promt"), "{error}");
    }
}
