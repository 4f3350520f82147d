//! The host's side of each interface: one entry at the seam, one call of a capability, one line on the ledger.

use std::time::{Duration, Instant};

use stagewright_capability::files::{Area, Files, Kind};
use stagewright_capability::llm::Request as Question;
use stagewright_capability::process::{Command, Completed, Event, Exit, StreamEnd};
use stagewright_capability::ssh::{Command as RemoteCommand, Exit as RemoteExit, RemoteState};
use stagewright_capability::{Failure, FailureKind};
use stagewright_engine::ledger::{Act, ModelUsage};
use stagewright_engine::outcome::Cause;
use wasmtime::component::Resource;

use super::bindings::stagewright::producer::{files, host, llm, probe, process, ssh, types};
use crate::family::{self, Running};
use crate::run::RunState;
use crate::seam::{Level, blocking, millis, within};

/// The longest wait of one call; a component that waits longer asks again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The most bytes of one event.
const MAX_CHUNK: u32 = 1 << 20;
/// The most random bytes of one call; a component that wants more asks again.
const MAX_RANDOM: u32 = 4_096;
/// How long the start of a process may take, from the request to the shepherd's word.
const START: Duration = Duration::from_secs(30);
/// How long one call on files may take.
const FILES: Duration = Duration::from_secs(60);
/// How long one probe may take; its grant and the component's own time-out hold within it.
const PROBE: Duration = Duration::from_secs(120);

impl RunState {
    fn refuse(&mut self, at: Instant, call: &str, failure: Failure) -> types::Failure {
        let code = failure.code.to_owned();
        self.seam.record(at, Act::Refused { call: call.to_owned(), code });
        told(failure)
    }

    /// Starts a process and takes it into the run's family, so that it ends with the run at the latest.
    async fn start(
        &mut self,
        at: Instant,
        call: &str,
        asked: process::Command,
    ) -> Result<Running, types::Failure> {
        self.family.look(&mut self.seam);
        let (program, args) = (asked.program.clone(), asked.args.clone());
        let started = match self.capabilities.process.clone() {
            Some(granted) => within(START, async move { granted.spawn(command(asked)).await }).await,
            None => Err(not_granted("process")),
        };
        match started {
            Ok(child) => Ok(self.family.add(child, at, program, args)),
            Err(failure) => Err(self.refuse(at, call, failure)),
        }
    }

    /// Work on files, on a thread where blocking is allowed.
    async fn on_files<T: Send + 'static>(
        &mut self,
        at: Instant,
        call: &str,
        work: impl FnOnce(Files) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, types::Failure> {
        let done = match self.capabilities.files.clone() {
            Some(granted) => within(FILES, blocking(move || work(granted))).await,
            None => Err(not_granted("files")),
        };
        done.map_err(|failure| match failure.kind {
            // To look for a file that isn't there is no attempt at anything.
            FailureKind::NotFound => told(failure),
            _ => self.refuse(at, call, failure),
        })
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
        let _call = self.seam.enter()?;
        let level = match level {
            host::Level::Trace => Level::Trace,
            host::Level::Debug => Level::Debug,
            host::Level::Info => Level::Info,
            host::Level::Warn => Level::Warn,
            host::Level::Error => Level::Error,
        };
        self.seam.log().line(level, message);
        Ok(())
    }

    async fn progress(&mut self, done: u64, total: u64, message: String) -> wasmtime::Result<()> {
        let _call = self.seam.enter()?;
        self.seam.progress(done, total, &message);
        Ok(())
    }

    async fn now_ms(&mut self) -> wasmtime::Result<u64> {
        let _call = self.seam.enter()?;
        Ok(millis(self.seam.now()))
    }

    async fn remaining_ms(&mut self) -> wasmtime::Result<u64> {
        let _call = self.seam.enter()?;
        Ok(millis(self.seam.left()))
    }

    async fn cancelled(&mut self) -> wasmtime::Result<Option<host::Cause>> {
        let _call = self.seam.enter()?;
        Ok(self.cancel.cause().map(|cause| match cause {
            Cause::Superseded => host::Cause::Superseded,
            Cause::Operator => host::Cause::Operator,
            Cause::Deadline => host::Cause::Deadline,
            Cause::Shutdown => host::Cause::Shutdown,
        }))
    }

