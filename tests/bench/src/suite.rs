//! B10: a suite of ten seconds that `stagewright run` judges, against the same suite run by hand.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Setting;
use crate::measure::{Bar, Failed, Times};

/// Five hundred tests of twenty milliseconds: ten seconds, and enough tests to show what watching each of them costs.
const SUITE: &str = "\
import time

import pytest


@pytest.mark.parametrize(\"number\", range(500))
def test_number(number):
    time.sleep(0.02)
    assert number >= 0
";

const ROUNDS: usize = 3;

pub(crate) fn measure(setting: &Setting) -> Result<Bar, Failed> {
    let folder = tempfile::tempdir()?;
    let repo = folder.path().join("repo");
    make_repo(&repo)?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    // The first of each warms caches up: the compiled component, Python's own.
    for round in 0..=ROUNDS {
        ours.push(timed(&mut judged(setting, folder.path(), &repo, round))?);
        bare.push(timed(&mut by_hand(setting, &repo))?);
    }
    Ok(Bar {
        name: "B10",
        what: "a suite of 10 s, judged by `stagewright run`",
        bare: "the same suite by hand",
        ratio: 1.02,
        limit: None,
        times: Times::of_rounds(ours, bare),
    })
}

fn make_repo(repo: &Path) -> Result<(), Failed> {
    std::fs::create_dir(repo)?;
    std::fs::write(repo.join("test_numbers.py"), SUITE)?;
    std::fs::write(repo.join("pytest.ini"), "[pytest]\n")?;
    std::fs::write(repo.join(".gitignore"), "__pycache__/\n.pytest_cache/\n")?;
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(repo)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .args(["-c", "user.name=Bench", "-c", "user.email=bench@localhost"])
            .args(args);
        timed(&mut git).map(drop)
    };
    git(&["init", "--quiet", "--initial-branch=main"])?;
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--message", "Count"])
}

/// The run of one more work item.
fn judged(setting: &Setting, folder: &Path, repo: &Path, round: usize) -> Command {
    let mut run = Command::new(setting.programs.join("stagewright"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ORCH_") {
            run.env_remove(name);
        }
    }
    run.env("XDG_CONFIG_HOME", folder.join("config"))
        .arg("run")
        .arg("--repo")
        .arg(repo)
        .args(["--work-item", &format!("BENCH-{}", round + 1), "--state-dir"])
        .arg(folder.join("state"))
        .arg("--set")
        .arg(format!("test_runner.python={}", setting.python.display()));
    run
}

fn by_hand(setting: &Setting, repo: &Path) -> Command {
    let mut pytest = Command::new(&setting.python);
    pytest.args(["-m", "pytest", "-q"]).current_dir(repo);
    pytest
}

/// How long it took; an error with its output unless it succeeds.
fn timed(command: &mut Command) -> Result<Duration, Failed> {
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let took = begun.elapsed();
    if output.status.success() {
        return Ok(took);
    }
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{command:?}: {}\n{out}{err}", output.status).into())
}
