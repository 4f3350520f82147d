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

    /// The answer to what a run asks that is to end.
    pub(crate) fn cancelled() -> Self {
        Self::new(FailureKind::Cancelled, "cancelled", "the run is to end")
    }

    /// The refusal of a name that the grant does not have; `kind` is what it names. `way_out` says what the operator can do.
    pub(crate) fn not_granted<'a>(
        code: &'static str,
        kind: &str,
        name: &str,
        granted: impl Iterator<Item = &'a String>,
        way_out: &str,
    ) -> Self {
        let granted: Vec<&str> = granted.map(String::as_str).collect();
        let granted = if granted.is_empty() { "none".to_owned() } else { granted.join(", ") };
        let message =
            format!("the {kind} `{name}` is not granted (granted: {granted}); the operator can {way_out}");
        Self::new(FailureKind::Denied, code, message)
    }
}
