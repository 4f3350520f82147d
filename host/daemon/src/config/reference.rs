//! The pages that are generated from the declarations: `docs/configuration.md` and `.env.example`.

use std::fmt::Write as _;

use super::declare::{Declared, Key, KeyPath, NAMED};
use super::sections;
use super::show::toml_text;
use super::value::Kind;

/// The head of the reference page.
const HEAD: &str = include_str!("reference.md");

/// The reference page of all keys, in markdown.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut seen: Vec<&str> = Vec::new();
    for section in sections::all() {
        if !seen.contains(&section.path) {
            let _ = write!(page, "\n## `[{}]`\n", section.path);
        }
        let _ = write!(page, "\n{}\n", sentence(section.about));
        // The keys of a suite are told once; here they would only be told again.
        if let Some(general) = general(&section) {
            let _ = write!(page, "\nThe keys are those of `[{general}]`.\n");
        } else {
            section.keys.iter().for_each(|key| entry(&mut page, &section, key));
        }
        seen.push(section.path);
    }
    page
}

/// The section that has the same keys for everybody.
fn general(section: &Declared) -> Option<&'static str> {
    let same = |other: &Declared| other.about == section.about && other.path != section.path;
    section.path.contains(NAMED).then(|| sections::all().into_iter().find(same).map(|other| other.path))?
}

fn entry(page: &mut String, section: &Declared, key: &Key) {
    let path = KeyPath::of(section.path, None).then(key.name);
    let _ = write!(page, "\n### `{path}`\n\n{}\n\n", sentence(key.meaning));
    let _ = writeln!(page, "- Value: {}", words(key));
    match &key.default {
        Some(default) => {
            let _ = writeln!(page, "- Default: `{}`", toml_text(default));
        }
        None => page.push_str("- Default: not set\n"),
    }
    let _ = writeln!(page, "- Variable: `{}`", variable(&path));
}

fn words(key: &Key) -> String {
    let mut words = key.kind.words();
    if let Some(bounds) = &key.within {
        let _ = write!(words, " from {} to {}", bounds.start(), bounds.end());
    }
    if key.kind == Kind::SecretMap {
        words.push_str("; secret, never shown");
    }
    words
}

fn variable(path: &KeyPath) -> String {
    let parts = path
        .parts()
        .iter()
        .map(|part| if part == NAMED { "<NAME>".to_owned() } else { part.to_ascii_uppercase() });
    format!("ORCH_{}", parts.collect::<Vec<_>>().join("_"))
}

/// The lines of a doc comment as one paragraph.
fn sentence(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n")
}

/// An example of every variable, each in a comment with its default.
pub fn env_example() -> String {
    let mut text = "\
# Every key of stagewright.toml as a variable, with its default. Generated from the code; see docs/configuration.md.
# Lists are separated by commas, tables written as in TOML. An empty variable counts as not set, but makes a list empty.

# The configuration file. Default: $XDG_CONFIG_HOME/stagewright/stagewright.toml
# ORCH_CONFIG=
# The folder with the shepherd and `components/`. Default: the program's own
# ORCH_LIB_DIR=
"
    .to_owned();
    let mut seen: Vec<&str> = Vec::new();
    for section in sections::all() {
        if !seen.contains(&section.path) {
            let _ = write!(text, "\n# [{}]\n", section.path);
            if section.path.contains(NAMED) {
                text.push_str("# <NAME> is a name that the file has, in capitals and with _ for - and .\n");
            }
        }
        for key in &section.keys {
            let path = KeyPath::of(section.path, None).then(key.name);
            let default = key.default.as_ref().map(plain).unwrap_or_default();
            let _ = writeln!(text, "# {}={default}", variable(&path));
        }
        seen.push(section.path);
    }
    text
}

/// A default as the text of a variable.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(entries) => entries.iter().map(plain).collect::<Vec<_>>().join(","),
        other => toml_text(other),
    }
}
