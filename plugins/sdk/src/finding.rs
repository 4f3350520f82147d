//! Builds a [`Finding`] of a preflight, with the way out beside what is wrong.

use crate::{Finding, FindingState};

/// Something that is as it should be.
pub fn ok(check: &str, message: impl Into<String>) -> Finding {
    Finding { check: check.to_owned(), state: FindingState::Ok, message: message.into(), remedy: None }
}

/// Something that will keep this producer from working, and the way out.
pub fn defect(check: &str, message: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding {
        check: check.to_owned(),
        state: FindingState::Defect,
        message: message.into(),
        remedy: Some(remedy.into()),
    }
}

/// Something that may keep it from working, and the way out.
pub fn warning(check: &str, message: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding {
        check: check.to_owned(),
        state: FindingState::Warning,
        message: message.into(),
        remedy: Some(remedy.into()),
    }
}
