//! The one place of the host that reads the wall clock for the engine and the store.

use std::time::{SystemTime, UNIX_EPOCH};

use stagewright_engine::time::Timestamp;

/// The wall-clock time now. A clock that stands before 1970 reads as the epoch itself.
pub fn now() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// The beginning of a time's day, in UTC.
pub fn day_of(time: Timestamp) -> Timestamp {
    const DAY: i64 = 86_400_000;
    Timestamp::from_millis(time.as_millis() - time.as_millis().rem_euclid(DAY))
}

/// A new id, unique and roughly ordered by time.
pub fn new_id() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}

/// A time as RFC 3339 in UTC. Empty for a time that no calendar has.
pub fn rfc3339(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.as_millis())
        .map_or_else(|_| String::new(), |time| time.to_string())
}
