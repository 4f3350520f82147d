//! The host's side of each interface: one entry at the seam, one call of a capability, one line on the ledger.

use std::time::{Duration, Instant};

use stagewright_capability::files::{Area, Kind};
use stagewright_capability::process::{Child, Command, Completed, Event, Exit, StreamEnd};
use stagewright_capability::{Failure, FailureKind};
use stagewright_engine::ledger::{self, Act};
use stagewright_engine::outcome::Cause;
use wasmtime::component::Resource;

use super::bindings::stagewright::producer::{files, host, llm, probe, process, ssh, types};
use crate::run::RunState;
use crate::seam::{Entered, Level};

/// The longest wait of one call; a component that waits longer asks again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The most random bytes at once.
const MAX_RANDOM: u32 = 4_096;

/// A process that a component started and has a handle of. Dropping it ends the process tree.
#[allow(unreachable_pub, reason = "the generated bindings name it in a public place")]
pub struct RunningChild {
    child: Child,
    entered: Entered,
    on_ledger: bool,
}

impl RunState {
    fn refuse(&mut self, entered: Entered, call: &str, failure: Failure) -> types::Failure {
        let code = failure.code.to_owned();
        self.seam.record(entered, Act::Refused { call: call.to_owned(), code });
        told(failure)
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The end of a process is put on the ledger once, by whichever call hears of it first.
    fn record_end(&mut self, entered: Entered, completed: &Completed) {
        let stream = |end: &StreamEnd| ledger::Stream { bytes: end.total, sha256: end.sha256.clone() };
        let act = Act::Command {
            program: completed.program.clone(),
            path: completed.path.display().to_string(),
            args: completed.args.clone(),
            exit: completed.exit.tell(),
            stdout: stream(&completed.stdout),
            stderr: stream(&completed.stderr),
            isolation: completed.isolation.clone(),
        };
        self.seam.record(entered, act);
    }
}

fn not_granted(capability: &str) -> Failure {
    let message = format!("`{capability}` is not granted");
    Failure::new(FailureKind::Denied, "not-granted", message)
}

fn told(failure: Failure) -> types::Failure {
    let kind = match failure.kind {
        FailureKind::Denied => types::FailureKind::Denied,
        FailureKind::NotFound => types::FailureKind::NotFound,
        FailureKind::Limit => types::FailureKind::Limit,
        FailureKind::TimedOut => types::FailureKind::TimedOut,
        FailureKind::Cancelled => types::FailureKind::Cancelled,
        FailureKind::Transient => types::FailureKind::Transient,
        FailureKind::Permanent => types::FailureKind::Permanent,
        FailureKind::Other => types::FailureKind::Other,
    };
    types::Failure { kind, code: failure.code.to_owned(), message: failure.message }
}

impl types::Host for RunState {}

impl host::Host for RunState {
    async fn log(&mut self, level: host::Level, message: String) -> wasmtime::Result<()> {
        self.seam.enter()?;
        let level = match level {
            host::Level::Trace => Level::Trace,
            host::Level::Debug => Level::Debug,
            host::Level::Info => Level::Info,
            host::Level::Warn => Level::Warn,
            host::Level::Error => Level::Error,
        };
        if self.seam.may_log() {
            self.observer.log(level, &message);
        }
        Ok(())
    }

    async fn progress(&mut self, done: u64, total: u64, message: String) -> wasmtime::Result<()> {
        self.seam.enter()?;
        self.observer.progress(done, total, &message);
        Ok(())
    }

    async fn now_ms(&mut self) -> wasmtime::Result<u64> {
        self.seam.enter()?;
        Ok(self.seam.elapsed_ms())
    }

    async fn remaining_ms(&mut self) -> wasmtime::Result<u64> {
        self.seam.enter()?;
        Ok(u64::try_from(self.left().as_millis()).unwrap_or(u64::MAX))
    }

    async fn cancelled(&mut self) -> wasmtime::Result<Option<host::Cause>> {
        self.seam.enter()?;
        Ok(self.cancel.cause().map(|cause| match cause {
            Cause::Superseded => host::Cause::Superseded,
            Cause::Operator => host::Cause::Operator,
            Cause::Deadline => host::Cause::Deadline,
            Cause::Shutdown => host::Cause::Shutdown,
        }))
    }

    async fn sleep_ms(&mut self, duration: u64) -> wasmtime::Result<bool> {
        self.seam.enter()?;
        let wait = Duration::from_millis(duration).min(self.left());
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(true),
            _ = self.cancel.cancelled() => Ok(false),
        }
    }

