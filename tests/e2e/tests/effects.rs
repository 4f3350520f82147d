//! Edge effects: whatever ends the daemon and wherever, each is done as its class allows, and the stage follows once (O9).

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use sha2::{Digest, Sha256};
use stagewright_e2e::{Daemon, Host, Locker, Repo, component, processes};

const LIMIT: std::time::Duration = std::time::Duration::from_secs(90);
/// Between the verdict and the stage that follows it.
const POINTS: [&str; 6] = ["lease-taken", "intended", "before-act", "after-act", "settled", "before-stage"];

/// A repository, its task's branch, a place outside of it, and a host whose pipeline has effects.
struct World {
    repo: Repo,
    host: Host,
    outside: tempfile::TempDir,
}

impl World {
    /// With these effects behind `testing`, and this configuration of theirs.
    fn new(effects: &str, config: impl FnOnce(&Path) -> String) -> Self {
        let stages = format!(
            r#"
            [[stage]]
            name = "testing"
            producer = "test-runner"
            gate = "check_tests_passed"
            artifact = "13-test-report.md"
            on_pass = "done"
            on_fail = "development"
            effects = {effects}
            "#
        );
        Self::with_stages(&stages, config)
    }

    /// With these stages between `development` and `done`.
    fn with_stages(stages: &str, config: impl FnOnce(&Path) -> String) -> Self {
        let repo = Repo::passing_with(&[]);
        repo.git(&["checkout", "--quiet", "-b", "task/a-1"]);
        repo.write("work.py", "WORK = 1\n");
        repo.commit("Work");
        // Nobody stands on a branch: the host may move both.
        repo.git(&["checkout", "--quiet", "--detach"]);
        let outside = tempfile::Builder::new().prefix("outside").tempdir_in("/dev/shm").unwrap();
        let pipeline = outside.path().join("pipeline.toml");
        let text = format!(
            r#"
            [[stage]]
            name = "development"
            producer = "llm-fallback"
            gate = "check_development_complete"
            artifact = "10-development.md"
            on_pass = "testing"
            on_fail = "development"
            {stages}
            [[stage]]
            name = "done"
            "#
        );
        std::fs::write(&pipeline, text).unwrap();
        let config = config(outside.path());
        let host = Host::new()
            .with(&format!("pipeline.file={}", pipeline.display()))
            .with("jobs.grace_s=0")
            .with("jobs.deferral_backoff_s=1")
            .with_file(&config);
        Self { repo, host, outside }
    }

