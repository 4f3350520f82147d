//! Who is alive is decided by proof: the kernel lock of an instance, and not its process id, which in a container is 1 at
//! every start, which a stranger may have by now, and which says nothing from another pid namespace (O3). What a dead
//! instance leaves is taken over without a person (O6).

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use stagewright_e2e::container::Engine;
use stagewright_e2e::{Daemon, Host, Namespaced, Ran, Repo, SlowSuite, instances, processes};

const LIMIT: Duration = Duration::from_secs(90);

/// A host with a task whose suite waits.
struct Waiting {
    suite: SlowSuite,
    repo: Repo,
    host: Host,
}

impl Waiting {
    fn new() -> Self {
        let suite = SlowSuite::new();
        let (repo, host) = (suite.repo(), Host::new());
        host.add(&repo, "A-1");
        Self { suite, repo, host }
    }

    /// Asserts that nobody takes the job from its owner: neither the start of `daemon` has, nor does another instance.
    #[track_caller]
    fn is_left_alone_by(&self, daemon: &Daemon) {
        assert_eq!(daemon.serving()["taken_over"], 0, "{}", daemon.serving());
        self.gives_way().ended(75, "busy", "busy", "testing");
        assert!(!daemon.has_ended("A-1"));
        assert!(!processes::with_mark(&self.suite.mark()).is_empty(), "the suite was ended");
    }

