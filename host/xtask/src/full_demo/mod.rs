//! The whole pipeline, shown: one work item from its analysis to `done`, and one that staging can't take.
//!
//! Agents are a script, and say so; everything else is real: the daemon, git, the suite, sshd on a loopback port, and a
//! container where an engine runs. The first draft of the code is wrong on purpose, so that the suite sends it back once.
//! The second work item meets a staging host without a docker client: it must be held, with no rollback and no attempt spent.
//!
//! It is a check too: it fails unless both tasks end as told.

mod sshd;
mod staging;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use self::sshd::Sshd;
use self::staging::{Staging, program};
use crate::build;
use crate::command;
use crate::error::Error;
use crate::setup::{self, python};
use crate::step::{say, step};
use crate::workspace::{Profile, Workspace};

const AGENT: &str = include_str!("agent.sh");
const CODE: &str = "def total(prices):\n    return sum(prices)\n";
const TESTS: &str =
    "from basket import total\n\n\ndef test_prices_are_added_up():\n    assert total([1, 2]) == 3\n";
/// The branch on which the work is done. Nobody has it checked out.
const BRANCH: &str = "discount";
/// The stages that a program judges, for the picture at the end.
const PROGRAMS: &str = "testing (test-runner) and deploy-staging (staging-runner)";

/// Sets up, builds, and shows.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    setup::run(workspace)?;
    setup::ssh()?;
    build::run(workspace, Profile::Debug)?;
    let folder = workspace.target().join("full-demo");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Error::file(&folder))?;
    }
    fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    let demo = Demo {
        program: workspace.programs(Profile::Debug).join("stagewright"),
        python: python::for_tests(workspace)?,
        project: folder.join("basket"),
        folder,
    };
    step("the whole pipeline", || demo.whole())?;
    step("a staging host without docker", || demo.without_docker())?;
    demo.tell()
}

struct Demo {
    program: PathBuf,
    python: PathBuf,
    folder: PathBuf,
    project: PathBuf,
}

impl Demo {
    /// From analysis to `done`.
    fn whole(&self) -> Result<(), Error> {
        self.make_project()?;
        let staging = Staging::make(&self.folder.join("staging"))?;
        let sshd = Sshd::start(&self.folder.join("sshd"), &staging.path)?;
        self.configure(&staging, &sshd, "docker")?;
        self.add("DEMO-1", "analysis")?;
        let mut daemon = Daemon::start(self)?;
        let mut sent_back = false;
        daemon.hear("DEMO-1", |line| {
            let to = line["to_stage"].as_str().unwrap_or_default();
            sent_back |= line["stage"] == "testing" && line["judgement"] == "fail";
            match (line["event"].as_str(), line["outcome"].as_str()) {
                (_, Some("held" | "deferred" | "put-off")) => {
                    Some(Err(Error::Verdict(format!("DEMO-1: {line}"))))
                }
                (Some("transition-ended"), Some("moved")) if to == "done" => Some(Ok(())),
                _ => None,
            }
        })?;
        daemon.stop()?;
        match sent_back {
            true => Ok(()),
            false => Err(Error::Verdict("the suite should have sent the first draft back".to_owned())),
        }
    }

    /// The regression of the incident: held, not rolled back.
    fn without_docker(&self) -> Result<(), Error> {
        let staging = Staging::make(&self.folder.join("staging-2"))?;
        let sshd = Sshd::start(&self.folder.join("sshd-2"), &staging.path)?;
        self.configure(&staging, &sshd, "docker-that-is-not-there")?;
        self.add("DEMO-2", "testing")?;
        let mut daemon = Daemon::start(self)?;
        daemon.hear("DEMO-2", |line| {
            let ended = line["event"] == "job-ended" && line["stage"] == "deploy-staging";
            ended.then(|| match line["outcome"].as_str() {
                Some("held") => Ok(()),
                _ => Err(Error::Verdict(format!("DEMO-2 should have been held: {line}"))),
            })
        })?;
        daemon.stop()?;
        let task = self.task("DEMO-2")?;
        match (task["state"].as_str(), task["stage"].as_str(), task["attempts_spent"].as_u64()) {
            (Some("held"), Some("deploy-staging"), Some(0)) => Ok(()),
            _ => Err(Error::Verdict(format!(
                "DEMO-2 should be held where it was, with no attempt spent: {task:#}"
            ))),
        }
    }

    fn make_project(&self) -> Result<(), Error> {
        fs::create_dir(&self.project).map_err(Error::file(&self.project))?;
        for (name, text) in [("basket.py", CODE), ("test_basket.py", TESTS), (".gitignore", "__pycache__/\n")]
        {
            fs::write(self.project.join(name), text).map_err(Error::file(self.project.join(name)))?;
        }
        program(&self.folder.join("agent"), AGENT)?;
        self.git(&["init", "--quiet", "--initial-branch=main"])?;
        self.git(&["add", "--all"])?;
        let who = ["-c", "user.name=stagewright demo", "-c", "user.email=demo@example.invalid"];
        self.git(&[&who[..], &["commit", "--quiet", "-m", "A basket with its test"]].concat())?;
        self.git(&["branch", BRANCH]).map(drop)
    }

