//! Edge effects: whatever ends the daemon and wherever, each is done as its class allows, and the stage follows once (O9).

mod holds;
mod kills;
mod owners;
mod run;
mod world;

use stagewright_e2e::Daemon;

use crate::world::{World, hear_moved};

#[test]
fn a_task_that_passes_is_merged_with_its_report_and_done() {
    let world = World::with_merge();
    world.add();
    let daemon = Daemon::start(&world.host, &[]);
    hear_moved(&daemon);
    daemon.stop();
    world.is_done();
    assert_eq!(world.merges().len(), 1);
    let files = world.repo.git(&["ls-tree", "-r", "--name-only", "main"]);
    assert!(files.contains("work.py") && files.contains("docs/work-items/A-1/13-test-report.md"), "{files}");
    let states: Vec<_> = world.effects().iter().map(|effect| effect["state"].clone()).collect();
    assert_eq!(states, ["done", "done"]);
}

#[test]
fn an_effect_that_is_not_configured_is_told_at_the_start() {
    let world = World::new(r#"["merge"]"#, |_| "[effects.merg]\ndoes = \"merge\"\n".to_owned());
    let refused = world.host.call(["serve"]);
    assert_eq!(refused.exit, 2, "{refused:#?}");
    assert!(refused.stderr.contains("[effects.merge]"), "{}", refused.stderr);
}
