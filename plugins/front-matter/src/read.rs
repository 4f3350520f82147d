//! Reading a verdict, fail-closed.

use std::collections::BTreeSet;

use crate::{Verdict, VerdictKey};

/// How long front matter may be, in bytes. The host writes a few kilobytes.
const MAX_FRONT_MATTER: usize = 256 * 1024;

/// Why an artifact gives no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It doesn't begin with a line `---`.
    #[error("it has no front matter: its first line is not `---`")]
    NoFrontMatter,
    /// The second line `---` is missing, or too far away.
    #[error("its front matter does not end: no second line `---` was found")]
    Unterminated,
    /// A line is not `key: value`.
    #[error("line {line} of its front matter is not of the form `key: value`")]
    Malformed {
        /// From 1, in the whole file.
        line: usize,
    },
    /// A key stands there twice.
    #[error("its front matter has the key `{key}` twice")]
    Doubled {
        /// Which.
        key: String,
    },
    /// The key that the gate requires is not there.
    #[error("its front matter has no key `{key}`")]
    Missing {
        /// Which.
        key: &'static str,
    },
    /// A verdict key has a value that it can't have.
    #[error("`{key}: {value}` is unknown; it must be {expected}")]
    UnknownValue {
        /// Which.
        key: &'static str,
        /// What stands there, cut.
        value: String,
        /// What could stand there.
        expected: String,
    },
    /// Two verdict keys say different things.
    #[error("it contradicts itself: `{first}` and `{second}` say different things")]
    Contradiction {
        /// The key that the gate requires.
        first: &'static str,
        /// The one that disagrees.
        second: &'static str,
    },
}

/// The verdict of an artifact whose gate requires `key`.
///
/// # Errors
/// Everything that leaves room for doubt. None of it is a PASS.
pub fn read(artifact: &str, key: VerdictKey) -> Result<Verdict, Error> {
    let artifact = Artifact::parse(artifact)?;
    let mut own = None;
    let mut found = Vec::new();
    for candidate in VerdictKey::ALL {
        let Some(word) = artifact.get(candidate.name()) else { continue };
        let verdict = candidate.verdict(word).ok_or_else(|| Error::UnknownValue {
            key: candidate.name(),
            value: word.chars().take(60).flat_map(char::escape_debug).collect(),
            expected: format!("{} or {}", candidate.word(Verdict::Pass), candidate.word(Verdict::Fail)),
        })?;
        if candidate == key {
            own = Some(verdict);
        }
        found.push((candidate, verdict));
    }
    let verdict = own.ok_or(Error::Missing { key: key.name() })?;
    match found.iter().find(|(_, other)| *other != verdict) {
        Some((other, _)) => Err(Error::Contradiction { first: key.name(), second: other.name() }),
        None => Ok(verdict),
    }
}

/// An artifact, taken apart. Nothing is said yet about what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact<'a> {
    /// Every key of the front matter with its value, in order. Keys are in lower case, and each is there once.
    pub entries: Vec<(String, String)>,
    /// The markdown below the front matter, without the empty line between them.
    pub body: &'a str,
}

impl<'a> Artifact<'a> {
    /// Takes it apart.
    ///
    /// # Errors
    /// No front matter, or one that is not of this crate's form.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        // An editor's byte order mark is no reason to reject; anything else before the first line is.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (first, mut rest) = next_line(text).ok_or(Error::NoFrontMatter)?;
        if !is_fence(first) {
            return Err(Error::NoFrontMatter);
        }
        let front_matter = rest;
        let mut entries = Vec::new();
        // A set, since a hostile draft may have very many keys.
        let mut seen = BTreeSet::new();
        let mut number = 1;
        while let Some((line, behind)) = next_line(rest) {
            number += 1;
            rest = behind;
            if is_fence(line) {
                return Ok(Self { entries, body: without_empty_line(rest) });
            }
            if front_matter.len() - rest.len() > MAX_FRONT_MATTER {
                break;
            }
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = entry(line).ok_or(Error::Malformed { line: number })?;
            if !seen.insert(key.clone()) {
                return Err(Error::Doubled { key });
            }
            entries.push((key, value));
        }
        Err(Error::Unterminated)
    }

    /// The value of a key, given in lower case.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// The first line without its end, and what comes behind it; `None` at the end of the text.
fn next_line(text: &str) -> Option<(&str, &str)> {
    if text.is_empty() {
        return None;
    }
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    Some((line.strip_suffix('\r').unwrap_or(line), rest))
}

/// A line of three dashes, with white space behind them at most.
fn is_fence(line: &str) -> bool {
    line.trim_end() == "---"
}

fn without_empty_line(text: &str) -> &str {
    text.strip_prefix('\n').or_else(|| text.strip_prefix("\r\n")).unwrap_or(text)
}

fn entry(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once(':')?;
    // YAML takes `key:value` for one word.
    if !value.is_empty() && !value.starts_with([' ', '\t']) {
        return None;
    }
    let key = key.trim_end();
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if key.is_empty() || !key.chars().all(named) || key.starts_with('-') {
        return None;
    }
    Some((key.to_ascii_lowercase(), scalar(value.trim())?))
}

fn scalar(text: &str) -> Option<String> {
    if text.starts_with('"') {
        return serde_json::from_str(text).ok();
    }
    if let Some(rest) = text.strip_prefix('\'') {
        return single_quoted(rest.strip_suffix('\'')?);
    }
    // A comment behind a plain value is left out, as YAML does.
    let plain = text.split_once(" #").map_or(text, |(plain, _)| plain).trim_end();
    Some(plain.to_owned())
}

/// What stands between single quotes, in which one that belongs to the text is written twice.
fn single_quoted(inner: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c == '\'' && chars.next() != Some('\'') {
            return None;
        }
        out.push(c);
    }
    Some(out)
}
