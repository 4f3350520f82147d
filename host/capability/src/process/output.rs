//! One output stream of a command: to the log, to a tail, to a window for whoever follows it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::child::{Chunk, StreamEnd};

/// How much is kept for a reader who follows the stream, in bytes. Older bytes are skipped.
const WINDOW: usize = 256 << 10;

/// The log files of one command. A log that can't be written does not stop the command.
pub(crate) struct LogFiles {
    pub(crate) stdout: Option<File>,
    pub(crate) stderr: Option<File>,
}

impl LogFiles {
    /// `stdout.log` and `stderr.log` for the first command of a run, `stdout-2.log` … for the others. `before` is what
    /// the names of commands of another kind begin with. With a `limit` of 0 bytes there are none.
    pub(crate) fn create(folder: &Path, before: &str, number: u32, limit: u64) -> Self {
        let create = |stream: &str| {
            if limit == 0 {
                return None;
            }
            let count = if number == 1 { String::new() } else { format!("-{number}") };
            let name = format!("{before}{stream}{count}.log");
            File::options().write(true).create_new(true).open(folder.join(name)).ok()
        };
        Self { stdout: create("stdout"), stderr: create("stderr") }
    }
}

/// One stream.
pub(crate) struct Stream {
    log: Option<File>,
    log_left: u64,
    tail: VecDeque<u8>,
    tail_limit: usize,
    window: VecDeque<u8>,
    skipped: u64,
    total: u64,
    hash: Sha256,
}

impl Stream {
    pub(crate) fn new(log: Option<File>, log_bytes: u64, tail_limit: usize) -> Self {
        Self {
            log,
            log_left: log_bytes,
            tail: VecDeque::new(),
            tail_limit,
            window: VecDeque::new(),
            skipped: 0,
            total: 0,
            hash: Sha256::new(),
        }
    }

    /// Takes what the command has printed.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        self.hash.update(bytes);
        let logged = bytes.len().min(usize::try_from(self.log_left).unwrap_or(usize::MAX));
        if let Some(log) = &mut self.log
            && logged > 0
        {
            if log.write_all(&bytes[..logged]).is_err() {
                self.log = None;
            }
            self.log_left -= logged as u64;
        }
        keep_last(&mut self.tail, bytes, self.tail_limit);
        self.skipped += keep_last(&mut self.window, bytes, WINDOW);
    }

    /// How many bytes there were.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The next bytes for a reader, at most `max`; `None` if it has seen all.
    pub(crate) fn next(&mut self, max: usize) -> Option<Chunk> {
        if self.window.is_empty() || max == 0 {
            return None;
        }
        let bytes = self.window.drain(..max.min(self.window.len())).collect();
        Some(Chunk { bytes, skipped: std::mem::take(&mut self.skipped) })
    }

    /// What is known of it at its end.
    pub(crate) fn end(&self) -> StreamEnd {
        let sha256 = self.hash.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        StreamEnd { tail: self.tail.iter().copied().collect(), total: self.total, sha256 }
    }
}

/// Adds `bytes` and keeps the last `limit`; gives how many older ones went.
pub(crate) fn keep_last(kept: &mut VecDeque<u8>, bytes: &[u8], limit: usize) -> u64 {
    let fresh = &bytes[bytes.len().saturating_sub(limit)..];
    let over = (kept.len() + fresh.len()).saturating_sub(limit);
    kept.drain(..over);
    kept.extend(fresh);
    (over + bytes.len() - fresh.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_finds_the_last_bytes_and_how_many_it_missed() {
        let mut stream = Stream::new(None, 0, 4);
        stream.take(&vec![b'a'; WINDOW]);
        stream.take(b"bcd");
        let chunk = stream.next(usize::MAX).unwrap();
        assert_eq!((chunk.skipped, chunk.bytes.len()), (3, WINDOW));
        assert!(chunk.bytes.ends_with(b"abcd"));
        assert_eq!(stream.next(10), None);
        assert_eq!((stream.end().tail, stream.end().total), (b"abcd".to_vec(), WINDOW as u64 + 3));
    }

    #[test]
    fn the_log_stops_at_its_limit_and_the_rest_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let logs = LogFiles::create(folder.path(), "", 1, 1_000);
        let mut stream = Stream::new(logs.stdout, 5, 2);
        stream.take(b"abc");
        stream.take(b"defgh");
        assert_eq!(std::fs::read(folder.path().join("stdout.log")).unwrap(), b"abcde");
        assert_eq!(stream.end().total, 8);
    }
}
