//! How a remote command ended, and how that is told from what was seen.

use std::time::Duration;

use stagewright_shepherd::protocol::Ending;

use super::classify::{classify, told};
use super::marks::{Level, Word};
use crate::process::StreamEnd;
use crate::{Failure, FailureKind};

/// What is known of the remote process tree after its end was not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemoteState {
    /// It is gone.
    Ended,
    /// It still runs, and could not be ended.
    Running,
    /// The target could not be asked.
    Unknown,
}

/// How a remote command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It ran to its end, with this code.
    Exited(i32),
    /// The enclosure ended with this code, and the command never began in it.
    NotEntered(i32),
    /// Nothing began on the target.
    NotStarted(Failure),
    /// It began, and its end was not seen.
    Interrupted(Failure, RemoteState),
    /// Its time was over, and the host ended it.
    TimedOut(RemoteState),
    /// The run was to end, and the host ended it.
    Cancelled(RemoteState),
}

impl Exit {
    /// As it stands in the ledger.
    pub fn tell(&self) -> String {
        let state = |state: &RemoteState| match state {
            RemoteState::Ended => "remote-ended",
            RemoteState::Running => "remote-running",
            RemoteState::Unknown => "remote-unknown",
        };
        match self {
            Self::Exited(code) => format!("code {code}"),
            Self::NotEntered(code) => format!("not-entered {code}"),
            Self::NotStarted(failure) => format!("not-started {}", failure.code),
            Self::Interrupted(failure, left) => format!("interrupted {} {}", failure.code, state(left)),
            Self::TimedOut(left) => format!("timed-out {}", state(left)),
            Self::Cancelled(left) => format!("cancelled {}", state(left)),
        }
    }
}

/// A remote command that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// How.
    pub exit: Exit,
    /// Its standard output.
    pub stdout: StreamEnd,
    /// Its standard error; where it never began, that of the enclosure or of the client.
    pub stderr: StreamEnd,
    /// How long it took.
    pub duration: Duration,
}

/// Why the host ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Because {
    TimedOut,
    Cancelled,
    Output,
}

/// The marks of one level that were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) begun: bool,
    /// It did not begin, and said why.
    pub(super) not: Option<Word>,
    /// What stands at the end.
    pub(super) end: Option<Word>,
}

impl Seen {
    /// Takes a mark. The first of a kind stands.
    pub(super) fn take(&mut self, word: Word) {
        match word {
            Word::Begin => self.begun = true,
            Word::Busy | Word::Refused(_) => self.not = self.not.take().or(Some(word)),
            Word::End(_) | Word::Stopped | Word::Idle | Word::Ended | Word::Running => {
                self.end = self.end.take().or(Some(word));
            }
        }
    }
}

/// All that is known when the connection has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) outer: Seen,
    /// None where there is no enclosure.
    pub(super) inner: Option<Seen>,
    pub(super) because: Option<Because>,
    /// How the client ended; none if that is not known.
    pub(super) client: Option<Ending>,
}

impl Known {
    /// The marks that stand next to the command.
    pub(super) fn innermost(&mut self) -> &mut Seen {
        self.inner.as_mut().unwrap_or(&mut self.outer)
    }

    pub(super) fn level(&mut self, level: Level) -> Option<&mut Seen> {
        match level {
            Level::Outer => Some(&mut self.outer),
            Level::Inner => self.inner.as_mut(),
        }
    }
}

/// What follows from it.
pub(super) enum Verdict {
    /// It is decided.
    Told(Exit),
    /// The remote end has to be seen to; what is found there belongs to the exit.
    After(Box<dyn FnOnce(Found) -> Exit + Send>),
}

/// What was found on the target when everything of the job was ended there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) state: RemoteState,
    /// Whether the command still ran.
    pub(super) ran: bool,
}

