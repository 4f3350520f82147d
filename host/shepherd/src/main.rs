//! One command, from its start to the end of everything that came of it. The library has the whole story.

mod command;
mod confine;
mod privilege;
mod signals;
mod tree;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use stagewright_shepherd::protocol::{Ending, MAX_REQUEST, Request, TERMINATE, Word};

use crate::signals::ChildSignals;
use crate::tree::Reach;

/// How soon everyone is killed again when the grace period is over and the leader still lives.
const KILL_AGAIN: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let Ok(mut control) = command::take_control_socket() else { return ExitCode::from(2) };
    let request = match read_request(&mut control) {
        Ok(request) => request,
        Err(what) => return fail(&mut control, 0, what),
    };
    let signals = match prepare() {
        Ok(signals) => signals,
        Err(error) => {
            return fail(&mut control, error.raw_os_error().unwrap_or(0), format!("get ready: {error}"));
        }
    };
    let reach = confine::enclose(&request);
    let leader = match command::start(&request) {
        Ok(leader) => leader,
        Err(error) => return fail(&mut control, error.errno, error.what),
    };
    say(&mut control, &Word::Started { pid: leader.pid, isolation: leader.isolation });
    let ending = watch(&mut control, &signals, leader.pid, reach, request.grace);
    say(&mut control, &Word::Exited(ending));
    let last = match tree::end_all(reach, &signals) {
        Ok(()) => Word::Gone,
        Err(left) => Word::Lost(left),
    };
    say(&mut control, &last);
    ExitCode::SUCCESS
}

/// What the shepherd does about itself before it starts anything.
fn prepare() -> std::io::Result<ChildSignals> {
    // Its memory holds the command's whole environment and input.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    tree::become_subreaper()?;
    ChildSignals::listen()
}

fn read_request(control: &mut UnixStream) -> Result<Request, String> {
    let mut length = [0; 4];
    control.read_exact(&mut length).map_err(|error| format!("read the request: {error}"))?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_REQUEST {
        return Err(format!("the request has {length} bytes, more than {MAX_REQUEST}"));
    }
    let mut bytes = vec![0; length];
    control.read_exact(&mut bytes).map_err(|error| format!("read the request: {error}"))?;
    Request::decode(&bytes).map_err(|error| error.to_string())
}

fn fail(control: &mut UnixStream, errno: i32, what: String) -> ExitCode {
    say(control, &Word::Failed { errno, what });
    ExitCode::FAILURE
}

/// Nobody to say it to is no reason to stop: the tree has to be ended all the same.
fn say(control: &mut UnixStream, word: &Word) {
    let _ = control.write_all(word.line().as_bytes());
}

/// Waits until the leader has ended, by itself or because it was told to.
fn watch(
    control: &mut UnixStream,
    signals: &ChildSignals,
    leader: u32,
    reach: Reach,
    grace: Duration,
) -> Ending {
    let mut kill_at: Option<Instant> = None;
    let mut listening = true;
    loop {
        // Whoever was adopted and has ended is cleared away as well, so that no zombies pile up.
        if let Some(ending) = tree::reap(leader) {
            return ending;
        }
        if kill_at.is_some_and(|at| Instant::now() >= at) {
            tree::kill(reach);
            kill_at = Some(Instant::now() + KILL_AGAIN);
        }
        let wait = kill_at.map(|at| at.saturating_duration_since(Instant::now()));
        if !wait_for_either(signals, listening.then_some(&*control), wait) {
            continue;
        }
        match next_order(control) {
            Order::Terminate if kill_at.is_none() => {
                tree::terminate(leader, reach);
                kill_at = Some(Instant::now() + grace);
            }
            Order::None | Order::Terminate => {}
            Order::Closed => {
                listening = false;
                kill_at = Some(Instant::now());
            }
        }
    }
}

/// Waits for the end of a child or something on the socket; true for the socket.
fn wait_for_either(signals: &ChildSignals, control: Option<&UnixStream>, wait: Option<Duration>) -> bool {
    let timeout = wait.and_then(|wait| Timespec::try_from(wait).ok());
    let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
    fds.extend(control.map(|control| PollFd::new(control, PollFlags::IN)));
    // An interrupted wait only means to look again.
    let _ = poll(&mut fds, timeout.as_ref());
    let heard = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
    signals.clear();
    heard
}

enum Order {
    None,
    Terminate,
    Closed,
}

fn next_order(control: &mut UnixStream) -> Order {
    let mut byte = [0];
    match control.read(&mut byte) {
        Ok(1) if byte[0] == TERMINATE => Order::Terminate,
        Ok(0) => Order::Closed,
        Ok(_) => Order::None,
        Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => Order::None,
        Err(_) => Order::Closed,
    }
}
