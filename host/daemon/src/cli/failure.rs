//! A command that could not do its work: one clear message, and the exit code that belongs to it.

use std::error::Error;
use std::fmt::Write as _;

use crate::exit::Exit;

/// What went wrong, for people, with the exit code for scripts.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// Wrong use or configuration: nothing was changed.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// Something is busy or full and may not be so later.
    pub(crate) fn later(message: impl Into<String>) -> Self {
        Self { exit: Exit::Later, message: message.into() }
    }

    /// A fault of this program or of its machine, with everything that is known about it.
    pub(crate) fn internal(what: &str, error: &(dyn Error + 'static)) -> Self {
        Self { exit: Exit::Internal, message: format!("{what}: {}", chain(error)) }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Says it once: as text on standard error, or as an object on standard output.
    #[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the edge where errors are told")]
    pub(crate) fn tell(&self, json: bool) {
        if json {
            let object = serde_json::json!({"error": {"message": self.message, "exit": self.exit.code()}});
            println!("{object}");
        } else {
            eprintln!("stagewright: {}", self.message);
        }
    }
}

/// An error and its causes in one line, leaving out causes that the text before already tells.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.contains(&told) {
            let _ = write!(text, ": {told}");
        }
        next = cause.source();
    }
    text
}

macro_rules! wrong_use {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::usage(chain(&error))
            }
        })+
    };
}

wrong_use!(
    crate::config::Error,
    crate::http::ListenError,
    crate::http::TokenError,
    crate::installation::Error,
    crate::state::Error,
    stagewright_engine::name::InvalidName,
    stagewright_engine::pipeline::Error,
    stagewright_repository::git::Error,
    stagewright_repository::source::Error,
);

impl From<stagewright_store::Error> for Failure {
    fn from(error: stagewright_store::Error) -> Self {
        let exit = match &error {
            stagewright_store::Error::Locked { .. } => Exit::Later,
            _ => Exit::Internal,
        };
        Self { exit, message: chain(&error) }
    }
}

impl From<stagewright_store::request::task::TaskRefused> for Failure {
    fn from(refused: stagewright_store::request::task::TaskRefused) -> Self {
        match refused {
            stagewright_store::request::task::TaskRefused::Store(error) => error.into(),
            refused => Self::usage(refused.to_string()),
        }
    }
}

impl From<crate::operator::Error> for Failure {
    fn from(error: crate::operator::Error) -> Self {
        use stagewright_store::request::conclusion::ConcludeRefused as No;

        use crate::operator::Error;
        match error {
            Error::Refused(refused) => Self::usage(refused.to_string()),
            Error::Task(refused) => refused.into(),
            Error::Conclude(No::Store(error)) => error.into(),
            // Somebody else was quicker, or is at it.
            Error::Conclude(refused) => Self::later(format!("{refused}; look again, and try again")),
        }
    }
}

impl From<crate::begin::NotBegun> for Failure {
    fn from(error: crate::begin::NotBegun) -> Self {
        use crate::begin::NotBegun;
        match error {
            NotBegun::Store(error) => error.into(),
            NotBegun::Repository(error) => error.into(),
            NotBegun::Moved { .. } => Self::later(format!("{error}; look again")),
            NotBegun::NoBranch { .. } => Self::usage(format!("{error} with --branch")),
            NotBegun::NoSuchStage(_) => Self::usage(error.to_string()),
        }
    }
}

impl From<stagewright_repository::Error> for Failure {
    fn from(error: stagewright_repository::Error) -> Self {
        use stagewright_repository::Error;
        let exit = match &error {
            Error::Source(_) | Error::NoSuchRevision { .. } | Error::BadPath { .. } => Exit::Usage,
            Error::Busy { .. } | Error::HeadMoved { .. } => Exit::Later,
            _ => Exit::Internal,
        };
        Self { exit, message: chain(&error) }
    }
}

impl From<crate::branch::Error> for Failure {
    fn from(error: crate::branch::Error) -> Self {
        use crate::branch::Error;
        match error {
            Error::Store(error) => error.into(),
            Error::Repository(error) => error.into(),
            Error::UnknownRepo(_) => Self::usage(error.to_string()),
        }
    }
}

impl From<crate::host::Error> for Failure {
    fn from(error: crate::host::Error) -> Self {
        use crate::host::Error;
        match error {
            Error::Store(error) => error.into(),
            Error::Sandbox(_) | Error::Harden(_) => Self { exit: Exit::Internal, message: chain(&error) },
            _ => Self::usage(chain(&error)),
        }
    }
}
