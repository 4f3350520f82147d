//! Reads the typed sections out of the collected entries, and notes for each key where its value came from.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::declare::{KeyPath, Section};
use super::problem::{Place, Problem};
use super::value::{Context, Kind, Setting};

/// One value as it came.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// Everything that was collected from file, variables and flags, before its types are looked at.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) entries: BTreeMap<KeyPath, Entry>,
    /// The operator's names below a section such as `repos`, also those without a key.
    pub(super) names: BTreeMap<String, BTreeMap<String, Place>>,
    pub(super) problems: Vec<Problem>,
}

impl Collected {
    pub(super) fn problem(&mut self, place: Place, what: impl Into<String>, way_out: impl Into<String>) {
        self.problems.push(Problem::new(place, what, way_out));
    }

    /// Takes over the operator's names that `other` has met.
    pub(super) fn know_names_of(&mut self, other: Self) {
        for (section, names) in other.names {
            let known = self.names.entry(section).or_default();
            for (name, place) in names {
                known.entry(name).or_insert(place);
            }
        }
    }

    /// Where the value of a key comes from.
    pub(super) fn place(&self, path: &KeyPath) -> Place {
        self.entries.get(path).map_or(Place::Default, |entry| entry.place.clone())
    }

    pub(super) fn names(&self, section: &str) -> BTreeSet<String> {
        self.names.get(section).into_iter().flat_map(BTreeMap::keys).cloned().collect()
    }
}

/// A key with the value that holds, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The section that it stands in.
    pub section: KeyPath,
    /// Its name there.
    pub key: &'static str,
    /// Its value, without secrets; `None` if it is not set.
    pub value: Option<Value>,
    /// Where the value comes from.
    pub origin: Place,
}

/// Reads sections one after the other.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    collected: &'a mut Collected,
    current_dir: &'a Path,
    home: Option<PathBuf>,
    shown: Vec<Shown>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(collected: &'a mut Collected, current_dir: &'a Path, home: Option<PathBuf>) -> Self {
        Self { collected, current_dir, home, shown: Vec::new() }
    }

    /// Reads the section that is declared as `path`, with the operator's name filled in.
    pub(super) fn section<S: Section>(&mut self, path: &str, name: Option<&str>) -> S {
        S::read(self, &KeyPath::of(path, name))
    }

    /// Reads one key. A value that is wrong is noted, and the default takes its place until all is read.
    pub(super) fn key<T: Setting>(
        &mut self,
        section: &KeyPath,
        key: &'static str,
        default: T,
        within: Option<RangeInclusive<u64>>,
    ) -> T {
        let path = section.then(key);
        let (read, origin) = match self.collected.entries.get(&path) {
            None => (default, Place::Default),
            Some(Entry { value, place }) => match self.checked(value, place, within) {
                Ok(read) => (read, place.clone()),
                Err(what) => {
                    let place = place.clone();
                    self.collected.problem(place.clone(), format!("`{path}` {what}"), "");
                    (default, place)
                }
            },
        };
        self.shown.push(Shown { section: section.clone(), key, value: read.show(), origin });
        read
    }

    fn checked<T: Setting>(
        &self,
        value: &Value,
        place: &Place,
        within: Option<RangeInclusive<u64>>,
    ) -> Result<T, String> {
        let base = match place {
            Place::Position { file, .. } => file.parent().unwrap_or(self.current_dir),
            _ => self.current_dir,
        };
        let read =
            T::read(value, Context { base, home: self.home.as_deref() }).map_err(|wrong| wrong.what)?;
        match (within, value.as_u64()) {
            (Some(bounds), Some(number)) if !bounds.contains(&number) => {
                let unit = if T::KIND == Kind::Seconds { " seconds" } else { "" };
                Err(format!("must be from {} to {}{unit}, not {number}", bounds.start(), bounds.end()))
            }
            _ => Ok(read),
        }
    }

    /// Every key that was read, with its value and origin.
    pub(super) fn take_shown(&mut self) -> Vec<Shown> {
        std::mem::take(&mut self.shown)
    }
}
