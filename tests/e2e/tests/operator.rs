//! What a person wants of a task, from another process than the one that works on it.

use std::time::Duration;

use stagewright_e2e::{Host, Ran, Repo, SlowSuite, processes};

const GOOD: &str = "def test_good(): pass\n";

#[test]
fn a_cancelled_task_has_its_running_suite_ended_and_nothing_written_by_it() {
    let suite = SlowSuite::new();
    let (repo, host) = (suite.repo(), Host::new());
    let run = host.begin(&repo, "A-1");
    suite.wait_until_begun();

    let cancelled = host.call(["task", "cancel", "A-1", "--json"]);
    assert_eq!(
        (cancelled.exit, cancelled.json()["state"].as_str()),
        (0, Some("cancelled")),
        "{cancelled:#?}"
    );

    let ran = Ran::new(run.wait_with_output().unwrap());
    assert_eq!(ran.json()["outcome"], "superseded", "{ran:#?}");
    assert_eq!(ran.json()["to_stage"], "testing");
    processes::gone_within(&suite.mark(), Duration::from_secs(2));
    let shown = host.call(["task", "show", "A-1", "--json"]);
    assert_eq!(shown.json()["state"], "cancelled");
    assert_eq!(shown.json()["verdicts"], serde_json::json!({}));
}

#[test]
fn a_task_that_a_person_moves_leaves_its_running_suite_behind() {
    let suite = SlowSuite::new();
    let (repo, host) = (suite.repo(), Host::new());
    let run = host.begin(&repo, "A-1");
    suite.wait_until_begun();

    let moved = host.call(["task", "move", "A-1", "--to", "review", "--json"]);
    assert_eq!((moved.exit, moved.json()["stage"].as_str()), (0, Some("review")), "{moved:#?}");

    let ran = Ran::new(run.wait_with_output().unwrap());
    assert_eq!(
        (ran.json()["outcome"].as_str(), ran.json()["to_stage"].as_str()),
        (Some("superseded"), Some("review"))
    );
    assert_eq!(processes::with_mark(&suite.mark()), Vec::<u32>::new());
}

#[test]
fn a_task_that_is_held_while_its_suite_runs_is_not_moved_by_its_end() {
    let suite = SlowSuite::new();
    let (repo, host) = (suite.repo(), Host::new());
    let run = host.begin(&repo, "A-1");
    suite.wait_until_begun();

    let held = host.call(["task", "hold", "A-1", "--reason", "the release is frozen", "--json"]);
    assert_eq!((held.exit, held.json()["state"].as_str()), (0, Some("held")), "{held:#?}");
    suite.open();
    run.wait_with_output().unwrap();
    let shown = host.call(["task", "show", "A-1", "--json"]);
    assert_eq!(
        (shown.json()["state"].as_str(), shown.json()["stage"].as_str()),
        (Some("held"), Some("testing"))
    );
    assert!(shown.stdout.contains("the release is frozen"), "{shown:#?}");

    host.run(&repo, "A-1").ended(78, "held", "held-by-person", "testing");
    assert_eq!(host.call(["task", "resume", "A-1"]).exit, 0);
    host.run(&repo, "A-1").passed();
}

#[test]
fn a_stage_that_a_person_wants_again_is_done_again() {
    let (repo, host) = (Repo::with(&[("test_a.py", GOOD)]), Host::new());
    host.run(&repo, "A-1").passed();
    assert_eq!(host.call(["task", "move", "A-1", "--to", "testing"]).exit, 0);
    host.run(&repo, "A-1").passed();
}

#[test]
fn a_wish_that_makes_no_sense_is_refused_with_the_way_out_and_changes_nothing() {
    let (repo, host) = (Repo::with(&[("test_a.py", GOOD)]), Host::new());
    host.run(&repo, "A-1").passed();
    let before = host.call(["task", "show", "A-1", "--json"]).stdout;
    for (wish, said) in [
        (&["task", "move", "A-1", "--to", "reviw"][..], "did you mean `review`?"),
        (&["task", "resume", "A-1"], "is not held"),
        (&["task", "cancel", "A-2"], "there is no task A-2"),
        (&["task", "hold", "A-1"], "--reason"),
    ] {
        let refused = host.call(wish);
        assert_eq!(refused.exit, 2, "{wish:?}: {refused:#?}");
        assert!(refused.stderr.contains(said), "{wish:?}: {refused:#?}");
    }
    assert_eq!(host.call(["task", "show", "A-1", "--json"]).stdout, before);
    assert_eq!(host.call(["task", "cancel", "A-1"]).exit, 0);
    let again = host.call(["task", "retry", "A-1"]);
    assert_eq!(again.exit, 2, "{again:#?}");
    assert!(again.stderr.contains("cancelled"), "{again:#?}");
}
