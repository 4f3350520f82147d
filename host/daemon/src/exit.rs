//! What the program's exit codes mean (S2). Scripts rely on them; none changes within a major version.

use std::process::ExitCode;

/// How a command ended, as its caller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: PASS, or the command did what it was asked.
    Success,
    /// 1: FAIL, or a check that found a defect.
    Failure,
    /// 2: wrong use or configuration; nothing was changed.
    Usage,
    /// 70: a fault of this program or its machine.
    Internal,
    /// 75: deferred or busy; the same command may work later.
    Later,
    /// 78: held, until a person mends something.
    Held,
    /// 130: cancelled.
    Cancelled,
}

impl Exit {
    /// The number that the operating system is given.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Internal => 70,
            Self::Later => 75,
            Self::Held => 78,
            Self::Cancelled => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
