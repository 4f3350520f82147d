//! The settings of the staging-runner, as the host hands them over.
//!
//! Which repositories it serves and how often it is tried again are the host's decisions; their keys are taken
//! and not read. Any other unknown key is an error. Names that docker or ssh could take for options are refused.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use stagewright_sdk::evidence::{Becomes, TimeoutIs};

/// Where the staging suite runs, and how its end is judged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether the suite runs on the host of staging, over ssh. Off: a docker client of the daemon's own machine is used,
    /// which has to be granted.
    pub exec_host_side: bool,
    /// The ssh target, by its name in the operator's configuration.
    pub target: String,
    /// The container that the suite runs in. Without one it runs on the target itself.
    pub container: Option<String>,
    /// The docker client, by name or path.
    pub docker: String,
    /// Whether the container has a POSIX shell. `auto`: it is tried with one, and without where there is none.
    pub shell_in_container: ShellInContainer,
    /// The suite: a program and its arguments.
    pub command: Vec<String>,
    /// Further arguments for it.
    pub args: Vec<String>,
    /// How long the suite may take, in seconds.
    #[schemars(range(min = 1))]
    pub timeout_s: u64,
    /// What a suite that overran its time has shown.
    pub timeout_is: TimeoutIs,
    /// What the suite's exit codes mean. By default 0 is a pass, 126 and 127 say that it is not there, 129, 130, 137 and
    /// 143 that something killed it, and every other code is a fail.
    pub exit_codes: BTreeMap<i32, Becomes>,
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
            exec_host_side: true,
            target: "staging".to_owned(),
            container: None,
            docker: "docker".to_owned(),
            shell_in_container: ShellInContainer::Auto,
            command: ["python3", "-m", "staging_check", "--mode", "stub"].map(str::to_owned).to_vec(),
            args: Vec::new(),
            timeout_s: 900,
            timeout_is: TimeoutIs::Fail,
            exit_codes: BTreeMap::new(),
            enabled: IgnoredAny,
            repos: IgnoredAny,
            infra_retry_max: IgnoredAny,
            infra_retry_backoff_s: IgnoredAny,
        }
    }
}

/// Whether the container has a POSIX shell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ShellInContainer {
    /// It is tried with one first.
    #[default]
    Auto,
    /// It has one; where it has none after all, the task is held.
    Yes,
    /// It has none.
    No,
}

impl Settings {
    /// The suite with all its arguments.
    pub(crate) fn suite(&self) -> Vec<String> {
        self.command.iter().chain(&self.args).cloned().collect()
    }

    pub(crate) fn timeout_ms(&self) -> u64 {
        self.timeout_s.saturating_mul(1_000)
    }

    /// What keeps these settings from being used, with the key's name.
    pub(crate) fn wrong(&self) -> Option<String> {
        if let Some(container) = self.container.as_deref().filter(|name| !is_container(name)) {
            return Some(format!(
                "`container` is {container:?}; docker's names begin with a letter or digit and have only letters, digits, `_`, `.` and `-`"
            ));
        }
        let program = self.command.first().map_or("", String::as_str);
        for (key, word) in [("target", self.target.as_str()), ("docker", &self.docker), ("command", program)]
        {
            if word.is_empty() {
                return Some(format!("`{key}` is empty"));
            }
            if word.starts_with('-') {
                return Some(format!(
                    "`{key}` begins with `-`, so it would be taken for an option: {word:?}"
                ));
            }
        }
        let words = self.command.iter().chain(&self.args).chain([&self.docker, &self.target]);
        if words.into_iter().any(|word| word.contains('\0')) {
            return Some("a word of `command`, `args`, `docker` or `target` has a NUL in it".to_owned());
        }
        if self.timeout_s == 0 {
            return Some("`timeout_s` is 0".to_owned());
        }
        if !self.exec_host_side && self.container.is_none() {
            return Some("`container` is not set, and `exec_host_side = false` needs one".to_owned());
        }
        None
    }
}

/// Docker's own grammar for the names of containers; ids fit it, too.
fn is_container(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_hosts_own_keys_are_taken_and_not_read() {
        settings(r#"{"enabled": true, "repos": ["*"], "infra_retry_max": 3, "infra_retry_backoff_s": 30}"#);
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let error = serde_json::from_str::<Settings>(r#"{"contianer": "x"}"#).unwrap_err().to_string();
        assert!(error.contains("contianer"), "{error}");
    }

    #[test]
    fn the_default_is_the_stub_mode_of_the_staging_check() {
        let settings = settings(r#"{"args": ["--quick"]}"#);
        assert_eq!(settings.suite().join(" "), "python3 -m staging_check --mode stub --quick");
        assert_eq!(settings.wrong(), None);
    }

    #[test]
    fn a_name_that_would_be_an_option_or_no_name_is_refused() {
        for (text, key) in [
            (r#"{"container": "--privileged"}"#, "container"),
            (r#"{"container": "a b"}"#, "container"),
            (r#"{"container": ""}"#, "container"),
            (r#"{"container": "app;reboot"}"#, "container"),
            (r#"{"docker": "-v"}"#, "docker"),
            (r#"{"docker": ""}"#, "docker"),
            (r#"{"target": "-oProxyCommand=x"}"#, "target"),
            (r#"{"command": []}"#, "command"),
            (r#"{"command": ["-c"]}"#, "command"),
            (r#"{"args": ["a\u0000b"]}"#, "args"),
            (r#"{"timeout_s": 0}"#, "timeout_s"),
            (r#"{"exec_host_side": false}"#, "exec_host_side"),
        ] {
            let wrong = settings(text).wrong().unwrap_or_default();
            assert!(wrong.contains(key), "{text}: {wrong:?}");
        }
        for container in ["app", "0f3a", "orch_staging-1.web"] {
            assert_eq!(settings(&format!(r#"{{"container": "{container}"}}"#)).wrong(), None, "{container}");
        }
    }
}
