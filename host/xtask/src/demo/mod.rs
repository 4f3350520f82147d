//! The main job, shown: a real suite that passes, one flipped operator, and the same suite failing.
//!
//! It is a check too. It looks at what a user gets (exit codes, and reports as files) and fails unless the first run
//! ended as PASS and the second as FAIL.

mod project;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use self::project::Project;
use crate::command;
use crate::error::Error;
use crate::step::step;
use crate::workspace::{Profile, Workspace};
use crate::{build, setup};

/// The artifact of the stage `testing`.
const REPORT: &str = "13-test-report.md";

/// Sets up, builds, and shows.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    setup::run(workspace)?;
    build::run(workspace, Profile::Debug)?;
    let demo = Demo::new(workspace);
    let project = step("a small project with a suite", || {
        demo.forget_the_last_one()?;
        Project::make(&demo.folder.join("cart"))
    })?;
    let good = step("DEMO-1: the suite of a good commit", || demo.judge(&project, "DEMO-1"))?;
    project.break_it()?;
    let change = project.last_change()?;
    let bad = step("DEMO-2: the suite after one more commit", || demo.judge(&project, "DEMO-2"))?;

    println!(
        "\n{}\n\nThe commit between them:\n\n{}\n\n{}",
        good.excerpt(),
        indented(&change),
        bad.excerpt()
    );
    println!("\nWhat happened");
    good.tell("PASS: the task went on to deploy-staging");
    bad.tell("FAIL: the task went back to development, one of its attempts is spent");
    println!("  The project is {}; its checkout was only read.", project.folder().display());
    println!("  The host's state is {} (`stagewright task list --state-dir …`).", demo.state.display());
    println!("\nOn a repository of your own:");
    println!("  {} run --repo <path> --work-item <KEY>", demo.program.display());
    good.must_be(0, "PASS")?;
    bad.must_be(1, "FAIL")
}

/// The program and the folders of the demo.
struct Demo {
    program: PathBuf,
    folder: PathBuf,
    state: PathBuf,
}

impl Demo {
    fn new(workspace: &Workspace) -> Self {
        let folder = workspace.target().join("demo");
        let state = folder.join("state");
        Self { program: workspace.programs(Profile::Debug).join("stagewright"), folder, state }
    }

    /// Every demo begins with nothing known.
    fn forget_the_last_one(&self) -> Result<(), Error> {
        if self.state.exists() {
            fs::remove_dir_all(&self.state).map_err(Error::file(&self.state))?;
        }
        Ok(())
    }

    /// `stagewright run` as a user would call it, but without the user's own configuration.
    fn judge(&self, project: &Project, work_item: &str) -> Result<Judged, Error> {
        let mut run = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ORCH_") {
                run.env_remove(name);
            }
        }
        run.env("XDG_CONFIG_HOME", self.folder.join("config"))
            .arg("run")
            .arg("--repo")
            .arg(project.folder())
            .args(["--work-item", work_item, "--state-dir"])
            .arg(&self.state)
            .stdin(Stdio::null());
        println!("$ {}", command::shown(&run));
        let status = run.status().map_err(|error| command::unstartable(&run, error))?;
        let report = find(&self.state.join("reports"), work_item);
        let text = report.as_ref().and_then(|path| fs::read_to_string(path).ok());
        Ok(Judged {
            work_item: work_item.to_owned(),
            exit: status.code(),
            report,
            text: text.unwrap_or_default(),
        })
    }
}

/// What one run left behind.
struct Judged {
    work_item: String,
    exit: Option<i32>,
    report: Option<PathBuf>,
    text: String,
}

impl Judged {
    /// The report's front matter and the paragraph after it.
    fn excerpt(&self) -> String {
        let Some(path) = &self.report else { return format!("{}: there is no report", self.work_item) };
        format!("{}\n\n{}", path.display(), indented(&excerpt(&self.text)))
    }

    fn tell(&self, meaning: &str) {
        let exit = self.exit.map_or_else(|| "no exit code".to_owned(), |code| format!("exit code {code}"));
        println!("  {} ended with {exit}. {meaning}.", self.work_item);
    }

    /// Exit code and report have to say the same.
    fn must_be(&self, exit: i32, result: &str) -> Result<(), Error> {
        let key = self.text.lines().find_map(|line| line.strip_prefix("result:")).unwrap_or_default();
        if self.exit == Some(exit) && key.trim() == result {
            return Ok(());
        }
        let seen = self.exit.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        let reported = if key.is_empty() { "no result" } else { key.trim() };
        Err(Error::Verdict(format!(
            "{} should have ended with exit code {exit} and `result: {result}`, not with {seen} and {reported}",
            self.work_item
        )))
    }
}

/// The report of a work item: `<repository>/<work item>/<stage>/<run>/13-test-report.md`.
fn find(folder: &Path, work_item: &str) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if entry.file_name() == REPORT && path.iter().any(|part| part == work_item) {
                return Some(path);
            }
        }
    }
    None
}

/// Front matter, and what follows it up to the second heading, but not the whole of a long report.
fn excerpt(report: &str) -> String {
    const LONGEST: usize = 45;
    let mut headings = 0;
    let wanted = report.lines().take(LONGEST).take_while(|line| {
        headings += usize::from(line.starts_with('#'));
        headings < 3
    });
    wanted.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(exit: i32, text: &str) -> Judged {
        Judged { work_item: "DEMO-1".to_owned(), exit: Some(exit), report: None, text: text.to_owned() }
    }

    #[test]
    fn exit_code_and_report_have_to_say_the_same() {
        assert!(judged(0, "---\nresult: PASS\n---\n").must_be(0, "PASS").is_ok());
        assert!(judged(0, "---\nresult: FAIL\n---\n").must_be(0, "PASS").is_err());
        assert!(
            judged(78, "").must_be(0, "PASS").unwrap_err().to_string().contains("exit code 78 and no result")
        );
    }

    #[test]
    fn the_report_of_the_other_work_item_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let of = |key: &str| folder.path().join("cart").join(key).join("testing/1");
        for key in ["DEMO-1", "DEMO-2"] {
            fs::create_dir_all(of(key)).unwrap();
            fs::write(of(key).join(REPORT), key).unwrap();
        }
        assert_eq!(find(folder.path(), "DEMO-2"), Some(of("DEMO-2").join(REPORT)));
        assert_eq!(find(folder.path(), "DEMO-3"), None);
    }

    #[test]
    fn an_excerpt_ends_before_the_details() {
        let report = "---\nresult: PASS\n---\n# Test report\n\nAll passed.\n\n## Tally\n\n6 passed\n\n## Log\n\nlong\n";
        assert_eq!(
            excerpt(report),
            "---\nresult: PASS\n---\n# Test report\n\nAll passed.\n\n## Tally\n\n6 passed"
        );
    }
}
