//! The real capabilities: what the host granted to this run, through the component's imports.
//!
//! Outside a component there is no host behind them, and every call panics. Native tests use `testing`.

use crate::bindings::stagewright::producer::{files, host, llm, probe, process, ssh};
use crate::{
    Area, Cause, Child, Command, Completed, Entry, Event, Failure, Files, Host, Level, Llm, ModelRequest,
    ModelResponse, Probe, ProbeResponse, Process, RemoteCommand, RemoteCompleted, Ssh,
};

/// What the host granted to this run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Granted;

impl Host for Granted {
    fn log(&self, level: Level, message: &str) {
        host::log(level, message);
    }

    fn progress(&self, done: u64, total: u64, message: &str) {
        host::progress(done, total, message);
    }

    fn now_ms(&self) -> u64 {
        host::now_ms()
    }

    fn remaining_ms(&self) -> u64 {
        host::remaining_ms()
    }

    fn cancelled(&self) -> Option<Cause> {
        host::cancelled()
    }

    fn sleep_ms(&self, duration: u64) -> bool {
        host::sleep_ms(duration)
    }

    fn random(&self, len: u32) -> Vec<u8> {
        host::random(len)
    }
}

impl Process for Granted {
    type Child = process::Child;

    fn spawn(&self, command: &Command) -> Result<Self::Child, Failure> {
        process::spawn(command)
    }

    fn run(&self, command: &Command) -> Result<Completed, Failure> {
        process::run(command)
    }
}

impl Child for process::Child {
    fn next(&self, max: u32, timeout_ms: u64) -> Event {
        Self::next(self, max, timeout_ms)
    }

    fn kill(&self) {
        Self::kill(self);
    }
}

impl Files for Granted {
    fn read(&self, area: Area, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, Failure> {
        files::read(area, path, offset, max)
    }

    fn entries(&self, area: Area, path: &str, after: Option<&str>, max: u32) -> Result<Vec<Entry>, Failure> {
        files::entries(area, path, after, max)
    }

    fn write(&self, path: &str, content: &[u8]) -> Result<(), Failure> {
        files::write(path, content)
    }

    fn attach(&self, path: &str, name: &str) -> Result<(), Failure> {
        files::attach(path, name)
    }
}

impl Probe for Granted {
    fn get(
        &self,
        endpoint: &str,
        path: &str,
        max_bytes: u32,
        timeout_ms: u64,
    ) -> Result<ProbeResponse, Failure> {
        probe::get(endpoint, path, max_bytes, timeout_ms)
    }
}

impl Ssh for Granted {
    fn exec(&self, command: &RemoteCommand) -> Result<RemoteCompleted, Failure> {
        ssh::exec(command)
    }
}

impl Llm for Granted {
    fn ask(&self, request: &ModelRequest) -> Result<ModelResponse, Failure> {
        llm::run(request)
    }
}
