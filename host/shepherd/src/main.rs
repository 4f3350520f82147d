//! One command, from its start to the end of everything that came of it. The library has the whole story.

mod command;
mod confine;
mod privilege;
mod tree;

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use stagewright_shepherd::protocol::{Ending, MAX_REQUEST, Request, TERMINATE, Word};

/// How often zombies of adopted processes are cleared away while the leader runs.
const REAP_INTERVAL: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let Ok(mut control) = command::take_control_socket() else { return ExitCode::from(2) };
    let request = match read_request(&mut control) {
        Ok(request) => request,
        Err(what) => return fail(&mut control, 0, what),
    };
    if let Err(error) = tree::become_subreaper() {
        return fail(&mut control, error.raw_os_error(), "become the subreaper".to_owned());
    }
    let leader = match command::start(&request) {
        Ok(leader) => leader,
        Err(error) => return fail(&mut control, error.errno, error.what),
    };
    say(&mut control, &Word::Started { pid: leader.pid(), isolation: leader.isolation.clone() });
    let ending = watch(&mut control, &leader, request.grace);
    say(&mut control, &Word::Exited(ending));
    let last = match tree::end_all() {
        Ok(()) => Word::Gone,
        Err(left) => Word::Lost(left),
    };
    say(&mut control, &last);
    ExitCode::SUCCESS
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
fn watch(control: &mut UnixStream, leader: &command::Leader, grace: Duration) -> Ending {
    let mut kill_at: Option<Instant> = None;
    let mut listening = true;
    loop {
        if let Some(ending) = tree::reap(leader.pid()) {
            return ending;
        }
        if kill_at.is_some_and(|at| Instant::now() >= at) {
            tree::kill_children();
            kill_at = Some(Instant::now() + Duration::from_millis(50));
        }
        let until_kill = kill_at.map(|at| at.saturating_duration_since(Instant::now()));
        let wait = until_kill.unwrap_or(REAP_INTERVAL).min(REAP_INTERVAL);
        let heard = wait_for_either(&leader.pidfd, listening.then_some(&*control), wait);
        if !heard {
            continue;
        }
        match next_order(control) {
            Order::None => {}
            Order::Terminate if kill_at.is_none() => {
                tree::terminate(leader.pid());
                kill_at = Some(Instant::now() + grace);
            }
            Order::Terminate => {}
            Order::Closed => {
                listening = false;
                kill_at = Some(Instant::now());
            }
        }
    }
}

/// Waits for the leader's end or something on the socket; true for the socket.
fn wait_for_either(leader: &OwnedFd, control: Option<&UnixStream>, wait: Duration) -> bool {
    let timeout = Timespec::try_from(wait).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
    let mut fds = vec![PollFd::new(leader, PollFlags::IN)];
    if let Some(control) = control {
        fds.push(PollFd::from_borrowed_fd(control.as_fd(), PollFlags::IN));
    }
    // An interrupted wait only means to look again.
    let _ = poll(&mut fds, Some(&timeout));
    fds.get(1).is_some_and(|fd| !fd.revents().is_empty())
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
