//! Reading a verdict, fail-closed.

use super::VerdictKey;
use crate::outcome::Judgement;

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
pub fn read(artifact: &str, key: VerdictKey) -> Result<Judgement, Error> {
    let entries = front_matter(artifact)?;
    let mut found = Vec::new();
    for candidate in VerdictKey::ALL {
        let Some((_, word)) = entries.iter().find(|(name, _)| name == candidate.name()) else { continue };
        let judgement = candidate.judgement(word).ok_or_else(|| Error::UnknownValue {
            key: candidate.name(),
            value: word.chars().take(60).collect(),
            expected: format!("{} or {}", candidate.word(Judgement::Pass), candidate.word(Judgement::Fail)),
        })?;
        found.push((candidate, judgement));
    }
    let own = found.iter().find(|(candidate, _)| *candidate == key);
    let &(_, judgement) = own.ok_or(Error::Missing { key: key.name() })?;
    match found.iter().find(|(_, other)| *other != judgement) {
        Some((other, _)) => Err(Error::Contradiction { first: key.name(), second: other.name() }),
        None => Ok(judgement),
    }
}

/// Every key of the front matter with its value, in order. Keys are in lower case.
pub fn front_matter(artifact: &str) -> Result<Vec<(String, String)>, Error> {
    // An editor's byte order mark is no reason to reject; anything else before the first line is.
    let artifact = artifact.strip_prefix('\u{feff}').unwrap_or(artifact);
    let mut lines = artifact.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).enumerate();
    if lines.next().is_none_or(|(_, line)| line.trim_end() != "---") {
        return Err(Error::NoFrontMatter);
    }
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut size = 0;
    for (index, line) in lines {
        size += line.len();
        if size > MAX_FRONT_MATTER {
            return Err(Error::Unterminated);
        }
        if line.trim_end() == "---" {
            return Ok(entries);
        }
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = entry(line).ok_or(Error::Malformed { line: index + 1 })?;
        if entries.iter().any(|(other, _)| *other == key) {
            return Err(Error::Doubled { key });
        }
        entries.push((key, value));
    }
    Err(Error::Unterminated)
}

fn entry(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once(':')?;
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
        let inner = rest.strip_suffix('\'')?;
        // A single quote inside is written twice.
        let unquoted = inner.replace("''", "\u{0}");
        return (!unquoted.contains('\'') && !inner.contains('\u{0}'))
            .then(|| unquoted.replace('\u{0}', "'"));
    }
    // A comment behind a plain value is left out, as YAML does.
    let plain = text.split_once(" #").map_or(text, |(plain, _)| plain).trim_end();
    Some(plain.to_owned())
}