    async fn random(&mut self, len: u32) -> wasmtime::Result<Vec<u8>> {
        self.seam.enter()?;
        let mut bytes = vec![0; len.min(MAX_RANDOM) as usize];
        // UUIDs of version 4 are the random source that the host has anyway: 122 random bits each, of which
        // the last six bytes are wholly random.
        for piece in bytes.chunks_mut(6) {
            let random = uuid::Uuid::new_v4();
            piece.copy_from_slice(&random.as_bytes()[10..10 + piece.len()]);
        }
        Ok(bytes)
    }
}

fn command(command: process::Command) -> Command {
    let process::Command { program, args, env, cwd, stdin, timeout_ms } = command;
    Command { program, args, env, cwd, stdin, timeout: timeout_ms.map(Duration::from_millis) }
}

fn completed(done: Completed) -> process::Completed {
    let exit = match done.exit {
        Exit::Code(code) => process::Exit::Code(code),
        Exit::Signal(signal) => process::Exit::Signal(signal),
        Exit::TimedOut => process::Exit::TimedOut,
        Exit::Cancelled => process::Exit::Cancelled,
        Exit::Limit(which) => process::Exit::Limit(which),
        Exit::Lost(why) => process::Exit::Lost(why),
    };
    let stream = |end: StreamEnd| process::StreamEnd { tail: end.tail, total: end.total };
    process::Completed {
        exit,
        stdout: stream(done.stdout),
        stderr: stream(done.stderr),
        duration_ms: u64::try_from(done.duration.as_millis()).unwrap_or(u64::MAX),
    }
}

impl process::Host for RunState {
    async fn spawn(
        &mut self,
        asked: process::Command,
    ) -> wasmtime::Result<Result<Resource<RunningChild>, types::Failure>> {
        let entered = self.seam.enter()?;
        let Some(granted) = self.capabilities.process.clone() else {
            return Ok(Err(self.refuse(entered, "process.spawn", not_granted("process"))));
        };
        match granted.spawn(command(asked)).await {
            Ok(child) => {
                let handle = self.children.push(RunningChild { child, entered, on_ledger: false })?;
                Ok(Ok(handle))
            }
            Err(failure) => Ok(Err(self.refuse(entered, "process.spawn", failure))),
        }
    }

    async fn run(
        &mut self,
        asked: process::Command,
    ) -> wasmtime::Result<Result<process::Completed, types::Failure>> {
        let entered = self.seam.enter()?;
        let Some(granted) = self.capabilities.process.clone() else {
            return Ok(Err(self.refuse(entered, "process.run", not_granted("process"))));
        };
        match granted.run(command(asked)).await {
            Ok(done) => {
                self.record_end(entered, &done);
                Ok(Ok(completed(done)))
            }
            Err(failure) => Ok(Err(self.refuse(entered, "process.run", failure))),
        }
    }
}

impl process::HostChild for RunState {
    async fn next(
        &mut self,
        handle: Resource<RunningChild>,
        max: u32,
        timeout_ms: u64,
    ) -> wasmtime::Result<process::Event> {
        self.seam.enter()?;
        let wait = Duration::from_millis(timeout_ms).min(LONGEST_WAIT);
        let child = self.children.get_mut(&handle)?;
        let event = child.child.next(max as usize, wait).await;
        let (entered, on_ledger) = (child.entered, child.on_ledger);
        let chunk = |chunk: stagewright_capability::process::Chunk| process::Chunk {
            bytes: chunk.bytes,
            skipped: chunk.skipped,
        };
        Ok(match event {
            Event::Stdout(bytes) => process::Event::Stdout(chunk(bytes)),
            Event::Stderr(bytes) => process::Event::Stderr(chunk(bytes)),
            Event::Idle => process::Event::Idle,
            Event::Ended(done) => {
                child.on_ledger = true;
                if !on_ledger {
                    self.record_end(entered, &done);
                }
                process::Event::Ended(completed(*done))
            }
        })
    }

    async fn kill(&mut self, handle: Resource<RunningChild>) -> wasmtime::Result<()> {
        self.seam.enter()?;
        self.children.get(&handle)?.child.kill();
        Ok(())
    }

    async fn drop(&mut self, handle: Resource<RunningChild>) -> wasmtime::Result<()> {
        let child = self.children.delete(handle)?;
        // An end that nobody has asked for is on the ledger all the same.
        if !child.on_ledger
            && let Some(done) = child.child.completed()
        {
            self.record_end(child.entered, &done);
        }
        Ok(())
    }
}

