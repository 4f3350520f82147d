//! What the daemon does about itself, before any foreign code runs beside it.

use std::io;
use std::sync::OnceLock;

use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, getrlimit, set_child_subreaper, set_dumpable_behavior, setrlimit,
};

/// How many files a process might have open before this process raised its own limit.
static OPEN_FILES: OnceLock<Option<u64>> = OnceLock::new();

/// Closes this process's memory and `/proc` entries to others of its user (G5), makes it the one who adopts what
/// a killed shepherd leaves behind, so that it can be ended, and lets it open as many files as it may: each
/// running command takes five.
pub fn this_process() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // The argument only has to be some process id: it stands for "yes".
    set_child_subreaper(Pid::from_raw(1))?;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    OPEN_FILES.get_or_init(|| current);
    // A system that does not let it keeps the lower limit; many commands at once are then refused one by one.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    Ok(())
}

/// The limit on open files that commands are started with: the one that they would have had by hand. Many
/// programs go through all possible descriptors and take long where there are many.
pub(crate) fn open_files() -> Option<u64> {
    OPEN_FILES.get().copied().flatten()
}
