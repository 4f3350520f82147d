//! Finds out from a repository's files what runs its tests.
//!
//! It looks at names, and at the few files in which a runner's configuration is told by a heading. Where two runners
//! fit it does not choose: the task is held until the setting says which.

use stagewright_sdk::{Area, FileKind, Files};

use crate::settings::Framework;

/// What was found, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detected {
    /// What runs the tests.
    pub framework: Framework,
    /// The file that says so.
    pub because: String,
}

/// How many bytes of a configuration file are looked at.
const MAX_CONFIG: u64 = 1024 * 1024;
/// How deep test files are looked for below the root.
const MAX_DEPTH: u8 = 4;
/// How many folders are looked into for them.
const MAX_FOLDERS: u32 = 200;

/// Every runner that fits the repository, in a fixed order.
pub fn detect<C: Files>(files: &C) -> Vec<Detected> {
    let mut found = Vec::new();
    let mut add = |framework, because: Option<String>| {
        found.extend(because.map(|because| Detected { framework, because }));
    };
    add(Framework::Pytest, pytest(files));
    if files.exists(Area::Worktree, ".config/nextest.toml") {
        add(Framework::Nextest, Some(".config/nextest.toml".to_owned()));
    } else {
        add(Framework::CargoTest, named(files, "Cargo.toml"));
    }
    add(Framework::GoTest, named(files, "go.mod"));
    add(Framework::Npm, npm(files));
    found
}

fn named<C: Files>(files: &C, path: &str) -> Option<String> {
    files.exists(Area::Worktree, path).then(|| path.to_owned())
}

fn pytest<C: Files>(files: &C) -> Option<String> {
    if let Some(found) = named(files, "pytest.ini").or_else(|| named(files, ".pytest.ini")) {
        return Some(found);
    }
    // pytest 9 reads a file and a table of TOML, too.
    if let Some(found) = named(files, "pytest.toml").or_else(|| named(files, ".pytest.toml")) {
        return Some(found);
    }
    for (path, headings) in [
        ("pyproject.toml", &["[tool.pytest"][..]),
        ("setup.cfg", &["[tool:pytest]"][..]),
        ("tox.ini", &["[pytest]"][..]),
    ] {
        let text = files.text(Area::Worktree, path, MAX_CONFIG).unwrap_or_default();
        let says = |line: &str| headings.iter().any(|heading| line.trim_start().starts_with(heading));
        if text.lines().any(says) {
            return Some(path.to_owned());
        }
    }
    if let Some(found) = named(files, "conftest.py") {
        return Some(found);
    }
    let here = files.names(Area::Worktree, "", FileKind::File);
    if let Some(name) = here.iter().find(|name| is_test_file(name)) {
        return Some(name.clone());
    }
    let mut budget = MAX_FOLDERS;
    let in_places = |places: &[String], budget: &mut u32| {
        places.iter().find_map(|folder| test_file(files, folder, MAX_DEPTH, budget))
    };
    let usual = ["tests", "test", "testing", "src"].map(str::to_owned);
    if let Some(found) = in_places(&usual, &mut budget) {
        return Some(found);
    }
    // A Python package may have its tests inside; other repositories' scripts are none.
    let is_package =
        here.iter().any(|name| matches!(name.as_str(), "pyproject.toml" | "setup.py" | "setup.cfg"));
    let folders = files.names(Area::Worktree, "", FileKind::Directory);
    let folders = folders.into_iter().filter(|name| !name.starts_with('.') && name != "node_modules");
    if is_package { in_places(&folders.collect::<Vec<_>>(), &mut budget) } else { None }
}

/// The names that pytest collects by itself.
fn is_test_file(name: &str) -> bool {
    name == "conftest.py"
        || (name.starts_with("test_") && name.ends_with(".py"))
        || name.ends_with("_test.py")
}

fn test_file<C: Files>(files: &C, folder: &str, depth: u8, budget: &mut u32) -> Option<String> {
    *budget = budget.checked_sub(1)?;
    let depth = depth.checked_sub(1)?;
    let here = files.names(Area::Worktree, folder, FileKind::File);
    if let Some(name) = here.iter().find(|name| is_test_file(name)) {
        return Some(format!("{folder}/{name}"));
    }
    files
        .names(Area::Worktree, folder, FileKind::Directory)
        .iter()
        .find_map(|name| test_file(files, &format!("{folder}/{name}"), depth, budget))
}

fn npm<C: Files>(files: &C) -> Option<String> {
    let text = files.text(Area::Worktree, "package.json", MAX_CONFIG)?;
    let package: serde_json::Value = serde_json::from_str(&text).ok()?;
    let script = package.pointer("/scripts/test")?.as_str()?;
    // What `npm init` writes is no test.
    (!script.contains("no test specified")).then(|| "package.json".to_owned())
}

#[cfg(test)]
mod tests {
    use stagewright_sdk::testing::Double;

    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<&'static str> {
        let double = files.iter().fold(Double::new(), |double, (path, text)| double.with_file(path, text));
        detect(&double).into_iter().map(|detected| detected.framework.name()).collect()
    }

    #[test]
    fn each_runner_is_known_by_its_files() {
        assert_eq!(found(&[("pytest.ini", "")]), ["pytest"]);
        assert_eq!(found(&[("pyproject.toml", "[tool.pytest.ini_options]\n")]), ["pytest"]);
        assert_eq!(found(&[("setup.cfg", "[metadata]\n[tool:pytest]\n")]), ["pytest"]);
        assert_eq!(found(&[("tox.ini", "[pytest]\n")]), ["pytest"]);
        assert_eq!(found(&[("test_a.py", "")]), ["pytest"]);
        assert_eq!(found(&[("tests/unit/deep/test_a.py", "")]), ["pytest"]);
        assert_eq!(found(&[("setup.py", ""), ("pkg/tests/test_a.py", "")]), ["pytest"]);
        assert_eq!(found(&[("Cargo.toml", "")]), ["cargo-test"]);
        assert_eq!(found(&[("Cargo.toml", ""), (".config/nextest.toml", "")]), ["nextest"]);
        assert_eq!(found(&[("go.mod", "")]), ["go-test"]);
        assert_eq!(found(&[("package.json", r#"{"scripts": {"test": "jest"}}"#)]), ["npm"]);
    }

    #[test]
    fn files_that_only_look_alike_say_nothing() {
        assert!(found(&[("pyproject.toml", "[build-system]\n"), ("src/pkg/__init__.py", "")]).is_empty());
        assert!(found(&[("tests/data/readme.txt", "")]).is_empty());
        assert!(found(&[("tools/test_a.py", "")]).is_empty());
        let init = r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#;
        assert!(found(&[("package.json", init)]).is_empty());
        assert!(found(&[("package.json", "{")]).is_empty());
    }

    #[test]
    fn two_that_fit_are_both_told() {
        assert_eq!(found(&[("pytest.ini", ""), ("Cargo.toml", "")]), ["pytest", "cargo-test"]);
    }
}
