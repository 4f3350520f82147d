//! The table of what was measured, and its place in `docs/benchmarks.md`: between two marks, the rest is written by hand.

use std::collections::BTreeMap;

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";
const HEAD: &str =
    "| bar | what | measured | baseline | | ratio | reach |\n|---|---|---:|---|---:|---:|---|\n";

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) bar: String,
    pub(super) what: String,
    pub(super) bare: String,
    /// Microseconds.
    pub(super) value_us: f64,
    /// Microseconds.
    pub(super) bare_us: f64,
    pub(super) ratio_limit: f64,
    /// Microseconds; set for one certain machine, so it is shown and the ratio decides.
    pub(super) limit_us: Option<f64>,
}

impl Row {
    fn ratio(&self) -> f64 {
        self.value_us / self.bare_us
    }

    fn line(&self) -> String {
        let mut reach = format!("≤ {} ×", self.ratio_limit);
        if let Some(limit) = self.limit_us {
            reach.push_str(&format!(", {}", time(limit)));
        }
        let reached =
            self.ratio() <= self.ratio_limit && self.limit_us.is_none_or(|limit| self.value_us <= limit);
        reach.push_str(if reached { "" } else { " **not reached**" });
        format!(
            "| {} | {} | {} | {} | {} | {:.2} × | {reach} |",
            self.bar,
            self.what,
            time(self.value_us),
            self.bare,
            time(self.bare_us),
            self.ratio(),
        )
    }
}

/// The whole table.
pub(super) fn table(rows: &[Row]) -> String {
    format!("{HEAD}{}", rows.iter().map(|row| row.line() + "\n").collect::<String>())
}

/// `page` with these rows in place of the ones of the same bars. `None` if the marks are not there.
pub(super) fn with(page: &str, rows: &[Row], machine: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (old, after) = rest.split_once(END)?;
    let number = |bar: &str| bar.trim_start_matches('B').parse::<u32>().unwrap_or(u32::MAX);
    let mut lines: BTreeMap<u32, String> = BTreeMap::new();
    for line in old.lines() {
        if let Some(bar) = line.strip_prefix("| B").and_then(|rest| rest.split_once(' ')) {
            lines.insert(number(bar.0), line.to_owned());
        }
    }
    lines.extend(rows.iter().map(|row| (number(&row.bar), row.line())));
    let lines: String = lines.into_values().map(|line| line + "\n").collect();
    Some(format!("{before}{BEGIN}\n{HEAD}{lines}\nLast measured on {machine}.\n{END}{after}"))
}

/// Microseconds for people.
fn time(micros: f64) -> String {
    match micros {
        0.0..100.0 => format!("{micros:.1} µs"),
        100.0..1_000.0 => format!("{micros:.0} µs"),
        1_000.0..1_000_000.0 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bar: &str, value_us: f64) -> Row {
        Row {
            bar: bar.to_owned(),
            what: "ours".to_owned(),
            bare: "theirs".to_owned(),
            value_us,
            bare_us: 40.0,
            ratio_limit: 1.5,
            limit_us: Some(60.0),
        }
    }

    #[test]
    fn a_bar_that_was_not_reached_says_so() {
        assert_eq!(
            row("B1", 50.0).line(),
            "| B1 | ours | 50.0 µs | theirs | 40.0 µs | 1.25 × | ≤ 1.5 ×, 60.0 µs |"
        );
        assert!(row("B1", 61.0).line().ends_with("**not reached** |"));
    }

    #[test]
    fn a_bar_that_was_not_measured_keeps_its_row() {
        let page = format!("# Title\n{BEGIN}\n{END}\nThe end.\n");
        let page = with(&page, &[row("B10", 50.0), row("B4", 50.0)], "a machine").unwrap();
        let page = with(&page, &[row("B4", 20.0)], "another machine").unwrap();
        let bars: Vec<&str> = page.lines().filter(|line| line.starts_with("| B")).collect();
        assert_eq!(bars.len(), 2);
        assert!(bars[0].starts_with("| B4 | ours | 20.0 µs"));
        assert!(bars[1].starts_with("| B10 "));
        assert!(page.starts_with("# Title\n") && page.ends_with("The end.\n"));
        assert!(page.contains("another machine") && !page.contains("on a machine"));
    }

    #[test]
    fn a_page_without_marks_is_not_overwritten() {
        assert_eq!(with("# Title\n", &[], "a machine"), None);
    }

    #[test]
    fn times_are_shown_in_the_unit_that_fits() {
        assert_eq!(time(39.96), "40.0 µs");
        assert_eq!(time(160.4), "160 µs");
        assert_eq!(time(2_345.0), "2.35 ms");
        assert_eq!(time(10_200_000.0), "10.20 s");
    }
}
