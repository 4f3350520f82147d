//! Python with pytest, in a virtual environment of our own in the build folder, for the tests and the demo. The
//! machine's own Python gets nothing installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt;
use crate::command;
use crate::error::Error;
use crate::step::say;
use crate::workspace::Workspace;

/// The packages of the tests and the demo, each with its exact version.
const PACKAGES: &str = include_str!("../../python-packages.txt");
/// Those that look at the HTTP surface.
const API_PACKAGES: &str = include_str!("../../api-packages.txt");

/// The tests' environment: `venv` in the build folder, made or brought up to date. Returns its interpreter.
pub(crate) fn for_tests(workspace: &Workspace) -> Result<PathBuf, Error> {
    environment(&workspace.target().join("venv"), "pytest", PACKAGES)
}

/// The environment of what looks at the HTTP surface, apart from the suites' own. Returns its interpreter.
pub(crate) fn for_api(workspace: &Workspace) -> Result<PathBuf, Error> {
    environment(&workspace.target().join("api-venv"), "schemathesis", API_PACKAGES)
}

/// A virtual environment in `folder` that has the packages, of which `what` is the one that matters. Returns its interpreter.
fn environment(folder: &Path, what: &str, packages: &str) -> Result<PathBuf, Error> {
    let interpreter = folder.join("bin/python");
    let stamp = folder.join("made-of.txt");
    let complete = fs::read_to_string(&stamp).is_ok_and(|made_of| made_of == packages);
    // Its interpreter is a link to the machine's, which may have gone away since.
    if complete && command::ask(Command::new(&interpreter).arg("--version")).is_some() {
        return Ok(interpreter);
    }
    let python = python_with_venv()?;
    say(format!("making a Python environment with {what} in {}", folder.display()));
    let mut make = Command::new(python);
    make.args(["-m", "venv", "--clear"]).arg(folder);
    command::watch("making the Python environment", &mut make)?;
    let list = folder.join("packages.txt");
    fs::write(&list, packages).map_err(Error::file(&list))?;
    let mut install = Command::new(&interpreter);
    install
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "-r"])
        .arg(&list);
    command::watch(&format!("installing {what}"), &mut install)?;
    fs::write(&stamp, packages).map_err(Error::file(&stamp))?;
    Ok(interpreter)
}

/// The machine's Python, with what it needs to make virtual environments.
fn python_with_venv() -> Result<&'static str, Error> {
    const WHAT: &str = "Python 3 with its venv module";
    const NEEDED: &[&str] = &["python3", "python3-venv"];
    let usable = || command::ask(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_some();
    if !usable() {
        apt::install(WHAT, NEEDED)?;
    }
    if usable() { Ok("python3") } else { Err(apt::missing(WHAT, NEEDED)) }
}