/// Decides. `stderr` is what was printed before the command began, if it did not.
pub(super) fn decide(target: &str, mut known: Known, stderr: &[u8]) -> Verdict {
    use Verdict::{After, Told};
    let innermost = known.innermost().clone();
    if let Some(Because::Cancelled) = known.because {
        return After(Box::new(|found| Exit::Cancelled(found.state)));
    }
    // What ended it from outside would have said so before it could notice: this is its own end, also behind its time.
    if let (None | Some(Because::TimedOut), Some(Word::End(code))) = (known.because, &innermost.end) {
        return Told(Exit::Exited(*code));
    }
    let stopped = known.outer.end == Some(Word::Stopped) || innermost.end == Some(Word::Stopped);
    match known.because {
        Some(Because::Output) => {
            let message = "the command printed more than the grant allows, and was ended";
            let failure = Failure::new(FailureKind::Limit, "output-limit", message);
            return After(Box::new(|found| Exit::Interrupted(failure, found.state)));
        }
        Some(_) if innermost.begun => {
            let failure = lost(target, stderr);
            // A link that stalls hides an end in time. Only what was seen to run has overrun.
            return After(Box::new(move |found| match found.state {
                RemoteState::Ended if !stopped && !found.ran => Exit::Interrupted(failure, found.state),
                state => Exit::TimedOut(state),
            }));
        }
        Some(_) => {
            let what =
                format!("on the target `{target}` the command did not begin in time; look at its load");
            let failure = told(FailureKind::Transient, "ssh-timed-out", &what, stderr);
            // It is on its way, perhaps: only what was ended for certain never started.
            return After(Box::new(move |found| match found.state {
                RemoteState::Ended => Exit::NotStarted(failure),
                left => Exit::Interrupted(failure, left),
            }));
        }
        None => {}
    }
    if stopped && innermost.begun {
        return After(Box::new(|found| Exit::TimedOut(found.state)));
    }
    if let Some(not) = innermost.not.or(known.outer.not) {
        return Told(Exit::NotStarted(did_not_begin(target, &not)));
    }
    if !known.outer.begun {
        return Told(Exit::NotStarted(never_there(target, known.client, stderr)));
    }
    let failure = match (known.outer.end, innermost.begun) {
        (Some(Word::End(code)), false) => return Told(Exit::NotEntered(code)),
        (Some(Word::End(code)), true) => {
            let what = format!(
                "on the target `{target}` the enclosure ended (code {code}) while the command ran in it; see whether \
                 it was stopped or killed"
            );
            Failure::new(FailureKind::Transient, "enclosure-ended", what)
        }
        _ => lost(target, stderr),
    };
    After(Box::new(|found| Exit::Interrupted(failure, found.state)))
}

fn lost(target: &str, stderr: &[u8]) -> Failure {
    let what = format!(
        "the connection to the target `{target}` was lost while the command ran; see that host and network are up"
    );
    told(FailureKind::Transient, "connection-lost", &what, stderr)
}

fn did_not_begin(target: &str, not: &Word) -> Failure {
    let (kind, code, what) = match not {
        Word::Refused(reason) if reason == "folder" => (
            FailureKind::Permanent,
            "remote-folder",
            "has no folder for the record of the command: let its user write to /tmp, /dev/shm or /var/tmp"
                .to_owned(),
        ),
        Word::Refused(reason) if reason == "proc" => (
            FailureKind::Permanent,
            "remote-proc",
            "has no /proc, by which processes are found; it must be Linux with /proc mounted".to_owned(),
        ),
        Word::Refused(reason) => {
            let tool = reason.strip_prefix("tool ").unwrap_or(reason);
            (FailureKind::Permanent, "remote-tool-missing", format!("lacks `{tool}`; install it there"))
        }
        _ => (
            FailureKind::Transient,
            "remote-busy",
            "still runs what an earlier run of this job left, and it can't be ended; see to it there"
                .to_owned(),
        ),
    };
    Failure::new(kind, code, format!("the target `{target}` {what}"))
}

