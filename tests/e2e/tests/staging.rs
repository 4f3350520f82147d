//! Staging over a real sshd: whether the check ran is known by marks, and trouble on the way never leads a task back.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use stagewright_e2e::agent::Agent;
use stagewright_e2e::busybox::Busybox;
use stagewright_e2e::container::Engine;
use stagewright_e2e::sshd::{Sshd, free_port};
use stagewright_e2e::{Daemon, Host, Ran, Repo, processes};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

/// A host whose staging is this sshd, with more lines in `[staging_runner]`.
fn host_of(target: &str, staging: &str) -> Host {
    Host::bare().with_file(&format!("[staging_runner]\n{staging}\n{target}"))
}

/// What the stage `deploy-staging` comes to.
fn staged(target: &str, staging: &str) -> Ran {
    host_of(target, staging).run_with(&Repo::passing_with(&[]), "A-1", &["--stage", "deploy-staging"])
}

/// The check as a TOML list: a shell script.
fn shell(script: &str) -> String {
    format!("command = [\"sh\", \"-c\", {}]", Value::from(script))
}

#[track_caller]
fn passed(ran: &Ran) {
    ran.ended(0, "verdict", "", "deploy");
}

#[track_caller]
fn failed(ran: &Ran) {
    ran.ended(1, "verdict", "", "development");
}

/// It is held where it is: no rollback, no attempt spent.
#[track_caller]
fn held(ran: &Ran, fault: &str) {
    ran.ended(78, "held", fault, "deploy-staging");
}

/// It is tried again.
#[track_caller]
fn deferred(ran: &Ran, fault: &str) {
    ran.ended(75, "deferred", fault, "deploy-staging");
}

#[test]
fn a_check_that_passes_leads_on_and_its_log_says_success() {
    let sshd = Sshd::new();
    let ran = staged(&sshd.target(&[]), &shell("echo looked; exit 0"));
    passed(&ran);
    let log = ran.artifact();
    assert!(log.contains("staging_status: SUCCESS") && log.contains("result: PASS"), "{log}");
    assert!(log.contains("looked") && log.contains("x-target: staging"), "{log}");
}

#[test]
fn a_check_that_fails_leads_back_whatever_it_prints_and_whatever_its_code_is() {
    let sshd = Sshd::new();
    for script in [
        "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock' >&2; exit 1",
        "echo 'Permission denied (publickey).' >&2; exit 255",
        "echo 'Connection refused' >&2; exit 3",
    ] {
        let ran = staged(&sshd.target(&[]), &shell(script));
        failed(&ran);
        assert!(ran.artifact().contains("staging_status: FAILED"), "{}", ran.artifact());
    }
}

#[test]
fn what_only_a_person_can_mend_holds_the_task() {
    let sshd = Sshd::new();
    let check = shell("exit 0");
    held(&staged(&sshd.target(&[("identity", sshd.other_key())]), &check), "ssh-key-refused");
    held(&staged(&sshd.target(&[("known_hosts", sshd.other_hosts())]), &check), "ssh-host-key-changed");
    let nobody = tempfile::NamedTempFile::new().unwrap();
    let known_hosts = format!("{:?}", nobody.path());
    held(&staged(&sshd.target(&[("known_hosts", known_hosts)]), &check), "ssh-host-key-unknown");
    held(&staged(&sshd.target(&[]), "command = [\"no-such-check\"]"), "staging-suite-missing");
}

#[test]
fn what_may_pass_is_tried_again() {
    let sshd = Sshd::new();
    let check = shell("exit 0");
    deferred(&staged(&sshd.target(&[("port", free_port().to_string())]), &check), "ssh-refused");
    // It accepts, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let target = sshd.target(&[("port", port), ("connect_timeout_s", "2".to_owned())]);
    deferred(&staged(&target, &check), "ssh-timed-out");
}

#[test]
fn a_fault_that_does_not_pass_is_tried_so_often_and_then_waits_for_a_person() {
    let sshd = Sshd::new();
    let target = sshd.target(&[("port", free_port().to_string())]);
    let host = host_of(&target, &format!("infra_retry_max = 1\n{}", shell("exit 0")));
    let repo = Repo::passing_with(&[]);
    let stage = ["--stage", "deploy-staging"];
    deferred(&host.run_with(&repo, "A-1", &stage), "ssh-refused");
    held(&host.run_with(&repo, "A-1", &stage), "ssh-refused");
    assert_eq!(host.task("A-1")["attempts_spent"], 0);
}

