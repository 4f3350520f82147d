//! How a command inside the store ends when it does not end well, and what SQLite's codes mean for a caller.

use rusqlite::ErrorCode;

use crate::error::Error;

/// A rule said no, or the store could not do it. Either way the command's writes are undone.
#[derive(Debug)]
pub(super) enum Failure<R> {
    /// A rule's answer.
    Refused(R),
    /// The store's own trouble.
    Store(Error),
}

/// What a command gives back.
pub(super) type Step<T, R = Error> = Result<T, Failure<R>>;

impl<R> From<Error> for Failure<R> {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl<R> From<rusqlite::Error> for Failure<R> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(translate(&error))
    }
}

/// What SQLite's error means for whoever asked.
pub(super) fn translate(error: &rusqlite::Error) -> Error {
    use rusqlite::Error as Sql;
    let detail = error.to_string();
    match error {
        Sql::SqliteFailure(failure, _) => match failure.code {
            // SQLite does not tell how long it waited; the writer, which knows, puts it in.
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                Error::Locked { waited: Default::default() }
            }
            ErrorCode::DiskFull => Error::Full { detail },
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => {
                Error::ReadOnly { detail }
            }
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Error::Damaged { detail },
            ErrorCode::SystemIoFailure | ErrorCode::FileLockingProtocolFailed => Error::Disk { detail },
            _ => Error::Rejected { detail },
        },
        // A row that does not have the form in which this program writes it.
        Sql::FromSqlConversionFailure(..) | Sql::IntegralValueOutOfRange(..) | Sql::InvalidColumnType(..) => {
            Error::Damaged { detail }
        }
        _ => Error::Rejected { detail },
    }
}
