//! Who this start of the program is, and whether another one still lives (O3).
//!
//! An instance proves its life by holding a kernel lock on a file of its own for as long as it runs. The
//! kernel drops the lock with the last descriptor, however the process ended, so whoever can take the lock
//! has the proof of death. Process ids prove nothing: in a container every start is pid 1.
//!
//! What must never happen: a child that outlives us inherits the lock (the descriptor is close-on-exec); a
//! prober keeps a lock that it took for a living one's (it holds it only while it reclaims); the file of a
//! living instance is removed (only the holder of its lock removes it).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use stagewright_engine::identity::InstanceId;
use stagewright_engine::lease::LockProbe;

/// This start of the program: its id, and the lock that proves its life. Dropping it gives the lock up.
#[derive(Debug)]
pub struct Alive {
    id: InstanceId,
    path: PathBuf,
    _lock: File,
}

/// Why this start can't prove its life.
#[derive(Debug, thiserror::Error)]
#[error(
    "the lock file {path} of this instance can't be made: {source}; check that the state folder is writable"
)]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

impl Alive {
    /// Makes the lock file of `id` in `folder` and takes its lock.
    pub fn begin(folder: &Path, id: InstanceId) -> Result<Self, Error> {
        let path = lock_path(folder, id);
        let failed = |source| Error { path: path.clone(), source };
        // std opens every file close-on-exec.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        file.try_lock().map_err(|error| failed(io::Error::from(error)))?;
        Ok(Self { id, path, _lock: file })
    }

    /// This start's id.
    pub fn id(&self) -> InstanceId {
        self.id
    }

    /// Removes the lock file. Call it after the instance's row is retired, when nothing is owned any more.
    pub fn end(self) {
        // What remains after a failure is an unlocked file, which the next start takes for a dead instance.
        let _ = fs::remove_file(&self.path);
    }
}

/// The lock of an instance that is dead, held by us. While it exists nobody else can reclaim from it.
#[derive(Debug)]
pub struct Corpse {
    path: PathBuf,
    _lock: File,
}

impl Corpse {
    /// Removes the lock file, after everything that the dead instance owned has been reclaimed.
    pub fn bury(self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Tries to take the lock of `id`. Taking it is the only proof of death that a probe gives.
pub fn probe(folder: &Path, id: InstanceId) -> (LockProbe, Option<Corpse>) {
    let path = lock_path(folder, id);
    let file = match OpenOptions::new().write(true).open(&path) {
        Ok(file) => file,
        Err(_) => return (LockProbe::Unknown, None),
    };
    match file.try_lock() {
        Ok(()) => (LockProbe::Free, Some(Corpse { path, _lock: file })),
        Err(TryLockError::WouldBlock) => (LockProbe::Held, None),
        Err(TryLockError::Error(_)) => (LockProbe::Unknown, None),
    }
}

/// Where the lock file of an instance lies.
pub fn lock_path(folder: &Path, id: InstanceId) -> PathBuf {
    folder.join(format!("{id}.lock"))
}

/// What is recorded about this process beside its lock: for people, and as second evidence within one
/// process id namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Names this machine; stays the same through restarts.
    pub host: String,
    /// New at every boot of the kernel.
    pub boot: String,
    /// The process id namespace, such as `pid:[4026531836]`.
    pub pid_namespace: String,
    /// The process id in that namespace.
    pub pid: u32,
    /// When the process began, in clock ticks since boot: with the pid, unique within one boot.
    pub process_start: u64,
}

/// The facts about this very process.
pub fn this_process() -> ProcessFacts {
    let line = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let pid = std::process::id();
    ProcessFacts {
        host: Some(line("/etc/machine-id"))
            .filter(|id| !id.is_empty())
            .unwrap_or_else(|| line("/proc/sys/kernel/hostname")),
        boot: line("/proc/sys/kernel/random/boot_id"),
        pid_namespace: fs::read_link("/proc/self/ns/pid")
            .map(|link| link.to_string_lossy().into_owned())
            .unwrap_or_default(),
        pid,
        process_start: match process(pid) {
            Process::Began(start) => start,
            Process::Nobody | Process::Unknown => 0,
        },
    }
}

/// What can be found out about a process id of this namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// A process has it, and began at this time, in clock ticks since boot.
    Began(u64),
    /// Nobody has it.
    Nobody,
    /// It is not known whose it is.
    Unknown,
}

