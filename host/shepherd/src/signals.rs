//! Signals: which ones the shepherd hears, and how the command finds them.
//!
//! The shepherd blocks every signal that can be blocked, so that nothing short of KILL ends it, and hears of
//! ended children through a descriptor. The command starts with no signal blocked and none ignored, as a
//! program that is started by hand does, whatever the daemon was started with.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The highest signal number of Linux.
const LAST: libc::c_int = 64;
/// The size of the record that the kernel writes for each signal.
const RECORD: usize = size_of::<libc::signalfd_siginfo>();

/// Becomes readable when a child has ended.
pub(crate) struct ChildSignals {
    fd: OwnedFd,
}

impl ChildSignals {
    /// Blocks all signals of this process and listens for ended children.
    #[allow(unsafe_code)]
    pub(crate) fn listen() -> io::Result<Self> {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut children = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset and sigemptyset initialise the set that they are given, so that the sets are
        // whole when they are used; the descriptor is new and nobody else's.
        let fd = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::sigemptyset(children.as_mut_ptr());
            libc::sigaddset(children.as_mut_ptr(), libc::SIGCHLD);
            if libc::sigprocmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            libc::signalfd(-1, children.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: see above.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Waits for the end of a child, at most for `time`.
    pub(crate) fn wait(&self, time: Duration) {
        let timeout = Timespec::try_from(time).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        // An interrupted wait only means to look again.
        let _ = poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&timeout));
        self.clear();
    }

    /// Takes note of what was heard. Several ends may be told as one, so all children are looked at anyway.
    pub(crate) fn clear(&self) {
        let mut records = [0; 4 * RECORD];
        let _ = rustix::io::read(&self.fd, &mut records);
    }
}

impl AsFd for ChildSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Gives the calling process the signals of a program that is started by hand: none blocked, none ignored.
#[allow(unsafe_code)]
pub(crate) fn reset() -> io::Result<()> {
    for signal in 1..=LAST {
        // SAFETY: SIG_DFL is a valid disposition for every signal; where it can't be set (KILL, STOP, those
        // of the C library), the call fails and changes nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set before it is used.
    let set = unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
