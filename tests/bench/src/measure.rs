//! Taking times: ours and the bare baseline in turns, and the medians of both.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

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

impl Bar {
    /// For `cargo xtask bench`; times in microseconds.
    pub(crate) fn json(&self) -> Value {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        json!({
            "bar": self.name,
            "what": self.what,
            "bare": self.bare,
            "value_us": micros(self.times.ours),
            "bare_us": micros(self.times.bare),
            "ratio_limit": self.ratio,
            "limit_us": self.limit.map(micros),
            "samples": self.times.samples,
        })
    }
}

/// Two medians, from samples that were taken in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) ours: Duration,
    pub(crate) bare: Duration,
    /// How many samples each median is of.
    pub(crate) samples: usize,
}

impl Times {
    /// From the times of rounds that were taken in turns. The first warms caches up and is not counted.
    pub(crate) fn of_rounds(mut ours: Vec<Duration>, mut bare: Vec<Duration>) -> Self {
        ours.drain(..1.min(ours.len()));
        bare.drain(..1.min(bare.len()));
        let samples = ours.len();
        Self { ours: median(ours), bare: median(bare), samples }
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
    let samples = our_times.len();
    Ok(Times { ours: median(our_times), bare: median(bare_times), samples })
}

/// The middle one; zero of nothing.
fn median(mut times: Vec<Duration>) -> Duration {
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
        assert_eq!(times.await.unwrap().samples, 6);
        assert_eq!((ours, bare), (9, 9));
    }
}
