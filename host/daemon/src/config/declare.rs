//! How a key is declared: once, with name, type, default, bounds and meaning. Everything else (reading, the
//! variable's name, suggestions, `config show`, the reference page, `.env.example`) is derived from it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::problem::{Place, Problem, nearest};
use super::reader::Reader;
use super::value::Kind;

/// One key of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Its name in its section.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// What holds if nobody sets it; `None` if it is then not set.
    pub default: Option<Value>,
    /// What a number may be.
    pub within: Option<RangeInclusive<u64>>,
    /// What it means, in lines of markdown.
    pub meaning: &'static [&'static str],
}

/// A section and its keys.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    /// Where it stands: `repos.<name>.test_runner`. `<name>` stands for a name that the operator gives.
    pub path: &'static str,
    /// What it is about, in lines of markdown.
    pub about: &'static [&'static str],
    /// Its keys.
    pub keys: Vec<Key>,
}

/// A struct whose fields are the keys of one section.
pub(super) trait Section: Sized {
    /// The section as it is declared for `path`.
    fn declare(path: &'static str) -> Declared;

    /// Reads the section that stands at `at`.
    fn read(reader: &mut Reader<'_>, at: &KeyPath) -> Self;
}

/// The stand-in for an operator's name in a section's path.
pub(super) const NAMED: &str = "<name>";

/// Declares a section as a struct: `key: Type = default, within 1..=9;`. A key without a default is an `Option`.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $section:ident {
            $($(#[doc = $meaning:literal])+ $key:ident: $kind:ty $(= $default:expr)? $(, within $within:expr)?;)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $section {
            $($(#[doc = $meaning])+ pub $key: $kind,)+
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $($key: section!(@default $($default)?),)+ }
            }
        }

        impl $crate::config::declare::Section for $section {
            fn declare(path: &'static str) -> $crate::config::declare::Declared {
                let defaults = Self::default();
                $crate::config::declare::Declared {
                    path,
                    about: &[$($about),+],
                    keys: vec![$($crate::config::declare::Key {
                        name: stringify!($key),
                        kind: <$kind as $crate::config::value::Setting>::KIND,
                        default: $crate::config::value::Setting::show(&defaults.$key),
                        within: section!(@within $($within)?),
                        meaning: &[$($meaning),+],
                    },)+],
                }
            }

            fn read(
                reader: &mut $crate::config::reader::Reader<'_>,
                at: &$crate::config::declare::KeyPath,
            ) -> Self {
                let defaults = Self::default();
                Self { $($key: reader.key(at, stringify!($key), defaults.$key, section!(@within $($within)?)),)+ }
            }
        }
    };
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
    (@within) => { None };
    (@within $within:expr) => { Some($within) };
}
pub(super) use section;

/// The place of a key or section, such as `producers.test-runner.sha256`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyPath(Vec<String>);

impl KeyPath {
    /// The path with these parts.
    pub fn new<S: Into<String>>(parts: impl IntoIterator<Item = S>) -> Self {
        Self(parts.into_iter().map(Into::into).collect())
    }

    /// A path as it is written: parts between dots; a part with a dot in it stands between double quotes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (part, after) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
            };
            if part.is_empty() {
                return None;
            }
            parts.push(part.to_owned());
            match after.strip_prefix('.') {
                Some(next) => rest = next,
                None if after.is_empty() => return Some(Self(parts)),
                None => return None,
            }
        }
    }

    /// This path and one part more.
    #[must_use]
    pub fn then(&self, part: &str) -> Self {
        let mut parts = self.0.clone();
        parts.push(part.to_owned());
        Self(parts)
    }

    fn with_last(&self, last: &str) -> Self {
        let mut parts = self.0.clone();
        parts.pop();
        parts.push(last.to_owned());
        Self(parts)
    }

    /// Its parts.
    pub fn parts(&self) -> &[String] {
        &self.0
    }

    /// The path of a declared section with the operator's name filled in.
    pub fn of(section: &str, name: Option<&str>) -> Self {
        Self::new(section.split('.').map(|part| match name {
            Some(name) if part == NAMED => name,
            _ => part,
        }))
    }

    /// The variable that sets it: `ORCH_`, then the path in capitals, with `_` for everything else.
    pub fn variable(&self) -> String {
        let mut name = "ORCH".to_owned();
        for part in &self.0 {
            name.push('_');
            name.extend(
                part.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }),
            );
        }
        name
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            let bare = part.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '<' | '>'));
            match bare {
                true => write!(f, "{dot}{part}")?,
                false => write!(f, "{dot}\"{}\"", part.escape_debug())?,
            }
        }
        Ok(())
    }
}

/// All declared keys as a tree, to walk through a file or along a path.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) children: BTreeMap<&'static str, Tree>,
    /// What follows a name that the operator gives.
    pub(super) named: Option<Box<Tree>>,
    pub(super) key: Option<Key>,
}

impl Tree {
    pub(super) fn of(sections: &[Declared]) -> Self {
        let mut root = Self::default();
        for section in sections {
            let place = section.path.split('.').fold(&mut root, |tree, part| match part {
                NAMED => tree.named.get_or_insert_default(),
                part => tree.children.entry(part).or_default(),
            });
            for key in &section.keys {
                place.children.entry(key.name).or_default().key = Some(key.clone());
            }
        }
        root
    }

    /// What stands below `part`.
    pub(super) fn step(&self, part: &str) -> Option<&Self> {
        self.children.get(part).or(self.named.as_deref())
    }

    /// The problem that `path`, the last part of which stands in `section`, is not declared. Call it on the root.
    pub(super) fn unknown(&self, place: Place, path: &KeyPath, section: &Self) -> Problem {
        let name = path.parts().last().map_or("", String::as_str);
        let near =
            nearest(name, section.children.keys().copied()).map(|near| path.with_last(near).to_string());
        let near = near.or_else(|| self.elsewhere(name).map(|path| path.to_string()));
        let way_out = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if section.children.is_empty() => String::new(),
            None => {
                format!("known here are: {}", section.children.keys().copied().collect::<Vec<_>>().join(", "))
            }
        };
        Problem::new(place, format!("there is no key `{path}`"), way_out)
    }

    /// A section in which a key of that name exists.
    fn elsewhere(&self, name: &str) -> Option<KeyPath> {
        self.search(name, &KeyPath::default())
    }

    fn search(&self, name: &str, at: &KeyPath) -> Option<KeyPath> {
        if self.children.get(name).is_some_and(|child| child.key.is_some()) {
            return Some(at.then(name));
        }
        let below = self.children.iter().map(|(part, tree)| (*part, tree));
        below
            .chain(self.named.iter().map(|tree| (NAMED, &**tree)))
            .find_map(|(part, tree)| tree.search(name, &at.then(part)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_it_is_written() {
        for text in ["limits.jobs", "repos.shop.path", "repos.\"team.shop\".path"] {
            assert_eq!(KeyPath::parse(text).unwrap().to_string(), text);
        }
        for text in ["", ".", "a.", ".a", "a..b", "a.\"b", "a.\"b\"c"] {
            assert_eq!(KeyPath::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_variable_is_the_path_in_capitals() {
        let path = KeyPath::parse("producers.test-runner.sha256").unwrap();
        assert_eq!(path.variable(), "ORCH_PRODUCERS_TEST_RUNNER_SHA256");
    }
}
