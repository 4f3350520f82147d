//! `run` and the effects of its stage, without a daemon.

use serde_json::Value;

use crate::world::World;

#[test]
fn run_does_the_effects_of_its_stage_and_goes_on_where_a_killed_one_stopped() {
    let world = World::with_merge();
    let mut killed = world.host.command(world.run_args());
    killed.env("STAGEWRIGHT_CRASH_AT", "before-act");
    assert_eq!(killed.output().unwrap().status.code(), None, "it was not killed");
    assert_eq!(world.merges().len(), 0);
    let again = world.run();
    assert_eq!(again.exit, 0, "{again:#?}");
    let report = again.json();
    assert_eq!((&report["judgement"], &report["to_stage"]), (&"pass".into(), &"done".into()), "{report:#}");
    world.is_done();
    assert_eq!(world.merges().len(), 1);
}

#[test]
fn run_waits_for_the_request_of_a_killed_one_and_reads_back_what_became_of_it() {
    for point in ["before-act", "after-act"] {
        let world = World::with_command("observable");
        let mut killed = world.host.command(world.run_args());
        killed.env("STAGEWRIGHT_CRASH_AT", point);
        assert_eq!(killed.output().unwrap().status.code(), None, "it was not killed");
        let again = world.run();
        assert_eq!(again.exit, 0, "killed at {point}: {again:#?}");
        world.is_done();
        assert_eq!(world.told().len(), 1, "killed at {point}");
    }
}

const BROKEN: &str = "def test_broken():\n    assert False\n";

#[test]
fn run_judges_what_was_pushed_after_a_run_that_was_killed_before_its_merge() {
    let world = World::with_merge();
    let mut killed = world.host.command(world.run_args());
    killed.env("STAGEWRIGHT_CRASH_AT", "lease-taken");
    assert_eq!(killed.output().unwrap().status.code(), None, "it was not killed");
    world.push("test_broken.py", BROKEN);
    let again = world.run();
    let report = again.json();
    assert_eq!((again.exit, &report["judgement"]), (1, &"fail".into()), "{report:#}");
    assert!(world.merges().is_empty());
}

#[test]
fn a_task_that_is_done_does_not_vouch_for_what_was_pushed_later() {
    let world = World::with_merge();
    assert_eq!(world.run().exit, 0);
    world.is_done();
    assert_eq!(world.run().exit, 0, "the same code, the same answer");
    world.push("test_broken.py", BROKEN);
    let later = world.run();
    let report = later.json();
    assert_eq!((later.exit, &report["judgement"]), (75, &Value::Null), "{report:#}");
}
