//! What a check found, and how it is told.

use std::fmt::Write as _;
use std::io::IsTerminal;

use serde::Serialize;

use crate::cli::output::print;
use crate::cli::progress::printable;
use crate::exit::Exit;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// All is well.
    Ok,
    /// It works, and could be better.
    Warning,
    /// A run that needs it will not work.
    Defect,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// Stable and kebab-case, such as `git` or `program-make`.
    pub(super) check: String,
    pub(super) state: State,
    pub(super) message: String,
    /// How to mend it; `None` if all is well, or if the message says it already.
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Ok, message: message.into(), remedy: None }
    }

    pub(super) fn warning(
        check: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            check: check.into(),
            state: State::Warning,
            message: message.into(),
            remedy: Some(remedy.into()),
        }
    }

    pub(super) fn defect(
        check: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            check: check.into(),
            state: State::Defect,
            message: message.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// A defect whose message is an error of ours, which says the way out itself.
    pub(super) fn broken(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Defect, message: message.into(), remedy: None }
    }

    fn text(&self, colour: bool) -> String {
        let (word, paint) = match self.state {
            State::Ok => ("ok", "32"),
            State::Warning => ("warn", "33"),
            State::Defect => ("defect", "31"),
        };
        let word = match colour {
            true => format!("\u{1b}[{paint}m{word:<6}\u{1b}[0m"),
            false => format!("{word:<6}"),
        };
        let mut text = format!("{word}  {:<18} {}\n", self.check, printable(&self.message));
        if let Some(remedy) = &self.remedy {
            let _ = writeln!(text, "{:27}-> {}", "", printable(remedy));
        }
        text
    }
}

/// All findings of one call. As text each is told as soon as it is known.
pub(super) struct Findings {
    found: Vec<Finding>,
    json: bool,
    colour: bool,
}

impl Findings {
    pub(super) fn new(json: bool) -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { found: Vec::new(), json, colour }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        if !self.json {
            print(&finding.text(self.colour));
        }
        self.found.push(finding);
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// Tells the end, and gives the exit code: a defect is a failure, a warning is not.
    pub(super) fn finish(self) -> Exit {
        let count = |state| self.found.iter().filter(|finding| finding.state == state).count();
        let (defects, warnings) = (count(State::Defect), count(State::Warning));
        if self.json {
            let object = serde_json::json!({"ok": defects == 0, "findings": self.found});
            crate::cli::output::print_json(&object);
        } else {
            print(&match (defects, warnings) {
                (0, 0) => "\nAll is well.\n".to_owned(),
                (defects, warnings) => format!("\nDefects: {defects}, warnings: {warnings}.\n"),
            });
        }
        if defects == 0 { Exit::Success } else { Exit::Failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_defect_is_a_failure() {
        let ended = |findings: &[Finding]| {
            let mut all = Findings::new(true);
            all.extend(findings.iter().cloned());
            all.finish()
        };
        assert_eq!(ended(&[Finding::ok("a", "x"), Finding::warning("b", "x", "y")]), Exit::Success);
        assert_eq!(ended(&[Finding::ok("a", "x"), Finding::defect("b", "x", "y")]), Exit::Failure);
    }

    #[test]
    fn what_mends_it_stands_below_it() {
        let text = Finding::defect("git", "not found", "install git").text(false);
        assert_eq!(text, "defect  git                not found\n                           -> install git\n");
    }
}
