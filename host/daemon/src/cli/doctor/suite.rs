//! What the suites need: the programs that producers may start, and the Python of one checkout.

use std::path::Path;

use stagewright_engine::name::{ProducerName, RepoName};

use super::finding::Finding;
use super::version::{Answer, ask};
use crate::config::sections::Framework;
use crate::config::{Config, Program, TEST_RUNNER};
use crate::programs;

/// Files at the top of a checkout that belong to a Python project.
const PYTHON_FILES: [&str; 6] =
    ["pyproject.toml", "pytest.ini", "setup.cfg", "setup.py", "tox.ini", "conftest.py"];

/// The programs that a producer may start. One that somebody named must be there; of those that the test-runner
/// may start without being told, some may be missing.
pub(super) async fn granted(config: &Config, producer: &ProducerName, repo: &RepoName) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut missing = Vec::new();
    let named = config.producers.get(producer).is_some_and(|producer| producer.process.programs.is_some());
    for (name, program) in config.programs(producer, repo).unwrap_or_default() {
        let optional = !named && producer.as_str() == TEST_RUNNER && program.is_name();
        let key = format!("producers.{producer}.grants.process.programs");
        match programs::find(program.as_path(), std::env::var_os("PATH").as_deref()) {
            None if optional => missing.push(name),
            None => findings.push(absent(&name, &program, &key)),
            Some(path) => findings.push(started(&name, &path).await),
        }
    }
    if !missing.is_empty() {
        let message =
            format!("not on this machine: {} (needed only by suites that use them)", missing.join(", "));
        findings.push(Finding::ok("programs", message));
    }
    findings
}

fn absent(name: &str, program: &Program, key: &str) -> Finding {
    let message = format!("{} was not found", program.as_path().display());
    Finding::defect(format!("program {name}"), message, format!("install it, or correct `{key}`"))
}

async fn started(name: &str, path: &Path) -> Finding {
    let check = format!("program {}", Path::new(name).file_name().unwrap_or_default().display());
    // go is the one of them that has a subcommand for it.
    let question = if name == "go" { "version" } else { "--version" };
    let at = path.display();
    match ask(path, &[question]).await {
        Answer::Said(line) => Finding::ok(check, format!("{line} ({at})")),
        Answer::Refused(_) => Finding::ok(check, format!("{at} starts (it has no --version)")),
        Answer::TimedOut => Finding::warning(
            check,
            format!("{at} starts, and doesn't end when asked for --version"),
            "run it by hand",
        ),
        Answer::NotStarted(why) => Finding::defect(
            check,
            format!("{at} can't be started: {why}"),
            "install it anew, or name another one",
        ),
    }
}

/// The Python of a checkout, and its pytest; nothing if its suite needs neither.
pub(super) async fn python(config: &Config, repo: &RepoName, checkout: &Path) -> Vec<Finding> {
    let suite = config.suite_of(repo);
    let has_files = PYTHON_FILES.iter().any(|file| checkout.join(file).exists());
    match suite.framework {
        Some(Framework::Pytest) => {}
        None | Some(Framework::Auto) if has_files || suite.python.is_some() => {}
        _ => return Vec::new(),
    }
    let configured = suite.python.as_ref().map(Program::as_path);
    let Some(python) = programs::python(configured, checkout, std::env::var_os("PATH").as_deref()) else {
        let looked = configured
            .map_or_else(|| ".venv/bin/python and python3".to_owned(), |path| path.display().to_string());
        let remedy = "install Python 3, or name it in `test_runner.python`";
        return vec![Finding::defect("python", format!("{looked} was not found"), remedy)];
    };
    let at = python.display().to_string();
    let mut findings = Vec::new();
    match ask(&python, &["-c", "import sys; print('Python', sys.version.split()[0])"]).await {
        Answer::Said(line) => findings.push(Finding::ok("python", format!("{line} ({at})"))),
        Answer::Refused(why) | Answer::NotStarted(why) => {
            let remedy = "mend the environment, or name another Python in `test_runner.python`";
            return vec![Finding::defect("python", format!("{at} doesn't work: {why}"), remedy)];
        }
        Answer::TimedOut => {
            return vec![Finding::defect(
                "python",
                format!("{at} doesn't answer"),
                "run it by hand to see why",
            )];
        }
    }
    findings.push(
        match ask(&python, &["-I", "-c", "import pytest; print('pytest', pytest.__version__)"]).await {
            Answer::Said(line) => Finding::ok("pytest", format!("{line} ({at})")),
            _ => Finding::defect(
                "pytest",
                format!("{at} has no pytest"),
                format!("{at} -m pip install pytest"),
            ),
        },
    );
    findings
}