#[test]
fn arguments_arrive_as_they_are() {
    let sshd = Sshd::new();
    let odd = ["it's", "two\nlines", "$(touch /tmp/never)", "; exit 9", "--", "-n", "", "\"q\" \\ `x` ä"];
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let seen = folder.path().join("seen");
    let script = format!("printf '%s\\0' \"$@\" > {}", seen.display());
    let args: Vec<Value> = ["sh", "-c", &script, "check"].into_iter().chain(odd).map(Value::from).collect();
    passed(&staged(&sshd.target(&[]), &format!("command = {}", Value::from(args))));
    let arrived = fs::read_to_string(&seen).unwrap();
    assert_eq!(arrived.split_terminator('\0').collect::<Vec<_>>(), odd);
    assert!(!Path::new("/tmp/never").exists());
}

/// A check that says that it runs, leaves an escapee that bears TERM, and waits.
struct Waiting {
    folder: TempDir,
}

impl Waiting {
    fn new() -> Self {
        Self { folder: tempfile::tempdir_in("/dev/shm").unwrap() }
    }

    fn check(&self) -> String {
        let folder = self.folder.path().display();
        shell(&format!(
            "setsid sh -c 'trap \"\" TERM; echo $$ > {folder}/escapee; exec sleep 600' & \
             while [ ! -s {folder}/escapee ]; do sleep 0.05; done; \
             echo $$ > {folder}/check.new; mv {folder}/check.new {folder}/check; sleep 600"
        ))
    }

    fn pid(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap().trim().to_owned()
    }

    fn wait_until_it_runs(&self) {
        processes::wait_for(LIMIT, "the check begins", || self.folder.path().join("check").exists());
    }

    #[track_caller]
    fn is_gone(&self) {
        for name in ["check", "escapee"] {
            assert!(!lives(&self.pid(name)), "the {name} lives on");
        }
    }
}

#[test]
fn a_connection_that_is_cut_in_the_midst_is_no_verdict_and_leaves_nothing_running() {
    let (sshd, waiting) = (Sshd::new(), Waiting::new());
    let (repo, host) = (Repo::passing_with(&[]), host_of(&sshd.target(&[]), &waiting.check()));
    let child = begun(&host, &repo);
    waiting.wait_until_it_runs();
    sshd.cut_connections();
    deferred(&Ran::new(child.wait_with_output().unwrap()), "staging-interrupted");
    waiting.is_gone();
}

#[test]
fn a_check_that_ends_in_time_behind_a_stalled_link_has_not_overrun() {
    let (sshd, folder) = (Sshd::new(), tempfile::tempdir_in("/dev/shm").unwrap());
    let (at, go) = (folder.path().display(), folder.path().join("go"));
    let check =
        format!("echo > {at}/begun; while [ ! -e {at}/go ]; do sleep 0.05; done; echo > {at}/ended; exit 0");
    let staging = format!("{}\ntimeout_s = 6", shell(&check));
    let (repo, host) = (Repo::passing_with(&[]), host_of(&sshd.target(&[]), &staging));
    let child = begun(&host, &repo);
    processes::wait_for(LIMIT, "the check begins", || folder.path().join("begun").exists());
    sshd.stall_connections();
    fs::write(go, "").unwrap();
    processes::wait_for(LIMIT, "the check ends", || folder.path().join("ended").exists());
    deferred(&Ran::new(child.wait_with_output().unwrap()), "staging-interrupted");
    assert_eq!(host.task("A-1")["attempts_spent"], 0);
}

#[test]
fn a_check_that_overruns_behind_a_stalled_link_is_seen_to_and_has_failed() {
    let (sshd, waiting) = (Sshd::new(), Waiting::new());
    let staging = format!("{}\ntimeout_s = 3", waiting.check());
    let (repo, host) = (Repo::passing_with(&[]), host_of(&sshd.target(&[]), &staging));
    let child = begun(&host, &repo);
    waiting.wait_until_it_runs();
    sshd.stall_connections();
    failed(&Ran::new(child.wait_with_output().unwrap()));
    waiting.is_gone();
}

#[test]
fn a_check_that_overruns_has_failed_and_its_whole_tree_is_ended() {
    let (sshd, waiting) = (Sshd::new(), Waiting::new());
    let staging = format!("{}\ntimeout_s = 3", waiting.check());
    failed(&staged(&sshd.target(&[]), &staging));
    waiting.is_gone();
}

#[test]
fn a_cancelled_task_leaves_nothing_running_on_the_other_side() {
    let (sshd, waiting) = (Sshd::new(), Waiting::new());
    let (repo, host) = (Repo::passing_with(&[]), host_of(&sshd.target(&[]), &waiting.check()));
    let path = repo.path();
    let add = ["task", "add", "A-1", "--repo", path.to_str().unwrap(), "--stage", "deploy-staging"];
    assert_eq!(host.call(add).exit, 0);
    let daemon = Daemon::start(&host, &[]);
    waiting.wait_until_it_runs();
    assert_eq!(host.call(["task", "cancel", "A-1"]).exit, 0);
    daemon.hear(|line| line["event"] == "job-ended");
    waiting.is_gone();
    daemon.stop();
}