    /// With a stage more before the merge, so that a push at it leads back. Each has its report committed.
    fn with_acceptance() -> Self {
        let stages = r#"
            [[stage]]
            name = "testing"
            producer = "test-runner"
            gate = "check_tests_passed"
            artifact = "13-test-report.md"
            on_pass = "acceptance"
            on_fail = "development"
            [[stage]]
            name = "acceptance"
            producer = "mine"
            gate = "check_tests_passed"
            artifact = "14-acceptance.md"
            on_pass = "done"
            on_fail = "development"
            effects = ["merge"]
            "#;
        let file = component("bench/starts-true.wasm");
        let sha256: String =
            Sha256::digest(std::fs::read(&file).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
        let config = format!(
            "[effects.merge]\ndoes = \"merge\"\n[producers.mine]\ncomponent = {file:?}\nsha256 = {sha256:?}\n\
             [producers.mine.grants.process]\nprograms = {{ true = \"true\" }}\n"
        );
        Self::with_stages(stages, |_| config)
    }

    fn with_merge() -> Self {
        Self::new(r#"["merge"]"#, |_| "[effects.merge]\ndoes = \"merge\"\n".to_owned())
    }

    /// With a command that appends its key to a file outside, of this class.
    fn with_command(class: &str) -> Self {
        Self::new(r#"["tell"]"#, |outside| {
            let told = outside.join("told");
            let read_back = if class == "observable" {
                let script =
                    format!("grep -q \"$STAGEWRIGHT_KEY\" {0} 2>/dev/null && exit 0; exit 1", told.display());
                format!("read_back = \"sh\"\nread_back_args = [\"-c\", '''{script}''']\n")
            } else {
                String::new()
            };
            format!(
                "[effects.tell]\ndoes = \"command\"\nprogram = \"sh\"\nclass = \"{class}\"\ntimeout_s = 1\n\
                 args = [\"-c\", '''echo \"$STAGEWRIGHT_KEY\" >> {}''']\n{read_back}",
                told.display()
            )
        })
    }

    fn add(&self) {
        let path = self.repo.path();
        let args = ["task", "add", "A-1", "--branch", "task/a-1", "--stage", "testing", "--repo"];
        let added = self.host.call(args.into_iter().chain([path.to_str().unwrap()]));
        assert_eq!(added.exit, 0, "{added:#?}");
    }

    /// The daemon's command, to be killed or stopped at a point of its own.
    fn command(&self, variable: &str, point: &str) -> Command {
        let mut command = self.host.command(Daemon::args(&[]));
        command.env(variable, point);
        command
    }

    /// A daemon that kills itself at this point; waits for that.
    fn killed_at(&self, point: &str) {
        let daemon = Daemon::begin(self.command("STAGEWRIGHT_CRASH_AT", point));
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(daemon.wait().signal(), Some(9), "it was not killed at {point}");
    }

    fn told(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.outside.path().join("told")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn effects(&self) -> Vec<Value> {
        self.host.call(["effect", "list", "A-1", "--json"]).json().as_array().unwrap().clone()
    }

    fn effect(&self, name: &str) -> Value {
        self.effects().into_iter().find(|effect| effect["name"] == name).expect("the journal has it")
    }

    /// The merge commits on `main`.
    fn merges(&self) -> Vec<String> {
        let text = self.repo.git(&["rev-list", "--merges", "main"]);
        text.lines().map(str::to_owned).collect()
    }

    fn is_done(&self) {
        let task = self.host.task("A-1");
        assert_eq!((&task["state"], &task["stage"]), (&"done".into(), &"done".into()), "{task:#}");
    }

    /// The task waits for a person, who has looked at the effect and says what is true.
    fn settle(&self, what: &str) {
        let effect = self.effect("tell");
        let id = effect["id"].as_str().unwrap();
        let settled = self.host.call(["effect", "settle", id, what]);
        assert_eq!(settled.exit, 0, "{settled:#?}");
        assert_eq!(self.host.call(["task", "resume", "A-1"]).exit, 0);
    }
}

fn hear_held(daemon: &Daemon) -> Value {
    let end = daemon.hear_transition("A-1", "testing");
    assert_eq!(end["outcome"], "held", "{end}");
    end
}

fn hear_moved(daemon: &Daemon) {
    loop {
        let end = daemon.hear_transition("A-1", "testing");
        match end["outcome"].as_str() {
            Some("moved") => return assert_eq!(end["to_stage"], "done", "{end}"),
            Some("put-off") => {}
            _ => panic!("{end}"),
        }
    }
}

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

/// Waits until a process is stopped, or is no more.
fn wait_until_stopped(id: u32) {
    processes::wait_for(std::time::Duration::from_secs(60), "the daemon to stop", || {
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

/// How often a stage was written.
fn writes_to(world: &World, stage: &str) -> usize {
    count(world, &format!("kind = 'stage-written' AND detail ->> '$.to' = '{stage}'"))
}

/// How many events of this kind the audit trail has.
fn events(world: &World, kind: &str) -> usize {
    count(world, &format!("kind = '{kind}'"))
}

fn count(world: &World, which: &str) -> usize {
    let store: PathBuf = world.host.state().join("store.sqlite3");
    let query = format!("SELECT count(*) FROM events WHERE {which}");
    let python = stagewright_e2e::python();
    let script =
        "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])";
    let output = Command::new(python).args(["-c", script]).arg(store).arg(query).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

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
fn an_effect_that_is_not_configured_is_told_at_the_start() {
    let world = World::new(r#"["merge"]"#, |_| "[effects.merg]\ndoes = \"merge\"\n".to_owned());
    let refused = world.host.call(["serve"]);
    assert_eq!(refused.exit, 2, "{refused:#?}");
    assert!(refused.stderr.contains("[effects.merge]"), "{}", refused.stderr);
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
fn run_does_the_effects_of_its_stage_and_goes_on_where_a_killed_one_stopped() {
    let world = World::with_merge();
    let path = world.repo.path();
    let args =
        ["run", "--work-item", "A-1", "--branch", "task/a-1", "--json", "--repo", path.to_str().unwrap()];
    let mut killed = world.host.command(args);
    killed.env("STAGEWRIGHT_CRASH_AT", "before-act");
    assert_eq!(killed.output().unwrap().status.code(), None, "it was not killed");
    assert_eq!(world.merges().len(), 0);
    let again = world.host.call(args);
    assert_eq!(again.exit, 0, "{again:#?}");
    let report = again.json();
    assert_eq!((&report["judgement"], &report["to_stage"]), (&"pass".into(), &"done".into()), "{report:#}");
    world.is_done();
    assert_eq!(world.merges().len(), 1);
}

/// An effect that says that it has begun, and waits until it may end.
fn slow_effect(outside: &Path) -> String {
    let (begun, open, told) = (outside.join("begun"), outside.join("open"), outside.join("told"));
    let script = format!(
        "touch {}; while [ ! -e {} ]; do sleep 0.02; done; echo \"$STAGEWRIGHT_KEY\" >> {}",
        begun.display(),
        open.display(),
        told.display()
    );
    format!(
        "[effects.tell]\ndoes = \"command\"\nprogram = \"sh\"\nclass = \"keyed\"\ntimeout_s = 300\nargs = [\"-c\", '''{script}''']\n"
    )
}

impl World {
    /// Whether nobody holds the lock of the host's copy.
    fn copy_is_free(&self) -> bool {
        let folder = std::fs::read_dir(self.host.state().join("repos")).unwrap();
        let locks = folder
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "lock"));
        locks.into_iter().all(|path| std::fs::File::open(path).unwrap().try_lock().is_ok())
    }

    fn run(&self) -> stagewright_e2e::Ran {
        let path = self.repo.path();
        let args =
            ["run", "--work-item", "A-1", "--branch", "task/a-1", "--json", "--repo", path.to_str().unwrap()];
        self.host.call(args)
    }

    /// A push to the task's branch.
    fn push(&self, path: &str, content: &str) -> String {
        self.repo.git(&["checkout", "--quiet", "task/a-1"]);
        self.repo.write(path, content);
        let pushed = self.repo.commit("Pushed");
        self.repo.git(&["checkout", "--quiet", "--detach"]);
        pushed
    }
}

const BROKEN: &str = "def test_broken():\n    assert False\n";

#[test]
fn run_judges_what_was_pushed_after_a_run_that_was_killed_before_its_merge() {
    let world = World::with_merge();
    let path = world.repo.path();
    let args = ["run", "--work-item", "A-1", "--branch", "task/a-1", "--repo", path.to_str().unwrap()];
    let mut killed = world.host.command(args);
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

#[test]
fn a_transition_whose_end_could_not_be_written_gives_its_lease_back_and_is_completed_by_the_same_daemon() {
    let world = World::new(r#"["tell"]"#, slow_effect);
    world.add();
    let daemon = Daemon::start(&world.host, &[]);
    let begun = world.outside.path().join("begun");
    let limit = std::time::Duration::from_secs(60);
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
