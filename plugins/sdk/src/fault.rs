//! Builds a [`Fault`]: why the work did not run.

use crate::Fault;
use crate::text::bounded_tail;

/// The longest evidence that is worth reading; a longer one keeps its end.
const MAX_EVIDENCE: usize = 16 * 1024;

/// A fault with neither evidence nor remedy yet. `code` is stable and kebab-case.
pub fn new(code: &str, message: impl Into<String>) -> Builder {
    Builder(Fault {
        code: code.to_owned(),
        message: message.into(),
        evidence: String::new(),
        remedy: None,
        retry_after_ms: None,
    })
}

/// A fault on its way.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder(Fault);

impl Builder {
    /// The lines that show it; of a long text the last 16 KiB.
    pub fn with_evidence(mut self, evidence: &str) -> Self {
        bounded_tail(evidence, MAX_EVIDENCE).clone_into(&mut self.0.evidence);
        self
    }

    /// What a person can do about it.
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// The earliest time at which another run makes sense, in milliseconds from now.
    pub fn retry_after_ms(mut self, duration: u64) -> Self {
        self.0.retry_after_ms = Some(duration);
        self
    }

    /// The fault.
    #[must_use]
    pub fn build(self) -> Fault {
        self.0
    }
}
