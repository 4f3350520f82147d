//! The daemon: it works on the queue until it is told to stop, and whatever ends it, nothing is lost.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use stagewright_e2e::{Daemon, Host, Repo, SlowSuite, processes};

#[test]
fn a_task_that_is_added_is_tested_and_goes_on_until_there_is_no_staging() {
    let repo = Repo::passing_with(&[]);
    let host = Host::new();
    let daemon = Daemon::start(&host, &[]);
    host.add(&repo, "A-1");
    let tested = daemon.hear_end("A-1", "testing");
    assert_eq!(tested["judgement"], "pass", "{tested}");
    assert!(std::path::Path::new(tested["artifact"].as_str().unwrap()).exists());
    assert_eq!(daemon.hear_transition("A-1", "testing")["to_stage"], "deploy-staging");
    // Nobody has configured a staging host: the task waits for a person, and says for what.
    let staged = daemon.hear_end("A-1", "deploy-staging");
    assert_eq!(
        (&staged["outcome"], &staged["fault"]["code"]),
        (&"held".into(), &"target-not-granted".into())
    );
    daemon.stop();
    assert_eq!(host.task("A-1")["state"], "held");
}

#[test]
fn twenty_tasks_with_four_workers_are_all_tested_and_never_more_than_four_at_once() {
    let marks = tempfile::Builder::new().prefix("marks").tempdir_in("/dev/shm").unwrap();
    let suite = format!(
        "import os, pathlib, time\n\
         def test_a():\n    \
         folder = pathlib.Path({:?})\n    \
         mine = folder / str(os.getpid())\n    \
         mine.write_text('')\n    \
         count = len([name for name in os.listdir(folder) if not name.startswith('count')])\n    \
         (folder / f'count-{{count}}').write_text('')\n    \
         time.sleep(0.2)\n    \
         mine.unlink()\n",
        marks.path()
    );
    let (repo, host) = (Repo::with(&[("test_a.py", &suite)]), Host::new());
    let keys: Vec<String> = (1..=20).map(|number| format!("A-{number}")).collect();
    keys.iter().for_each(|key| host.add(&repo, key));
    let daemon = Daemon::start(&host, &["--set", "limits.jobs=4"]);
    let mut tested = std::collections::BTreeSet::new();
    while tested.len() < keys.len() {
        let end = daemon.hear(|line| line["event"] == "job-ended" && line["stage"] == "testing");
        assert_eq!(end["judgement"], "pass", "{end}");
        assert!(tested.insert(end["work_item"].as_str().unwrap().to_owned()), "tested twice: {end}");
    }
    daemon.stop();
    let mut counts: Vec<usize> = std::fs::read_dir(marks.path())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_prefix("count-")?.parse().ok())
        .collect();
    counts.sort_unstable();
    assert!(*counts.last().unwrap() <= 4, "{counts:?}");
    assert!(counts.len() > 1, "nothing ran beside anything else: {counts:?}");
}

#[test]
fn a_daemon_told_to_stop_lets_what_runs_come_to_its_end() {
    let suite = SlowSuite::new();
    let (repo, host) = (suite.repo(), Host::new());
    host.add(&repo, "A-1");
    let daemon = Daemon::start(&host, &[]);
    suite.wait_until_begun();
    daemon.signal(Signal::TERM);
    daemon.hear(|line| line["event"] == "stopping");
    suite.open();
    assert_eq!(daemon.hear_end("A-1", "testing")["judgement"], "pass");
    daemon.hear(|line| line["event"] == "stopped");
    assert_eq!(host.task("A-1")["stage"], "deploy-staging");
}

