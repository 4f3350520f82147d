//! Holds the running daemon against its own OpenAPI document, by schemathesis: thousands of requests, good and bad ones,
//! and none may end in a fault of the program, or in an answer that the document does not have.
//!
//! It looks twice: with names of any form, and with those of a task that is there, so that what lies behind a 404 is
//! reached too. Where the tool can't be installed (no network), it says so and looks at nothing.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::command;
use crate::error::Error;
use crate::setup::python;
use crate::step::say;
use crate::workspace::{Profile, Workspace};

/// The task that is there.
const REPO: &str = "shop";
const WORK_ITEM: &str = "API-1";
/// The same requests in every run.
const SEED: &str = "8470";
/// How many requests for each operation, beside those that cover every parameter's edges.
const EXAMPLES: &str = "40";
/// Not asked: what a server of HTTP answers to a method that is no method is not in a document, and a stream has no end.
const EXCLUDED: [&str; 2] = ["--exclude-path", "/events"];

/// What it came to.
pub(crate) enum Outcome {
    /// Everything was looked at and is as the document says.
    Good,
    /// The tool is not here, and why.
    Skipped(String),
}

/// Starts a daemon, asks it, ends it.
pub(crate) fn run(workspace: &Workspace) -> Result<Outcome, Error> {
    let environment = match python::for_api(workspace) {
        Ok(interpreter) => interpreter,
        Err(error) => return Ok(Outcome::Skipped(format!("schemathesis can't be installed: {error}"))),
    };
    let tool = environment.with_file_name("schemathesis");
    let folder = workspace.target().join("api");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Error::file(&folder))?;
    }
    fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    let daemon = Daemon::start(&workspace.programs(Profile::Debug).join("stagewright"), &folder)?;
    for known in [false, true] {
        let config = folder.join("schemathesis.toml");
        fs::write(&config, daemon.configuration(known)).map_err(Error::file(&config))?;
        say(if known { "with the names of a task that is there" } else { "with names of any form" });
        let mut ask = Command::new(&tool);
        ask.current_dir(&folder)
            .arg("--config-file")
            .arg(&config)
            .arg("run")
            .arg(format!("{}/openapi.json", daemon.url))
            .args(["--seed", SEED, "--max-examples", EXAMPLES, "--continue-on-failure", "--checks", "all"])
            .args(EXCLUDED);
        command::watch("schemathesis", &mut ask)?;
    }
    daemon.stop()?;
    Ok(Outcome::Good)
}

/// A daemon with one task, which no producer is at.
struct Daemon {
    process: Child,
    url: String,
    token: String,
}

impl Daemon {
    fn start(program: &Path, folder: &Path) -> Result<Self, Error> {
        let repo = folder.join(REPO);
        fs::create_dir_all(&repo).map_err(Error::file(&repo))?;
        let git = |args: &[&str]| {
            let mut git = Command::new("git");
            git.current_dir(&repo).env("GIT_CONFIG_GLOBAL", "/dev/null");
            git.args(["-c", "user.name=A Developer", "-c", "user.email=developer@example.invalid"])
                .args(args);
            command::read("making a repository", &mut git)
        };
        git(&["init", "--quiet", "--initial-branch=main"])?;
        git(&["commit", "--quiet", "--allow-empty", "-m", "Begin"])?;
        let command = |args: &[&str]| {
            let mut command = Command::new(program);
            for (name, _) in
                std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ORCH_"))
            {
                command.env_remove(name);
            }
            command
                .env("XDG_CONFIG_HOME", folder.join("config"))
                .arg("--state-dir")
                .arg(folder.join("state"))
                .args(["--set", "http.listen=127.0.0.1:0", "--set", "test_runner.enabled=false", "--set"])
                .arg(format!("repos.{REPO}.path={}", repo.display()))
                .args(args);
            command
        };
        let mut add = command(&["task", "add", WORK_ITEM, "--stage", "testing", "--repo"]);
        command::watch("beginning a task", add.arg(&repo))?;
        let mut serve = command(&["serve", "--json"]);
        let mut process = serve
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| command::unstartable(&serve, error))?;
        let mut line = String::new();
        if let Some(out) = process.stdout.take() {
            let mut out = BufReader::new(out);
            out.read_line(&mut line).map_err(Error::file(folder))?;
            // Somebody has to take what it says, or it waits for that.
            std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        }
        let serving: Value = serde_json::from_str(&line).unwrap_or_default();
        let token = folder.join("state/token");
        let mut daemon = Self { process, url: String::new(), token: String::new() };
        match serving["http"].as_str() {
            Some(url) => daemon.url = url.to_owned(),
            None => {
                return Err(Error::Verdict(format!("the daemon did not say where it listens, but: {line}")));
            }
        }
        daemon.token = fs::read_to_string(&token).map_err(Error::file(&token))?.trim().to_owned();
        Ok(daemon)
    }

    /// What schemathesis is told. A body whose form is right may name a stage or a branch that is not there: 422.
    fn configuration(&self, known: bool) -> String {
        let mut text = format!("headers = {{ Authorization = \"Bearer {}\" }}\n", self.token);
        if known {
            let names = [("repo", REPO), ("work_item", WORK_ITEM), ("stage", "testing")];
            text.push_str("[parameters]\n");
            text.extend(names.map(|(name, value)| format!("\"path.{name}\" = \"{value}\"\n")));
        }
        text.push_str(
            "[checks.positive_data_acceptance]\nexpected-statuses = [\"2xx\", 401, 403, 404, 409, 422]\n",
        );
        text
    }

    /// Tells it to stop; its end in order is part of what is looked at.
    fn stop(mut self) -> Result<(), Error> {
        command::read("telling the daemon to stop", Command::new("kill").arg(self.process.id().to_string()))?;
        let mut shown = Command::new("stagewright");
        let status = self.process.wait().map_err(|error| command::unstartable(&shown, error))?;
        command::ended("the daemon", shown.arg("serve"), status)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended is not hit: its id is kept until it was waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
