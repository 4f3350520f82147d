//! Commands in a container, over ssh, with the marks inside. They need a docker engine.

use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use stagewright_capability::ssh::{Completed, Exit, RemoteState};
use stagewright_engine::outcome::Cause;

use crate::scene::{LONG, Scene, command, text};

/// A container that waits, removed when it is dropped.
struct Container(String);

impl Container {
    /// None where no engine runs; that is said.
    fn start() -> Option<Self> {
        if !docker(&["version", "--format", "{{.Server.Version}}"]).0 {
            eprintln!("SKIPPED: no docker engine runs here");
            return None;
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| is_static(path));
        let Some(busybox) = busybox else {
            eprintln!("SKIPPED: there is no static busybox to make an image of; install busybox-static");
            return None;
        };
        let name = format!("stagewright-ssh-{}", uuid::Uuid::now_v7().simple());
        let folder = tempfile::tempdir().unwrap();
        for part in ["bin", "tmp", "proc", "dev"] {
            std::fs::create_dir(folder.path().join(part)).unwrap();
        }
        std::fs::copy(busybox, folder.path().join("bin/busybox")).unwrap();
        for applet in ["sh", "env", "id", "grep", "sleep", "mkdir", "chmod", "rm", "setsid", "kill", "cat"] {
            std::os::unix::fs::symlink("busybox", folder.path().join("bin").join(applet)).unwrap();
        }
        let tar = Command::new("tar").arg("-C").arg(folder.path()).args(["-c", "."]).output().unwrap();
        let mut import = Command::new("docker")
            .args(["import", "-", &name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut import.stdin.take().unwrap(), &tar.stdout).unwrap();
        assert!(import.wait().unwrap().success());
        let container = Self(name);
        let name = container.0.as_str();
        let (started, said) = docker(&["run", "-d", "--name", name, name, "/bin/busybox", "sleep", "100000"]);
        assert!(started, "{said}");
        Some(container)
    }

    fn exec(&self) -> [&str; 4] {
        ["docker", "exec", "-i", &self.0]
    }

    /// The command lines of what runs in it.
    fn processes(&self) -> String {
        docker(&["top", &self.0, "-eo", "pid,args"]).1
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        docker(&["rm", "-f", &self.0]);
        docker(&["rmi", "-f", &self.0]);
    }
}

fn docker(args: &[&str]) -> (bool, String) {
    match Command::new("docker").args(args).output() {
        Ok(done) => (done.status.success(), text(&done.stdout) + &text(&done.stderr)),
        Err(error) => (false, error.to_string()),
    }
}

fn is_static(path: &str) -> bool {
    let output = Command::new("ldd").arg(path).output();
    std::path::Path::new(path).is_file() && output.is_ok_and(|ldd| !ldd.status.success())
}

async fn inside(scene: &Scene, enclosure: &[&str], script: &str) -> Completed {
    let mut command = command(&["sh", "-c", script]);
    command.enclosure = enclosure.iter().map(|word| (*word).to_owned()).collect();
    scene.ssh().exec(command).await.unwrap()
}

#[tokio::test]
async fn a_command_inside_ends_with_its_own_code_and_output() {
    let Some(container) = Container::start() else { return };
    let scene = Scene::new();
    for code in [0, 1, 126, 127, 137, 255] {
        let done =
            inside(&scene, &container.exec(), &format!("echo out; echo No such container >&2; exit {code}"))
                .await;
        assert_eq!(done.exit, Exit::Exited(code), "{}", text(&done.stderr.tail));
        assert_eq!(
            (text(&done.stdout.tail), text(&done.stderr.tail)),
            ("out\n".into(), "No such container\n".into())
        );
    }
}

#[tokio::test]
async fn a_container_that_can_not_be_entered_is_told_by_the_clients_code() {
    let Some(container) = Container::start() else { return };
    let scene = Scene::new();
    let unknown = inside(&scene, &["docker", "exec", "-i", "nobody-knows-it"], "exit 0").await;
    assert_eq!(unknown.exit, Exit::NotEntered(1));
    assert!(text(&unknown.stderr.tail).contains("No such container"), "{}", text(&unknown.stderr.tail));
    // This shell would find itself as a part of `env`, so that has to go as well.
    docker(&["exec", &container.0, "rm", "/bin/sh", "/bin/env"]);
    let without = inside(&scene, &container.exec(), "exit 0").await;
    assert!(matches!(without.exit, Exit::NotEntered(126 | 127)), "{without:?}");
    docker(&["stop", "-t", "0", &container.0]);
    let stopped = inside(&scene, &container.exec(), "exit 0").await;
    assert_eq!(stopped.exit, Exit::NotEntered(1));
    assert!(text(&stopped.stderr.tail).contains("is not running"), "{}", text(&stopped.stderr.tail));
}

#[tokio::test]
async fn a_missing_client_and_a_client_without_an_engine_are_never_the_suites_failure() {
    let scene = Scene::new();
    let missing = inside(&scene, &["docker-is-not-here", "exec", "-i", "app"], "exit 0").await;
    assert_eq!(missing.exit, Exit::NotEntered(127));
    assert!(text(&missing.stderr.tail).contains("not found"), "{}", text(&missing.stderr.tail));
    if !docker(&["--version"]).0 {
        eprintln!("SKIPPED: there is no docker client here");
        return;
    }
    let no_engine = ["env", "DOCKER_HOST=tcp://127.0.0.1:1", "docker", "exec", "-i", "app"];
    let done = inside(&scene, &no_engine, "exit 0").await;
    assert_eq!(done.exit, Exit::NotEntered(1));
    let said = text(&done.stderr.tail);
    assert!(
        said.contains("Cannot connect to the Docker daemon") || said.contains("failed to connect"),
        "{said}"
    );
}

#[tokio::test]
async fn a_container_that_is_killed_under_its_command_interrupts_it() {
    let Some(container) = Container::start() else { return };
    let scene = Scene::new();
    let task = running(&scene, &container).await;
    docker(&["kill", &container.0]);
    match task.await.unwrap().exit {
        Exit::Interrupted(failure, state) => {
            assert_eq!((failure.code, state), ("enclosure-ended", RemoteState::Ended));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_cancel_ends_what_is_inside() {
    let Some(container) = Container::start() else { return };
    let scene = Scene::new();
    let task = running(&scene, &container).await;
    scene.cancel.cancel(Cause::Operator);
    assert_eq!(task.await.unwrap().exit, Exit::Cancelled(RemoteState::Ended));
    assert!(!container.processes().contains("987654"), "{}", container.processes());
}

#[tokio::test]
async fn a_cut_connection_ends_what_is_inside() {
    let Some(container) = Container::start() else { return };
    let scene = Scene::new();
    let task = running(&scene, &container).await;
    scene.sshd.cut();
    match task.await.unwrap().exit {
        Exit::Interrupted(failure, state) => {
            assert_eq!((failure.code, state), ("connection-lost", RemoteState::Ended));
        }
        other => panic!("{other:?}"),
    }
    assert!(!container.processes().contains("987654"), "{}", container.processes());
}

#[tokio::test]
async fn the_death_of_the_docker_client_ends_what_is_inside_and_is_told_as_an_interruption() {
    let Some(container) = Container::start() else { return };
    let scene = Scene::new();
    let task = running(&scene, &container).await;
    let pids = Command::new("pgrep")
        .args(["-x", "-f", &format!("docker exec -i {}.*", container.0)])
        .output()
        .unwrap();
    for pid in text(&pids.stdout).split_ascii_whitespace() {
        kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    }
    match task.await.unwrap().exit {
        Exit::Interrupted(failure, state) => {
            assert_eq!((failure.code, state), ("enclosure-ended", RemoteState::Ended));
        }
        other => panic!("{other:?}"),
    }
    assert!(!container.processes().contains("987654"), "{}", container.processes());
}

/// A command inside that does not want to end, once it is there.
async fn running(scene: &Scene, container: &Container) -> tokio::task::JoinHandle<Completed> {
    let script = "trap '' TERM; setsid sleep 987654 & mkdir /tmp/begun; sleep 987654; sleep 987654";
    let mut command = command(&["sh", "-c", script]);
    command.enclosure = container.exec().map(str::to_owned).to_vec();
    let ssh = scene.ssh();
    let task = tokio::spawn(async move { ssh.exec(command).await.unwrap() });
    let waiting = "until [ -d /tmp/begun ]; do sleep 0.1; done";
    let mut wait = tokio::process::Command::new("docker");
    let done =
        tokio::time::timeout(LONG, wait.args(["exec", &container.0, "sh", "-c", waiting]).status()).await;
    assert!(done.expect("it did not begin").unwrap().success());
    task
}
