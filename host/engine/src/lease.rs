//! The transition lease, and the rule of liveness that says whose is nobody's any more (O2, O3).
//!
//! A lease has no time to live. It ends with the transition, by a person's force, or because its owner is
//! *proven* dead. The proof is the kernel's: whoever can take the lock that an instance holds for as long
//! as it lives knows that it has ended. Silence, a stale row, a missing process id are no proof, and doubt
//! counts as life.

use serde::{Deserialize, Serialize};

use crate::identity::{Epoch, InstanceId, TaskKey};
use crate::name::StageName;
use crate::time::Timestamp;

/// The right to be in the side-effectful region of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The task.
    pub task: TaskKey,
    /// The epoch that came with it.
    pub epoch: Epoch,
    /// Whose it is.
    pub owner: InstanceId,
    /// The stage at which it was taken.
    pub stage: StageName,
    /// Whether edge effects are done under it. At most one such lease of a repository is held at a time (X3).
    pub exclusive: bool,
    /// When.
    pub taken: Timestamp,
}

/// What trying an instance's lock showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockProbe {
    /// Somebody holds it: the instance, or another prober who is clearing up after it.
    Held,
    /// It could be taken.
    Free,
    /// There is no such file, or it can't be tried.
    Unknown,
}

/// What is known about the process that an instance recorded, from where the prober stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProcessProbe {
    /// Same kernel, same boot, same process id namespace; a process of that id and start time is there.
    Same,
    /// The same place, but no process of that id, or one with another start time.
    Gone,
    /// Another machine, boot or namespace, whose process ids say nothing here; or it can't be looked at.
    Elsewhere,
}

/// Everything that was found out about an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// What its lock says.
    pub lock: LockProbe,
    /// What its process id says.
    pub process: ProcessProbe,
    /// The instance was recorded on this machine, in an earlier boot: every process of then has ended.
    pub earlier_boot: bool,
}

/// Whether an instance lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// It does.
    Alive,
    /// It is proven not to.
    Dead,
    /// Nobody can say. Treated as alive.
    Doubt,
}

/// The rule of liveness.
///
/// The lock decides where it can be tried. Only where its file is gone does second evidence count, and only
/// evidence that can't be wrong about a reused process id: the machine has booted since, or this very
/// process id namespace has no such process.
pub const fn liveness(evidence: Evidence) -> Liveness {
    match (evidence.lock, evidence.process, evidence.earlier_boot) {
        (LockProbe::Held, _, _) => Liveness::Alive,
        (LockProbe::Free, _, _) => Liveness::Dead,
        (LockProbe::Unknown, _, true) => Liveness::Dead,
        (LockProbe::Unknown, ProcessProbe::Gone, false) => Liveness::Dead,
        (LockProbe::Unknown, ProcessProbe::Same, false) => Liveness::Alive,
        (LockProbe::Unknown, ProcessProbe::Elsewhere, false) => Liveness::Doubt,
    }
}

/// That an instance is dead: what reclaiming from it asks for.
///
/// It can only be made from evidence that proves it, so no caller can reclaim on a guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofOfDeath {
    instance: InstanceId,
}

impl ProofOfDeath {
    /// The proof, if the evidence is one.
    pub fn from_evidence(instance: InstanceId, evidence: Evidence) -> Option<Self> {
        match liveness(evidence) {
            Liveness::Dead => Some(Self { instance }),
            Liveness::Alive | Liveness::Doubt => None,
        }
    }

    /// Who is dead.
    pub const fn instance(&self) -> InstanceId {
        self.instance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROCESSES: [ProcessProbe; 3] = [ProcessProbe::Same, ProcessProbe::Gone, ProcessProbe::Elsewhere];

    #[test]
    fn a_held_lock_is_life_whatever_the_process_ids_say() {
        for process in PROCESSES {
            for earlier_boot in [false, true] {
                let evidence = Evidence { lock: LockProbe::Held, process, earlier_boot };
                assert_eq!(liveness(evidence), Liveness::Alive);
            }
        }
    }

    #[test]
    fn a_lock_that_can_be_taken_is_death_even_if_the_process_id_was_reused() {
        for process in PROCESSES {
            let evidence = Evidence { lock: LockProbe::Free, process, earlier_boot: false };
            assert_eq!(liveness(evidence), Liveness::Dead);
        }
    }

    /// Where the lock can't be tried.
    fn without_lock(process: ProcessProbe, earlier_boot: bool) -> Liveness {
        liveness(Evidence { lock: LockProbe::Unknown, process, earlier_boot })
    }

    #[test]
    fn without_a_lock_a_process_that_is_gone_from_this_very_namespace_is_death() {
        assert_eq!(without_lock(ProcessProbe::Gone, false), Liveness::Dead);
        assert_eq!(without_lock(ProcessProbe::Same, false), Liveness::Alive);
    }

    #[test]
    fn without_a_lock_nothing_of_an_earlier_boot_lives() {
        for process in PROCESSES {
            assert_eq!(without_lock(process, true), Liveness::Dead);
        }
    }

    #[test]
    fn another_hosts_or_namespaces_process_ids_leave_doubt_and_doubt_is_no_proof() {
        assert_eq!(without_lock(ProcessProbe::Elsewhere, false), Liveness::Doubt);
    }

    #[test]
    fn only_death_gives_a_proof_and_it_names_the_dead() {
        let id = InstanceId::new(uuid::Uuid::from_u128(1));
        for lock in [LockProbe::Held, LockProbe::Free, LockProbe::Unknown] {
            for process in PROCESSES {
                for earlier_boot in [false, true] {
                    let evidence = Evidence { lock, process, earlier_boot };
                    let proof = ProofOfDeath::from_evidence(id, evidence);
                    assert_eq!(proof.is_some(), liveness(evidence) == Liveness::Dead);
                    assert!(proof.is_none_or(|proof| proof.instance() == id));
                }
            }
        }
    }
}
