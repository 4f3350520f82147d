//! Standard output and standard error: lines of the run's log.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime_wasi::async_trait;
use wasmtime_wasi_io::bytes::Bytes;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{OutputStream, StreamError, StreamResult};

use crate::log::{self, Log};
use crate::seam::Level;

/// How much may be written at once. It is taken at once, so a component never waits for its output.
const PERMIT: usize = 64 << 10;

/// The two outputs of one run.
pub(super) struct Output {
    pub(super) stdout: Lines,
    pub(super) stderr: Lines,
}

impl Output {
    pub(super) fn new(log: &Log) -> Self {
        Self { stdout: Lines::new(Level::Info, log), stderr: Lines::new(Level::Warn, log) }
    }

    /// Logs what was begun and has no end.
    pub(super) fn end(&self) {
        self.stdout.end();
        self.stderr.end();
    }
}

/// One output, cut into lines. Clones are the same output: a component may ask for its handle more than once.
#[derive(Clone)]
pub(super) struct Lines {
    level: Level,
    log: Log,
    /// What was written since the last line's end; never longer than a line of the log.
    begun: Arc<Mutex<Vec<u8>>>,
}

impl Lines {
    fn new(level: Level, log: &Log) -> Self {
        Self { level, log: log.clone(), begun: Arc::default() }
    }

    fn take(&self, bytes: &[u8]) {
        for mut piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            while let Some((rest, line)) = self.add(piece) {
                self.pass_on(line);
                piece = rest;
            }
        }
    }

    /// Adds to the line that is begun: the line, once it is whole or as long as a line may be, and what is left for the next.
    fn add<'a>(&self, piece: &'a [u8]) -> Option<(&'a [u8], Vec<u8>)> {
        // Bytes that nobody interprets: there is nothing that could be half done.
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let (fits, rest) = piece.split_at(piece.len().min(log::MAX_LINE - begun.len()));
        begun.extend_from_slice(fits);
        let whole = begun.ends_with(b"\n") || begun.len() == log::MAX_LINE;
        whole.then(|| (rest, std::mem::take(&mut *begun)))
    }

    fn end(&self) {
        let begun = std::mem::take(&mut *self.begun.lock().unwrap_or_else(PoisonError::into_inner));
        if !begun.is_empty() {
            self.pass_on(begun);
        }
    }

    fn pass_on(&self, line: Vec<u8>) {
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.log.line(self.level, String::from_utf8_lossy(line).into_owned());
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > PERMIT {
            return Err(StreamError::trap("the component wrote more at once than it was allowed to"));
        }
        self.take(&bytes);
        Ok(())
    }

    /// Nothing to do: what is not a whole line yet stays begun, since programs flush in the midst of one.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::Observer;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Observer for Kept {
        fn log(&self, level: Level, message: &str) {
            self.0.lock().unwrap().push(format!("{level:?} {message}"));
        }
        fn progress(&self, _: u64, _: u64, _: &str) {}
    }

    /// What the log has after these writes to standard output and the end of the run.
    fn logged(writes: &[&[u8]]) -> Vec<String> {
        let kept = Arc::new(Kept::default());
        let output = Output::new(&Log::new(kept.clone(), 100));
        for bytes in writes {
            output.stdout.clone().take(bytes);
        }
        output.end();
        let kept = kept.0.lock().unwrap();
        kept.clone()
    }

    #[test]
    fn a_line_is_logged_when_it_is_whole_however_it_was_written() {
        assert_eq!(logged(&[b"one\ntw", b"", b"o\r\n", b"\n"]), ["Info one", "Info two", "Info "]);
    }

    #[test]
    fn what_has_no_end_is_logged_at_the_end_of_the_run() {
        assert_eq!(logged(&[b"one\ntwo"]), ["Info one", "Info two"]);
        assert_eq!(logged(&[]), [""; 0]);
    }

    #[test]
    fn a_line_without_end_is_cut_and_never_held_as_a_whole() {
        let long = vec![b'x'; 3 * log::MAX_LINE + 1];
        let lines = logged(&[&long, b"\n"]);
        let lengths: Vec<usize> = lines.iter().map(|line| line.len() - "Info ".len()).collect();
        assert_eq!(lengths, [log::MAX_LINE, log::MAX_LINE, log::MAX_LINE, 1]);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        assert_eq!(logged(&[b"a\xffb\n"]), ["Info a\u{fffd}b"]);
    }

    #[test]
    fn standard_error_is_a_warning_and_has_lines_of_its_own() {
        let kept = Arc::new(Kept::default());
        let output = Output::new(&Log::new(kept.clone(), 100));
        output.stdout.take(b"one");
        output.stderr.take(b"two\n");
        output.end();
        assert_eq!(*kept.0.lock().unwrap(), ["Warn two", "Info one"]);
    }
}
