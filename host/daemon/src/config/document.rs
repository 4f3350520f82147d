//! The configuration file: TOML to entries, with the place of each, and everything in it that is not declared.

use std::path::{Path, PathBuf};

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::declare::{KeyPath, Tree};
use super::problem::{Place, Problem};
use super::reader::{Collected, Entry};
use super::value::Kind;

/// A file larger than this is not a configuration (in bytes).
const MAX_SIZE: u64 = 4 * 1_024 * 1_024;

/// Reads the file as text.
pub(super) fn text_of(file: &Path) -> Result<String, Problem> {
    let problem = |what: String, way_out: &str| Problem::new(Place::File(file.to_owned()), what, way_out);
    let unreadable = |error: std::io::Error| {
        problem(
            format!("the configuration can't be read: {error}"),
            "name another file with --config, or in ORCH_CONFIG",
        )
    };
    let facts = std::fs::metadata(file).map_err(unreadable)?;
    if !facts.is_file() {
        return Err(problem(
            "the configuration can't be read: it is not a file".to_owned(),
            "name a file with --config, or in ORCH_CONFIG",
        ));
    }
    if facts.len() > MAX_SIZE {
        return Err(problem("the file is too large for a configuration".to_owned(), "keep it below 4 MiB"));
    }
    String::from_utf8(std::fs::read(file).map_err(unreadable)?).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        Problem::new(
            Place::Position { file: file.to_owned(), line, column: 1 },
            "this line is not UTF-8 text",
            "save the file as UTF-8",
        )
    })
}

/// Takes the entries of the file's text into `collected`. False if the text is not TOML, so that nothing is known of it.
pub(super) fn collect(file: &Path, text: &str, tree: &Tree, collected: &mut Collected) -> bool {
    let document = Document { file: file.to_owned(), text, tree };
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What a broken line was meant to be is not known, so only these are told, not what follows from them.
        for error in errors {
            let place = error.span().map_or(Place::File(file.to_owned()), |span| document.place(span.start));
            collected.problem(place, format!("this is not TOML: {}", error.message()), "");
        }
        return false;
    }
    document.walk(table.get_ref(), tree, &KeyPath::default(), collected);
    true
}

struct Document<'a> {
    file: PathBuf,
    text: &'a str,
    tree: &'a Tree,
}

impl Document<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::Position {
            file: self.file.clone(),
            line: 1 + before.matches('\n').count(),
            column: 1 + before[line_start..].chars().count(),
        }
    }

    fn walk(&self, table: &DeTable<'_>, tree: &Tree, at: &KeyPath, collected: &mut Collected) {
        for (name, value) in table {
            let place = self.place(name.span().start);
            let name = name.get_ref().as_ref();
            let path = at.then(name);
            let Some(below) = tree.step(name) else {
                collected.problems.push(self.tree.unknown(place, &path, tree));
                continue;
            };
            if !tree.children.contains_key(name) {
                collected
                    .names
                    .entry(at.to_string())
                    .or_default()
                    .entry(name.to_owned())
                    .or_insert(place.clone());
            }
            match (&below.key, value.get_ref()) {
                (Some(key), value) => match json(value) {
                    Ok(json) => {
                        collected.entries.insert(path, Entry { value: json, place });
                    }
                    Err(what) => {
                        let shown =
                            if key.kind == Kind::SecretMap { "has a value that can't be used" } else { what };
                        collected.problem(place, format!("`{path}` {shown}"), "");
                    }
                },
                (None, DeValue::Table(table)) => self.walk(table, below, &path, collected),
                (None, _) => {
                    collected.problem(
                        place,
                        format!("`{path}` is a section, not a key"),
                        format!("write [{path}]"),
                    );
                }
            }
        }
    }
}

/// A TOML value as JSON. Dates and numbers that JSON can't hold have no use in any key.
fn json(value: &DeValue<'_>) -> Result<Value, &'static str> {
    Ok(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(switch) => Value::from(*switch),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map(Value::from)
            .map_err(|_| "is a number that is too large")?,
        DeValue::Float(float) => float
            .as_str()
            .parse()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number)
            .ok_or("is not a finite number")?,
        DeValue::Datetime(_) => return Err("is a date, which no key takes; write it between quotes"),
        DeValue::Array(entries) => {
            Value::Array(entries.iter().map(|entry| json(entry.get_ref())).collect::<Result<_, _>>()?)
        }
        DeValue::Table(entries) => Value::Object(
            entries
                .iter()
                .map(|(name, entry)| Ok((name.get_ref().clone().into_owned(), json(entry.get_ref())?)))
                .collect::<Result<_, &'static str>>()?,
        ),
    })
}
