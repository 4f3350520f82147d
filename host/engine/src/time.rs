//! Points in time and spans of it, as plain numbers that the caller brings along.
//!
//! The engine never reads a clock: whoever asks it something says what time it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A wall-clock time in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time that lies `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time moved into the future; stops at the end of what can be counted.
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add_unsigned(span.0))
    }

    /// How long ago `earlier` was. Zero if it lies in the future, as it does when a clock was set back.
    pub const fn since(self, earlier: Self) -> Span {
        let elapsed = self.0.saturating_sub(earlier.0);
        Span(if elapsed > 0 { elapsed.unsigned_abs() } else { 0 })
    }
}

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of so many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// A span of so many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The sum; stops at the end of what can be counted.
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// So many times this span; stops at the end of what can be counted.
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl From<std::time::Duration> for Span {
    fn from(duration: std::time::Duration) -> Self {
        Self(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<Span> for std::time::Duration {
    fn from(span: Span) -> Self {
        Self::from_millis(span.0)
    }
}

/// For people: `480ms`, `12.3s`, `4m 05s`, `2h 03m`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (millis, secs) = (self.0, self.0 / 1_000);
        match secs {
            0 => write!(f, "{millis}ms"),
            1..60 => write!(f, "{secs}.{}s", millis % 1_000 / 100),
            60..3_600 => write!(f, "{}m {:02}s", secs / 60, secs % 60),
            _ => write!(f, "{}h {:02}m", secs / 3_600, secs % 3_600 / 60),
        }
    }
}