/// Who has the process id `pid`.
///
/// That `/proc` shows nobody is no proof: it may hide processes of others (`hidepid`), and who has used up its open files
/// reads nothing at all. So the kernel is asked whether the id is free.
pub fn process(pid: u32) -> Process {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    judge(stat.ok().as_deref(), || match i32::try_from(pid).ok().and_then(Pid::from_raw) {
        Some(pid) => test_kill_process(pid) == Err(Errno::SRCH),
        None => true,
    })
}

fn judge(stat: Option<&str>, is_free: impl FnOnce() -> bool) -> Process {
    match stat.and_then(start_in) {
        Some(start) => Process::Began(start),
        None if is_free() => Process::Nobody,
        None => Process::Unknown,
    }
}

/// The start time in the text of a `/proc/<pid>/stat`.
fn start_in(stat: &str) -> Option<u64> {
    // The second field is the name in brackets and may hold anything; the rest has a fixed order, in which
    // the start time is field 22 of all, so the 20th after the name.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn id() -> InstanceId {
        InstanceId::new(clock::new_id())
    }

    #[test]
    fn a_living_instance_can_not_be_taken_for_dead() {
        let folder = tempfile::tempdir().unwrap();
        let alive = Alive::begin(folder.path(), id()).unwrap();
        let (probe, corpse) = probe(folder.path(), alive.id());
        assert_eq!(probe, LockProbe::Held);
        assert!(corpse.is_none());
    }

    #[test]
    fn an_ended_instance_is_proven_dead_once_and_by_one_prober_only() {
        let folder = tempfile::tempdir().unwrap();
        let alive = Alive::begin(folder.path(), id()).unwrap();
        let dead = alive.id();
        drop(alive);
        let (first, corpse) = probe(folder.path(), dead);
        assert_eq!(first, LockProbe::Free);
        // While the first prober reclaims, a second one has no proof.
        assert_eq!(probe(folder.path(), dead).0, LockProbe::Held);
        corpse.unwrap().bury();
        assert_eq!(probe(folder.path(), dead).0, LockProbe::Unknown);
    }

    #[test]
    fn a_missing_lock_file_is_no_proof() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(probe(folder.path(), id()).0, LockProbe::Unknown);
    }

    #[test]
    fn a_child_does_not_inherit_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let alive = Alive::begin(folder.path(), id()).unwrap();
        let mut child = std::process::Command::new("sh");
        child.args(["-c", "echo begun; exec sleep 60"]).stdout(std::process::Stdio::piped());
        let mut child = child.spawn().unwrap();
        // Its own word, since the kernel lets us go on before it has closed what a new program does not get.
        let mut word = [0; 5];
        io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut word).unwrap();
        let dead = alive.id();
        drop(alive);
        let (probe, _corpse) = probe(folder.path(), dead);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(probe, LockProbe::Free);
    }

    #[test]
    fn a_process_is_found_with_its_start_time_and_an_id_that_nobody_has_is_free() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        assert!(matches!(process(pid), Process::Began(1..)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process(pid), Process::Nobody);
        assert_eq!(process(u32::MAX), Process::Nobody);
    }

    #[test]
    fn a_process_that_can_not_be_looked_at_is_not_taken_for_gone() {
        assert_eq!(judge(None, || false), Process::Unknown);
        assert_eq!(judge(Some("cut off"), || false), Process::Unknown);
        assert_eq!(judge(None, || true), Process::Nobody);
    }
}
