//! What time it is, for the store.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stagewright_engine::time::Timestamp;

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
