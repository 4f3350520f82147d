//! How the values of the engine stand in columns, and how they are read back.
//!
//! What can't be read back was not written by this program: that is damage, and is said so.

use std::fmt::Display;
use std::str::FromStr;

use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stagewright_engine::identity::Epoch;
use stagewright_engine::time::Timestamp;
use uuid::Uuid;

/// A value of this column is not of the form in which it is written.
pub(super) fn malformed(column: usize, kind: Type, why: impl Display) -> Error {
    Error::FromSqlConversionFailure(column, kind, why.to_string().into())
}

/// An id from its 16 bytes.
pub(super) fn id<T>(row: &Row<'_>, column: usize, make: fn(Uuid) -> T) -> Result<T> {
    row.get::<_, [u8; 16]>(column).map(|bytes| make(Uuid::from_bytes(bytes)))
}

/// An id that may be missing.
pub(super) fn maybe_id<T>(row: &Row<'_>, column: usize, make: fn(Uuid) -> T) -> Result<Option<T>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(|bytes| make(Uuid::from_bytes(bytes))))
}

/// An id as its 16 bytes.
pub(super) fn bytes(id: Uuid) -> [u8; 16] {
    id.into_bytes()
}

/// A name from its text.
pub(super) fn name<T: FromStr<Err: Display>>(row: &Row<'_>, column: usize) -> Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|why| malformed(column, Type::Text, why))
}

/// A name that may be missing.
pub(super) fn maybe_name<T: FromStr<Err: Display>>(row: &Row<'_>, column: usize) -> Result<Option<T>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    text.parse().map(Some).map_err(|why| malformed(column, Type::Text, why))
}

/// A value from its JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|why| malformed(column, Type::Text, why))
}

/// A value from its JSON, which may be missing.
pub(super) fn maybe_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<Option<T>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|why| malformed(column, Type::Text, why))
}

/// A value as JSON.
pub(super) fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|why| Error::ToSqlConversionFailure(why.into()))
}

/// A point in time.
pub(super) fn time(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    row.get(column).map(Timestamp::from_millis)
}

/// A point in time that may be missing.
pub(super) fn maybe_time(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

/// An epoch.
pub(super) fn epoch(row: &Row<'_>, column: usize) -> Result<Epoch> {
    row.get::<_, i64>(column).map(|number| Epoch::new(number.unsigned_abs()))
}

/// An epoch as a column's number. It grows by one at a time, so it never reaches the column's end.
pub(super) fn number(epoch: Epoch) -> i64 {
    i64::try_from(epoch.get()).unwrap_or(i64::MAX)
}