#[test]
fn a_daemon_that_is_killed_leaves_nothing_running_on_the_other_side_and_the_next_one_checks_again() {
    let (sshd, waiting) = (Sshd::new(), Waiting::new());
    let (repo, host) = (Repo::passing_with(&[]), host_of(&sshd.target(&[]), &waiting.check()));
    let path = repo.path();
    let add = ["task", "add", "A-1", "--repo", path.to_str().unwrap(), "--stage", "deploy-staging"];
    assert_eq!(host.call(add).exit, 0);
    let daemon = Daemon::start(&host, &[]);
    waiting.wait_until_it_runs();
    let first = [waiting.pid("check"), waiting.pid("escapee")];
    daemon.kill();
    processes::wait_for(LIMIT, "the first check ends", || first.iter().all(|pid| !lives(pid)));
    fs::remove_file(waiting.folder.path().join("check")).unwrap();
    let again = Daemon::start(&host, &[]);
    waiting.wait_until_it_runs();
    assert_ne!(waiting.pid("check"), first[0], "the same job, begun anew");
    again.kill();
    processes::wait_for(LIMIT, "the second check ends", || !lives(&waiting.pid("check")));
}

/// Whether a process lives. One that has ended and that nobody waits for does not.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, behind)| !behind.starts_with('Z'))
}

