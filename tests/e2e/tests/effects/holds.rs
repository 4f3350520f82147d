//! What waits for a person, and how it goes on.

use stagewright_e2e::{Daemon, processes};

use crate::world::{LIMIT, World, events, hear_held, hear_moved, slow_effect};

#[test]
fn a_contradiction_between_the_branches_holds_the_task_and_a_push_that_mends_it_goes_on() {
    let world = World::with_merge();
    world.repo.git(&["checkout", "--quiet", "main"]);
    world.repo.write("work.py", "WORK = 2\n");
    world.repo.commit("Other work");
    world.repo.git(&["checkout", "--quiet", "--detach"]);
    world.add();
    let daemon = Daemon::start(&world.host, &[]);
    let held = hear_held(&daemon);
    assert_eq!(held["fault"]["code"], "merge-conflict", "{held}");
    assert!(held["fault"]["message"].as_str().unwrap().contains("work.py"));
    assert!(world.merges().is_empty());
    // The developer merges `main` into the branch; the host's own report on it stays.
    world.repo.git(&["checkout", "--quiet", "task/a-1"]);
    world.repo.git(&["merge", "--quiet", "-X", "ours", "-m", "Take main in", "main"]);
    world.repo.git(&["checkout", "--quiet", "--detach"]);
    assert_eq!(world.host.call(["task", "resume", "A-1"]).exit, 0);
    hear_moved(&daemon);
    daemon.stop();
    world.is_done();
    let tip = world.repo.git(&["show", "main:work.py"]);
    assert_eq!(tip, "WORK = 1");
}

#[test]
fn a_held_task_stays_held_through_a_restart_and_resume_goes_on_with_its_effects() {
    let world = World::new(r#"["tell"]"#, |_| {
        "[effects.tell]\ndoes = \"command\"\nprogram = \"no-such-program-here\"\nclass = \"blind\"\n"
            .to_owned()
    });
    world.add();
    let daemon = Daemon::start(&world.host, &[]);
    assert_eq!(hear_held(&daemon)["fault"]["code"], "program-missing");
    daemon.stop();
    let daemon = Daemon::start(&world.host, &["--set", "effects.tell.program=true"]);
    assert_eq!(world.host.task("A-1")["state"], "held");
    assert_eq!(world.host.call(["task", "resume", "A-1"]).exit, 0);
    hear_moved(&daemon);
    daemon.stop();
    world.is_done();
}

#[test]
fn a_hold_lets_the_effect_that_runs_end_and_begins_no_other() {
    let world = World::new(r#"["tell", "after"]"#, |outside| {
        let after = outside.join("after");
        format!(
            "{}[effects.after]\ndoes = \"command\"\nprogram = \"sh\"\nclass = \"blind\"\ntimeout_s = 60\n\
             args = [\"-c\", '''echo x >> {}''']\n",
            slow_effect(outside),
            after.display()
        )
    });
    let after = || std::fs::read_to_string(world.outside.path().join("after")).unwrap_or_default();
    world.add();
    let daemon = Daemon::start(&world.host, &[]);
    processes::wait_for(LIMIT, "the effect to begin", || world.outside.path().join("begun").exists());
    let held = world.host.call(["task", "hold", "A-1", "--reason", "the release is frozen"]);
    assert_eq!(held.exit, 0, "{held:#?}");
    std::fs::write(world.outside.path().join("open"), "").unwrap();
    processes::wait_for(LIMIT, "the lease to be given back", || {
        world.told().len() == 1 && events(&world, "lease-released") == 1
    });
    assert_eq!(after(), "", "it was begun though the task was held");
    assert_eq!(world.host.task("A-1")["state"], "held");
    assert_eq!(world.host.call(["task", "resume", "A-1"]).exit, 0);
    hear_moved(&daemon);
    daemon.stop();
    world.is_done();
    assert_eq!((world.told().len(), after().as_str()), (1, "x\n"));
}

#[test]
fn a_task_whose_branch_is_gone_is_held_until_there_is_one_again() {
    let world = World::with_merge();
    world.add();
    let head = world.repo.git(&["rev-parse", "task/a-1"]);
    world.repo.git(&["branch", "--quiet", "-D", "task/a-1"]);
    let daemon = Daemon::start(&world.host, &[]);
    processes::wait_for(LIMIT, "the task to be held", || {
        world.host.task("A-1")["hold"]["fault"]["code"] == "branch-gone"
    });
    world.repo.git(&["branch", "--quiet", "task/a-1", &head]);
    assert_eq!(world.host.call(["task", "resume", "A-1"]).exit, 0);
    hear_moved(&daemon);
    daemon.stop();
    world.is_done();
}
