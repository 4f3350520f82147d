//! The configuration as its users meet it: what each mistake is told, and that the pages are those of the code.
//!
//! `ui/config/<case>.toml` is a configuration, with variables and flags in its first comments, and
//! `ui/config/<case>.txt` what is told about it. `UPDATE_DOCS=1` writes the pages and these texts anew.

#![allow(clippy::unwrap_used, reason = "in a test, panicking is failing")]

use std::fs;
use std::path::{Path, PathBuf};

use stagewright::config::{Config, Override, Sources, Style, reference};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares a committed file with what the code makes of it.
#[track_caller]
fn same(file: &Path, now: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(file, now).unwrap();
    }
    let committed = fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed == now,
        "{} is not what the code says; write it anew with UPDATE_DOCS=1. It should be:\n{now}",
        file.display()
    );
}

#[test]
fn the_reference_page_is_that_of_the_code() {
    same(&root().join("docs/configuration.md"), &reference::page());
}

#[test]
fn the_example_of_the_environment_is_that_of_the_code() {
    same(&root().join(".env.example"), &reference::env_example());
}

/// The sources of a case: `# env NAME=value` and `# flag key=value` are comments at its head.
fn case(folder: &Path, name: &str, text: &str) -> Sources {
    let lines = |word: &str| -> Vec<(String, String)> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(&format!("# {word} ")));
        lines
            .map(|line| line.split_once('=').unwrap())
            .map(|(key, value)| (key.into(), value.into()))
            .collect()
    };
    Sources {
        file: Some(PathBuf::from(name)),
        variables: lines("env").into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        overrides: lines("flag")
            .into_iter()
            .map(|(key, value)| Override { flag: "--set".to_owned(), key, value })
            .collect(),
        current_dir: folder.to_owned(),
    }
}

/// Without the spaces that align the origins: how many there are depends on the length of the checkout's path.
fn unaligned(toml: &str) -> String {
    let line = |line: &str| match line.rsplit_once(" # ") {
        Some((value, origin)) => format!("{} # {origin}\n", value.trim_end()),
        None => format!("{line}\n"),
    };
    toml.lines().map(line).collect()
}

#[test]
fn every_mistake_is_told_with_its_place_and_the_way_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui/config");
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    cases.sort();
    assert!(!cases.is_empty());
    for file in cases {
        let name = file.file_name().unwrap().to_str().unwrap();
        let sources = case(&folder, name, &fs::read_to_string(&file).unwrap());
        let told = match Config::load(&sources) {
            Err(error) => format!("{error}\n"),
            Ok(config) => unaligned(&config.to_toml(Style { origin: true })),
        };
        // What is told names the file with its folder, which is another one in each checkout.
        same(&file.with_extension("txt"), &told.replace(&format!("{}/", folder.display()), ""));
    }
}
