//! Steps with their names and how long they took: what a user sees while a task is at work.
//!
//! Everything goes to standard error. What a task *answers* (a table, a report, the summary of the tests) goes to
//! standard output.

use std::time::{Duration, Instant};

use crate::error::Error;

/// Runs one step, with a line before it and one after it.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    eprintln!("==> {name}");
    let start = Instant::now();
    let result = work();
    let took = shown(start.elapsed());
    match &result {
        Ok(_) => eprintln!("    ok: {name} ({took})"),
        Err(_) => eprintln!("    FAILED: {name} ({took})"),
    }
    result
}

/// One line of news within a step.
pub(crate) fn say(text: impl AsRef<str>) {
    eprintln!("    {}", text.as_ref());
}

/// A duration for people: `0.4 s`, `12 s`, `3 min 20 s`.
pub(crate) fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_as_exact_as_they_are_short() {
        let seconds = Duration::from_secs_f64;
        assert_eq!(shown(seconds(0.44)), "0.4 s");
        assert_eq!(shown(seconds(59.9)), "59 s");
        assert_eq!(shown(seconds(200.0)), "3 min 20 s");
    }
}
