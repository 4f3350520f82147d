//! The kinds of value that a key can have, and how each is read from the file and from text.
//!
//! A value comes as TOML from the file, and as text from a variable or a flag. Both become the same JSON
//! value first, so that there is one check for each type.

mod money;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};

use super::problem::{nearest, quoted};

pub use money::Money;

/// What a key's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Switch,
    /// A whole number that is not negative.
    Whole,
    /// A time in whole seconds.
    Seconds,
    /// An amount of US dollars.
    Money,
    /// Any text.
    Text,
    /// A program: a name that is looked up on the search path, or a path.
    Program,
    /// A path; a relative one starts at the file's folder, or at the current folder if it is not from a file.
    Path,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A list of paths.
    Paths,
    /// A table of texts by name.
    TextMap,
    /// A table of texts by name whose values are never shown.
    SecretMap,
    /// A table of lists of texts by name.
    TextsMap,
    /// A table whose content is checked elsewhere.
    Table,
    /// A list of tables whose content is checked elsewhere.
    Tables,
}

impl Kind {
    /// What to write, for people.
    pub fn words(self) -> String {
        match self {
            Self::Switch => "true or false".to_owned(),
            Self::Whole => "a whole number".to_owned(),
            Self::Seconds => "a whole number of seconds".to_owned(),
            Self::Money => "an amount of US dollars, such as 2.50".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Program => "a program's name or path".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Choice(words) => {
                format!(
                    "one of {}",
                    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
                )
            }
            Self::Texts => "a list of texts".to_owned(),
            Self::Paths => "a list of paths".to_owned(),
            Self::TextMap | Self::SecretMap => "a table of texts".to_owned(),
            Self::TextsMap => "a table of lists of texts".to_owned(),
            Self::Table => "a table".to_owned(),
            Self::Tables => "a list of tables".to_owned(),
        }
    }

    /// Reads the text of a variable or flag. Lists are separated by commas, or written as in TOML when an
    /// entry has a comma itself; tables are written as in TOML: `{ name = "text" }`.
    pub(super) fn parse(self, text: &str) -> Result<Value, Wrong> {
        let wrong = || Wrong::found(self, quoted(text));
        let trimmed = text.trim();
        match self {
            Self::Switch => trimmed.parse().map(Value::Bool).map_err(|_| wrong()),
            Self::Whole | Self::Seconds => trimmed.parse::<u64>().map(Value::from).map_err(|_| wrong()),
            Self::Money => Ok(Value::from(trimmed)),
            Self::Text | Self::Program | Self::Path | Self::Choice(_) => Ok(Value::from(text)),
            Self::Texts | Self::Paths if !trimmed.starts_with('[') => Ok(trimmed
                .split(',')
                .map(str::trim)
                .filter(|entry| !entry.is_empty())
                .map(Value::from)
                .collect()),
            Self::SecretMap => inline_toml(trimmed).ok_or_else(|| Wrong::hidden(self)),
            Self::Texts | Self::Paths | Self::TextMap | Self::TextsMap | Self::Table | Self::Tables => {
                inline_toml(trimmed).ok_or_else(wrong)
            }
        }
    }
}

fn inline_toml(text: &str) -> Option<Value> {
    let value: toml::Value =
        toml::from_str::<toml::Table>(&format!("value = {text}")).ok()?.remove("value")?;
    serde_json::to_value(value).ok()
}

/// A value that is not of the kind that it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Completes the sentence "the key …".
    pub(super) what: String,
}

impl Wrong {
    fn found(kind: Kind, found: impl fmt::Display) -> Self {
        Self { what: format!("must be {}, not {found}", kind.words()) }
    }

    fn hidden(kind: Kind) -> Self {
        Self { what: format!("must be {} (its value is not shown)", kind.words()) }
    }

    fn value(kind: Kind, found: &Value) -> Self {
        match found {
            Value::String(text) => Self::found(kind, format_args!("the text {}", quoted(text))),
            Value::Array(_) => Self::found(kind, "a list"),
            Value::Object(_) => Self::found(kind, "a table"),
            other => Self::found(kind, other),
        }
    }
}

/// Where a value comes from, as far as its meaning depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Relative paths start here.
    pub(super) base: &'a Path,
    /// `~/` stands for this folder.
    pub(super) home: Option<&'a Path>,
}

impl Context<'_> {
    fn path(&self, text: &str) -> PathBuf {
        match (text.strip_prefix("~/"), self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.base.join(text),
        }
    }
}

/// A type that a key can have.
pub trait Setting: Sized {
    /// What its values look like.
    const KIND: Kind;