fn area(area: files::Area) -> Area {
    match area {
        files::Area::Worktree => Area::Worktree,
        files::Area::Scratch => Area::Scratch,
    }
}

impl files::Host for RunState {
    async fn read(
        &mut self,
        of: files::Area,
        path: String,
        offset: u64,
        max: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, types::Failure>> {
        let entered = self.seam.enter()?;
        let Some(granted) = self.capabilities.files.clone() else {
            return Ok(Err(self.refuse(entered, "files.read", not_granted("files"))));
        };
        // Looking is no act: what a component reads of a run's own files is not on the ledger.
        Ok(granted.read(area(of), &path, offset, max).map_err(told))
    }

    async fn entries(
        &mut self,
        of: files::Area,
        path: String,
        after: Option<String>,
        max: u32,
    ) -> wasmtime::Result<Result<Vec<files::Entry>, types::Failure>> {
        let entered = self.seam.enter()?;
        let Some(granted) = self.capabilities.files.clone() else {
            return Ok(Err(self.refuse(entered, "files.entries", not_granted("files"))));
        };
        let entries = granted.entries(area(of), &path, after.as_deref(), max).map_err(told);
        Ok(entries.map(|entries| entries.into_iter().map(entry).collect()))
    }

    async fn write(
        &mut self,
        path: String,
        content: Vec<u8>,
    ) -> wasmtime::Result<Result<(), types::Failure>> {
        let entered = self.seam.enter()?;
        let Some(granted) = self.capabilities.files.clone() else {
            return Ok(Err(self.refuse(entered, "files.write", not_granted("files"))));
        };
        match granted.write(&path, &content) {
            Ok(()) => Ok(Ok(())),
            Err(failure) => Ok(Err(self.refuse(entered, "files.write", failure))),
        }
    }

    async fn attach(&mut self, path: String, name: String) -> wasmtime::Result<Result<(), types::Failure>> {
        let entered = self.seam.enter()?;
        let Some(granted) = self.capabilities.files.clone() else {
            return Ok(Err(self.refuse(entered, "files.attach", not_granted("files"))));
        };
        match granted.attach(&path, &name) {
            Ok(kept) => {
                self.seam.record(entered, Act::Attachment { name: kept.name, content: kept.content });
                Ok(Ok(()))
            }
            Err(failure) => Ok(Err(self.refuse(entered, "files.attach", failure))),
        }
    }
}

fn entry(entry: stagewright_capability::files::Entry) -> files::Entry {
    let kind = match entry.kind {
        Kind::File => files::Kind::File,
        Kind::Directory => files::Kind::Directory,
        Kind::Link => files::Kind::Link,
        Kind::Other => files::Kind::Other,
    };
    files::Entry { name: entry.name, kind, size: entry.size }
}

impl probe::Host for RunState {
    async fn get(
        &mut self,
        endpoint: String,
        path: String,
        max_bytes: u32,
        timeout_ms: u64,
    ) -> wasmtime::Result<Result<probe::Response, types::Failure>> {
        let entered = self.seam.enter()?;
        let Some(granted) = self.capabilities.probe.clone() else {
            return Ok(Err(self.refuse(entered, "probe.get", not_granted("probe"))));
        };
        let answer = granted.get(&endpoint, &path, max_bytes, Duration::from_millis(timeout_ms)).await;
        match answer {
            Ok(answer) => {
                self.seam.record(entered, Act::Probe { endpoint, path, answer: answer.status.to_string() });
                Ok(Ok(probe::Response {
                    status: answer.status,
                    headers: answer.headers,
                    body: answer.body,
                    duration_ms: u64::try_from(answer.duration.as_millis()).unwrap_or(u64::MAX),
                }))
            }
            Err(failure) => Ok(Err(self.refuse(entered, "probe.get", failure))),
        }
    }
}

// Neither is granted by this host yet, and a component that imports one is refused as it is loaded. These
// answers are the second line of that defence.

impl ssh::Host for RunState {
    async fn exec(
        &mut self,
        _target: String,
        _argv: Vec<String>,
        _timeout_ms: Option<u64>,
    ) -> wasmtime::Result<Result<ssh::RemoteCompleted, types::Failure>> {
        let entered = self.seam.enter()?;
        Ok(Err(self.refuse(entered, "ssh.exec", not_granted("ssh"))))
    }
}

impl llm::Host for RunState {
    async fn run(
        &mut self,
        _request: llm::Request,
    ) -> wasmtime::Result<Result<llm::Response, types::Failure>> {
        let entered = self.seam.enter()?;
        Ok(Err(self.refuse(entered, "llm.run", not_granted("llm"))))
    }
}