fn never_there(target: &str, client: Option<Ending>, stderr: &[u8]) -> Failure {
    match client {
        Some(Ending::Code(255)) => classify(target, stderr),
        Some(Ending::Code(code)) => {
            let what = format!(
                "the target `{target}` was reached, and no POSIX shell answered (code {code}); see that the user's login \
                 shell runs commands, and that no forced command stands in its place"
            );
            told(FailureKind::Permanent, "remote-shell", &what, stderr)
        }
        Some(Ending::Signal(signal)) => {
            let what = format!("the ssh client for the target `{target}` was ended by signal {signal}");
            told(FailureKind::Transient, "ssh-failed", &what, stderr)
        }
        None => {
            let what = format!("how the ssh client for the target `{target}` ended is not known");
            told(FailureKind::Transient, "ssh-failed", &what, stderr)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(words: &[Word]) -> Seen {
        let mut seen = Seen::default();
        words.iter().cloned().for_each(|word| seen.take(word));
        seen
    }

    /// What is decided where the remote end, if it is asked, was found at work and ended.
    fn told(outer: &[Word], inner: Option<&[Word]>, because: Option<Because>, code: i32) -> String {
        let found = Found { state: RemoteState::Ended, ran: true };
        told_of(found, outer, inner, because, code)
    }

    fn told_of(
        found: Found,
        outer: &[Word],
        inner: Option<&[Word]>,
        because: Option<Because>,
        code: i32,
    ) -> String {
        let client = Some(Ending::Code(code));
        let known = Known { outer: seen(outer), inner: inner.map(seen), because, client };
        match decide("staging", known, b"Connection refused") {
            Verdict::Told(exit) => exit.tell(),
            Verdict::After(exit) => "asked: ".to_owned() + &exit(found).tell(),
        }
    }

    #[test]
    fn what_was_not_seen_to_run_when_its_time_was_over_has_not_overrun() {
        use Word::{Begin, End, Stopped};
        let idle = Found { state: RemoteState::Ended, ran: false };
        let unknown = Found { state: RemoteState::Unknown, ran: false };
        let late = Some(Because::TimedOut);
        let cases = [
            // The link was stalled, and nothing ran any more when it was looked for.
            (told_of(idle, &[Begin], None, late, 255), "asked: interrupted connection-lost remote-ended"),
            (
                told_of(idle, &[Begin], Some(&[Begin]), late, 255),
                "asked: interrupted connection-lost remote-ended",
            ),
            // The target has said that it ended what still ran.
            (told_of(idle, &[Begin, Stopped], None, late, 0), "asked: timed-out remote-ended"),
            (told_of(unknown, &[Begin], None, late, 255), "asked: timed-out remote-unknown"),
            (told_of(idle, &[Begin, End(0)], None, late, 0), "code 0"),
        ];
        for (told, expected) in cases {
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn the_marks_decide() {
        use Word::{Begin, Busy, End, Refused, Stopped};
        let refused = || Refused("tool grep".to_owned());
        let cases = [
            (told(&[Begin, End(3)], None, None, 0), "code 3"),
            (told(&[Begin, End(255)], None, None, 255), "code 255"),
            (told(&[], None, None, 255), "not-started ssh-refused"),
            (told(&[], None, None, 0), "not-started remote-shell"),
            (told(&[Busy], None, None, 1), "not-started remote-busy"),
            (told(&[refused()], None, None, 1), "not-started remote-tool-missing"),
            (told(&[Begin], None, None, 255), "asked: interrupted connection-lost remote-ended"),
            (told(&[Begin, Stopped], None, None, 0), "asked: timed-out remote-ended"),
            (told(&[Begin, End(0)], Some(&[Begin, End(1)]), None, 0), "code 1"),
            (told(&[Begin], Some(&[Begin, End(1)]), None, 255), "code 1"),
            (told(&[Begin, End(126)], Some(&[]), None, 0), "not-entered 126"),
            (told(&[Begin, End(1)], Some(&[Busy]), None, 0), "not-started remote-busy"),
            (
                told(&[Begin, End(137)], Some(&[Begin]), None, 0),
                "asked: interrupted enclosure-ended remote-ended",
            ),
            (told(&[Begin], Some(&[]), None, 255), "asked: interrupted connection-lost remote-ended"),
        ];
        for (told, expected) in cases {
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn what_the_host_ended_is_told_as_that_whatever_the_marks_say() {
        use Because::{Cancelled, Output, TimedOut};
        use Word::{Begin, End};
        let cases = [
            (told(&[Begin, Word::Stopped], None, Some(TimedOut), 0), "asked: timed-out remote-ended"),
            // Its own end, which nobody has brought about: its code counts.
            (told(&[Begin, End(143)], None, Some(TimedOut), 0), "code 143"),
            (told(&[Begin, End(143)], None, Some(Cancelled), 0), "asked: cancelled remote-ended"),
            (told(&[Begin], None, Some(Output), 255), "asked: interrupted output-limit remote-ended"),
            (told(&[], None, Some(Cancelled), 255), "asked: cancelled remote-ended"),
            // No suite has run out of time that never began.
            (told(&[], None, Some(TimedOut), 255), "asked: not-started ssh-timed-out"),
            (told(&[Begin], Some(&[]), Some(TimedOut), 255), "asked: not-started ssh-timed-out"),
        ];
        for (told, expected) in cases {
            assert_eq!(told, expected);
        }
    }
}
