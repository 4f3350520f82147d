//! What stands above the file: variables, and above them flags.
//!
//! A variable is `ORCH_` and the key's path in capitals: `ORCH_TEST_RUNNER_TIMEOUT_S`. For a section with a name
//! of the operator's (`repos.<name>`) it works for the names that the file or a flag has: the name can't be read
//! back from the variable, where `-`, `.` and `_` look the same.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::declare::{Declared, Key, KeyPath, NAMED, Tree};
use super::problem::{Place, nearest, quoted};
use super::reader::{Collected, Entry};

/// Variables with our prefix that are no keys.
///
/// `ORCH_CONFIG` names the file, `ORCH_LIB_DIR` the folder with this program's own parts.
const OTHER_VARIABLES: [&str; 2] = ["ORCH_CONFIG", "ORCH_LIB_DIR"];

/// A key that a flag sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The flag, such as `--set` or `--state-dir`.
    pub flag: String,
    /// The key's path, such as `test_runner.timeout_s`.
    pub key: String,
    /// The value as text.
    pub value: String,
}

/// Takes what the variables say. One that is empty counts as not set, except for a list, which it makes empty.
/// `names_known` is false if the file could not be read, so that the names in it are not known.
pub(super) fn variables(
    variables: &[(OsString, OsString)],
    sections: &[Declared],
    names_known: bool,
    collected: &mut Collected,
) {
    let mut known: BTreeMap<String, Vec<(KeyPath, Key)>> = BTreeMap::new();
    for (path, key) in concrete(sections, collected) {
        known.entry(path.variable()).or_default().push((path, key));
    }
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("ORCH_")) else { continue };
        if OTHER_VARIABLES.contains(&name) {
            continue;
        }
        let place = Place::Variable(name.to_owned());
        match known.get(name).map(Vec::as_slice) {
            Some([(path, key)]) => match value.to_str() {
                Some(text) => set(path, key, text, place, collected),
                None => collected.problem(place, "its value is not UTF-8 text", ""),
            },
            Some([(first, _), (second, _), ..]) => collected.problem(
                place,
                format!("it may mean `{first}` or `{second}`"),
                "set the key in the file or with --set",
            ),
            Some([]) | None if !names_known && may_have_a_name(name, sections) => {}
            Some([]) | None => {
                let near = nearest(name, known.keys().map(String::as_str).chain(OTHER_VARIABLES));
                let way_out = match near {
                    Some(near) => format!("did you mean {near}?"),
                    None => "unset it, or see `stagewright config show` for the keys that exist".to_owned(),
                };
                collected.problem(place, "no key has this variable", way_out);
            }
        }
    }
}

/// Whether a variable could belong to a section with a name of the operator's.
fn may_have_a_name(variable: &str, sections: &[Declared]) -> bool {
    let named = sections.iter().filter_map(|section| section.path.split_once(&format!(".{NAMED}")));
    named.into_iter().any(|(before, _)| {
        variable.strip_prefix(&KeyPath::of(before, None).variable()).is_some_and(|rest| rest.starts_with('_'))
    })
}

/// Takes what the flags say.
pub(super) fn flags(flags: &[Override], tree: &Tree, collected: &mut Collected) {
    for Override { flag, key: text, value } in flags {
        let place = Place::Flag(flag.clone());
        let Some(path) = KeyPath::parse(text) else {
            collected.problem(
                place,
                format!("{} is not the path of a key", quoted(text)),
                "write it as section.key, such as test_runner.timeout_s=60",
            );
            continue;
        };
        if let Some(key) = find(&path, tree, &place, collected) {
            set(&path, &key, value, place, collected);
        }
    }
}

/// Follows `path` to its key, noting the operator's names on the way.
fn find(path: &KeyPath, root: &Tree, place: &Place, collected: &mut Collected) -> Option<Key> {
    let (mut tree, mut at) = (root, KeyPath::default());
    for part in path.parts() {
        let Some(below) = tree.step(part).filter(|_| tree.key.is_none()) else {
            collected.problems.push(root.unknown(place.clone(), path, tree));
            return None;
        };
        if !tree.children.contains_key(part.as_str()) {
            collected
                .names
                .entry(at.to_string())
                .or_default()
                .entry(part.clone())
                .or_insert_with(|| place.clone());
        }
        (tree, at) = (below, at.then(part));
    }
    if tree.key.is_none() {
        collected.problem(place.clone(), format!("`{path}` is a section, not a key"), "name a key in it");
    }
    tree.key.clone()
}

fn set(path: &KeyPath, key: &Key, text: &str, place: Place, collected: &mut Collected) {
    let list = matches!(key.kind, super::value::Kind::Texts | super::value::Kind::Paths);
    if text.is_empty() && !list && matches!(place, Place::Variable(_)) {
        return;
    }
    match key.kind.parse(text) {
        Ok(value) => {
            // The command line parser reads ORCH_STATE_DIR as the flag's default: that is still the variable.
            let same = collected
                .entries
                .get(path)
                .is_some_and(|entry| entry.value == value && matches!(entry.place, Place::Variable(_)));
            if !same {
                collected.entries.insert(path.clone(), Entry { value, place });
            }
        }
        Err(wrong) => collected.problem(place, format!("`{path}` {}", wrong.what), ""),
    }
}

/// Every key that exists for the names that were given.
pub(super) fn concrete<'a>(
    sections: &'a [Declared],
    collected: &Collected,
) -> impl Iterator<Item = (KeyPath, Key)> + use<'a> {
    let names: BTreeMap<String, Vec<String>> = collected
        .names
        .iter()
        .map(|(section, names)| (section.clone(), names.keys().cloned().collect()))
        .collect();
    sections.iter().flat_map(move |section| {
        let before = section.path.split_once(&format!(".{NAMED}")).map(|(before, _)| before);
        let paths: Vec<KeyPath> = match before {
            None => vec![KeyPath::of(section.path, None)],
            Some(before) => {
                let names = names.get(before).into_iter().flatten();
                names.map(|name| KeyPath::of(section.path, Some(name))).collect()
            }
        };
        paths
            .into_iter()
            .flat_map(move |at| section.keys.iter().map(move |key| (at.then(key.name), key.clone())))
    })
}
