//! `demo`: the main job on a small project that it makes: one PASS, one FAIL, and both reports.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::Args;
use tokio::process::Command;

use super::output::print;
use super::run::{RunArgs, run};
use super::setting::Setting;
use super::{Failure, Global};
use crate::exit::Exit;

const CODE: &str = "def total(prices, discount=0):\n    return sum(prices) * (100 - discount) / 100\n";
const BROKEN: &str = "def total(prices, discount=0):\n    return sum(prices) * (100 + discount) / 100\n";
const TESTS: &str = "import pytest\n\nfrom basket import total\n\n\ndef test_an_empty_basket_costs_nothing():\n    assert total([]) == 0\n\n\n@pytest.mark.parametrize(\"prices\", [[1], [1, 2], [5, 5, 5]])\ndef test_prices_are_added_up(prices):\n    assert total(prices) == sum(prices)\n\n\ndef test_a_discount_makes_it_cheaper():\n    assert total([100], discount=20) == 80\n";

/// What `demo` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  stagewright demo\n  stagewright demo --python .venv/bin/python\n\nIt needs git and a Python with pytest, and leaves a folder behind that it names."
)]
pub(crate) struct DemoArgs {
    /// A Python that has pytest [default: python3 on the path]
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
    /// Where to make the project [default: a new folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub(crate) async fn demo(global: &Global, args: &DemoArgs) -> Result<Exit, Failure> {
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("stagewright-demo-{}", std::process::id())),
    };
    let project = folder.join("basket");
    let made = |error: std::io::Error| {
        Failure::usage(format!(
            "the project can't be made in {}: {error}; name another with --folder",
            project.display()
        ))
    };
    std::fs::create_dir_all(&folder).map_err(made)?;
    std::fs::create_dir(&project).map_err(made)?;
    write(&project, "basket.py", CODE)?;
    write(&project, "test_basket.py", TESTS)?;
    write(&project, "pyproject.toml", "[tool.pytest.ini_options]\ntestpaths = [\".\"]\n")?;
    git(&project, &["init", "--quiet", "--initial-branch=main"]).await?;
    commit(&project, "A basket with its tests").await?;

    let mut global = global.clone();
    if global.state_dir.is_none() {
        global.state_dir = Some(folder.join("state"));
    }
    if let Some(python) = &args.python {
        let python = std::path::absolute(python).unwrap_or_else(|_| python.clone());
        let value = python.to_string_lossy().into_owned();
        global.set.push(Setting { key: "test_runner.python".to_owned(), value });
    }
    tell(&global, &format!("A small project with its tests, in {}.\n\n1. As it is:\n\n", project.display()));
    let good = run(&global, &stage(&project, "DEMO-1")).await?;

    write(&project, "basket.py", BROKEN)?;
    commit(&project, "Turn one sign around").await?;
    write(&project, "basket.py", CODE)?;
    tell(&global, "\n2. One operator turned around in the commit; the checkout has the good code again:\n\n");
    let bad = run(&global, &stage(&project, "DEMO-2")).await?;

    if (good, bad) == (Exit::Success, Exit::Failure) {
        tell(&global, "\nThe good commit passed, the bad one failed, and the checkout was never touched.\n");
        return Ok(Exit::Success);
    }
    let message = format!(
        "the demo came out as {good:?} and {bad:?}, not as PASS and FAIL; `stagewright doctor` says what is missing"
    );
    Err(Failure::later(message))
}

fn stage(project: &Path, key: &str) -> RunArgs {
    RunArgs {
        repo: project.to_owned(),
        work_item: key.to_owned(),
        stage: "testing".to_owned(),
        branch: None,
        commit: false,
        again: false,
    }
}

fn tell(global: &Global, text: &str) {
    if !global.json {
        print(text);
    }
}

fn write(project: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = project.join(name);
    std::fs::write(&path, text)
        .map_err(|error| Failure::usage(format!("{} can't be written: {error}", path.display())))
}

async fn commit(project: &Path, message: &str) -> Result<(), Failure> {
    git(project, &["add", "--all"]).await?;
    let who = ["-c", "user.name=stagewright demo", "-c", "user.email=demo@example.invalid"];
    git(project, &[&who[..], &["commit", "--quiet", "-m", message]].concat()).await
}

/// Runs git in the project that this command has just made itself.
async fn git(project: &Path, args: &[&str]) -> Result<(), Failure> {
    let output = Command::new("git")
        .current_dir(project)
        .args(["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| Failure::usage(format!("git can't be run: {error}; install git")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::usage(format!("git {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim())))
}