    fn configure(&self, staging: &Staging, sshd: &Sshd, docker: &str) -> Result<(), Error> {
        let text = format!(
            "[llm]\nprogram = {agent:?}\nbudget_task_usd = 5\n\n[test_runner]\npython = {python:?}\n\n\
             [staging_runner]\ncontainer = {container:?}\ndocker = {docker:?}\n\
             command = [{check:?}, \"--mode\", \"stub\"]\n\n{target}\n[http]\nlisten = \"127.0.0.1:0\"\n",
            agent = self.folder.join("agent"),
            python = self.python,
            container = staging.container,
            check = staging.check,
            target = sshd.target(),
        );
        fs::write(self.config(), text).map_err(Error::file(self.config()))
    }

    fn config(&self) -> PathBuf {
        self.folder.join("stagewright.toml")
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The program with this demo's state and configuration, and nothing of the user's.
    fn stagewright(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ORCH_")) {
            command.env_remove(name);
        }
        command.env("ORCH_CONFIG", self.config()).env("ORCH_STATE_DIR", self.state()).args(args);
        command
    }

    fn add(&self, key: &str, stage: &str) -> Result<(), Error> {
        let project = self.project.display().to_string();
        let add = ["task", "add", key, "--repo", &project, "--branch", BRANCH, "--stage", stage];
        command::read("adding the task", &mut self.stagewright(&add)).map(drop)
    }

    fn task(&self, key: &str) -> Result<Value, Error> {
        let shown =
            command::read("looking at the task", &mut self.stagewright(&["task", "show", key, "--json"]))?;
        serde_json::from_str(&shown).map_err(|error| Error::Verdict(format!("task show: {error}: {shown}")))
    }

    fn git(&self, args: &[&str]) -> Result<String, Error> {
        let mut git = Command::new("git");
        git.current_dir(&self.project).args(["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"]);
        command::read("git", git.args(args))
    }

    /// What is there to be seen afterwards.
    fn tell(&self) -> Result<(), Error> {
        let log = self.git(&["log", "--reverse", "--format=%h %an: %s", &format!("main..{BRANCH}")])?;
        let staged = self.git(&["show", &format!("{BRANCH}:docs/work-items/DEMO-1/15-staging-log.md")])?;
        let held = self.task("DEMO-2")?;
        println!("\nThe branch `{BRANCH}`, as the host left it:\n\n{}", indented(&log));
        println!("\nThe staging log of DEMO-1:\n\n{}", indented(&staged));
        println!(
            "\nDEMO-2, whose staging host has no docker client:\n\n{}",
            indented(&format!("{:#}", held["hold"]))
        );
        println!("\nWhere a model was asked, and what the script says that it cost:\n");
        command::watch("the map of model calls", &mut self.stagewright(&["llm-map"]))?;
        println!("\nWhat happened");
        println!(
            "  DEMO-1 went from analysis to done. Its first draft was wrong: the suite sent it back once."
        );
        println!(
            "  {PROGRAMS} were judged by programs; the other stages by a script in the place of an agent."
        );
        println!("  DEMO-2 is held at deploy-staging: a missing docker client says nothing about the code.");
        println!("  The host's state is in {}", self.state().display());
        Ok(())
    }
}

/// The running daemon.
struct Daemon {
    process: Child,
    lines: Box<dyn Iterator<Item = Value>>,
}

impl Daemon {
    fn start(demo: &Demo) -> Result<Self, Error> {
        let mut serve = demo.stagewright(&["serve", "--json"]);
        serve.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = serve.spawn().map_err(|error| command::unstartable(&serve, error))?;
        let pipe =
            process.stdout.take().ok_or_else(|| Error::Verdict("the daemon has no output".to_owned()))?;
        let lines = BufReader::new(pipe).lines().map_while(Result::ok);
        Ok(Self { process, lines: Box::new(lines.filter_map(|line| serde_json::from_str(&line).ok())) })
    }

    /// Shows what is said of a task until `end` says how it came out.
    fn hear(
        &mut self,
        key: &str,
        mut end: impl FnMut(&Value) -> Option<Result<(), Error>>,
    ) -> Result<(), Error> {
        for line in self.lines.by_ref() {
            if line["work_item"] != key {
                continue;
            }
            say(told(&line));
            if let Some(end) = end(&line) {
                return end;
            }
        }
        Err(Error::Verdict(format!("the daemon ended before {key} did")))
    }

    fn stop(mut self) -> Result<(), Error> {
        let id = self.process.id().to_string();
        command::watch("stopping the daemon", Command::new("kill").arg(&id))?;
        // What it still says is read, so that it can end.
        self.lines.by_ref().for_each(drop);
        let status = self.process.wait().map_err(Error::file("stagewright serve"))?;
        command::ended("the daemon", &Command::new("stagewright"), status)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A line of the daemon's for people.
fn told(line: &Value) -> String {
    let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let fault = line["fault"]["message"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
    match line["event"].as_str() {
        Some("job-ended") => {
            let judged = line["judgement"].as_str().map(str::to_uppercase).unwrap_or_else(|| word("outcome"));
            format!("{} {} by {}: {judged}{fault}", word("work_item"), word("stage"), word("producer"))
        }
        _ => format!("{} {} -> {}{fault}", word("work_item"), word("stage"), word("to_stage")),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fault_is_told_with_its_words() {
        let line = json!({"event": "job-ended", "work_item": "D-1", "stage": "testing", "producer": "test-runner",
            "outcome": "held", "judgement": null, "fault": {"code": "c", "message": "no pytest"}});
        assert_eq!(told(&line), "D-1 testing by test-runner: held: no pytest");
    }
}