    /// Reads a value of that kind.
    fn read(value: &Value, context: Context<'_>) -> Result<Self, Wrong>;

    /// The value for people and for JSON; `None` if it is not set.
    fn show(&self) -> Option<Value>;
}

impl<T: Setting> Setting for Option<T> {
    const KIND: Kind = T::KIND;
    fn read(value: &Value, context: Context<'_>) -> Result<Self, Wrong> {
        T::read(value, context).map(Some)
    }
    fn show(&self) -> Option<Value> {
        self.as_ref().and_then(T::show)
    }
}

impl Setting for bool {
    const KIND: Kind = Kind::Switch;
    fn read(value: &Value, _: Context<'_>) -> Result<Self, Wrong> {
        value.as_bool().ok_or_else(|| Wrong::value(Self::KIND, value))
    }
    fn show(&self) -> Option<Value> {
        Some(Value::from(*self))
    }
}

macro_rules! whole {
    ($($number:ty),+) => {
        $(impl Setting for $number {
            const KIND: Kind = Kind::Whole;
            fn read(value: &Value, _: Context<'_>) -> Result<Self, Wrong> {
                let number = value.as_u64().ok_or_else(|| Wrong::value(Self::KIND, value))?;
                Self::try_from(number).map_err(|_| Wrong { what: format!("must be at most {}, not {number}", Self::MAX) })
            }
            fn show(&self) -> Option<Value> {
                Some(Value::from(*self))
            }
        })+
    };
}
whole!(u32, u64);

/// A time that is written in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u64);

impl From<Seconds> for Duration {
    fn from(seconds: Seconds) -> Self {
        Self::from_secs(seconds.0)
    }
}

impl Setting for Seconds {
    const KIND: Kind = Kind::Seconds;
    fn read(value: &Value, _: Context<'_>) -> Result<Self, Wrong> {
        value.as_u64().map(Self).ok_or_else(|| Wrong::value(Self::KIND, value))
    }
    fn show(&self) -> Option<Value> {
        Some(Value::from(self.0))
    }
}

impl Setting for String {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value, _: Context<'_>) -> Result<Self, Wrong> {
        text(Self::KIND, value).map(str::to_owned)
    }
    fn show(&self) -> Option<Value> {
        Some(Value::from(self.as_str()))
    }
}

impl Setting for PathBuf {
    const KIND: Kind = Kind::Path;
    fn read(value: &Value, context: Context<'_>) -> Result<Self, Wrong> {
        match text(Self::KIND, value)? {
            "" => Err(Wrong { what: "must be a path, not an empty text".to_owned() }),
            path => Ok(context.path(path)),
        }
    }
    fn show(&self) -> Option<Value> {
        Some(Value::from(self.to_string_lossy()))
    }
}

/// A program: a bare name, looked up on the search path when it is used, or an absolute path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program(PathBuf);

impl Program {
    /// The name or the path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// A program that is looked up by its name.
    pub(super) fn named(name: &str) -> Self {
        Self(PathBuf::from(name))
    }

    /// Whether it is a bare name.
    pub fn is_name(&self) -> bool {
        self.0.components().count() == 1 && self.0.is_relative()
    }
}

impl Setting for Program {
    const KIND: Kind = Kind::Program;
    fn read(value: &Value, context: Context<'_>) -> Result<Self, Wrong> {
        match text(Self::KIND, value)? {
            "" => Err(Wrong { what: "must be a program's name or path, not an empty text".to_owned() }),
            name if !name.contains('/') => Ok(Self(PathBuf::from(name))),
            path => Ok(Self(context.path(path))),
        }
    }
    fn show(&self) -> Option<Value> {
        self.0.show()
    }
}

fn text(kind: Kind, value: &Value) -> Result<&str, Wrong> {
    value.as_str().ok_or_else(|| Wrong::value(kind, value))
}

fn list<T: Setting>(kind: Kind, value: &Value, context: Context<'_>) -> Result<Vec<T>, Wrong> {
    let entries = value.as_array().ok_or_else(|| Wrong::value(kind, value))?;
    let other = || Wrong::found(kind, "a list with something else in it");
    entries.iter().map(|entry| T::read(entry, context).map_err(|_| other())).collect()
}

fn map<T: Setting>(kind: Kind, value: &Value, context: Context<'_>) -> Result<BTreeMap<String, T>, Wrong> {
    let entries = value.as_object().ok_or_else(|| Wrong::value(kind, value))?;
    entries
        .iter()
        .map(|(name, entry)| match T::read(entry, context) {
            Ok(entry) => Ok((name.clone(), entry)),
            Err(wrong) => Err(Wrong { what: format!("has {}, which {}", quoted(name), wrong.what) }),
        })
        .collect()
}

