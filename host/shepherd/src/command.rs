//! Starting the command: what is set up between fork and exec, and the descriptors that go along.
//!
//! The shepherd has one thread, so what runs in the child before `exec` may allocate.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getpid, getppid, getrlimit, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit, setsid,
};
use stagewright_shepherd::protocol::Request;

use crate::{confine, privilege, signals};

/// How much sooner than others a command is ended by the kernel where memory runs out (-1000 to 1000): what
/// goes must be the suite, and not the daemon that it would take with it.
const OOM_SCORE: &str = "300";

/// The command's first process.
pub(crate) struct Leader {
    pub(crate) pid: u32,
    /// What confines it.
    pub(crate) isolation: String,
}

/// Why the command was not started.
pub(crate) struct StartError {
    /// The system's error number; 0 if it was not the system.
    pub(crate) errno: i32,
    pub(crate) what: String,
}

/// Takes standard input as the control socket.
#[allow(unsafe_code)]
pub(crate) fn take_control_socket() -> io::Result<UnixStream> {
    // SAFETY: descriptor 0 is open for the whole life of a process that was started with one, nobody else in
    // this program uses it, and `Stdio::from` below never refers to it again.
    let inherited = unsafe { OwnedFd::from_raw_fd(0) };
    // A copy with close-on-exec: the command must not get hold of the control socket.
    let control = rustix::io::fcntl_dupfd_cloexec(&inherited, 3)?;
    let null = File::open("/dev/null")?;
    // Descriptor 0 stays occupied, so that no file that is opened later lands there.
    rustix::stdio::dup2_stdin(&null)?;
    std::mem::forget(inherited);
    let control = UnixStream::from(control);
    control.set_nonblocking(false)?;
    Ok(control)
}

/// Starts the command and lets go of its output.
#[allow(unsafe_code)]
pub(crate) fn start(request: &Request) -> Result<Leader, StartError> {
    let confinement = confine::prepare(request).map_err(|what| StartError { errno: 0, what })?;
    let isolation = confinement.as_ref().map_or_else(|| "none".to_owned(), |it| it.name.clone());
    let stdin = stdin(&request.stdin).map_err(|error| system("prepare the input", &error))?;
    let mut command = Command::new(&request.program);
    command.args(&request.args).env_clear().envs(request.env.iter().map(|(name, value)| (name, value)));
    command.current_dir(&request.cwd).stdin(stdin);
    let shepherd = getpid();
    let (max_processes, open_files) = (request.max_processes, request.open_files);
    let mut confinement = Some(confinement);
    let prepare = move || -> io::Result<()> {
        signals::reset()?;
        setsid()?;
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The shepherd may have died before the line above took effect.
        if getppid() != Some(shepherd) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        // The files in `/proc` of a process that is closed to others belong to root; it opens itself for the
        // moment before it becomes the command.
        set_dumpable_behavior(DumpableBehavior::Dumpable)?;
        // A machine that does not let it is no reason not to run.
        let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
        if let Some(max) = max_processes {
            setrlimit(Resource::Nproc, Rlimit { current: Some(max), maximum: Some(max) })?;
        }
        if let Some(files) = open_files {
            let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
            setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum })?;
        }
        privilege::lay_down()?;
        rustix::thread::set_no_new_privs(true)?;
        if let Some(confinement) = confinement.take().flatten()
            && !confinement.enforce()?
        {
            // Better no run than one that claims a protection that it does not have.
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        Ok(())
    };
    // SAFETY: the closure runs in the forked child of a process with one thread, so no lock can be held by
    // a thread that does not exist there.
    unsafe { command.pre_exec(prepare) };
    let child =
        command.spawn().map_err(|error| system(&format!("execute {}", request.program.display()), &error))?;
    let pid = child.id();
    // `Child` neither kills nor waits when it is dropped; the tree is ours to reap.
    drop(child);
    let_go_of_output().map_err(|error| system("let go of the output", &error))?;
    Ok(Leader { pid, isolation })
}

fn system(what: &str, error: &io::Error) -> StartError {
    StartError { errno: error.raw_os_error().unwrap_or(0), what: format!("{what}: {error}") }
}

/// The command's input: a file in memory, so that nobody has to feed a pipe.
fn stdin(bytes: &[u8]) -> io::Result<Stdio> {
    if bytes.is_empty() {
        return Ok(Stdio::null());
    }
    let mut file = File::from(memfd_create("stdin", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(Stdio::from(file))
}

/// The output pipes belong to the command alone: their end is then its end.
fn let_go_of_output() -> io::Result<()> {
    let null = File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(null.as_fd())?;
    rustix::stdio::dup2_stderr(null.as_fd())?;
    Ok(())
}