    async fn sleep_ms(&mut self, duration: u64) -> wasmtime::Result<bool> {
        let _call = self.seam.enter()?;
        // The end of its time is a cancellation, too, so it can't sleep past it.
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(duration)) => Ok(true),
            _ = self.cancel.cancelled() => Ok(false),
        }
    }

    async fn random(&mut self, len: u32) -> wasmtime::Result<Vec<u8>> {
        let _call = self.seam.enter()?;
        Ok(self.seam.random(len.min(MAX_RANDOM) as usize)?)
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
        duration_ms: millis(done.duration),
    }
}

impl process::Host for RunState {
    async fn spawn(
        &mut self,
        asked: process::Command,
    ) -> wasmtime::Result<Result<Resource<Running>, types::Failure>> {
        let call = self.seam.enter()?;
        match self.start(call.at, "process.spawn", asked).await {
            Ok(running) => Ok(Ok(self.handles.push(running)?)),
            Err(failure) => Ok(Err(failure)),
        }
    }

    async fn run(
        &mut self,
        asked: process::Command,
    ) -> wasmtime::Result<Result<process::Completed, types::Failure>> {
        let call = self.seam.enter()?;
        let running = match self.start(call.at, "process.run", asked).await {
            Ok(running) => running,
            Err(failure) => return Ok(Err(failure)),
        };
        // Bounded by its grant, which ends the process, and by the run's own time.
        let done = running.end().await;
        family::record(&mut self.seam, &running, &done);
        Ok(Ok(completed(done)))
    }
}

impl process::HostChild for RunState {
    async fn next(
        &mut self,
        handle: Resource<Running>,
        max: u32,
        timeout_ms: u64,
    ) -> wasmtime::Result<process::Event> {
        let _call = self.seam.enter()?;
        let wait = Duration::from_millis(timeout_ms).min(LONGEST_WAIT);
        let running = self.handles.get(&handle)?.clone();
        let event = running.child().next(max.min(MAX_CHUNK) as usize, wait).await;
        let chunk = |chunk: stagewright_capability::process::Chunk| process::Chunk {
            bytes: chunk.bytes,
            skipped: chunk.skipped,
        };
        Ok(match event {
            Event::Stdout(bytes) => process::Event::Stdout(chunk(bytes)),
            Event::Stderr(bytes) => process::Event::Stderr(chunk(bytes)),
            Event::Idle => process::Event::Idle,
            Event::Ended(done) => {
                family::record(&mut self.seam, &running, &done);
                process::Event::Ended(completed(*done))
            }
        })
    }

    async fn kill(&mut self, handle: Resource<Running>) -> wasmtime::Result<()> {
        let _call = self.seam.enter()?;
        self.handles.get(&handle)?.child().kill();
        Ok(())
    }

