//! Local processes: what may be started, in which environment, and the end of all that came of it (G5).
//!
//! A [`Process`] is made from a [`Grant`] and starts only what that names, with an environment that is built
//! from nothing. Each command has a shepherd of its own. A [`Child`] never waits for its reader: output goes
//! to the log folder, to a bounded tail and to a bounded window that a slow reader finds shortened. When a
//! child is said to have ended, its whole process tree is gone, or it is said to be [`Exit::Lost`].

mod child;
mod crowd;
mod environment;
mod grant;
pub(crate) mod output;
mod roots;
mod shepherd;
pub(crate) mod supervise;

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use child::{Child, Chunk, Completed, Event, Exit, StreamEnd};
pub use grant::{Confinement, Grant, Program};
pub use roots::{of_program as roots_of_program, open_to_all, system as system_roots};
pub(crate) use shepherd::start_failed;
pub use shepherd::{Flock, Shepherd};
use stagewright_shepherd::protocol::Request;

use crate::{Cancel, Failure, FailureKind, Place, harden};

/// How long a process has between TERM and KILL.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// The longest input that a command is given, in bytes.
const MAX_STDIN: usize = 16 << 20;
/// The longest argument that Linux takes, in bytes, without the NUL at its end.
pub(crate) const MAX_ARGUMENT: usize = (128 << 10) - 1;

/// A command that a component asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// A program that the grant names.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables that are added to the clean environment.
    pub env: Vec<(String, String)>,
    /// A folder in the clone; the clone itself if absent.
    pub cwd: Option<String>,
    /// What it reads from its standard input.
    pub stdin: Vec<u8>,
    /// Ends the tree after this time.
    pub timeout: Option<Duration>,
}

/// The capability to start local processes for one run.
#[derive(Clone, Debug)]
pub struct Process {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    grant: Grant,
    place: Place,
    shepherd: Shepherd,
    cancel: Cancel,
    /// What may be read and written: found out before foreign code could have a say in it.
    roots: roots::Roots,
    /// Permits for processes at once.
    places: Arc<tokio::sync::Semaphore>,
    started: std::sync::atomic::AtomicU32,
}

impl Process {
    /// The capability that `grant` gives to the run at `place`.
    pub fn new(grant: Grant, place: Place, shepherd: Shepherd, cancel: Cancel) -> Self {
        let places = Arc::new(tokio::sync::Semaphore::new(grant.max_at_once));
        let started = std::sync::atomic::AtomicU32::new(0);
        let roots = grant.roots(&place);
        Self { inner: Arc::new(Inner { grant, place, shepherd, cancel, roots, places, started }) }
    }

    /// Starts a command. Its end is known by the [`Child`], and dropping that brings it about.
    ///
    /// # Errors
    /// `cancelled`, `program-not-granted`, `program-missing`, `argument-not-granted`, `variable-not-granted`,
    /// `outside-worktree`, `nul-character`, `input-too-large`, `too-many-processes`, `shepherd-missing`,
    /// `program-not-executable`, `isolation-missing`, `spawn-failed`. Nothing was started then.
    pub async fn spawn(&self, command: Command) -> Result<Child, Failure> {
        let Inner { grant, place, shepherd, cancel, roots, places, started } = &*self.inner;
        if cancel.cause().is_some() {
            return Err(Failure::cancelled());
        }
        let program = grant.program(&command.program)?;
        program.check_args(&command.program, &command.args)?;
        let env = environment::build(grant, place, program, &command.env)?;
        check_strings(&command)?;
        if !program.path.is_file() {
            let message =
                format!("the program `{}` is not there: {}", command.program, program.path.display());
            return Err(Failure::new(FailureKind::NotFound, "program-missing", message));
        }
        let permit = Arc::clone(places).try_acquire_owned().map_err(|_| {
            let message = format!("{} processes of this run are running already", grant.max_at_once);
            Failure::new(FailureKind::Limit, "too-many-processes", message)
        })?;
        let request = Request {
            program: program.path.clone(),
            args: command.args.iter().map(Into::into).collect(),
            env,
            cwd: working_folder(place, command.cwd.as_deref())?,
            stdin: command.stdin,
            grace: GRACE,
            max_processes: grant.max_processes,
            confine: grant.confinement != Confinement::Off,
            open_files: harden::open_files(),
            read: roots.read.clone(),
            write: roots.write.clone(),
        };
        let mut flock = shepherd.start(&request).await?;
        let isolation = supervise::await_start(&mut flock, grant.confinement, place.run).await?;
        let number = started.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let limits = supervise::Limits {
            time: command.timeout.unwrap_or(grant.max_time).min(grant.max_time),
            output_log_bytes: grant.output_log_bytes,
            tail_bytes: grant.tail_bytes,
            output_bytes: grant.output_bytes,
            tree: grant.max_tree,
        };
        let facts = supervise::Facts {
            program: command.program,
            path: program.path.clone(),
            args: command.args,
            isolation,
            run: place.run,
        };
        let logs = output::LogFiles::create(&place.logs, "", number, grant.output_log_bytes);
        Ok(supervise::supervise(flock, facts, limits, logs, cancel.clone(), permit))
    }

    /// Starts a command and waits for its end. Errors as for [`Process::spawn`].
    pub async fn run(&self, command: Command) -> Result<Completed, Failure> {
        Ok(self.spawn(command).await?.end().await)
    }
}

/// The folder in the clone that a relative path names; nothing that leads out of it.
fn working_folder(place: &Place, cwd: Option<&str>) -> Result<PathBuf, Failure> {
    let Some(cwd) = cwd else { return Ok(place.clone.clone()) };
    let denied = || {
        let message = format!("the working folder `{cwd}` is not a folder inside the worktree");
        Failure::new(FailureKind::Denied, "outside-worktree", message)
    };
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(cwd).components().all(plain) {
        return Err(denied());
    }
    // Links are resolved and the result looked at. Processes of the run could change it afterwards, but they
    // gain nothing by it: the command is confined to the same folders as they are.
    let root = place.clone.canonicalize().map_err(|_| denied())?;
    let folder = root.join(cwd).canonicalize().map_err(|_| denied())?;
    if folder.starts_with(&root) && folder.is_dir() { Ok(folder) } else { Err(denied()) }
}

fn check_strings(command: &Command) -> Result<(), Failure> {
    let mut texts = command.args.iter().chain(command.env.iter().flat_map(|(name, value)| [name, value]));
    if texts.any(|text| text.contains('\0')) {
        let message = "an argument or a variable contains a NUL character";
        return Err(Failure::new(FailureKind::Permanent, "nul-character", message));
    }
    if command.stdin.len() > MAX_STDIN {
        let message = format!("the input has more than {MAX_STDIN} bytes");
        return Err(Failure::new(FailureKind::Limit, "input-too-large", message));
    }
    Ok(())
}
