//! What is wrong with a configuration: every finding at once, each with its place and the way out.
//!
//! A message never repeats the value of a secret key.

use std::fmt;
use std::path::PathBuf;

/// A configuration that can't be used. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// What is wrong there.
    pub what: String,
    /// What to do about it; empty if `what` says it already.
    pub way_out: String,
}

/// Where a value, or what should be one, stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The configuration file as a whole.
    File(PathBuf),
    /// A place in the configuration file; line and column count from 1, the column in characters.
    Position {
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag of the command line, such as `--set`.
    Flag(String),
    /// No place of its own: a default, which stands against another key.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Position { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("configuration"),
        }
    }
}

impl Problem {
    pub(super) fn new(place: Place, what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { place, what: what.into(), way_out: way_out.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        if !self.way_out.is_empty() {
            write!(f, "; {}", self.way_out)?;
        }
        Ok(())
    }
}

impl Error {
    /// `None` if there is nothing wrong.
    pub(super) fn of(mut problems: Vec<Problem>) -> Option<Self> {
        // In the order of the file, then variables, then flags, so that a reader can walk through it.
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        problems.dedup();
        (!problems.is_empty()).then_some(Self { problems })
    }

    /// Everything that is wrong, in the order of the file, then variables, then flags.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.problems.as_slice() {
            return only.fmt(f);
        }
        write!(f, "{} things are wrong in the configuration:", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Error {}

/// The one of `known` that `text` was probably meant to be.
pub(super) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(text, candidate), candidate))
        // A third of the letters may differ: `timout_s` is `timeout_s`, `port` is not `repos`.
        .filter(|(distance, candidate)| *distance <= (text.len().max(candidate.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Text from outside on one line: bounded, and without control characters that could steer a terminal.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
