//! The shepherd stands between the daemon and one command, and ends everything that came of it.
//!
//! It is a program of its own, so that the end of a process tree does not depend on the daemon being alive.
//! It knows nothing of tasks and stages, reads no configuration and writes no file.
//!
//! # Life
//!
//! 1. The daemon starts it with one end of a socket as standard input (the *control* socket), and with the
//!    command's output pipes as standard output and error. It keeps no copy of these pipes for itself.
//! 2. It reads one [`Request`], becomes a child subreaper, blocks all signals, closes its memory to others, and
//!    puts itself into a Landlock domain that keeps its own signals to its descendants, where the kernel has
//!    that. Then it starts the command: a session of its own, killed with the shepherd, without new
//!    privileges, under the Landlock rules of the request.
//! 3. It answers [`Word::Started`], or [`Word::Failed`] and ends.
//! 4. It waits for the command's first process (the *leader*) to end, for an order on the socket, or for the
//!    socket to close. The order `T` means: TERM, then after the grace period KILL. A closed socket means:
//!    the daemon is gone, KILL now.
//! 5. When the leader has ended, however that came about, it says how ([`Word::Exited`]), then kills every
//!    descendant that is left until the kernel answers that it has no child any more. With a domain of its own
//!    one call kills them all at once, a storm of forks too; without it, direct children are killed again and
//!    again, and the children of those become its own.
//! 6. It says [`Word::Gone`], or [`Word::Lost`] with what can't be ended, and ends.
//!
//! # What must never happen
//!
//! * The command outlives both daemon and shepherd: the leader has the shepherd's death as its death signal,
//!   and whoever adopts the rest (the daemon is a subreaper, too) ends it.
//! * A process is signalled that is not ours: either the kernel itself keeps our signals to our descendants,
//!   and was seen doing so, or only unreaped children are signalled, and nobody but the shepherd reaps them, so
//!   their ids can't have been used again.
//! * An escapee holds a run: the end is the leader's end and the kernel's word that no child is left, never
//!   the end of a pipe.
//! * The suite ends the shepherd by a signal: it blocks what can be blocked, and under Landlock with signal
//!   scoping the command can't signal anything outside of its own, inner domain.

pub mod protocol;

#[doc(inline)]
pub use protocol::{Request, Word};