impl Setting for Vec<String> {
    const KIND: Kind = Kind::Texts;
    fn read(value: &Value, context: Context<'_>) -> Result<Self, Wrong> {
        list(Self::KIND, value, context)
    }
    fn show(&self) -> Option<Value> {
        Some(self.iter().map(|entry| Value::from(entry.as_str())).collect())
    }
}

impl Setting for Vec<PathBuf> {
    const KIND: Kind = Kind::Paths;
    fn read(value: &Value, context: Context<'_>) -> Result<Self, Wrong> {
        list(Self::KIND, value, context)
    }
    fn show(&self) -> Option<Value> {
        Some(self.iter().filter_map(PathBuf::show).collect())
    }
}

fn show_map<T: Setting>(map: &BTreeMap<String, T>) -> Option<Value> {
    Some(Value::Object(map.iter().filter_map(|(name, entry)| Some((name.clone(), entry.show()?))).collect()))
}

macro_rules! map_of {
    ($($entry:ty: $kind:expr),+ $(,)?) => {
        $(impl Setting for BTreeMap<String, $entry> {
            const KIND: Kind = $kind;
            fn read(value: &Value, context: Context<'_>) -> Result<Self, Wrong> {
                map(Self::KIND, value, context)
            }
            fn show(&self) -> Option<Value> {
                show_map(self)
            }
        })+
    };
}
map_of!(String: Kind::TextMap, Program: Kind::TextMap, Vec<String>: Kind::TextsMap);

/// Texts that may be secret, by name. They are given to the processes that they are for and to nobody else:
/// neither `Debug` nor `show` tells a value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, String>);

impl Secrets {
    /// The names and values, for the one place that hands them on.
    pub fn reveal(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Setting for Secrets {
    const KIND: Kind = Kind::SecretMap;
    fn read(value: &Value, context: Context<'_>) -> Result<Self, Wrong> {
        // The errors of `map` may quote a value.
        map(Self::KIND, value, context).map(Self).map_err(|_| Wrong::hidden(Self::KIND))
    }
    fn show(&self) -> Option<Value> {
        Some(Value::Object(
            self.0.keys().map(|name| (name.clone(), Value::from("set (not shown)"))).collect(),
        ))
    }
}

/// A table that somebody else checks, such as a component's own settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opaque(pub Map<String, Value>);

impl Setting for Opaque {
    const KIND: Kind = Kind::Table;
    fn read(value: &Value, _: Context<'_>) -> Result<Self, Wrong> {
        value.as_object().cloned().map(Self).ok_or_else(|| Wrong::value(Self::KIND, value))
    }
    fn show(&self) -> Option<Value> {
        Some(Value::Object(self.0.clone()))
    }
}

impl Setting for Vec<Opaque> {
    const KIND: Kind = Kind::Tables;
    fn read(value: &Value, context: Context<'_>) -> Result<Self, Wrong> {
        list(Self::KIND, value, context)
    }
    fn show(&self) -> Option<Value> {
        Some(self.iter().filter_map(Opaque::show).collect())
    }
}

/// Reads one of `words`; the error suggests the near one.
pub(super) fn choose(words: &'static [&'static str], value: &Value) -> Result<&'static str, Wrong> {
    let kind = Kind::Choice(words);
    let found = text(kind, value)?;
    words.iter().copied().find(|word| *word == found).ok_or_else(|| {
        let mut wrong = Wrong::value(kind, value);
        if let Some(near) = nearest(found, words.iter().copied()) {
            wrong.what.push_str(&format!("; did you mean `{near}`?"));
        }
        wrong
    })
}

/// An enum whose variants are words of the configuration.
macro_rules! choice {
    ($(#[$doc:meta])+ $name:ident { $($(#[$variant_doc:meta])+ $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])+ $variant,)+ }

        impl $name {
            /// The word of the configuration.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl $crate::config::value::Setting for $name {
            const KIND: $crate::config::value::Kind = $crate::config::value::Kind::Choice(&[$($word),+]);
            fn read(
                value: &serde_json::Value,
                _: $crate::config::value::Context<'_>,
            ) -> Result<Self, $crate::config::value::Wrong> {
                let word = $crate::config::value::choose(&[$($word),+], value)?;
                // Proof: `choose` gives one of the words that stand here.
                Ok(match word { $($word => Self::$variant,)+ _ => unreachable!("{word} is not a word of this choice") })
            }
            fn show(&self) -> Option<serde_json::Value> {
                Some(serde_json::Value::from(self.word()))
            }
        }
    };
}
pub(super) use choice;
