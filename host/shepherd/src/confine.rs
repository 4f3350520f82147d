//! The file system that the command sees, by Landlock.
//!
//! Landlock allows and can't except: what is not below one of the listed roots is out of reach. Reading and
//! executing is one right here, writing includes it; making device files is nobody's right, since a device of
//! root's own making leads to everything. The network is left alone, since suites use loopback. Signals and
//! abstract sockets are kept inside where the kernel can do that.
//!
//! There are two domains, one in the other. The outer one holds the shepherd with all its descendants and only
//! limits whom they may signal; the inner one holds the command with all of its own. So the shepherd can end
//! everyone in it with one call, and nobody in it can touch the shepherd.

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::fs::{FileType, fstat};
use rustix::process::{getppid, test_kill_process};
use stagewright_shepherd::protocol::Request;

use crate::tree::Reach;

/// A rule set that is ready to be put on the command.
pub(crate) struct Confinement {
    ruleset: RulesetCreated,
    /// What it will be called, such as `landlock-7`.
    pub(crate) name: String,
}

/// Puts the shepherd into the outer domain, if the kernel can do that.
///
/// Trusted only after a trial: the daemon could be signalled before and can't be afterwards.
pub(crate) fn enclose(request: &Request) -> Reach {
    let scoped = || -> Option<()> {
        let abi = kernel_abi().filter(|&abi| request.confine && abi >= ABI::V6)?;
        let daemon = getppid()?;
        test_kill_process(daemon).ok()?;
        let compatible = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        // Every domain denies moving files between folders unless it says otherwise, even one that has no rule
        // about files: so this one allows it everywhere, and leaves files to the command's own domain. Without
        // it, no build tool could rename its output into place.
        let ruleset = compatible
            .handle_access(AccessFs::Refer)
            .and_then(|ruleset| ruleset.scope(Scope::from_all(abi) & Scope::Signal))
            .and_then(Ruleset::create)
            .ok()?
            .add_rule(PathBeneath::new(PathFd::new("/").ok()?, AccessFs::Refer))
            .ok()?;
        let status = ruleset.restrict_self().ok()?;
        let enforced = status.ruleset == RulesetStatus::FullyEnforced;
        (enforced && test_kill_process(daemon) == Err(rustix::io::Errno::PERM)).then_some(())
    };
    scoped().map_or(Reach::Children, |()| Reach::Domain)
}

/// Builds the rules; `None` if the kernel has no Landlock or none is asked for.
pub(crate) fn prepare(request: &Request) -> Result<Option<Confinement>, String> {
    if !request.confine {
        return Ok(None);
    }
    let Some(abi) = kernel_abi() else { return Ok(None) };
    build(request, abi).map(Some).map_err(|error| format!("build the Landlock rules: {error}"))
}

/// The newest version of Landlock that the kernel and the rules here both know; `None` without Landlock.
#[allow(unsafe_code)]
fn kernel_abi() -> Option<ABI> {
    const ASK_FOR_VERSION: libc::c_ulong = 1;
    // SAFETY: with this flag, no attributes and size 0 the call reads and writes no memory of ours; it only
    // answers the version (landlock_create_ruleset(2)).
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, ASK_FOR_VERSION)
    };
    match version {
        ..=0 => None,
        1 => Some(ABI::V1),
        2 => Some(ABI::V2),
        3 => Some(ABI::V3),
        4 => Some(ABI::V4),
        5 => Some(ABI::V5),
        6 => Some(ABI::V6),
        _ => Some(ABI::V7),
    }
}

fn build(request: &Request, abi: ABI) -> Result<Confinement, landlock::RulesetError> {
    let everything = AccessFs::from_all(abi);
    let mut ruleset =
        Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(everything)?;
    if abi >= ABI::V6 {
        ruleset = ruleset.scope(Scope::Signal | Scope::AbstractUnixSocket)?;
    }
    let mut ruleset = ruleset.create()?;
    let writing = everything & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    for (paths, access) in [(&request.read, AccessFs::from_read(abi)), (&request.write, writing)] {
        for path in paths {
            // What is not there needs no rule.
            let Ok(fd) = PathFd::new(path) else { continue };
            let access = fitting(&fd, access, abi);
            ruleset = ruleset.add_rule(PathBeneath::new(fd, access))?;
        }
    }
    Ok(Confinement { ruleset, name: format!("landlock-{}", abi as u32) })
}

/// The part of `access` that can be asked for on this kind of file.
fn fitting(fd: &PathFd, access: BitFlags<AccessFs>, abi: ABI) -> BitFlags<AccessFs> {
    let is_folder =
        fstat(fd).is_ok_and(|facts| FileType::from_raw_mode(facts.st_mode) == FileType::Directory);
    if is_folder { access } else { access & AccessFs::from_file(abi) }
}

impl Confinement {
    /// Puts the rules on the calling process, for good. False if the kernel did not enforce them.
    pub(crate) fn enforce(self) -> Result<bool, std::io::Error> {
        let status = self.ruleset.restrict_self().map_err(std::io::Error::other)?;
        Ok(status.ruleset != RulesetStatus::NotEnforced && status.no_new_privs)
    }
}