    async fn drop(&mut self, handle: Resource<Running>) -> wasmtime::Result<()> {
        let _call = self.seam.enter()?;
        // The family still holds it, so that its end is waited for and put on the ledger.
        self.handles.delete(handle)?.child().kill();
        self.family.look(&mut self.seam);
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
    // To look is no act: what a component reads of its run's own files is not on the ledger.
    async fn read(
        &mut self,
        of: files::Area,
        path: String,
        offset: u64,
        max: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, types::Failure>> {
        let call = self.seam.enter()?;
        Ok(self.on_files(call.at, "files.read", move |files| files.read(area(of), &path, offset, max)).await)
    }

    async fn entries(
        &mut self,
        of: files::Area,
        path: String,
        after: Option<String>,
        max: u32,
    ) -> wasmtime::Result<Result<Vec<files::Entry>, types::Failure>> {
        let call = self.seam.enter()?;
        let list = move |files: Files| files.entries(area(of), &path, after.as_deref(), max);
        let entries = self.on_files(call.at, "files.entries", list).await;
        Ok(entries.map(|entries| entries.into_iter().map(entry).collect()))
    }

    async fn write(
        &mut self,
        path: String,
        content: Vec<u8>,
    ) -> wasmtime::Result<Result<(), types::Failure>> {
        let call = self.seam.enter()?;
        Ok(self.on_files(call.at, "files.write", move |files| files.write(&path, &content)).await)
    }

    async fn attach(&mut self, path: String, name: String) -> wasmtime::Result<Result<(), types::Failure>> {
        let call = self.seam.enter()?;
        let kept = self.on_files(call.at, "files.attach", move |files| files.attach(&path, &name)).await;
        Ok(kept.map(|kept| {
            self.seam.record(call.at, Act::Attachment { name: kept.name, content: kept.content });
        }))
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
        let call = self.seam.enter()?;
        let answer = match &self.capabilities.probe {
            Some(granted) => {
                let wait = Duration::from_millis(timeout_ms).min(PROBE);
                within(PROBE, granted.get(&endpoint, &path, max_bytes, wait)).await
            }
            None => Err(not_granted("probe")),
        };
        Ok(match answer {
            Ok(answer) => {
                self.seam.record(call.at, Act::Probe { endpoint, path, answer: answer.status.to_string() });
                Ok(probe::Response {
                    status: answer.status,
                    headers: answer.headers,
                    body: answer.body,
                    duration_ms: millis(answer.duration),
                })
            }
            Err(failure) => Err(self.refuse(call.at, "probe.get", failure)),
        })
    }
}

fn remote(command: ssh::RemoteCommand) -> RemoteCommand {
    let ssh::RemoteCommand { target, argv, enclosure, timeout_ms } = command;
    RemoteCommand { target, argv, enclosure, timeout: timeout_ms.map(Duration::from_millis) }
}

fn remote_exit(exit: RemoteExit) -> ssh::RemoteExit {
    let state = |state: RemoteState| match state {
        RemoteState::Ended => ssh::RemoteState::Ended,
        RemoteState::Running => ssh::RemoteState::Running,
        RemoteState::Unknown => ssh::RemoteState::Unknown,
    };
    match exit {
        RemoteExit::Exited(code) => ssh::RemoteExit::Exited(code),
        RemoteExit::NotEntered(code) => ssh::RemoteExit::NotEntered(code),
        RemoteExit::NotStarted(failure) => ssh::RemoteExit::NotStarted(told(failure)),
        RemoteExit::Interrupted(failure, left) => ssh::RemoteExit::Interrupted((told(failure), state(left))),
        RemoteExit::TimedOut(left) => ssh::RemoteExit::TimedOut(state(left)),
        RemoteExit::Cancelled(left) => ssh::RemoteExit::Cancelled(state(left)),
    }
}

impl ssh::Host for RunState {
    async fn exec(
        &mut self,
        command: ssh::RemoteCommand,
    ) -> wasmtime::Result<Result<ssh::RemoteCompleted, types::Failure>> {
        let call = self.seam.enter()?;
        let (target, argv) = (command.target.clone(), [&command.enclosure[..], &command.argv].concat());
        // Bounded by its grant, which ends the command, and by the run's own time.
        let done = match self.capabilities.ssh.clone() {
            Some(granted) => granted.exec(remote(command)).await,
            None => Err(not_granted("ssh")),
        };
        Ok(match done {
            Ok(done) => {
                self.seam.record(call.at, Act::Remote { target, argv, exit: done.exit.tell() });
                let stream = |end: StreamEnd| process::StreamEnd { tail: end.tail, total: end.total };
                Ok(ssh::RemoteCompleted {
                    exit: remote_exit(done.exit),
                    stdout: stream(done.stdout),
                    stderr: stream(done.stderr),
                    duration_ms: millis(done.duration),
                })
            }
            Err(failure) => Err(self.refuse(call.at, "ssh.exec", failure)),
        })
    }
}

impl llm::Host for RunState {
    async fn run(
        &mut self,
        request: llm::Request,
    ) -> wasmtime::Result<Result<llm::Response, types::Failure>> {
        let call = self.seam.enter()?;
        let llm::Request { role, prompt, timeout_ms } = request;
        let Some(granted) = self.capabilities.llm.clone() else {
            return Ok(Err(self.refuse(call.at, "llm.run", not_granted("llm"))));
        };
        let asked = Question { role: role.clone(), prompt, timeout: timeout_ms.map(Duration::from_millis) };
        // Bounded by its role, which ends the agent, and by the run's own time.
        let answered = granted.ask(asked).await;
        for kept in answered.attachments {
            self.seam.record(call.at, Act::Attachment { name: kept.name, content: kept.content });
        }
        if let Some(done) = &answered.command {
            self.seam.record(call.at, family::command(done));
        }
        let usage = ModelUsage::from(answered.usage);
        let answer = answered.result.as_ref().map_or_else(|failure| failure.code, |_| "ok").to_owned();
        self.seam.record(call.at, Act::Model { role, answer, usage });
        Ok(answered.result.map_err(told).map(|text| llm::Response {
            text,
            usage: llm::Usage {
                input_tokens: usage.input_tokens,
                output_tokens: usage.output_tokens,
                cache_read_tokens: usage.cache_read_tokens,
                cache_write_tokens: usage.cache_write_tokens,
                cost_micro_usd: usage.cost_micro_usd,
            },
        }))
    }
}
