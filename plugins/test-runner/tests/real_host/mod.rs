//! A host that does what it is asked with real processes and real files, for one run in folders that are thrown away.
//!
//! It stands in for the daemon natively: no sandbox, no grants. What it has in common with the daemon is a clean environment,
//! an end of the process group, and bounded tails.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test program compiles this and uses a part of it"
)]

pub mod python;

use std::cell::RefCell;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use stagewright_sdk::{
    Area, Cause, Child, Chunk, Command, Completed, Entry, Event, Exit, Failure, FailureKind, FileKind, Files,
    Host, Level, Outcome, Probe, ProbeResponse, Process, StreamEnd,
};
use stagewright_test_runner::TestRunner;
use tempfile::TempDir;

/// The longest tail that a process leaves.
const TAIL: usize = 64 * 1024;
/// The safety net for a suite that hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// One run: a clone, a scratch folder, and what the run said.
pub struct RealHost {
    folder: TempDir,
    begun: Instant,
    pub progress: RefCell<Vec<(u64, u64, String)>>,
    pub attached: RefCell<Vec<String>>,
    pub log: RefCell<Vec<String>>,
}

impl RealHost {
    /// A clone with these files.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["clone", "scratch", "home"] {
            std::fs::create_dir(folder.path().join(part)).unwrap();
        }
        let host = Self {
            folder,
            begun: Instant::now(),
            progress: RefCell::default(),
            attached: RefCell::default(),
            log: RefCell::default(),
        };
        for (path, text) in files {
            write(&host.clone_folder().join(path), text);
        }
        host
    }

    pub fn clone_folder(&self) -> PathBuf {
        self.folder.path().join("clone")
    }

    pub fn scratch(&self) -> PathBuf {
        self.folder.path().join("scratch")
    }

    /// Produces, with these settings as JSON.
    pub fn produce(&self, settings: serde_json::Value) -> Outcome {
        let mut job = stagewright_sdk::testing::job();
        job.worktree = self.clone_folder().to_str().unwrap().to_owned();
        job.scratch = self.scratch().to_str().unwrap().to_owned();
        job.settings = settings.to_string();
        stagewright_sdk::guest::produce::<TestRunner, Self>(&job, self)
    }

    fn area(&self, area: Area) -> PathBuf {
        match area {
            Area::Worktree => self.clone_folder(),
            Area::Scratch => self.scratch(),
        }
    }
}

pub fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// `pass`, or the code of the rule or fault: `fail:tests-failed`, `held:bad-option`.
pub fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Verdict(report) => {
            let rule = report.facts.iter().find(|(key, _)| key == "rule").map_or("", |(_, rule)| rule);
            let judgement = match report.judgement {
                stagewright_sdk::Judgement::Pass => "pass",
                stagewright_sdk::Judgement::Fail => "fail",
            };
            format!("{judgement}:{rule}")
        }
        Outcome::Held(fault) => format!("held:{}", fault.code),
        Outcome::Deferred(fault) => format!("deferred:{}", fault.code),
    }
}

impl Host for RealHost {
    fn log(&self, _: Level, message: &str) {
        self.log.borrow_mut().push(message.to_owned());
    }

    fn progress(&self, done: u64, total: u64, message: &str) {
        self.progress.borrow_mut().push((done, total, message.to_owned()));
    }

    fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    fn remaining_ms(&self) -> u64 {
        LIMIT.saturating_sub(self.begun.elapsed()).as_millis() as u64
    }

    fn cancelled(&self) -> Option<Cause> {
        None
    }

    fn sleep_ms(&self, duration: u64) -> bool {
        std::thread::sleep(Duration::from_millis(duration));
        true
    }

    fn random(&self, len: u32) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
        bytes
    }
}

enum Message {
    Output(bool, Vec<u8>),
    Closed,
}

pub struct RealChild {
    child: RefCell<std::process::Child>,
    messages: Receiver<Message>,
    state: RefCell<State>,
    deadline: Instant,
    begun: Instant,
}

#[derive(Default)]
struct State {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    totals: [u64; 2],
    closed: u8,
    timed_out: bool,
}

impl Drop for RealChild {
    fn drop(&mut self) {
        self.end();
        let _ = self.child.borrow_mut().wait();
    }
}

impl RealChild {
    /// Ends the process group.
    fn end(&self) {
        let group = format!("-{}", self.child.borrow().id());
        let _ =
            std::process::Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    }

    fn ended(&self) -> Event {
        let status = self.child.borrow_mut().wait().unwrap();
        let state = self.state.borrow();
        let exit = match (state.timed_out, status.code(), status.signal()) {
            (true, _, _) => Exit::TimedOut,
            (_, Some(code), _) => Exit::Code(code),
            (_, _, signal) => Exit::Signal(signal.unwrap()),
        };
        let end = |bytes: &Vec<u8>, total| StreamEnd {
            tail: bytes[bytes.len().saturating_sub(TAIL)..].to_vec(),
            total,
        };
        Event::Ended(Completed {
            exit,
            stdout: end(&state.stdout, state.totals[0]),
            stderr: end(&state.stderr, state.totals[1]),
            duration_ms: self.begun.elapsed().as_millis() as u64,
        })
    }
}

