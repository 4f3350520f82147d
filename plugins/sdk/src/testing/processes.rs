//! Processes by script.

use std::cell::RefCell;
use std::collections::VecDeque;

use crate::{Child, Chunk, Completed, Event, Exit, StreamEnd};

/// What one scripted process does: its output, and how it ends.
#[derive(Clone, Debug)]
#[must_use]
pub struct Run {
    pub(super) events: VecDeque<Event>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    exit: Exit,
}

impl Run {
    /// Ends so, without output.
    pub fn exits(exit: Exit) -> Self {
        Self { events: VecDeque::new(), stdout: Vec::new(), stderr: Vec::new(), exit }
    }

    /// Ends with an exit code, without output.
    pub fn with_code(code: i32) -> Self {
        Self::exits(Exit::Code(code))
    }

    /// Writes to standard output before.
    pub fn stdout(mut self, text: &str) -> Self {
        self.stdout.extend_from_slice(text.as_bytes());
        self.events.push_back(Event::Stdout(Chunk { bytes: text.as_bytes().to_vec(), skipped: 0 }));
        self
    }

    /// Writes to standard error before.
    pub fn stderr(mut self, text: &str) -> Self {
        self.stderr.extend_from_slice(text.as_bytes());
        self.events.push_back(Event::Stderr(Chunk { bytes: text.as_bytes().to_vec(), skipped: 0 }));
        self
    }

    /// How it ended, with its whole output as tails.
    pub fn completed(&self) -> Completed {
        let end = |bytes: &Vec<u8>| StreamEnd { tail: bytes.clone(), total: bytes.len() as u64 };
        Completed {
            exit: self.exit.clone(),
            stdout: end(&self.stdout),
            stderr: end(&self.stderr),
            duration_ms: 1_000,
        }
    }
}

/// A scripted process that was spawned.
#[derive(Debug)]
pub struct ScriptedChild(pub(super) RefCell<Run>);

impl Child for ScriptedChild {
    fn next(&self, _max: u32, _timeout_ms: u64) -> Event {
        let mut run = self.0.borrow_mut();
        match run.events.pop_front() {
            Some(event) => event,
            None => Event::Ended(run.completed()),
        }
    }

    fn kill(&self) {
        self.0.borrow_mut().exit = Exit::Cancelled;
    }
}
