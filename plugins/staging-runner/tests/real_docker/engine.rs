//! Containers of a real engine, and a host that runs commands on this machine as if it were the target.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use stagewright_sdk::testing::{Double, Run, job};
use stagewright_sdk::{Failure, FailureKind, Job, Outcome, RemoteCompleted, RemoteExit, StreamEnd, guest};
use stagewright_staging_runner::StagingRunner;

const SOCKET: &str = "/var/run/docker.sock";

/// A running container; it is removed in the end.
pub(crate) struct Container(String);

impl Container {
    pub(crate) fn with_shell() -> Option<Self> {
        Self::of(&["busybox", "sh", "true"], "/busybox")
    }

    pub(crate) fn without_shell() -> Option<Self> {
        Self::of(&["busybox"], "/busybox")
    }

    /// One with static busybox under these names, in the root and on the path.
    fn of(names: &[&str], program: &str) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let answer = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
        let why = match answer {
            Ok(answer) if answer.status.success() => None,
            Ok(answer) => Some(String::from_utf8_lossy(&answer.stderr).into_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = why {
            eprintln!("skipped: no docker engine runs here ({})", why.trim());
            return None;
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        let busybox =
            busybox.expect("a docker engine runs here, and its tests need the package busybox-static");
        let name =
            format!("stagewright-staging-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("bin")).unwrap();
        for file in names {
            std::fs::copy(busybox, root.path().join("bin").join(file)).unwrap();
        }
        std::fs::copy(busybox, root.path().join("busybox")).unwrap();
        std::fs::remove_file(root.path().join("bin/busybox")).unwrap();
        let image = root.path().join("image.tar");
        let packed = Command::new("tar")
            .arg("-cf")
            .arg(&image)
            .arg("-C")
            .arg(root.path())
            .args(["bin", "busybox"])
            .status();
        assert!(packed.unwrap().success());
        docker(&["import", image.to_str().unwrap(), &name]);
        docker(&["run", "-d", "--network", "none", "--name", &name, &name, program, "sleep", "600"]);
        Some(Self(name))
    }

    /// `docker <what> <this container>`.
    pub(crate) fn docker(&self, what: &[&str]) {
        docker(&[what, &[self.0.as_str()]].concat());
    }
}

impl Deref for Container {
    type Target = String;

    fn deref(&self) -> &String {
        &self.0
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", &self.0]).output();
        let _ = Command::new("docker").args(["rmi", "-f", &self.0]).output();
    }
}

fn docker(args: &[&str]) {
    let done = Command::new("docker").args(args).output().unwrap();
    assert!(done.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

pub(crate) fn settings(container: &str, command: &[&str]) -> Value {
    json!({ "container": container, "command": command })
}

pub(crate) fn local_settings(container: &str, command: &[&str]) -> Value {
    json!({ "container": container, "command": command, "exec_host_side": false })
}

/// What happens once the suite has said that it began.
pub(crate) enum Meanwhile {
    Nothing,
    /// No engine is where the client looks for it.
    NoEngine,
    /// The container is killed.
    Kill(String),
    /// The client's connections to the engine are cut. The proxy serves `docker exec` only.
    Cut(Proxy),
}

/// A way of the client to the engine that can be cut; none, with the reason, where the engine is not at its usual socket.
pub(crate) fn cut() -> Option<Meanwhile> {
    if UnixStream::connect(SOCKET).is_err() {
        eprintln!("skipped: the engine's socket is not {SOCKET}");
        return None;
    }
    Some(Meanwhile::Cut(Proxy::start()))
}

/// A run of the staging-runner.
pub(crate) fn produce(settings: &Value, host: &Double) -> String {
    let job = Job { settings: settings.to_string(), ..job() };
    match guest::produce::<StagingRunner, _>(&job, host) {
        Outcome::Held(fault) => format!("held:{}", fault.code),
        Outcome::Deferred(fault) => format!("deferred:{}", fault.code),
        Outcome::Verdict(report) => {
            let pass = report.judgement == stagewright_sdk::Judgement::Pass;
            if pass { "Pass".to_owned() } else { "Fail".to_owned() }
        }
    }
}

/// A host whose target is this machine. Around what has an enclosure it sets marks, in the simplest form.
pub(crate) fn host(meanwhile: Meanwhile) -> Double {
    let meanwhile = Arc::new(meanwhile);
    let local = Arc::clone(&meanwhile);
    let remote = Double::new().with_remote(move |command, _| {
        let marked = !command.enclosure.is_empty();
        let script = "echo MARK-BEGIN >&2; \"$@\"; echo MARK-END $? >&2";
        let inside = ["sh", "-c", script, "marks"].map(str::to_owned);
        let inside = if marked { &inside[..] } else { &[] };
        let on_target = ["sh", "-c", "\"$@\"", "shell"].map(str::to_owned);
        let words = [&on_target[..], &command.enclosure, inside, &command.argv].concat();
        let (code, out, err) = run(&words, &meanwhile).unwrap();
        let begun = err.contains("MARK-BEGIN\n");
        let end = err.lines().find_map(|line| line.strip_prefix("MARK-END ")?.parse().ok());
        let exit = match (marked, end) {
            (false, _) => RemoteExit::Exited(code),
            (true, Some(end)) => RemoteExit::Exited(end),
            (true, None) => {
                assert!(!begun, "this host tells nothing of what was interrupted");
                RemoteExit::NotEntered(code)
            }
        };
        let stream = |text: String| StreamEnd { total: text.len() as u64, tail: text.into_bytes() };
        let err = err.split_inclusive('\n').filter(|line| !line.starts_with("MARK-")).collect();
        Ok(RemoteCompleted { exit, stdout: stream(out), stderr: stream(err), duration_ms: 1_000 })
    });
    remote.with_program(move |command, _| {
        let words: Vec<_> = std::iter::once(&command.program).chain(&command.args).cloned().collect();
        let Ok((code, out, err)) = run(&words, &local) else {
            let message = "no such program".to_owned();
            return Err(Failure { kind: FailureKind::NotFound, code: "program-missing".to_owned(), message });
        };
        Ok(Run::with_code(code).stdout(&out).stderr(&err))
    })
}

fn run(words: &[String], meanwhile: &Meanwhile) -> std::io::Result<(i32, String, String)> {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let suite = words.iter().any(|word| word == "exec");
    match meanwhile {
        Meanwhile::NoEngine => command.env("DOCKER_HOST", "tcp://127.0.0.1:1"),
        Meanwhile::Cut(proxy) if suite => {
            command.env("DOCKER_HOST", format!("tcp://127.0.0.1:{}", proxy.port))
        }
        _ => &mut command,
    };
    let mut child = command.spawn()?;
    let mut out = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut out)?;
    if out == "began\n" {
        match meanwhile {
            Meanwhile::Kill(container) => docker(&["kill", container]),
            Meanwhile::Cut(proxy) => proxy.cut(),
            Meanwhile::Nothing | Meanwhile::NoEngine => {}
        }
    }
    stdout.read_to_string(&mut out)?;
    let done = child.wait_with_output()?;
    Ok((done.status.code().unwrap_or(-1), out, String::from_utf8_lossy(&done.stderr).into_owned()))
}

/// Stands between a docker client and its engine.
pub(crate) struct Proxy {
    port: u16,
    live: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let live = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&live);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let engine = UnixStream::connect(SOCKET).unwrap();
                kept.lock().unwrap().push(client.try_clone().unwrap());
                let (to_engine, to_client) = (engine.try_clone().unwrap(), client.try_clone().unwrap());
                // Each direction ends by itself: a client that has no more to say still listens.
                std::thread::spawn(move || {
                    pump(client, &to_engine);
                    to_engine.shutdown(Shutdown::Write)
                });
                std::thread::spawn(move || {
                    pump(engine, &to_client);
                    to_client.shutdown(Shutdown::Write)
                });
            }
        });
        Self { port, live }
    }

    /// Cuts every connection there is; new ones are let through.
    fn cut(&self) {
        for client in self.live.lock().unwrap().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

fn pump(mut from: impl Read, mut to: impl Write) {
    let _ = std::io::copy(&mut from, &mut to);
}
