//! The settings of the test-runner, as the host hands them over.
//!
//! Which repositories it serves and how often it is tried again are the host's decisions; their keys are taken
//! and not read. Any other unknown key is an error.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use stagewright_sdk::evidence::{Becomes, TimeoutIs};

/// How a suite is run and judged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What runs the tests. `auto` finds it out from the repository's files.
    pub framework: Framework,
    /// The Python that has pytest.
    pub python: String,
    /// What `framework = "command"` runs.
    pub program: Option<String>,
    /// Further arguments for the runner. For npm, what follows `npm` (by default `test`); for go, what follows
    /// `go test -json` (by default `./...`).
    pub args: Vec<String>,
    /// Variables added to the suite's environment.
    pub env: BTreeMap<String, String>,
    /// A step before the suite, such as the installation of dependencies.
    pub setup: Option<Setup>,
    /// How long the suite may take, in seconds.
    #[schemars(range(min = 1))]
    pub timeout_s: u64,
    /// What a suite that overran its time has shown.
    pub timeout_is: TimeoutIs,
    /// Whether a suite without any test may pass.
    pub allow_no_tests: bool,
    /// Whether a suite in which every test was skipped may pass.
    pub allow_nothing_passed: bool,
    /// What the exit codes of `framework = "command"` mean. By default 0 is a pass and 1 a fail.
    pub exit_codes: BTreeMap<i32, Becomes>,
    /// A JUnit file that `framework = "command"` or `"npm"` writes, relative to the worktree. With it, a pass needs
    /// its evidence.
    pub junit: Option<String>,
    /// Read-only probes after a suite that passed.
    pub smoke: Vec<Smoke>,
    /// By how many percent fewer tests than on the base branch may be collected. Not set: both numbers are only
    /// reported.
    #[schemars(range(max = 100))]
    pub max_collected_drop: Option<u32>,
    /// Set by the host: the user's checkout. Modules imported from there are not the examined commit.
    pub source_checkout: Option<String>,
    /// Set by the host: how many tests were last collected on the base branch.
    pub collected_baseline: Option<u64>,
    /// Set by the host: files of test configuration, dependencies or CI that the examined commit changes.
    pub changed_config_files: Vec<String>,
    /// The host's.
    #[schemars(with = "bool")]
    enabled: IgnoredAny,
    /// The host's.
    #[schemars(with = "Vec<String>")]
    repos: IgnoredAny,
    /// The host's.
    #[schemars(with = "u32")]
    infra_retry_max: IgnoredAny,
    /// The host's.
    #[schemars(with = "u64")]
    infra_retry_backoff_s: IgnoredAny,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            framework: Framework::Auto,
            python: "python3".to_owned(),
            program: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            setup: None,
            timeout_s: 1_800,
            timeout_is: TimeoutIs::Fail,
            allow_no_tests: false,
            allow_nothing_passed: false,
            exit_codes: BTreeMap::new(),
            junit: None,
            smoke: Vec::new(),
            max_collected_drop: None,
            source_checkout: None,
            collected_baseline: None,
            changed_config_files: Vec::new(),
            enabled: IgnoredAny,
            repos: IgnoredAny,
            infra_retry_max: IgnoredAny,
            infra_retry_backoff_s: IgnoredAny,
        }
    }
}

/// What runs the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Framework {
    /// Found out from the repository's files.
    Auto,
    /// pytest.
    Pytest,
    /// `cargo test`.
    CargoTest,
    /// cargo-nextest.
    Nextest,
    /// `go test`.
    GoTest,
    /// A script of npm, by default `test`.
    Npm,
    /// Any program with a map of its exit codes.
    Command,
}

impl Framework {
    /// The setting's value for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Pytest => "pytest",
            Self::CargoTest => "cargo-test",
            Self::Nextest => "nextest",
            Self::GoTest => "go-test",
            Self::Npm => "npm",
            Self::Command => "command",
        }
    }
}

/// A step before the suite.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// What it runs.
    pub program: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// How long it may take, in seconds.
    #[serde(default = "setup_timeout")]
    #[schemars(range(min = 1))]
    pub timeout_s: u64,
    /// What its exit codes mean. By default 0 is a pass, and every other leads to another try.
    #[serde(default)]
    pub exit_codes: BTreeMap<i32, Becomes>,
}

const fn setup_timeout() -> u64 {
    600
}

/// A read-only probe after the suite.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Smoke {
    /// The endpoint's name in the operator's configuration.
    pub endpoint: String,
    /// The path to get, such as `/health`.
    pub path: String,
    /// The status that is right.
    #[serde(default = "ok_status")]
    pub status: u16,
    /// Text that the body must contain.
    #[serde(default)]
    pub contains: Option<String>,
    /// Values that the JSON body must have, by JSON pointer: `{ "/status": "ok", "/serial_gate/enabled": true }`.
    #[serde(default)]
    pub json: BTreeMap<String, serde_json::Value>,
    /// Whether the JSON body must have a `serial_gate` object, as the host's own `/queue` has.
    #[serde(default)]
    pub serial_gate: bool,
    /// How long it may take, in seconds.
    #[serde(default = "probe_timeout")]
    #[schemars(range(min = 1))]
    pub timeout_s: u64,
}

const fn ok_status() -> u16 {
    200
}

const fn probe_timeout() -> u64 {
    10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_keys_are_taken_and_not_read() {
        let text = r#"{"enabled": true, "repos": ["*"], "infra_retry_max": 3, "infra_retry_backoff_s": 30}"#;
        serde_json::from_str::<Settings>(text).unwrap();
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let error = serde_json::from_str::<Settings>(r#"{"pyhton": "x"}"#).unwrap_err().to_string();
        assert!(error.contains("pyhton"), "{error}");
    }

    #[test]
    fn exit_codes_are_keys_of_a_json_object() {
        let text = r#"{"exit_codes": {"0": "pass", "3": "held"}}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.exit_codes[&3], Becomes::Held);
    }
}
