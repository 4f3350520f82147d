//! An instance: one start of one host program, as it is recorded for others to see.
//!
//! The proof of its life is the kernel lock on its lock file, not anything that stands here. The rest is
//! for people, and as second evidence within one process id namespace (O3).

use serde::{Deserialize, Serialize};

use crate::identity::InstanceId;
use crate::time::Timestamp;

/// One start of one host program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// New at every start.
    pub id: InstanceId,
    /// Names the machine or container.
    pub host: String,
    /// New at every boot of the kernel.
    pub boot: String,
    /// The process id namespace, as the kernel names it.
    pub pid_namespace: String,
    /// The process id in that namespace. Proves nothing: in a container it is 1 at every start.
    pub pid: u32,
    /// When the process began, in clock ticks since boot.
    pub process_start: u64,
    /// The program's version.
    pub version: String,
    /// When it registered.
    pub started: Timestamp,
}