impl Child for RealChild {
    fn next(&self, _: u32, timeout_ms: u64) -> Event {
        let until = (Instant::now() + Duration::from_millis(timeout_ms)).min(self.deadline);
        loop {
            match self.messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Output(is_error, bytes)) => {
                    let mut state = self.state.borrow_mut();
                    state.totals[usize::from(is_error)] += bytes.len() as u64;
                    let tail = if is_error { &mut state.stderr } else { &mut state.stdout };
                    tail.extend_from_slice(&bytes);
                    let chunk = Chunk { bytes, skipped: 0 };
                    return if is_error { Event::Stderr(chunk) } else { Event::Stdout(chunk) };
                }
                Ok(Message::Closed) => {
                    self.state.borrow_mut().closed += 1;
                    if self.state.borrow().closed == 2 {
                        return self.ended();
                    }
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() >= self.deadline => {
                    self.state.borrow_mut().timed_out = true;
                    self.end();
                    return self.ended();
                }
                Err(_) => return Event::Idle,
            }
        }
    }

    fn kill(&self) {
        self.end();
    }
}

impl Process for RealHost {
    type Child = RealChild;

    fn spawn(&self, command: &Command) -> Result<Self::Child, Failure> {
        let mut real = std::process::Command::new(&command.program);
        real.args(&command.args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.folder.path().join("home"))
            .env("TMPDIR", self.scratch())
            .envs(std::env::vars_os().filter(|(name, _)| name == "CARGO_HOME" || name == "RUSTUP_HOME"))
            .envs(command.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.clone_folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = real.spawn().map_err(|error| Failure {
            kind: match error.kind() {
                std::io::ErrorKind::NotFound => FailureKind::NotFound,
                _ => FailureKind::Other,
            },
            code: "spawn".to_owned(),
            message: error.to_string(),
        })?;
        let (sender, messages) = channel();
        let streams: [(bool, Box<dyn Read + Send>); 2] =
            [(false, Box::new(child.stdout.take().unwrap())), (true, Box::new(child.stderr.take().unwrap()))];
        for (is_error, mut stream) in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut buffer = vec![0; 16 * 1024];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if sender.send(Message::Output(is_error, buffer[..count].to_vec())).is_err() {
                        return;
                    }
                }
                let _ = sender.send(Message::Closed);
            });
        }
        let limit = command.timeout_ms.map_or(LIMIT, Duration::from_millis).min(LIMIT);
        Ok(RealChild {
            child: RefCell::new(child),
            messages,
            state: RefCell::default(),
            deadline: Instant::now() + limit,
            begun: Instant::now(),
        })
    }

    fn run(&self, command: &Command) -> Result<Completed, Failure> {
        let child = self.spawn(command)?;
        loop {
            if let Event::Ended(completed) = child.next(1 << 16, 1_000) {
                return Ok(completed);
            }
        }
    }
}

fn failure(error: &std::io::Error) -> Failure {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => FailureKind::NotFound,
        _ => FailureKind::Other,
    };
    Failure { kind, code: "file".to_owned(), message: error.to_string() }
}

impl Files for RealHost {
    fn read(&self, area: Area, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, Failure> {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::open(self.area(area).join(path)).map_err(|error| failure(&error))?;
        let mut bytes = vec![0; max as usize];
        let count = file.read_at(&mut bytes, offset).map_err(|error| failure(&error))?;
        bytes.truncate(count);
        Ok(bytes)
    }

    fn entries(&self, area: Area, path: &str, after: Option<&str>, max: u32) -> Result<Vec<Entry>, Failure> {
        let folder = std::fs::read_dir(self.area(area).join(path)).map_err(|error| failure(&error))?;
        let mut entries = Vec::new();
        for entry in folder {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            let kind = if kind.is_dir() { FileKind::Directory } else { FileKind::File };
            entries.push(Entry { name: entry.file_name().to_string_lossy().into_owned(), kind, size: 0 });
        }
        entries.retain(|entry| after.is_none_or(|after| entry.name.as_str() > after));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries.truncate(max as usize);
        Ok(entries)
    }

    fn write(&self, path: &str, content: &[u8]) -> Result<(), Failure> {
        let path = self.scratch().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).map_err(|error| failure(&error))
    }

    fn attach(&self, path: &str, name: &str) -> Result<(), Failure> {
        assert!(self.scratch().join(path).is_file(), "{path} is not there");
        self.attached.borrow_mut().push(name.to_owned());
        Ok(())
    }
}

impl Probe for RealHost {
    fn get(&self, _: &str, _: &str, _: u32, _: u64) -> Result<ProbeResponse, Failure> {
        unreachable!("these suites have no smoke probes")
    }
}
