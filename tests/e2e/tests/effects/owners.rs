//! Several who want the same transition, owners that are stopped in the midst of it, and pushes meanwhile.

use std::time::Duration;

use rustix::process::Signal;
use stagewright_e2e::{Daemon, Locker, processes};

use crate::world::{LIMIT, World, events, hear_moved, slow_effect, writes_to};

/// Waits until a process is stopped, or is no more.
fn wait_until_stopped(id: u32) {
    processes::wait_for(Duration::from_secs(60), "the daemon to stop", || {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    });
}

/// A file that a daemon's process writes its lines to would block it when it is stopped; what it says is read by a thread.
///
/// All of its threads are stopped. One of them may be in the midst of a fetch, with the lock of the copy that others need: then
/// it is tried again in another world.
fn stopped_at(world: impl Fn() -> World, point: &str) -> (World, Daemon) {
    for _ in 0..20 {
        let world = world();
        world.add();
        let daemon = Daemon::begin(world.command("STAGEWRIGHT_STOP_AT", point));
        wait_until_stopped(daemon.id());
        if world.copy_is_free() {
            return (world, daemon);
        }
        daemon.kill();
    }
    panic!("each daemon that was stopped at {point} held the lock of the copy");
}

#[test]
fn an_owner_that_was_stopped_right_before_its_merge_wakes_up_and_merges_nothing_twice() {
    let (world, stopped) = stopped_at(World::with_merge, "before-act:2");
    // It lives, so nobody takes anything from it by themselves.
    let other = Daemon::start(&world.host, &[]);
    let refused = world.host.call(["lease", "release", "A-1"]);
    assert_eq!(refused.exit, 75, "{refused:#?}");
    // Forced: what it had begun is unresolved, and a merge may be asked for again.
    let forced = world.host.call(["lease", "release", "A-1", "--force"]);
    assert_eq!(forced.exit, 0, "{forced:#?}");
    let held = world.host.task("A-1");
    assert_eq!(held["hold"]["fault"]["code"], "effects-unresolved", "{held:#}");
    let id = world.effect("merge")["id"].as_str().unwrap().to_owned();
    assert_eq!(world.host.call(["effect", "settle", &id, "not-done"]).exit, 0);
    assert_eq!(world.host.call(["task", "resume", "A-1"]).exit, 0);
    hear_moved(&other);
    world.is_done();
    let before = world.host.task("A-1");
    stopped.signal(Signal::CONT);
    stopped.stop();
    other.stop();
    assert_eq!(world.merges().len(), 1);
    assert_eq!(world.host.task("A-1"), before, "the one that woke up has written something");
    assert!(world.effects().iter().all(|effect| effect["state"] == "done"));
}

#[test]
fn an_owner_that_was_stopped_before_its_last_look_does_not_act_at_all() {
    for class in ["keyed", "observable", "blind"] {
        let (world, stopped) = stopped_at(|| World::with_command(class), "intended:2");
        assert_eq!(world.host.call(["lease", "release", "A-1", "--force"]).exit, 0);
        stopped.signal(Signal::CONT);
        stopped.stop();
        assert!(world.told().is_empty(), "{class}: it has acted without its lease");
        assert_eq!(world.effect("tell")["state"], "unresolved");
    }
}

/// Starts five daemons at once, and ends them when the task is done.
fn five_daemons_until_done(world: &World) {
    let daemons: Vec<Daemon> = (0..5).map(|_| Daemon::start(&world.host, &[])).collect();
    processes::wait_for(LIMIT, "the task to be done", || world.host.task("A-1")["state"] == "done");
    daemons.into_iter().for_each(Daemon::stop);
}

#[test]
fn of_five_daemons_one_completes_the_transition_and_its_effects_are_done_once() {
    let world = World::with_command("blind");
    world.add();
    five_daemons_until_done(&world);
    assert_eq!(world.told().len(), 1);
    assert_eq!((writes_to(&world, "done"), events(&world, "lease-taken")), (1, 1));
}

#[test]
fn of_five_daemons_one_goes_on_where_a_killed_one_stopped_in_the_midst_of_the_region() {
    for (point, told) in [("before-act:2", 0), ("after-act:2", 1), ("before-stage", 1)] {
        let world = World::with_command("observable");
        world.add();
        world.killed_at(point);
        assert_eq!(world.told().len(), told, "{point}");
        five_daemons_until_done(&world);
        assert_eq!(world.told().len(), 1, "{point}");
        // One by the killed one, one by whoever came after it; nobody else got into the region.
        assert_eq!((writes_to(&world, "done"), events(&world, "lease-reclaimed")), (1, 1), "{point}");
    }
}

/// A push that races the advance to `done` comes before it, and then what was pushed is tested and merged; or behind it, and
/// then the task stays done with what was examined. Nothing is merged that was not examined.
#[test]
fn a_push_that_races_the_advance_to_done_is_before_it_or_behind_it_and_never_both() {
    for (point, before) in [
        ("lease-taken:2", true),
        ("intended:3", true),
        ("before-act:3", true),
        ("after-act:3", false),
        ("before-stage:2", false),
    ] {
        println!("stopped at {point}");
        let (world, owner) = stopped_at(World::with_acceptance, point);
        assert_eq!(world.host.task("A-1")["stage"], "acceptance");
        let pushed = world.push("pushed.py", "PUSHED = 1\n");
        // Another daemon sees the push, and brings it into the host's copy; the task is its owner's.
        let other = Daemon::start(&world.host, &[]);
        processes::wait_for(LIMIT, "the push to be seen", || {
            world.host.task("A-1")["head"] == pushed.as_str()
        });
        assert_eq!(world.host.task("A-1")["stage"], "acceptance", "{point}: taken from its owner");
        owner.signal(Signal::CONT);
        processes::wait_for(LIMIT, "the task to be done", || world.host.task("A-1")["state"] == "done");
        owner.stop();
        other.stop();
        assert_eq!(world.merges().len(), 1, "{point}");
        let message = world.repo.git(&["log", "-1", "--format=%B", "main"]);
        let (_, examined) = message.trim().rsplit_once("Stagewright-Examined: ").unwrap();
        // Reports may be on top of what was pushed; what was examined and what was merged have it, or neither has.
        let has_it = |commit: &str| world.repo.git(&["ls-tree", "--name-only", commit]).contains("pushed.py");
        assert_eq!((has_it(examined), has_it("main")), (before, before), "{point}: {message}");
        let (led_back, done) = (writes_to(&world, "testing"), writes_to(&world, "done"));
        assert_eq!((led_back, done), (usize::from(before), 1), "{point}");
    }
}

#[test]
fn a_transition_whose_end_could_not_be_written_gives_its_lease_back_and_is_completed_by_the_same_daemon() {
    let world = World::new(r#"["tell"]"#, slow_effect);
    world.add();
    let daemon = Daemon::start(&world.host, &[]);
    let begun = world.outside.path().join("begun");
    let limit = Duration::from_secs(60);
    processes::wait_for(limit, "the effect to begin", || begun.exists());
    // Longer than the daemon waits for its turn; the effect ends meanwhile.
    let locker = Locker::of(&world.host.state().join("store.sqlite3"), 12);
    std::fs::write(world.outside.path().join("open"), "").unwrap();
    locker.wait();
    hear_moved(&daemon);
    daemon.stop();
    world.is_done();
    let told = world.told();
    assert!(told.len() == 2 && told[0] == told[1], "{told:?}");
    assert_eq!(events(&world, "stage-written"), 1);
}
