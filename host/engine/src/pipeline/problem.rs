//! What is wrong with a pipeline: every finding at once, each with its place.

use std::fmt;

/// Everything that is wrong with a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// In the order of the text; at least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: the text's name, line and column, both from 1; the column counts characters.
    pub place: String,
    /// What, and what would be right.
    pub message: String,
}

impl fmt::Display for Error {
    /// One line for each problem.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {}", problem.place, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The problems that were found in one text so far.
pub(super) struct Findings<'a> {
    source: &'a str,
    text: &'a str,
    found: Vec<(usize, String)>,
}

impl<'a> Findings<'a> {
    pub(super) const fn new(source: &'a str, text: &'a str) -> Self {
        Self { source, text, found: Vec::new() }
    }

    /// Notes what is wrong at the byte offset `at`.
    pub(super) fn wrong(&mut self, at: usize, message: impl Into<String>) {
        self.found.push((at, message.into()));
    }

    /// How many there are so far.
    pub(super) const fn count(&self) -> usize {
        self.found.len()
    }

    /// `value`, if nothing was wrong.
    pub(super) fn unless_any<T>(mut self, value: T) -> Result<T, Error> {
        if self.found.is_empty() {
            return Ok(value);
        }
        self.found.sort_by_key(|(at, _)| *at);
        let problems = self
            .found
            .iter()
            .map(|(at, message)| Problem { place: self.place(*at), message: message.clone() })
            .collect();
        Err(Error { problems })
    }

    fn place(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        format!("{}:{line}:{column}", self.source)
    }
}

/// The one of `known` that `text` was probably meant to be: at most every third letter is wrong.
pub(super) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = (text.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(name, text), name))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// That there is no such thing, with the near one, or with all that there are.
pub(super) fn unknown(what: &str, text: &str, known: &[&str]) -> String {
    match nearest(text, known.iter().copied()) {
        Some(name) => format!("there is no {what} `{text}`; did you mean `{name}`?"),
        None => format!("there is no {what} `{text}`; there are: {}", known.join(", ")),
    }
}
