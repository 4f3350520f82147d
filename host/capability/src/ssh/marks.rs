//! The marks that stand around a remote command, and how they are found in what it prints.
//!
//! A mark is `[`, 32 hex digits that nobody can guess, a space, a word, `]`. It is found at any place in the output, so
//! that a command need not end its last line, and it is taken out, so that what is left is the command's own, byte for
//! byte. Each side of a command has a secret of its own: one who reads along learns the first from what went by, and can
//! do nothing with it any more; the second is shown when there is nobody left who could use it.
//!
//! What can't be prevented: the second secret is in the memory of the shell that waits for the command. A command that
//! may read the memory of other processes of its user (as a debugger does) can find it there and say that it ended
//! otherwise than it did.

use std::io::Read as _;

use crate::Failure;
use crate::process::start_failed;

/// The length of a mark's word, at most.
const WORD: usize = 48;

/// Where a mark stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// On the target.
    Outer,
    /// In the enclosure.
    Inner,
}

/// The two secrets of one level.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secrets {
    pub(super) begin: String,
    pub(super) end: String,
}

impl Secrets {
    /// Two that nobody can guess.
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self { begin: random()?, end: random()? })
    }
}

/// 128 random bits in hex.
pub(super) fn random() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| start_failed(&format!("there are no random numbers: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The command begins.
    Begin,
    /// It does not begin, because something of an earlier run can't be ended.
    Busy,
    /// It does not begin, because something is missing there.
    Refused(String),
    /// It ended with this code.
    End(i32),
    /// It was ended from over there: the time was over, or the connection.
    Stopped,
    /// Nothing ran for the job any more when it was looked for.
    Idle,
    /// All that ran for the job has been ended.
    Ended,
    /// Something that runs for the job could not be ended.
    Running,
}

impl Word {
    fn of_begin(text: &str) -> Option<Self> {
        match text {
            "begin" => Some(Self::Begin),
            "busy" => Some(Self::Busy),
            _ => Some(Self::Refused(text.strip_prefix("refused ")?.to_owned())),
        }
    }

    fn of_end(text: &str) -> Option<Self> {
        match text {
            "stopped" => Some(Self::Stopped),
            "idle" => Some(Self::Idle),
            "ended" => Some(Self::Ended),
            "running" => Some(Self::Running),
            _ => Some(Self::End(text.strip_prefix("end ")?.parse().ok()?)),
        }
    }
}

/// A part of an output stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Bytes(&'a [u8]),
    Mark(Level, Word),
}

/// How a mark begins, where it stands, and how its word is read.
type Opening = (Vec<u8>, Level, fn(&str) -> Option<Word>);

/// Finds the marks in one output stream.
pub(super) struct Finder {
    openings: Vec<Opening>,
    /// What may be the beginning of a mark, and is not decided yet.
    held: Vec<u8>,
}

impl Finder {
    pub(super) fn new(outer: &Secrets, inner: Option<&Secrets>) -> Self {
        let mut openings: Vec<Opening> = Vec::new();
        for (secrets, level) in [(Some(outer), Level::Outer), (inner, Level::Inner)] {
            let Some(Secrets { begin, end }) = secrets else { continue };
            openings.push((format!("[{begin} ").into_bytes(), level, Word::of_begin));
            openings.push((format!("[{end} ").into_bytes(), level, Word::of_end));
        }
        Self { openings, held: Vec::new() }
    }

    /// Takes what was printed, and hands on what it is made of.
    pub(super) fn take(&mut self, bytes: &[u8], mut each: impl FnMut(Piece<'_>)) {
        let joined;
        let mut rest = if self.held.is_empty() {
            bytes
        } else {
            self.held.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.held);
            &joined[..]
        };
        let mut from = 0;
        while let Some(at) = rest[from..].iter().position(|&byte| byte == b'[').map(|at| from + at) {
            match self.look(&rest[at..]) {
                Look::Nothing => from = at + 1,
                Look::Undecided => {
                    if at > 0 {
                        each(Piece::Bytes(&rest[..at]));
                    }
                    self.held = rest[at..].to_vec();
                    return;
                }
                Look::Mark(level, word, length) => {
                    if at > 0 {
                        each(Piece::Bytes(&rest[..at]));
                    }
                    each(Piece::Mark(level, word));
                    rest = &rest[at + length..];
                    from = 0;
                }
            }
        }
        if !rest.is_empty() {
            each(Piece::Bytes(rest));
        }
    }

    /// What was held back when the stream ended: it was no mark after all.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    fn look(&self, bytes: &[u8]) -> Look {
        for (opening, level, read) in &self.openings {
            if let Some(rest) = bytes.strip_prefix(opening.as_slice()) {
                let Some(length) = rest.iter().take(WORD).position(|&byte| byte == b']') else {
                    return if rest.len() < WORD { Look::Undecided } else { Look::Nothing };
                };
                return match std::str::from_utf8(&rest[..length]).ok().and_then(read) {
                    Some(word) => Look::Mark(*level, word, opening.len() + length + 1),
                    None => Look::Nothing,
                };
            }
            if opening.starts_with(bytes) {
                return Look::Undecided;
            }
        }
        Look::Nothing
    }
}

enum Look {
    Nothing,
    Undecided,
    Mark(Level, Word, usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets { begin: "b".repeat(32), end: "e".repeat(32) }
    }

    /// What is found in these parts: the marks, and the bytes without them.
    fn find<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Word>, Vec<u8>) {
        let mut finder = Finder::new(&secrets(), None);
        let (mut words, mut bytes) = (Vec::new(), Vec::new());
        for part in parts {
            finder.take(part, |piece| match piece {
                Piece::Bytes(found) => bytes.extend_from_slice(found),
                Piece::Mark(_, word) => words.push(word),
            });
        }
        bytes.extend(finder.finish());
        (words, bytes)
    }

    #[test]
    fn marks_are_found_wherever_the_output_is_cut_and_leave_every_byte_as_it_was() {
        let Secrets { begin, end } = secrets();
        let mut text = format!("a[b[{begin} begin]\0[[[{begin}\n").into_bytes();
        text.extend([0xff, b'[']);
        text.extend(format!("[{end} end 255]rest").into_bytes());
        let expected = (
            vec![Word::Begin, Word::End(255)],
            [b"a[b\0[[[".as_slice(), begin.as_bytes(), b"\n\xff[rest"].concat(),
        );
        for size in 1..text.len() {
            assert_eq!(find(text.chunks(size)), expected, "in parts of {size}");
        }
    }

    #[test]
    fn a_forged_mark_is_the_commands_own_output() {
        let Secrets { begin, end } = secrets();
        let forged = [
            format!("[{} end 0]", "0".repeat(32)),
            format!("[{begin} end 0]"),
            format!("[{end} begin]"),
            format!("[{end} end zero]"),
            format!("[{end} end 0{}", " ".repeat(WORD)),
            format!("[{end} end 0"),
        ];
        for text in forged {
            assert_eq!(find([text.as_bytes()]), (Vec::new(), text.clone().into_bytes()));
        }
    }

    #[test]
    fn each_call_has_other_secrets() {
        let (one, other) = (Secrets::new().unwrap(), Secrets::new().unwrap());
        assert!(one.begin.len() == 32 && one != other && one.begin != one.end);
    }
}
