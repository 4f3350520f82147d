//! What the host itself saw a run do (P8).
//!
//! A producer's report is its own account; the ledger is the host's. It is filled below the interface that
//! components see, one entry for each host call that had an effect or an answer from outside, and its digest
//! goes into the artifact. A PASS from a run whose ledger shows no work is not believed.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The entries of one run, in the order in which the calls ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger {
    entries: Vec<Entry>,
}

/// One thing that the host did for a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When the call began, in milliseconds since the run began.
    pub at_ms: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// What it was.
    pub act: Act,
}

/// What was done. Digests are SHA-256 in hex; no entry holds a secret, an environment value or a file's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub enum Act {
    /// A program was run to its end.
    Command {
        /// The name under which the grant knows it.
        program: String,
        /// What was executed.
        path: String,
        /// Its arguments.
        args: Vec<String>,
        /// How it ended: `code 1`, `signal 9`, `timed-out`, `cancelled`, `limit output`, `lost …`.
        exit: String,
        /// Bytes and digest of its standard output.
        stdout: Stream,
        /// Bytes and digest of its standard error.
        stderr: Stream,
        /// What kept the process in its bounds, such as `landlock-7`.
        isolation: String,
    },
    /// A named endpoint was read.
    Probe {
        /// Its name in the configuration.
        endpoint: String,
        /// The path that was asked for.
        path: String,
        /// The HTTP status, or the failure's code.
        answer: String,
    },
    /// A command was run on a named remote host.
    Remote {
        /// The target's name in the configuration.
        target: String,
        /// The command.
        argv: Vec<String>,
        /// How it ended.
        exit: String,
    },
    /// A model was asked.
    Model {
        /// The role.
        role: String,
        /// `ok`, or the failure's code.
        answer: String,
        /// What it took.
        usage: ModelUsage,
    },
    /// A file was kept beside the artifact.
    Attachment {
        /// Its plain name.
        name: String,
        /// Its size and digest.
        content: Stream,
    },
    /// A call that the grant does not allow, or that failed before it did anything.
    Refused {
        /// Which function, such as `process.spawn`.
        call: String,
        /// The failure's code.
        code: String,
    },
}

/// What a call of a model took, as the model's own side tells it. Where it tells nothing, numbers are 0 and the cost unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelUsage {
    /// Tokens that went in and were in no cache.
    pub input_tokens: u64,
    /// Tokens that came out.
    pub output_tokens: u64,
    /// Tokens that were read from the model's cache.
    pub cache_read_tokens: u64,
    /// Tokens that were written to it.
    pub cache_write_tokens: u64,
    /// What it cost, in millionths of a US dollar; `None` where nobody said.
    pub cost_micro_usd: Option<u64>,
}

/// The size and digest of some bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// How many bytes there were.
    pub bytes: u64,
    /// SHA-256 of all of them, in hex.
    pub sha256: String,
}

impl Ledger {
    /// Adds what was done.
    pub fn record(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// What was done, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// SHA-256 of the entries in their canonical JSON form, in hex.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for entry in &self.entries {
            // Plain structs of strings and numbers: writing them as JSON can't fail.
            hash.update(serde_json::to_vec(entry).unwrap_or_default());
            hash.update(b"\n");
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether it shows that something was looked at: a command that ended by itself or by its limits, a
    /// probe or a model that answered, a remote command. Refusals, silence and attachments are no work.
    pub fn shows_work(&self) -> bool {
        self.entries.iter().any(|entry| match &entry.act {
            Act::Command { exit, .. } => !exit.starts_with("lost") && exit != "cancelled",
            // A status is digits; anything else is the code of a failure.
            Act::Probe { answer, .. } => answer.parse::<u16>().is_ok(),
            Act::Model { answer, .. } => answer == "ok",
            // One that never began, or that somebody ended, has shown nothing.
            Act::Remote { exit, .. } => {
                ["code ", "timed-out", "interrupted"].iter().any(|seen| exit.starts_with(seen))
            }
            Act::Attachment { .. } | Act::Refused { .. } => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(acts: Vec<Act>) -> Ledger {
        let mut ledger = Ledger::default();
        for act in acts {
            ledger.record(Entry { at_ms: 0, duration_ms: 1, act });
        }
        ledger
    }

    fn stream() -> Stream {
        Stream { bytes: 0, sha256: "0".repeat(64) }
    }

    fn command(exit: &str) -> Act {
        Act::Command {
            program: "python".into(),
            path: "/usr/bin/python3".into(),
            args: vec!["-m".into(), "pytest".into()],
            exit: exit.into(),
            stdout: stream(),
            stderr: stream(),
            isolation: "none".into(),
        }
    }

    fn probe(answer: &str) -> Act {
        Act::Probe { endpoint: "staging".into(), path: "/health".into(), answer: answer.into() }
    }

    fn remote(exit: &str) -> Act {
        Act::Remote { target: "staging".into(), argv: vec!["true".into()], exit: exit.into() }
    }

    fn model(answer: &str) -> Act {
        Act::Model { role: "tester".into(), answer: answer.into(), usage: ModelUsage::default() }
    }

    #[test]
    fn a_command_that_ended_and_whoever_answered_are_work() {
        let acts = [
            command("code 1"),
            command("signal 9"),
            command("timed-out"),
            probe("503"),
            model("ok"),
            remote("code 1"),
        ];
        for act in acts {
            assert!(ledger(vec![act.clone()]).shows_work(), "{act:?}");
        }
    }

    #[test]
    fn what_was_refused_cancelled_lost_or_unanswered_is_no_work() {
        let acts = vec![
            command("cancelled"),
            command("lost: shepherd gone"),
            remote("not-started ssh-refused"),
            remote("not-entered 127"),
            remote("cancelled remote-ended"),
            probe("connection-refused"),
            model("rate-limited"),
            Act::Refused { call: "process.spawn".into(), code: "program-not-granted".into() },
            Act::Attachment { name: "junit.xml".into(), content: stream() },
        ];
        assert!(!ledger(acts).shows_work());
        assert!(!Ledger::default().shows_work());
    }

    #[test]
    fn the_digest_tells_every_entry_and_their_order() {
        let (one, two) = (command("code 0"), command("code 1"));
        let digests = [vec![], vec![one.clone()], vec![one.clone(), two.clone()], vec![two, one]]
            .map(|acts| ledger(acts).digest());
        for (at, digest) in digests.iter().enumerate() {
            assert!(!digests[..at].contains(digest));
            assert_eq!(digest.len(), 64);
        }
    }
}
