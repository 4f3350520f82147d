//! What WASI is told of the world: the clock, randomness, the outputs, and that there is nothing else.
//!
//! These answers are ours, and not wasmtime-wasi's with settings, so that what a component is told can be read here.

use std::time::{Duration, UNIX_EPOCH};

use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr,
    terminal_stdin, terminal_stdout,
};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::pipe::ClosedInputStream;
use wasmtime_wasi_io::bindings::wasi::io::poll;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream};

use crate::run::RunState;

/// The most random bytes of one call. WASI demands as many as were asked for, so more is refused and not cut.
const MAX_RANDOM: u64 = 1 << 20;

/// A component left by `wasi:cli/exit`. Whatever the status: it has not answered, so it has no verdict.
#[derive(Debug, thiserror::Error)]
#[error("the component exited with status {0} and did not answer")]
pub(crate) struct Exited(u8);

/// A component passed a limit of this module. It is ended.
#[derive(Debug, thiserror::Error)]
#[error("the component asked for {0} random bytes at once, and {MAX_RANDOM} is the most")]
pub(crate) struct TooMuchRandomness(u64);

impl monotonic_clock::Host for RunState {
    /// It begins at zero with the run, as our own `host.now-ms`.
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.seam.pass()?;
        Ok(nanos(self.seam.now()))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        self.seam.pass()?;
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.seam.pass()?;
        let wait = Duration::from_nanos(when).saturating_sub(self.seam.now());
        self.alarm(wait)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.seam.pass()?;
        self.alarm(Duration::from_nanos(duration))
    }
}

/// Rings at its time; one beyond what the clock can count never does.
struct Alarm(Option<tokio::time::Instant>);

#[async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        match self.0 {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

impl RunState {
    fn alarm(&mut self, wait: Duration) -> wasmtime::Result<Resource<DynPollable>> {
        let alarm = self.handles.push(Alarm(tokio::time::Instant::now().checked_add(wait)))?;
        subscribe(&mut self.handles, alarm)
    }
}

/// Five centuries fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl wall_clock::Host for RunState {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        self.seam.pass()?;
        // A machine whose clock is set before 1970 has worse problems; its components see 1970.
        let since = self.seam.time_of_day().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(wall_clock::Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        self.seam.pass()?;
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1 })
    }
}

impl RunState {
    fn random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.seam.pass()?;
        match usize::try_from(len) {
            Ok(wanted) if len <= MAX_RANDOM => Ok(self.seam.random(wanted)?),
            _ => Err(TooMuchRandomness(len).into()),
        }
    }

    fn random_number(&mut self) -> wasmtime::Result<u64> {
        let bytes = self.random_bytes(8)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

impl random::Host for RunState {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_number()
    }
}

impl insecure::Host for RunState {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_number()
    }
}

impl insecure_seed::Host for RunState {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.random_number()?, self.random_number()?))
    }
}

impl environment::Host for RunState {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        self.seam.pass()?;
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        self.seam.pass()?;
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        self.seam.pass()?;
        Ok(None)
    }
}

impl exit::Host for RunState {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        self.exit_with_code(u8::from(status.is_err()))
    }

    fn exit_with_code(&mut self, status: u8) -> wasmtime::Result<()> {
        self.seam.pass()?;
        Err(Exited(status).into())
    }
}

impl stdin::Host for RunState {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<DynInputStream>> {
        self.seam.pass()?;
        let stream: DynInputStream = Box::new(ClosedInputStream);
        Ok(self.handles.push(stream)?)
    }
}

impl stdout::Host for RunState {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.seam.pass()?;
        let stream: DynOutputStream = Box::new(self.wasi.output.stdout.clone());
        Ok(self.handles.push(stream)?)
    }
}

impl stderr::Host for RunState {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.seam.pass()?;
        let stream: DynOutputStream = Box::new(self.wasi.output.stderr.clone());
        Ok(self.handles.push(stream)?)
    }
}

impl terminal_stdin::Host for RunState {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<terminal_input::TerminalInput>>> {
        self.seam.pass()?;
        Ok(None)
    }
}

impl terminal_stdout::Host for RunState {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<terminal_output::TerminalOutput>>> {
        self.seam.pass()?;
        Ok(None)
    }
}

impl terminal_stderr::Host for RunState {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<terminal_output::TerminalOutput>>> {
        self.seam.pass()?;
        Ok(None)
    }
}

// Nobody has a handle of these two: none is given out.

impl terminal_input::Host for RunState {}

impl terminal_input::HostTerminalInput for RunState {
    fn drop(&mut self, handle: Resource<terminal_input::TerminalInput>) -> wasmtime::Result<()> {
        self.seam.pass()?;
        self.handles.delete(handle)?;
        Ok(())
    }
}

impl terminal_output::Host for RunState {}

impl terminal_output::HostTerminalOutput for RunState {
    fn drop(&mut self, handle: Resource<terminal_output::TerminalOutput>) -> wasmtime::Result<()> {
        self.seam.pass()?;
        self.handles.delete(handle)?;
        Ok(())
    }
}

// The only calls of WASI that wait. A wish that the run should end doesn't cut them short, for a clock that lies breaks
// programs: the run's grace period does, when it is over. `host.sleep-ms` is told at once.

impl poll::Host for RunState {
    async fn poll(&mut self, handles: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let _call = self.seam.enter()?;
        poll::Host::poll(&mut self.handles, handles).await
    }
}

impl poll::HostPollable for RunState {
    async fn block(&mut self, handle: Resource<DynPollable>) -> wasmtime::Result<()> {
        let _call = self.seam.enter()?;
        poll::HostPollable::block(&mut self.handles, handle).await
    }

    async fn ready(&mut self, handle: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.seam.pass()?;
        poll::HostPollable::ready(&mut self.handles, handle).await
    }

    fn drop(&mut self, handle: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.seam.pass()?;
        poll::HostPollable::drop(&mut self.handles, handle)
    }
}
