//! `config show`: every key with the value that holds, as TOML that could be used again, or as JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{Config, Place, Shown};

/// How much is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Where each value comes from.
    pub origin: bool,
}

impl Config {
    /// The configuration as TOML. A key that is not set stands in a comment. Secrets are not in it.
    pub fn to_toml(&self, style: Style) -> String {
        let mut text = match &self.file {
            Some(file) => format!("# {}\n", file.display()),
            None => "# no file: defaults, variables and flags\n".to_owned(),
        };
        let mut section = None;
        for shown in self.in_order() {
            if section != Some(&shown.section) {
                let _ = writeln!(text, "\n[{}]", shown.section);
                section = Some(&shown.section);
            }
            let line = match &shown.value {
                Some(value) => format!("{} = {}", shown.key, toml_text(value)),
                None => format!("# {} is not set", shown.key),
            };
            match style.origin && shown.value.is_some() {
                true => writeln!(text, "{line:<48} # {}", origin(&shown.origin)),
                false => writeln!(text, "{line}"),
            }
            // Writing to a String can't fail.
            .unwrap_or_default();
        }
        text
    }

    /// The configuration as one object: for each key its value (`null` if it is not set) and its origin.
    pub fn to_json(&self) -> Value {
        let keys: Map<String, Value> = self
            .in_order()
            .map(|shown| {
                let value = serde_json::json!({"value": shown.value, "origin": origin(&shown.origin)});
                (shown.section.then(shown.key).to_string(), value)
            })
            .collect();
        serde_json::json!({"file": self.file, "keys": keys})
    }

    /// One section after the other: some are read in two parts.
    fn in_order(&self) -> impl Iterator<Item = &Shown> {
        let mut sections: Vec<_> = Vec::new();
        for shown in &self.shown {
            if !sections.contains(&&shown.section) {
                sections.push(&shown.section);
            }
        }
        sections
            .into_iter()
            .flat_map(|section| self.shown.iter().filter(move |shown| shown.section == *section))
    }
}

/// Where a value comes from, in a few words.
fn origin(place: &Place) -> String {
    match place {
        Place::Default => "default".to_owned(),
        Place::Position { file, line, .. } => {
            format!("{}:{line}", file.file_name().unwrap_or(file.as_os_str()).display())
        }
        other => other.to_string(),
    }
}

/// A value as it stands behind `key =` in TOML.
pub(super) fn toml_text(value: &Value) -> String {
    match toml::Value::try_from(value) {
        Ok(value) => value.to_string(),
        // Every value was read from TOML or from the text of a flag in TOML's notation.
        Err(_) => value.to_string(),
    }
}
