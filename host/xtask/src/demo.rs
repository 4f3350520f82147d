//! The main job, shown: sets up, builds, and lets `stagewright demo` judge a small real project that it makes, once at a
//! good commit and once with one operator turned around. Then both reports.
//!
//! It is a check too. It looks at what a user gets (exit code, and reports as files) and fails unless the first run
//! ended as PASS and the second as FAIL.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build;
use crate::command;
use crate::error::Error;
use crate::setup::{self, python};
use crate::step::step;
use crate::workspace::{Profile, Workspace};

/// The artifact of the stage `testing`.
const REPORT: &str = "13-test-report.md";

/// Sets up, builds, and shows.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    setup::run(workspace)?;
    build::run(workspace, Profile::Debug)?;
    let program = workspace.programs(Profile::Debug).join("stagewright");
    let folder = workspace.target().join("demo");
    step("demo", || show(&program, &folder, &python::for_tests(workspace)?))?;

    let state = folder.join("state");
    let good = Report::of(&state, "DEMO-1");
    let bad = Report::of(&state, "DEMO-2");
    println!("\nThe first report, {}\n\n{}", good.place(), indented(&excerpt(&good.text)));
    println!("\nThe second one, {}\n\n{}", bad.place(), indented(&excerpt(&bad.text)));
    println!("\nWhat happened");
    println!("  DEMO-1 was judged PASS: its task went on to deploy-staging.");
    println!("  DEMO-2 was judged FAIL: its task went back to development, with one of its attempts spent.");
    println!("  The host's state is in {}", state.display());
    println!("\nOn a repository of your own");
    println!("  {} run --repo <path> --work-item <KEY>", workspace.shown(&program));
    good.must_say("PASS")?;
    bad.must_say("FAIL")
}

/// Runs `stagewright demo` in a folder where nothing is known yet, without the user's own configuration.
fn show(program: &Path, folder: &Path, python: &Path) -> Result<(), Error> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Error::file(folder))?;
    }
    let mut demo = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ORCH_") {
            demo.env_remove(name);
        }
    }
    demo.env("XDG_CONFIG_HOME", folder.join("config")).arg("demo").arg("--folder").arg(folder);
    demo.arg("--python").arg(python);
    command::watch("the demo", &mut demo)
}

/// A report as it lies there.
struct Report {
    work_item: String,
    path: Option<PathBuf>,
    /// Empty if there is none.
    text: String,
}

impl Report {
    fn of(state: &Path, work_item: &str) -> Self {
        let path = find(&state.join("reports"), work_item);
        let text = path.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        Self { work_item: work_item.to_owned(), path, text }
    }

    fn place(&self) -> String {
        self.path.as_ref().map_or_else(|| "which is not there".to_owned(), |path| path.display().to_string())
    }

    fn must_say(&self, result: &str) -> Result<(), Error> {
        let said = self.text.lines().find_map(|line| line.strip_prefix("result:")).unwrap_or_default().trim();
        if said == result {
            return Ok(());
        }
        let said = if said.is_empty() { "nothing" } else { said };
        Err(Error::Verdict(format!(
            "the report of {} should say `result: {result}` and says {said}",
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

    #[test]
    fn a_report_that_says_something_else_ends_the_demo() {
        let report =
            |text: &str| Report { work_item: "DEMO-1".to_owned(), path: None, text: text.to_owned() };
        assert!(report("---\nresult: PASS\n---\n").must_say("PASS").is_ok());
        assert!(report("---\nresult: FAIL\n---\n").must_say("PASS").is_err());
        assert!(report("").must_say("PASS").unwrap_err().to_string().ends_with("says nothing"));
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