/// A folder with programs that a shell needs, and with this one besides.
fn programs(with: Option<(&str, &str)>) -> TempDir {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    for name in
        ["sh", "true", "env", "id", "grep", "sleep", "mkdir", "chmod", "rm", "mv", "cat", "setsid", "ls"]
    {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|at| at.join(name))
            .find(|it| it.exists());
        std::os::unix::fs::symlink(found.unwrap(), folder.path().join(name)).unwrap();
    }
    if let Some((name, script)) = with {
        let file = folder.path().join(name);
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// The incident: a staging host without the docker client led good code back to development.
#[test]
fn a_host_without_the_docker_client_never_causes_a_rollback() {
    let path = programs(None);
    let sshd = Sshd::with_path(path.path().to_str().unwrap());
    let (repo, host) = (Repo::passing_with(&[]), host_of(&sshd.target(&[]), "container = \"app\""));
    for _ in 0..2 {
        let ran = host.run_with(&repo, "A-1", &["--stage", "deploy-staging"]);
        held(&ran, "docker-missing");
        let task = host.task("A-1");
        assert_eq!(
            (&task["stage"], &task["attempts_spent"]),
            (&"deploy-staging".into(), &0.into()),
            "{task}"
        );
        assert_eq!(host.call(["task", "resume", "A-1"]).exit, 0);
    }
    // With the client's own engine gone it is tried again, and as little is spent.
    let said = "#!/bin/sh\necho 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' >&2\nexit 1\n";
    fs::write(path.path().join("docker"), said).unwrap();
    fs::set_permissions(path.path().join("docker"), fs::Permissions::from_mode(0o755)).unwrap();
    deferred(&host.run_with(&repo, "A-1", &["--stage", "deploy-staging"]), "docker-no-engine");
    assert_eq!(host.task("A-1")["attempts_spent"], 0);
}

#[test]
fn a_local_client_that_nobody_granted_holds_the_task() {
    let sshd = Sshd::new();
    held(&staged(&sshd.target(&[]), "container = \"app\"\nexec_host_side = false"), "docker-not-granted");
}

#[test]
fn a_switched_off_staging_runner_leads_to_the_fallback_and_an_unreachable_host_never_does() {
    let agent =
        Agent::that("echo asked > \"$NOTES/asked\"; draft staging_status SUCCESS; result success false 0.1");
    let sshd = Sshd::new();
    let (repo, notes) = (Repo::passing_with(&[]), agent.writes());
    let variables = format!("llm.variables={{ NOTES = \"{}\" }}", agent.notes().display());
    let target = sshd.target(&[("port", free_port().to_string())]);
    let host = host_of(&target, &shell("exit 0")).with(&agent.setting()).with(&notes).with(&variables);
    deferred(&host.run_with(&repo, "A-1", &["--stage", "deploy-staging"]), "ssh-refused");
    assert_eq!(agent.noted("asked"), None, "a model was consulted because a tool broke");
    let off = ["--stage", "deploy-staging", "--set", "staging_runner.enabled=false"];
    passed(&host.run_with(&repo, "A-1", &off));
    assert!(agent.noted("asked").is_some());
}

/// The block of `/queue` when the look at the start is over.
fn block(daemon: &Daemon) -> Value {
    let mut block = Value::Null;
    processes::wait_for(LIMIT, "the channel is looked at", || {
        block = daemon.get("/queue").json()["staging_runner"].clone();
        !block["preflight"]["at"].is_null()
    });
    block
}

#[test]
fn the_queue_shows_what_the_look_at_the_start_has_found() {
    let path = programs(None);
    let sshd = Sshd::with_path(path.path().to_str().unwrap());
    let host = host_of(&sshd.target(&[]), "container = \"app\"");
    let daemon = Daemon::start(&host, &[]);
    let found = block(&daemon);
    assert_eq!(
        (&found["state"], &found["permanent_env"], &found["exec_host_side"]),
        (&"on".into(), &true.into(), &true.into()),
        "{found:#}"
    );
    assert!(found["preflight"]["message"].as_str().unwrap().contains("docker"), "{found:#}");
    daemon.stop();
    let daemon = Daemon::start(&host_of(&sshd.target(&[]), &shell("exit 0")), &[]);
    let found = block(&daemon);
    assert_eq!(
        (&found["permanent_env"], &found["preflight"]["state"]),
        (&false.into(), &"on".into()),
        "{found:#}"
    );
    daemon.stop();
    let daemon = Daemon::start(&Host::bare(), &[]);
    assert_eq!(daemon.get("/queue").json()["staging_runner"]["state"], "not-configured");
    daemon.stop();
}

#[test]
fn in_a_container_the_checks_own_code_counts_and_a_container_that_is_not_there_does_not() {
    let Some(engine) = Engine::find() else { return };
    let (app, sshd) = (Busybox::start(&engine), Sshd::new());
    let inside = |script: &str| format!("container = \"{}\"\n{}", app.name(), shell(script));
    let ran = staged(&sshd.target(&[]), &inside("echo in the container; exit 0"));
    passed(&ran);
    assert!(ran.artifact().contains(app.name()), "{}", ran.artifact());
    failed(&staged(&sshd.target(&[]), &inside("echo 'Cannot connect to the Docker daemon' >&2; exit 1")));
    held(&staged(&sshd.target(&[]), &inside("exec no-such-check")), "staging-suite-missing");
    let unknown = format!("container = \"no-such-container\"\n{}", shell("exit 0"));
    held(&staged(&sshd.target(&[]), &unknown), "container-unknown");
    app.kill();
    deferred(&staged(&sshd.target(&[]), &inside("exit 0")), "container-not-running");
}

#[test]
fn a_client_without_an_engine_is_tried_again() {
    let Some(_engine) = Engine::find() else { return };
    let path = std::env::var("PATH").unwrap();
    let sshd = Sshd::with_environment(&format!("PATH={path} DOCKER_HOST=tcp://127.0.0.1:{}", free_port()));
    let check = format!("container = \"app\"\n{}", shell("exit 0"));
    deferred(&staged(&sshd.target(&[]), &check), "docker-no-engine");
}

/// Begins the check of `A-1` in a container, and waits until it runs there.
fn begun_inside(host: &Host, repo: &Repo, app: &Busybox) -> Child {
    let child = begun(host, repo);
    processes::wait_for(LIMIT, "the check begins", || app.running("sleep 611") > 0);
    child
}

/// Begins the check of `A-1`.
fn begun(host: &Host, repo: &Repo) -> Child {
    let path = repo.path();
    let run = [
        "run",
        "--json",
        "--repo",
        path.to_str().unwrap(),
        "--work-item",
        "A-1",
        "--stage",
        "deploy-staging",
    ];
    host.command(run).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_container_that_is_killed_under_the_check_is_no_verdict() {
    let Some(engine) = Engine::find() else { return };
    let (app, sshd, repo) = (Busybox::start(&engine), Sshd::new(), Repo::passing_with(&[]));
    let host = host_of(
        &sshd.target(&[]),
        &format!("container = \"{}\"\n{}", app.name(), shell("sleep 611; exit 0")),
    );
    let child = begun_inside(&host, &repo, &app);
    app.kill();
    deferred(&Ran::new(child.wait_with_output().unwrap()), "staging-interrupted");
}

#[test]
fn a_connection_that_is_cut_ends_what_runs_in_the_container_too() {
    let Some(engine) = Engine::find() else { return };
    let (app, sshd, repo) = (Busybox::start(&engine), Sshd::new(), Repo::passing_with(&[]));
    let check = shell("trap '' TERM; setsid sleep 612 & sleep 611; exit 0");
    let host = host_of(&sshd.target(&[]), &format!("container = \"{}\"\n{check}", app.name()));
    let child = begun_inside(&host, &repo, &app);
    sshd.cut_connections();
    deferred(&Ran::new(child.wait_with_output().unwrap()), "staging-interrupted");
    assert_eq!(app.running("sleep 61"), 0, "it runs on in the container");
}
