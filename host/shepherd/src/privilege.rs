//! What a command of root's may not do though it is root's.
//!
//! Landlock hides other processes' memory and environment, but the kernel lets whoever has `CAP_PERFMON` or
//! `CAP_SYS_ADMIN` read them all the same, and a device file that root makes leads past every file system. So a
//! command of root's is left with what a container of root's usually has, without the making of device files,
//! and nothing beyond. For other users there is nothing to lay down.

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

/// What stays: the default set of container engines but for `CAP_MKNOD`.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// Takes all others out of the bounding set, which is what a program of root's is given when it is executed.
pub(crate) fn lay_down() -> Result<(), Errno> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    for capability in CapabilitySet::all().difference(KEPT).iter() {
        match remove_capability_from_bounding_set(capability) {
            // One that this kernel doesn't know, or that we may not take away since we don't have it ourselves.
            Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
