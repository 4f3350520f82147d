//! Runs a process and looks at it while it runs.

use stagewright_sdk::{Child, Command, Event, Exit, Host, Process};

use crate::ending::Ending;

/// The most bytes that are taken of one stream at once.
const CHUNK: u32 = 64 * 1024;
/// How often a watcher gets to look at files, in milliseconds: often enough for people.
const LOOK_MS: u64 = 200;

/// Who looks.
pub(crate) trait Watch<C> {
    /// Output came; `skipped` bytes before it went by unread.
    fn stdout(&mut self, host: &C, bytes: &[u8], skipped: u64) {
        let _ = (host, bytes, skipped);
    }

    /// The same for standard error.
    fn stderr(&mut self, host: &C, bytes: &[u8], skipped: u64) {
        let _ = (host, bytes, skipped);
    }

    /// A moment to look at files: now and then while the process runs, and once after its end.
    fn look(&mut self, host: &C) {
        let _ = host;
    }
}

/// Looks at nothing.
impl<C> Watch<C> for () {}

/// Runs `command` to its end. A cancellation of the run ends it.
pub(crate) fn watch<C: Host + Process>(host: &C, command: &Command, watcher: &mut impl Watch<C>) -> Ending {
    let mut looked = host.now_ms();
    let child = match host.spawn(command) {
        Ok(child) => child,
        Err(failure) => return Ending::NotStarted(failure),
    };
    let mut cancelled = false;
    loop {
        match child.next(CHUNK, LOOK_MS) {
            Event::Stdout(chunk) => watcher.stdout(host, &chunk.bytes, chunk.skipped),
            Event::Stderr(chunk) => watcher.stderr(host, &chunk.bytes, chunk.skipped),
            Event::Idle => {}
            Event::Ended(mut completed) => {
                watcher.look(host);
                if cancelled {
                    completed.exit = Exit::Cancelled;
                }
                return Ending::Ended(completed);
            }
        }
        let now = host.now_ms();
        if now.saturating_sub(looked) >= LOOK_MS {
            looked = now;
            watcher.look(host);
            if !cancelled && host.cancelled().is_some() {
                cancelled = true;
                child.kill();
            }
        }
    }
}

/// Cuts a stream into lines; what has no end yet waits, up to a bound.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    /// Whether bytes went by unread, so that lines are missing.
    pub(crate) gap: bool,
}

/// The longest line that is kept whole; a longer one is no line of any runner's evidence.
const MAX_LINE: usize = 1 << 20;

impl Lines {
    /// Takes a chunk and hands each whole line on, without its end.
    pub(crate) fn take(&mut self, bytes: &[u8], skipped: u64, mut line: impl FnMut(&str)) {
        if skipped > 0 {
            self.gap = true;
            self.rest.clear();
        }
        let mut pieces = bytes.split(|&byte| byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            self.rest.extend_from_slice(piece);
            if pieces.peek().is_some() {
                let text = String::from_utf8_lossy(&self.rest);
                line(text.trim_end_matches('\r'));
                self.rest.clear();
            } else if self.rest.len() > MAX_LINE {
                self.rest.clear();
                self.gap = true;
            }
        }
    }

    /// What is left once the stream has ended.
    pub(crate) fn end(&mut self, mut line: impl FnMut(&str)) {
        if !self.rest.is_empty() {
            line(&String::from_utf8_lossy(&self.rest));
            self.rest.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_come_in_pieces_and_without_an_end() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in ["on", "e\r\ntw", "o\n", "three"] {
            lines.take(piece.as_bytes(), 0, |line| seen.push(line.to_owned()));
        }
        lines.end(|line| seen.push(line.to_owned()));
        assert_eq!(seen, ["one", "two", "three"]);
        assert!(!lines.gap);
    }

    #[test]
    fn what_went_by_unread_is_a_gap() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        lines.take(b"hal", 0, |line| seen.push(line.to_owned()));
        lines.take(b"f\nwhole\n", 10, |line| seen.push(line.to_owned()));
        assert!(lines.gap);
        assert_eq!(seen, ["f", "whole"]);
    }
}
