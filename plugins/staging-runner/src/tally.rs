//! Counts the single checks of a suite that prints a line for each, for people to read.
//!
//! Served are TAP (`ok 1 - name`, `not ok 2 - name`, `# SKIP`, `# TODO`) and lines that begin with `[PASS]`, `[FAIL]`, `[SKIP]`
//! or `[ERROR]`. Nothing here has a part in the verdict: what a suite prints is no evidence.

use stagewright_sdk::{CheckState, Tally};

/// The single checks of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lines(Vec<(String, CheckState)>);

impl Lines {
    /// Reads a suite's standard output.
    pub fn read(output: &str) -> Self {
        Self(output.lines().filter_map(|line| tap(line).or_else(|| bracketed(line))).collect())
    }

    /// Name and state of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, CheckState)> {
        self.0.iter().map(|(name, state)| (name.as_str(), *state))
    }

    /// Whether one of them failed.
    pub fn has_bad(&self) -> bool {
        self.iter().any(|(_, state)| matches!(state, CheckState::Failed | CheckState::Errored))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are of each kind.
    pub fn tally(&self) -> Tally {
        let count = |kind| self.iter().filter(|(_, state)| *state == kind).count() as u64;
        Tally {
            passed: count(CheckState::Passed),
            failed: count(CheckState::Failed),
            skipped: count(CheckState::Skipped),
            errored: count(CheckState::Errored),
        }
    }
}

fn tap(line: &str) -> Option<(String, CheckState)> {
    let (rest, state) = match line.strip_prefix("not ok ") {
        Some(rest) => (rest, CheckState::Failed),
        None => (line.strip_prefix("ok ")?, CheckState::Passed),
    };
    let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    if digits.len() == rest.len() {
        return None;
    }
    let (name, directive) = digits.split_once(" # ").unwrap_or((digits, ""));
    let directive = directive.to_ascii_uppercase();
    // What is to be done may fail, as TAP has it.
    let state = if directive.starts_with("SKIP") || directive.starts_with("TODO") {
        CheckState::Skipped
    } else {
        state
    };
    let name = name.trim_start_matches([' ', '-']).trim();
    Some((if name.is_empty() { line.trim() } else { name }.to_owned(), state))
}

fn bracketed(line: &str) -> Option<(String, CheckState)> {
    let kinds = [
        ("[PASS]", CheckState::Passed),
        ("[FAIL]", CheckState::Failed),
        ("[SKIP]", CheckState::Skipped),
        ("[ERROR]", CheckState::Errored),
    ];
    let found = kinds.into_iter().find_map(|(mark, state)| Some((line.trim().strip_prefix(mark)?, state)));
    found.map(|(name, state)| (name.trim().to_owned(), state)).filter(|(name, _)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tap_and_marked_lines_are_counted_and_other_lines_are_not() {
        let lines = Lines::read(
            "TAP version 14\n1..5\nok 1 - health answers\nnot ok 2 - queue answers\nok 3 # SKIP no key\nnot ok 4 - new # TODO\n\
             ok then\n[PASS] status\n  [ERROR] login\n[FAIL]\nFAIL of something\n",
        );
        let seen: Vec<_> = lines.iter().collect();
        assert_eq!(
            seen,
            [
                ("health answers", CheckState::Passed),
                ("queue answers", CheckState::Failed),
                ("ok 3 # SKIP no key", CheckState::Skipped),
                ("new", CheckState::Skipped),
                ("status", CheckState::Passed),
                ("login", CheckState::Errored),
            ]
        );
        assert_eq!(lines.tally(), Tally { passed: 2, failed: 1, skipped: 2, errored: 1 });
        assert!(lines.has_bad());
    }
}
