//! Taking times: ours and the bare baseline in turns, and the medians of both.

use std::time::{Duration, Instant};

use serde_json::json;

/// Why a bar could not be measured, in words.
pub(crate) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// One bar: what was measured, and what it should reach.
#[derive(Debug)]
pub(crate) struct Bar {
    /// `B1` and so on.
    pub(crate) name: &'static str,
    /// What takes the time.
    pub(crate) what: &'static str,
    /// What the baseline is.
    pub(crate) bare: &'static str,
    /// The largest ratio that is good.
    pub(crate) ratio: f64,
    /// The longest time that is good on the machine that the bars were set for.
    pub(crate) limit: Option<Duration>,
    /// What was measured.
    pub(crate) times: Times,
}

impl From<Bar> for Row {
    fn from(bar: Bar) -> Self {
        Self {
            bar: bar.name,
            what: bar.what.to_owned(),
            value: Value::Time(bar.times.ours),
            bare: Some((bar.bare, Value::Time(bar.times.bare))),
            ratio: Some(bar.ratio),
            limit: bar.limit.map(Value::Time),
        }
    }
}

/// Something measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    Time(Duration),
    /// In bytes.
    Memory(u64),
    /// Of one processor core.
    Share(f64),
}

impl Value {
    /// Its unit and its number: microseconds, bytes, a part of one.
    fn number(self) -> (&'static str, f64) {
        match self {
            Self::Time(time) => ("time", time.as_secs_f64() * 1e6),
            // No process has so many bytes that this would lose one.
            Self::Memory(bytes) => ("memory", bytes as f64),
            Self::Share(share) => ("share", share),
        }
    }
}

/// One line of the table. Most bars have one; some measure several things at once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// `B1` and so on.
    pub(crate) bar: &'static str,
    /// What was measured.
    pub(crate) what: String,
    /// What came of it.
    pub(crate) value: Value,
    /// The barest thing that does the same, where there is one.
    pub(crate) bare: Option<(&'static str, Value)>,
    /// The largest ratio of the two that is good.
    pub(crate) ratio: Option<f64>,
    /// The largest value that is good on the machine that the bars were set for.
    pub(crate) limit: Option<Value>,
}

impl Row {
    /// For `cargo xtask bench`.
    pub(crate) fn json(&self) -> serde_json::Value {
        let (unit, value) = self.value.number();
        let number = |value: Value| value.number().1;
        json!({
            "bar": self.bar,
            "what": self.what,
            "unit": unit,
            "value": value,
            "bare": self.bare.map(|(what, value)| json!({ "what": what, "value": number(value) })),
            "ratio_limit": self.ratio,
            "limit": self.limit.map(number),
        })
    }
}

/// Two medians, from samples that were taken in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) ours: Duration,
    pub(crate) bare: Duration,
}

impl Times {
    /// From the times of rounds that were taken in turns. The first warms caches up and is not counted.
    pub(crate) fn of_rounds(mut ours: Vec<Duration>, mut bare: Vec<Duration>) -> Self {
        ours.drain(..1.min(ours.len()));
        bare.drain(..1.min(bare.len()));
        Self { ours: median(ours), bare: median(bare) }
    }
}

/// Takes `calls` samples of each, `rounds` times in turns. One round before that warms caches up and is not counted.
pub(crate) async fn in_turns(
    rounds: usize,
    calls: usize,
    mut ours: impl AsyncFnMut() -> Result<(), Failed>,
    mut bare: impl AsyncFnMut() -> Result<(), Failed>,
) -> Result<Times, Failed> {
    let (mut our_times, mut bare_times) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        for _ in 0..calls {
            let begun = Instant::now();
            ours().await?;
            our_times.push(begun.elapsed());
        }
        for _ in 0..calls {
            let begun = Instant::now();
            bare().await?;
            bare_times.push(begun.elapsed());
        }
        if round == 0 {
            our_times.clear();
            bare_times.clear();
        }
    }
    Ok(Times { ours: median(our_times), bare: median(bare_times) })
}

/// What 99 of 100 take at most; zero of nothing.
pub(crate) fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let behind = times.len() / 100;
    times.iter().rev().nth(behind).copied().unwrap_or_default()
}

/// The middle one; zero of nothing.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_call_does_not_move_the_median() {
        let times = [1, 900, 2, 3, 2].map(Duration::from_millis).to_vec();
        assert_eq!(median(times), Duration::from_millis(2));
    }

    #[test]
    fn one_in_a_hundred_may_take_longer_than_the_p99() {
        let mut times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(p99(times.clone()), Duration::from_millis(198));
        times.truncate(50);
        assert_eq!(p99(times), Duration::from_millis(50));
        assert_eq!(p99(Vec::new()), Duration::ZERO);
    }

    #[tokio::test]
    async fn the_first_round_is_not_counted() {
        let (mut ours, mut bare) = (0, 0);
        let times = in_turns(
            2,
            3,
            async || {
                ours += 1;
                Ok(())
            },
            async || {
                bare += 1;
                Ok(())
            },
        );
        times.await.unwrap();
        assert_eq!((ours, bare), (9, 9));
    }
}
