//! One trait for each capability that a producer can be granted.
//!
//! A producer asks for them as bounds (`impl<C: Host + Process> Produce<C> for Mine`), so its signature says what it
//! reaches. [`Granted`](crate::Granted) implements them with the component's imports, the doubles of
//! `testing` without any. They are used through generics and never as trait objects: a virtual table names
//! every function of its trait, and each would become an import of the component.

use crate::{
    Area, Cause, Command, Completed, Entry, Event, Failure, FailureKind, FileKind, Level, ModelRequest,
    ModelResponse, ProbeResponse, RemoteCommand, RemoteCompleted,
};

/// Always granted: talk to the host, read the clock, notice a cancellation.
pub trait Host {
    /// Writes a line to the run's log.
    fn log(&self, level: Level, message: &str);
    /// Tells people that `done` of `total` steps are behind; a `total` of 0 means that it is not known.
    fn progress(&self, done: u64, total: u64, message: &str);
    /// Milliseconds since this run began; monotonic.
    fn now_ms(&self) -> u64;
    /// Milliseconds until the host ends this run.
    fn remaining_ms(&self) -> u64;
    /// Set once the host wants the run to end: return soon, or be ended.
    fn cancelled(&self) -> Option<Cause>;
    /// Waits; false if a cancellation cut it short.
    fn sleep_ms(&self, duration: u64) -> bool;
    /// `len` random bytes.
    fn random(&self, len: u32) -> Vec<u8>;
}

/// Local processes in this run's worktree.
pub trait Process {
    /// A running child. Dropping it ends its process tree.
    type Child: Child;

    /// Starts a program that the grant names. No shell is involved.
    ///
    /// # Errors
    /// `denied` where the grant does not allow it, `not-found` where the program is not there, `transient` where
    /// the machine could not start it now.
    fn spawn(&self, command: &Command) -> Result<Self::Child, Failure>;

    /// Starts it and waits for its end.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    fn run(&self, command: &Command) -> Result<Completed, Failure>;
}

/// A running child.
pub trait Child {
    /// Waits for what happens next: output (at most `max` bytes), the end, or nothing within `timeout_ms`.
    fn next(&self, max: u32, timeout_ms: u64) -> Event;
    /// Ends the tree: TERM, a grace period, then KILL.
    fn kill(&self);
}

/// The files of this run.
pub trait Files {
    /// Reads at most `max` bytes from `offset`; fewer at the file's end.
    ///
    /// # Errors
    /// `not-found`, `denied` for a path that leaves the area, `limit` past the grant's limits.
    fn read(&self, area: Area, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, Failure>;

    /// Lists a folder in the order of names, at most `max` entries after the name `after`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn entries(&self, area: Area, path: &str, after: Option<&str>, max: u32) -> Result<Vec<Entry>, Failure>;

    /// Writes a file in the scratch folder.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn write(&self, path: &str, content: &[u8]) -> Result<(), Failure>;

    /// Keeps a scratch file beside the artifact, under this plain name.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn attach(&self, path: &str, name: &str) -> Result<(), Failure>;

    /// Reads a whole file.
    ///
    /// # Errors
    /// As [`read`](Self::read), and `limit` if the file is longer than `limit` bytes.
    fn read_whole(&self, area: Area, path: &str, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut whole = Vec::new();
        loop {
            let piece = self.read(area, path, whole.len() as u64, READ_PIECE)?;
            if piece.is_empty() {
                return Ok(whole);
            }
            whole.extend_from_slice(&piece);
            if whole.len() as u64 > limit {
                return Err(Failure {
                    kind: FailureKind::Limit,
                    code: "file-too-long".to_owned(),
                    message: format!("{path} is longer than {limit} bytes"),
                });
            }
        }
    }

    /// Reads a whole file as text; bytes that are no UTF-8 are replaced. None if it isn't there or can't be read.
    fn text(&self, area: Area, path: &str, limit: u64) -> Option<String> {
        let bytes = self.read_whole(area, path, limit).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether a file can be read there.
    fn exists(&self, area: Area, path: &str) -> bool {
        self.read(area, path, 0, 1).is_ok()
    }

    /// The names in a folder that are of `kind`; empty if there is no such folder. At most 1,000.
    fn names(&self, area: Area, path: &str, kind: FileKind) -> Vec<String> {
        let mut names = Vec::new();
        let mut after = None;
        while let Ok(entries) = self.entries(area, path, after.as_deref(), ENTRIES_PIECE) {
            let Some(last) = entries.last() else { break };
            after = Some(last.name.clone());
            names.extend(entries.into_iter().filter(|entry| entry.kind == kind).map(|entry| entry.name));
            if names.len() >= MAX_NAMES {
                break;
            }
        }
        names
    }
}

/// How much one read asks for: few calls, and well below what a host hands over at once.
const READ_PIECE: u32 = 256 * 1024;
/// How many entries one listing asks for.
const ENTRIES_PIECE: u32 = 256;
/// Where a listing stops.
const MAX_NAMES: usize = 1_000;

/// Read-only HTTP probes of endpoints that the operator named.
pub trait Probe {
    /// GET on a named endpoint joined with `path`; redirects are not followed.
    ///
    /// # Errors
    /// `denied` for an endpoint that is not granted, `timed-out` and `transient` where nobody answered, `limit`
    /// for an answer of more than `max_bytes`.
    fn get(
        &self,
        endpoint: &str,
        path: &str,
        max_bytes: u32,
        timeout_ms: u64,
    ) -> Result<ProbeResponse, Failure>;
}

/// Commands on remote hosts that the operator named.
pub trait Ssh {
    /// Runs a command on a target, and waits for its end.
    ///
    /// # Errors
    /// `denied` for a target that is not granted, `not-found` where the ssh program is not there, `permanent` for a command
    /// that can't be sent. What became of a command that was sent is in the answer.
    fn exec(&self, command: &RemoteCommand) -> Result<RemoteCompleted, Failure>;
}

/// The one way to a language model.
pub trait Llm {
    /// Asks a model in a role, and waits for its answer.
    ///
    /// # Errors
    /// `denied` for a role that is not granted, `limit` where a budget is spent, `transient` and `timed-out` where the model
    /// was not to be had, `permanent` where somebody has to mend something, `cancelled`.
    fn ask(&self, request: &ModelRequest) -> Result<ModelResponse, Failure>;
}
