//! One owner at a time, and what a killed one leaves behind is taken up by the next.

use std::time::Duration;

use stagewright_e2e::{Host, Ran, Repo, SlowSuite, processes};

#[test]
fn of_two_runs_of_one_work_item_one_works_and_the_other_says_who_is_at_it() {
    let suite = SlowSuite::new();
    let repo = suite.repo();
    let host = Host::new();
    let first = host.begin(&repo, "A-1");
    suite.wait_until_begun();
    let second = host.run(&repo, "A-1");
    second.ended(75, "busy", "busy", "testing");
    assert!(second.stdout.contains(&first.id().to_string()), "it names the process: {second:#?}");
    suite.open();
    Ran::new(first.wait_with_output().unwrap()).passed();
}

#[test]
fn two_work_items_of_one_repository_do_not_hinder_each_other() {
    let suite = SlowSuite::new();
    let repo = suite.repo();
    let host = Host::new();
    let first = host.begin(&repo, "A-1");
    suite.wait_until_begun();
    let second = host.begin(&repo, "A-2");
    suite.open();
    Ran::new(second.wait_with_output().unwrap()).passed();
    Ran::new(first.wait_with_output().unwrap()).passed();
}

#[test]
fn after_a_kill_nothing_of_the_suite_is_left_and_the_next_run_goes_on_by_itself() {
    let suite = SlowSuite::new();
    let repo = suite.repo();
    let host = Host::new();
    let mut first = host.begin(&repo, "A-1");
    suite.wait_until_begun();
    assert!(!processes::with_mark(&suite.mark()).is_empty());
    first.kill().unwrap();
    first.wait().unwrap();
    processes::gone_within(&suite.mark(), Duration::from_secs(2));
    suite.open();
    host.run(&repo, "A-1").passed();
}

#[test]
fn after_a_kill_of_the_shepherd_nothing_of_the_suite_is_left_and_it_is_no_verdict() {
    let suite = SlowSuite::new();
    let repo = suite.repo();
    let host = Host::new();
    let first = host.begin(&repo, "A-1");
    suite.wait_until_begun();
    let shepherd = child_named(first.id(), "stagewright-she");
    processes::kill(shepherd);
    processes::gone_within(&suite.mark(), Duration::from_secs(2));
    let ran = Ran::new(first.wait_with_output().unwrap());
    assert_eq!((ran.exit, ran.json()["to_stage"].as_str().unwrap()), (75, "testing"), "{ran:#?}");
    suite.open();
    host.run(&repo, "A-1").passed();
}