    /// What a `run` of the same task comes to. One that took the job would wait as its suite does, so it is not waited for
    /// without end.
    #[track_caller]
    fn gives_way(&self) -> Ran {
        let mut run = self.host.begin(&self.repo, "A-1");
        let begun = Instant::now();
        while run.try_wait().unwrap().is_none() {
            if begun.elapsed() > LIMIT {
                run.kill().unwrap();
                panic!("another instance has taken the job: {:#?}", run.wait_with_output());
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Ran::new(run.wait_with_output().unwrap())
    }

    /// Asserts that the next end of the job is that of a suite that passed, told by `daemon`.
    #[track_caller]
    fn passes_in(&self, daemon: &Daemon) {
        self.suite.open();
        let end = daemon.hear_end("A-1", "testing");
        assert_eq!((&end["outcome"], &end["judgement"]), (&"verdict".into(), &"pass".into()), "{end}");
    }
}

/// A process that has nothing to do with us.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap())
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// --- The same process id at every start ----------------------------------------------------------------------------

#[test]
fn a_daemon_in_a_container_that_is_killed_and_started_again_takes_over_its_own_job() {
    let Some(engine) = Engine::find() else { return };
    let container = engine.image().container();
    let daemon = container.start();
    assert_eq!(daemon.serving()["pid"], 1, "{}", daemon.serving());
    container.add("A-1");
    container.wait_until_begun();
    container.kill(daemon);

    container.open();
    let daemon = container.start_again();
    assert_eq!(
        (&daemon.serving()["pid"], &daemon.serving()["taken_over"]),
        (&json!(1), &json!(1)),
        "{}",
        daemon.serving()
    );
    assert_eq!(daemon.hear_end("A-1", "testing")["judgement"], "pass");
    container.stop(daemon);
}

#[test]
fn a_daemon_that_is_pid_1_of_its_namespace_at_each_start_takes_over_from_the_one_before() {
    if !Namespaced::is_possible() {
        return;
    }
    // With the first namespace kept, the second must have another number; otherwise the kernel may give it the same.
    for is_kept in [true, false] {
        let waiting = Waiting::new();
        let first = Namespaced::start(&waiting.host, &[]);
        waiting.suite.wait_until_begun();
        let number = first.number();
        let kept = Some(first.kill()).filter(|_| is_kept);
        processes::gone_within(&waiting.suite.mark(), LIMIT);
        let second = Namespaced::start(&waiting.host, &[]);
        assert!(!is_kept || second.number() != number);
        assert_eq!(second.daemon().serving()["taken_over"], 1, "{}", second.daemon().serving());
        waiting.passes_in(second.daemon());
        second.stop();
        drop(kept);
    }
}

// --- A process id that belongs to somebody else by now --------------------------------------------------------------

#[test]
fn an_instance_whose_pid_a_living_stranger_has_is_dead_when_its_lock_is_free() {
    let waiting = Waiting::new();
    let killed = Daemon::start(&waiting.host, &[]);
    waiting.suite.wait_until_begun();
    killed.kill();
    processes::gone_within(&waiting.suite.mark(), LIMIT);
    let mut stranger = Stranger::new();
    // Even the start time is the stranger's: by its process alone nobody could be more alive.
    instances::record(
        &waiting.host,
        &json!({"pid": stranger.id(), "process_start": processes::began(stranger.id())}),
    );
    let daemon = Daemon::start(&waiting.host, &[]);
    assert_eq!(daemon.serving()["taken_over"], 1, "{}", daemon.serving());
    waiting.passes_in(&daemon);
    daemon.stop();
    assert!(stranger.lives(), "the stranger was ended");
}

#[test]
fn an_instance_that_holds_its_lock_lives_whatever_process_and_boot_it_recorded() {
    let gone = Command::new("true").spawn().unwrap();
    let gone_pid = gone.id();
    assert!(gone.wait_with_output().unwrap().status.success());
    let waiting = Waiting::new();
    let owner = Daemon::start(&waiting.host, &[]);
    waiting.suite.wait_until_begun();
    for wrong in [
        json!({"pid": gone_pid, "process_start": 1}),
        json!({"boot": "00000000-0000-0000-0000-000000000000"}),
        json!({"host": "another", "pid_namespace": "pid:[1]"}),
    ] {
        instances::record(&waiting.host, &wrong);
        let other = Daemon::start(&waiting.host, &["--set", "limits.jobs=1"]);
        waiting.is_left_alone_by(&other);
        other.stop();
    }
    waiting.passes_in(&owner);
    owner.stop();
}

// --- Another pid namespace on the same state folder -----------------------------------------------------------------

#[test]
fn a_daemon_in_a_pid_namespace_is_not_taken_for_dead_from_outside_and_after_its_kill_it_is() {
    if !Namespaced::is_possible() {
        return;
    }
    let waiting = Waiting::new();
    let inside = Namespaced::start(&waiting.host, &[]);
    waiting.suite.wait_until_begun();
    let outside = Daemon::start(&waiting.host, &[]);
    waiting.is_left_alone_by(&outside);
    inside.kill();
    processes::gone_within(&waiting.suite.mark(), LIMIT);
    // Its own reaper finds it: nobody starts anything.
    waiting.passes_in(&outside);
    outside.stop();
}

#[test]
fn a_daemon_outside_of_a_pid_namespace_is_not_taken_for_dead_from_inside_and_after_its_kill_it_is() {
    if !Namespaced::is_possible() {
        return;
    }
    let waiting = Waiting::new();
    let outside = Daemon::start(&waiting.host, &[]);
    waiting.suite.wait_until_begun();
    let inside = Namespaced::start(&waiting.host, &[]);
    waiting.is_left_alone_by(inside.daemon());
    outside.kill();
    processes::gone_within(&waiting.suite.mark(), LIMIT);
    waiting.passes_in(inside.daemon());
    inside.stop();
}

// --- Silence is no death ------------------------------------------------------------------------------------------

#[test]
fn a_daemon_that_stands_still_is_alive_and_goes_on_where_it_was() {
    let waiting = Waiting::new();
    let still = Daemon::start(&waiting.host, &[]);
    waiting.suite.wait_until_begun();
    instances::stand_still(&waiting.host, &still);
    let other = Daemon::start(&waiting.host, &[]);
    waiting.is_left_alone_by(&other);
    other.stop();
    still.signal(Signal::CONT);
    waiting.passes_in(&still);
    still.stop();
}

#[test]
fn a_daemon_that_stands_still_is_dead_when_it_is_killed_there() {
    let waiting = Waiting::new();
    let still = Daemon::start(&waiting.host, &[]);
    waiting.suite.wait_until_begun();
    instances::stand_still(&waiting.host, &still);
    let other = Daemon::start(&waiting.host, &[]);
    waiting.is_left_alone_by(&other);
    other.stop();
    still.kill();
    processes::gone_within(&waiting.suite.mark(), LIMIT);
    let next = Daemon::start(&waiting.host, &[]);
    assert_eq!(next.serving()["taken_over"], 1, "{}", next.serving());
    waiting.passes_in(&next);
    next.stop();
}

#[test]
fn nobody_holds_the_lock_of_a_dead_instance_after_it_was_taken_over() {
    let waiting = Waiting::new();
    let killed = Daemon::start(&waiting.host, &[]);
    waiting.suite.wait_until_begun();
    let lock = instances::locks(&waiting.host);
    assert_eq!(lock.len(), 1, "{lock:?}");
    killed.kill();
    processes::gone_within(&waiting.suite.mark(), LIMIT);
    let next = Daemon::start(&waiting.host, &[]);
    waiting.passes_in(&next);
    let locks = instances::locks(&waiting.host);
    assert_eq!(locks.len(), 1, "{locks:?}");
    assert_ne!(locks, lock);
    next.stop();
    assert_eq!(instances::locks(&waiting.host), Vec::<std::path::PathBuf>::new());
}