#[test]
fn a_daemon_that_may_not_wait_ends_what_runs_and_the_next_one_does_it_again() {
    let suite = SlowSuite::new();
    let (repo, host) = (suite.repo(), Host::new());
    host.add(&repo, "A-1");
    let daemon = Daemon::start(&host, &["--set", "jobs.drain_s=0"]);
    suite.wait_until_begun();
    daemon.stop();
    assert_eq!(processes::with_mark(&suite.mark()), Vec::<u32>::new());
    let task = host.task("A-1");
    assert_eq!((&task["stage"], &task["job"]["state"]), (&"testing".into(), &"queued".into()), "{task}");
    suite.open();
    let daemon = Daemon::start(&host, &[]);
    assert_eq!(daemon.hear_end("A-1", "testing")["judgement"], "pass");
    daemon.stop();
}

#[test]
fn after_a_kill_of_the_daemon_nothing_runs_on_and_the_next_one_takes_over() {
    let suite = SlowSuite::new();
    let (repo, host) = (suite.repo(), Host::new());
    host.add(&repo, "A-1");
    let daemon = Daemon::start(&host, &[]);
    suite.wait_until_begun();
    daemon.kill();
    processes::gone_within(&suite.mark(), Duration::from_secs(2));
    suite.open();
    let daemon = Daemon::start(&host, &[]);
    assert_eq!(daemon.hear_end("A-1", "testing")["judgement"], "pass");
    daemon.stop();
}

#[test]
fn a_push_while_the_suite_runs_ends_it_and_the_new_commit_is_tested() {
    let suite = SlowSuite::new();
    let (repo, host) = (suite.repo(), Host::new());
    host.add(&repo, "A-1");
    let daemon = Daemon::start(&host, &[]);
    suite.wait_until_begun();
    repo.write("test_a.py", "def test_a(): pass\n");
    let pushed = repo.commit("Do not wait");
    // The new one need not wait until the old one has noticed.
    let mut ends: Vec<Value> = (0..2).map(|_| daemon.hear_end("A-1", "testing")).collect();
    ends.sort_by_key(|end| end["outcome"].to_string());
    assert_eq!(
        (&ends[0]["outcome"], &ends[1]["judgement"]),
        (&"superseded".into(), &"pass".into()),
        "{ends:?}"
    );
    assert_eq!(processes::with_mark(&suite.mark()), Vec::<u32>::new());
    daemon.stop();
    assert_eq!(host.task("A-1")["examined"], pushed);
}

#[test]
fn a_held_task_stays_held_through_a_restart_and_resume_puts_it_back() {
    let repo = Repo::passing_with(&[]);
    let host = Host::new();
    host.add(&repo, "A-1");
    assert_eq!(host.call(["task", "hold", "A-1", "--reason", "not yet"]).exit, 0);
    let daemon = Daemon::start(&host, &[]);
    host.add(&repo, "A-2");
    daemon.hear_end("A-2", "testing");
    daemon.stop();
    assert_eq!((&host.task("A-1")["state"], &host.task("A-1")["stage"]), (&"held".into(), &"testing".into()));
    let daemon = Daemon::start(&host, &[]);
    assert_eq!(host.call(["task", "resume", "A-1"]).exit, 0);
    assert_eq!(daemon.hear_end("A-1", "testing")["judgement"], "pass");
    daemon.stop();
}

#[test]
fn run_works_beside_the_daemon_on_the_same_state() {
    let repo = Repo::passing_with(&[]);
    let host = Host::new();
    let daemon = Daemon::start(&host, &[]);
    host.run(&repo, "B-1").passed();
    host.add(&repo, "A-1");
    assert_eq!(daemon.hear_end("A-1", "testing")["judgement"], "pass");
    daemon.stop();
}

#[test]
fn with_the_test_runner_off_for_a_repository_its_fallback_is_asked_and_never_the_test_runner() {
    let repo = Repo::passing_with(&[]);
    let host = Host::new();
    let daemon = Daemon::start(&host, &["--set", "test_runner.repos=another"]);
    host.add(&repo, "A-1");
    let end = daemon.hear_end("A-1", "testing");
    assert_eq!((&end["producer"], &end["outcome"]), (&"llm-fallback".into(), &"held".into()), "{end}");
    daemon.stop();
}
