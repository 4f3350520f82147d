//! What the daemon does about itself, before any foreign code runs beside it.

use std::io;

use rustix::process::{DumpableBehavior, Pid, set_child_subreaper, set_dumpable_behavior};

/// Closes this process's memory and `/proc` entries to others of its user (G5), and makes it the one who
/// adopts what a killed shepherd leaves behind, so that it can be ended.
pub fn this_process() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // The argument only has to be some process id: it stands for "yes".
    set_child_subreaper(Pid::from_raw(1))?;
    Ok(())
}
