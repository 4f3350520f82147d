//! A daemon that is killed between a verdict and its stage: each effect goes on as its class allows.

use stagewright_e2e::Daemon;

use crate::world::{World, hear_held, hear_moved};

/// Between the verdict and the stage that follows it.
const POINTS: [&str; 6] = ["lease-taken", "intended", "before-act", "after-act", "settled", "before-stage"];

#[test]
fn a_merge_is_done_once_wherever_the_daemon_is_killed() {
    for point in POINTS {
        // The second time: the first effect is the report.
        for point in [point.to_owned(), format!("{point}:2")] {
            if ["lease-taken:2", "before-stage:2"].contains(&point.as_str()) {
                continue;
            }
            let world = World::with_merge();
            world.add();
            world.killed_at(&point);
            let daemon = Daemon::start(&world.host, &[]);
            hear_moved(&daemon);
            daemon.stop();
            world.is_done();
            assert_eq!(world.merges().len(), 1, "killed at {point}");
            assert!(world.effects().iter().all(|effect| effect["state"] == "done"), "killed at {point}");
        }
    }
}

#[test]
fn a_keyed_command_may_be_repeated_under_the_same_key() {
    let world = World::with_command("keyed");
    world.add();
    world.killed_at("after-act:2");
    let daemon = Daemon::start(&world.host, &[]);
    hear_moved(&daemon);
    daemon.stop();
    world.is_done();
    let told = world.told();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0], told[1], "the target can't know it again");
}

#[test]
fn an_observable_command_is_read_back_and_done_once() {
    for point in ["before-act:2", "after-act:2"] {
        let world = World::with_command("observable");
        world.add();
        world.killed_at(point);
        let before = world.told().len();
        assert_eq!(before, usize::from(point == "after-act:2"));
        let daemon = Daemon::start(&world.host, &[]);
        hear_moved(&daemon);
        daemon.stop();
        world.is_done();
        assert_eq!(world.told().len(), 1, "killed at {point}");
    }
}

#[test]
fn a_blind_command_is_left_to_a_person_and_goes_on_as_they_say() {
    for (point, what, acts) in [("before-act:2", "not-done", 1), ("after-act:2", "done", 1)] {
        let world = World::with_command("blind");
        world.add();
        world.killed_at(point);
        let daemon = Daemon::start(&world.host, &[]);
        let held = hear_held(&daemon);
        assert_eq!(held["fault"]["code"], "effect-unresolved", "{held}");
        assert_eq!(world.effect("tell")["state"], "unresolved");
        // Resumed without a word about it, it is held again.
        assert_eq!(world.host.call(["task", "resume", "A-1"]).exit, 0);
        hear_held(&daemon);
        world.settle(what);
        hear_moved(&daemon);
        daemon.stop();
        world.is_done();
        assert_eq!(world.told().len(), acts, "killed at {point}");
    }
}
