//! What one way or the other has heard from a model.

use std::time::Duration;

use super::usage::Usage;
use crate::process::Completed;
use crate::{Failure, FailureKind};

/// What was heard, before any secret is taken out of it.
pub(super) struct Heard {
    pub(super) result: Result<String, Failure>,
    pub(super) usage: Usage,
    pub(super) retry_after: Option<Duration>,
    /// The agent's process, if one ran.
    pub(super) command: Option<Completed>,
    /// The last lines that it printed as errors.
    pub(super) stderr: String,
}

impl Heard {
    pub(super) fn failed(failure: Failure) -> Self {
        Self { result: Err(failure), ..Self::default() }
    }
}

impl Default for Heard {
    fn default() -> Self {
        let nothing = Failure::new(FailureKind::Other, "llm-silent", "nothing was heard from the model");
        Self {
            result: Err(nothing),
            usage: Usage::default(),
            retry_after: None,
            command: None,
            stderr: String::new(),
        }
    }
}
