//! What a person sees while work goes on: one line that is drawn over on a terminal, plain lines elsewhere.
//!
//! It writes to standard error only, so that standard output stays the result. It is not evidence: what it
//! shows comes from the producer.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often a line is written where no terminal redraws it.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// How often the line on a terminal is redrawn, at most.
const REDRAW_INTERVAL: Duration = Duration::from_millis(80);

/// The progress line of one command.
pub(crate) struct Progress {
    mode: Mode,
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Silent,
    Plain,
    Terminal,
}

struct State {
    begun: Instant,
    last: Option<Instant>,
    drawn: bool,
}

impl Progress {
    /// A progress line, silent if `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        let mode = match quiet {
            true => Mode::Silent,
            false if io::stderr().is_terminal() => Mode::Terminal,
            false => Mode::Plain,
        };
        Self { mode, state: Mutex::new(State { begun: Instant::now(), last: None, drawn: false }) }
    }

    /// A step that begins or is done: always shown, on a line of its own.
    pub(crate) fn step(&self, text: &str) {
        if self.mode == Mode::Silent {
            return;
        }
        let mut state = self.lock();
        self.erase(&mut state);
        self.write(&format!("{}\n", printable(text)));
    }

    /// Something that must be said, even where progress is not shown.
    pub(crate) fn always(&self, text: &str) {
        let mut state = self.lock();
        self.erase(&mut state);
        self.write(&format!("{}\n", printable(text)));
    }

    /// How far a step is. Shown when it is time for it.
    pub(crate) fn advance(&self, done: u64, total: u64, what: &str) {
        let mut state = self.lock();
        let interval = match self.mode {
            Mode::Silent => return,
            Mode::Plain => PLAIN_INTERVAL,
            Mode::Terminal => REDRAW_INTERVAL,
        };
        let due = state.last.unwrap_or(state.begun);
        if due.elapsed() < interval && !(self.mode == Mode::Terminal && state.last.is_none()) {
            return;
        }
        state.last = Some(Instant::now());
        let count = if total > 0 { format!("{done}/{total}") } else { done.to_string() };
        let elapsed = state.begun.elapsed().as_secs();
        let line = format!("  {count}  {elapsed}s  {}", printable(what));
        if self.mode == Mode::Terminal {
            self.erase(&mut state);
            let line: String = line.chars().take(100).collect();
            self.write(&line);
            state.drawn = true;
        } else {
            self.write(&format!("{line}\n"));
        }
    }

    /// Takes the line off a terminal.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        self.erase(&mut state);
    }

    fn erase(&self, state: &mut State) {
        if state.drawn {
            self.write("\r\u{1b}[2K");
            state.drawn = false;
        }
    }

    fn write(&self, text: &str) {
        // Whoever closed standard error doesn't want to see progress.
        let mut out = io::stderr().lock();
        let _ = out.write_all(text.as_bytes());
        let _ = out.flush();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// `text` on one line and without control characters: a test's name must not steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn a_test_name_can_not_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a [2Jb c");
    }
}