#[test]
fn an_interrupted_run_is_cancelled_and_leaves_no_process() {
    let suite = SlowSuite::new();
    let repo = suite.repo();
    let host = Host::new();
    let first = host.begin(&repo, "A-1");
    suite.wait_until_begun();
    let pid = rustix::process::Pid::from_raw(first.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ran = Ran::new(first.wait_with_output().unwrap());
    assert_eq!(ran.exit, 130, "{ran:#?}");
    assert_eq!(ran.json()["outcome"], "cancelled");
    assert_eq!(processes::with_mark(&suite.mark()), Vec::<u32>::new());
    suite.open();
    host.run(&repo, "A-1").passed();
}

#[test]
fn a_task_that_has_moved_on_is_left_where_it_is_unless_it_is_asked_again() {
    let repo = Repo::passing_with(&[]);
    let host = Host::new();
    let first = host.run(&repo, "A-1");
    first.passed();
    let second = host.run(&repo, "A-1");
    assert_eq!(second.exit, 0);
    assert_eq!(second.json()["outcome"], "superseded");
    assert_eq!(second.json()["run"], serde_json::Value::Null, "nothing was run");
    let third = host.run_with(&repo, "A-1", &["--again"]);
    third.passed();
    assert_ne!(third.json()["run"], first.json()["run"]);
}

#[test]
fn a_new_commit_sends_a_tested_task_back_to_testing_and_is_judged_itself() {
    let repo = Repo::passing_with(&[]);
    let host = Host::new();
    host.run(&repo, "A-1").passed();
    repo.write("test_good.py", "def test_good():\n    assert False\n");
    repo.commit("Break it");
    host.run(&repo, "A-1").failed();
}

#[test]
fn a_deferred_task_is_held_when_its_budget_is_spent_and_resume_puts_it_back() {
    let text = "import os, signal\ndef test_a():\n    os.kill(os.getpid(), signal.SIGKILL)\n";
    let repo = Repo::with(&[("test_a.py", text)]);
    let host = Host::new();
    for _ in 0..3 {
        host.run(&repo, "A-1").ended(75, "deferred", "killed-by-signal", "testing");
    }
    host.run(&repo, "A-1").ended(78, "held", "killed-by-signal", "testing");
    host.run(&repo, "A-1").ended(78, "held", "killed-by-signal", "testing");
    let resumed = host.call(["task", "resume", "A-1"]);
    assert_eq!(resumed.exit, 0, "{resumed:#?}");
    host.run(&repo, "A-1").ended(75, "deferred", "killed-by-signal", "testing");
}

/// The child of `parent` whose command name begins with `name`.
fn child_named(parent: u32, name: &str) -> u32 {
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((head, rest)) = stat.rsplit_once(')') else { continue };
        let is_child = rest.split_ascii_whitespace().nth(1) == Some(&parent.to_string());
        if is_child && head.split_once('(').is_some_and(|(_, comm)| comm.starts_with(name)) {
            return entry.file_name().to_str().unwrap().parse().unwrap();
        }
    }
    panic!("process {parent} has no child {name}");
}

#[test]
fn a_report_whose_file_a_crash_has_prevented_is_written_by_the_next_start() {
    let repo = Repo::with(&[("test_a.py", "def test_a(): pass\n")]);
    let host = Host::new();
    let first = host.run(&repo, "A-1");
    first.passed();
    // What a process that ends between the transition and the report leaves: the run's folder, and no report.
    let file = std::path::PathBuf::from(first.json()["artifact"].as_str().unwrap());
    let leftover = host.state().join("runs").join(first.json()["run"].as_str().unwrap());
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    std::fs::create_dir_all(leftover.join("scratch")).unwrap();

    host.run(&repo, "A-2").passed();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), first.artifact());
    assert!(!leftover.exists(), "the run's folder is still there");
}

#[test]
fn a_report_that_can_not_be_written_as_a_file_does_not_change_what_was_decided() {
    let repo = Repo::with(&[("test_a.py", "def test_a(): pass\n")]);
    let host = Host::new();
    host.run(&repo, "A-1").passed();
    // In the way of every report of this task.
    let reports = host.state().join("reports");
    let of_repo = std::fs::read_dir(&reports).unwrap().next().unwrap().unwrap().path();
    std::fs::write(of_repo.join("A-2"), "").unwrap();

    let ran = host.with("log.format=json").run(&repo, "A-2");
    assert_eq!((ran.exit, ran.json()["to_stage"].as_str()), (0, Some("deploy-staging")), "{ran:#?}");
    assert_eq!(ran.json()["artifact"], serde_json::Value::Null);
    // The operator is told, on a line that says what it is about.
    let lines: Vec<serde_json::Value> =
        ran.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let told = |line: &&serde_json::Value| {
        line["message"].as_str().is_some_and(|text| text.contains("could not be written"))
    };
    let line = lines.iter().find(told).unwrap_or_else(|| panic!("nothing was logged: {ran:#?}"));
    let span = &line["spans"][0];
    assert!(span["task"].as_str().is_some_and(|task| task.contains("A-2")), "{line}");
    assert_eq!((&span["job"], &span["run"]), (&ran.json()["job"], &ran.json()["run"]));
    assert_eq!(span["epoch"], "1");
}
