//! What a capability answers when it does not do what it was asked.

/// A refusal or a failure, with a stable code for programs and a message for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Failure {
    /// What kind it is. The kinds are closed within a version of the plugin interface.
    pub kind: FailureKind,
    /// Stable and kebab-case; new ones may come.
    pub code: &'static str,
    /// What happened, and the way out where there is one.
    pub message: String,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The grant does not allow it.
    Denied,
    /// It is not there.
    NotFound,
    /// A limit was passed.
    Limit,
    /// It took too long.
    TimedOut,
    /// The run is to end.
    Cancelled,
    /// It may work later.
    Transient,
    /// It will not work until somebody mends something.
    Permanent,
    /// None of these.
    Other,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into() }
    }
}
