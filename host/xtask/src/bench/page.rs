//! The table of what was measured, and its place in `docs/benchmarks.md`: between two marks, the rest is written by hand.

use std::collections::BTreeMap;

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";
const HEAD: &str =
    "| bar | what | measured | baseline | | ratio | reach |\n|---|---|---:|---|---:|---:|---|\n";

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Microseconds.
    Time,
    /// Bytes.
    Memory,
    /// A part of one processor core.
    Share,
}

impl Unit {
    /// The unit that `stagewright-bench` means by this word.
    pub(super) fn of(word: &str) -> Option<Self> {
        match word {
            "time" => Some(Self::Time),
            "memory" => Some(Self::Memory),
            "share" => Some(Self::Share),
            _ => None,
        }
    }

    /// A value for people.
    fn shown(self, value: f64) -> String {
        match self {
            Self::Time => time(value),
            Self::Memory => format!("{:.1} MiB", value / f64::from(1 << 20)),
            Self::Share => format!("{:.2} %", value * 100.0),
        }
    }
}

/// The barest thing that does the same.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bare {
    pub(super) what: String,
    pub(super) value: f64,
}

/// One measurement of a bar; a bar can have several.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) bar: String,
    pub(super) what: String,
    pub(super) unit: Unit,
    pub(super) value: f64,
    pub(super) bare: Option<Bare>,
    pub(super) ratio_limit: Option<f64>,
    /// Set for one certain machine.
    pub(super) limit: Option<f64>,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.bare.as_ref().map(|bare| self.value / bare.value)
    }

    fn line(&self) -> String {
        let ratio = self.ratio();
        let mut reach = Vec::new();
        reach.extend(self.ratio_limit.map(|limit| format!("{limit} ×")));
        reach.extend(self.limit.map(|limit| self.unit.shown(limit)));
        let reached = self.ratio_limit.zip(ratio).is_none_or(|(limit, ratio)| ratio <= limit)
            && self.limit.is_none_or(|limit| self.value <= limit);
        let reach = match reach.join(", ") {
            none if none.is_empty() => none,
            reach if reached => format!("≤ {reach}"),
            reach => format!("≤ {reach} **not reached**"),
        };
        let bare = self.bare.as_ref();
        format!(
            "| {} | {} | {} | {} | {} | {} | {reach} |",
            self.bar,
            self.what,
            self.unit.shown(self.value),
            bare.map_or("", |bare| &bare.what),
            bare.map_or_else(String::new, |bare| self.unit.shown(bare.value)),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2} ×")),
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
    let mut lines: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for line in old.lines() {
        if let Some((bar, _)) = line.strip_prefix("| B").and_then(|rest| rest.split_once(' ')) {
            lines.entry(number(bar)).or_default().push(line.to_owned());
        }
    }
    for row in rows {
        lines.remove(&number(&row.bar));
    }
    for row in rows {
        lines.entry(number(&row.bar)).or_default().push(row.line());
    }
    let lines: String = lines.into_values().flatten().map(|line| line + "\n").collect();
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
            unit: Unit::Time,
            value: value_us,
            bare: Some(Bare { what: "theirs".to_owned(), value: 40.0 }),
            ratio_limit: Some(1.5),
            limit: Some(60.0),
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
    fn what_has_no_baseline_is_held_against_its_limit_alone() {
        let idle = Row {
            unit: Unit::Memory,
            value: f64::from(40 << 20),
            bare: None,
            ratio_limit: None,
            limit: Some(f64::from(45 << 20)),
            ..row("B7", 0.0)
        };
        assert_eq!(idle.line(), "| B7 | ours | 40.0 MiB |  |  |  | ≤ 45.0 MiB |");
        let busy = Row { unit: Unit::Share, value: 0.003, limit: Some(0.002), ..idle };
        assert_eq!(busy.line(), "| B7 | ours | 0.30 % |  |  |  | ≤ 0.20 % **not reached** |");
    }

    #[test]
    fn all_rows_of_a_bar_are_replaced_together_and_keep_their_order() {
        let page = format!("{BEGIN}\n{END}");
        let page = with(&page, &[row("B7", 10.0), row("B7", 20.0), row("B7", 30.0)], "a machine").unwrap();
        let page = with(&page, &[row("B7", 50.0), row("B7", 40.0)], "a machine").unwrap();
        let measured: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix("| B7 | ours | ")?.split(' ').next()).collect();
        assert_eq!(measured, ["50.0", "40.0"]);
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
