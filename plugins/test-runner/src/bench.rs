//! What a runner is given: the job, the settings, the host, and ways to make commands and names.

use std::fmt::Write as _;

use stagewright_sdk::{Command, Host, Job};

use crate::settings::Settings;

/// One run of a suite.
pub(crate) struct Bench<'a, C> {
    pub(crate) job: &'a Job,
    pub(crate) settings: &'a Settings,
    pub(crate) host: &'a C,
}

impl<C> Bench<'_, C> {
    /// The path of a scratch file as the run's processes see it.
    pub(crate) fn scratch(&self, path: &str) -> String {
        format!("{}/{path}", self.job.scratch.trim_end_matches('/'))
    }

    /// A command in the worktree with the suite's environment and time.
    pub(crate) fn command(&self, program: &str, args: Vec<String>) -> Command {
        Command {
            program: program.to_owned(),
            args,
            env: self.settings.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            cwd: None,
            stdin: Vec::new(),
            timeout_ms: Some(self.settings.timeout_s.saturating_mul(1_000)),
        }
    }
}

impl<C: Host> Bench<'_, C> {
    /// 128 random bits in hex.
    pub(crate) fn nonce(&self) -> String {
        self.host.random(16).iter().fold(String::new(), |mut text, byte| {
            // Writing to a string can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}
