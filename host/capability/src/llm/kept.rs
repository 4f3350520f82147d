//! Prompt and transcript of a call, kept beside the artifact without any secret in them.
//!
//! The files are made before a model is asked, so that no call is paid for that leaves no trace. They lie where
//! what a component attaches lies, and never take the place of a file that is there.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use stagewright_engine::ledger;

use super::secret::{Pieces, Redactor};
use crate::files::Attached;
use crate::{Failure, FailureKind};

/// How many numbers are tried: a component can keep files under these names, too.
const TRIES: u32 = 100;

/// The files of one call.
pub(super) struct Kept {
    /// The prompt, which is kept already.
    pub(super) prompt: Attached,
    /// The transcript.
    pub(super) transcript: Transcript,
}

impl Kept {
    /// Keeps the prompt as `prompt-<role>-<number>.md` and begins `transcript-<role>-<number>.jsonl`; the number is
    /// the first one from `number` on that is free.
    pub(super) fn begin(
        logs: &Path,
        role: &str,
        number: u32,
        prompt: &str,
        limit: u64,
        redactor: &Redactor,
    ) -> Result<Self, Failure> {
        let folder = logs.join("attachments");
        std::fs::create_dir_all(&folder).map_err(|error| not_kept(&error))?;
        for number in number..number.saturating_add(TRIES) {
            let name = format!("prompt-{role}-{number}.md");
            let transcript = format!("transcript-{role}-{number}.jsonl");
            let mut file = match KeptFile::create(&folder, name, limit) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(not_kept(&error)),
            };
            match KeptFile::create(&folder, transcript, limit) {
                Ok(transcript) => {
                    file.write(redactor.text(prompt).as_bytes());
                    let prompt = file.end().map_err(|error| not_kept(&error))?;
                    let transcript = Transcript { file: transcript, pieces: redactor.pieces(), gap: None };
                    return Ok(Self { prompt, transcript });
                }
                Err(error) => {
                    let _ = std::fs::remove_file(&file.path);
                    if error.kind() != ErrorKind::AlreadyExists {
                        return Err(not_kept(&error));
                    }
                }
            }
        }
        Err(not_kept(&ErrorKind::AlreadyExists.into()))
    }
}

fn not_kept(error: &io::Error) -> Failure {
    let message = format!("the model was not asked, since prompt and transcript could not be kept: {error}");
    Failure::new(FailureKind::Transient, "llm-not-kept", message)
}

/// What an agent prints or a server answers, as it comes.
pub(super) struct Transcript {
    file: KeptFile,
    pieces: Pieces,
    /// After a gap: how many bytes may still be the end of a secret that began in it.
    gap: Option<usize>,
}

impl Transcript {
    /// Adds what was printed; `skipped` bytes before it were missed.
    pub(super) fn take(&mut self, mut bytes: &[u8], skipped: u64) {
        if skipped > 0 {
            self.note(&json!({ "missed_bytes": skipped }));
            self.gap = Some(self.pieces.longest());
        }
        if let Some(doubtful) = self.gap {
            let certain = bytes.get(doubtful..).unwrap_or_default();
            // It begins again with a whole line.
            let Some(end) = certain.iter().position(|&byte| byte == b'\n') else {
                self.gap = Some(doubtful.saturating_sub(bytes.len()));
                return;
            };
            bytes = &certain[end + 1..];
            self.gap = None;
        }
        let shown = self.pieces.take(bytes);
        self.file.write(&shown);
    }

    /// Adds a line of the host's own, after all that was printed before.
    pub(super) fn note(&mut self, what: &serde_json::Value) {
        let rest = self.pieces.rest();
        self.file.write(&rest);
        let line = self.pieces.whole(&json!({ "type": "stagewright", "note": what }).to_string());
        self.file.begin_line();
        self.file.write(line.as_bytes());
        self.file.write(b"\n");
    }

    /// Closes it; `None` if it could not be written whole.
    pub(super) fn end(mut self, stderr: &str) -> Option<Attached> {
        let rest = self.pieces.rest();
        self.file.write(&rest);
        if !stderr.is_empty() {
            self.note(&json!({ "stderr": stderr }));
        }
        self.file.end().inspect_err(|error| tracing::warn!(%error, "a transcript could not be kept")).ok()
    }
}

/// A file beside the artifact that grows up to a limit.
struct KeptFile {
    name: String,
    path: PathBuf,
    file: File,
    limit: u64,
    hash: Sha256,
    bytes: u64,
    left_out: u64,
    in_line: bool,
    broken: Option<io::Error>,
}

impl KeptFile {
    fn create(folder: &Path, name: String, limit: u64) -> io::Result<Self> {
        let path = folder.join(&name);
        // The folder is out of reach for the run's processes, so plain calls are safe here.
        let file = File::options().write(true).create_new(true).open(&path)?;
        let hash = Sha256::new();
        Ok(Self { name, path, file, limit, hash, bytes: 0, left_out: 0, in_line: false, broken: None })
    }

    fn write(&mut self, bytes: &[u8]) {
        let room = usize::try_from(self.limit.saturating_sub(self.bytes)).unwrap_or(usize::MAX);
        let fits = bytes.len().min(room);
        self.left_out += (bytes.len() - fits) as u64;
        self.put(&bytes[..fits]);
    }

    fn put(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else { return };
        if self.broken.is_some() {
            return;
        }
        if let Err(error) = self.file.write_all(bytes) {
            self.broken = Some(error);
            return;
        }
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.in_line = last != b'\n';
    }

    fn begin_line(&mut self) {
        if self.in_line {
            self.write(b"\n");
        }
    }

    /// Says how much was left out, and what is in it. A file that could not be written is not kept.
    fn end(mut self) -> io::Result<Attached> {
        if self.left_out > 0 {
            let note = json!({ "type": "stagewright", "note": { "left_out_bytes": self.left_out } });
            self.put(format!("\n{note}\n").as_bytes());
        }
        if let Some(error) = self.broken {
            let _ = std::fs::remove_file(&self.path);
            return Err(error);
        }
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Attached { name: self.name, content: ledger::Stream { bytes: self.bytes, sha256 } })
    }
}

#[cfg(test)]
mod tests {
    use super::super::secret::Secret;
    use super::*;

    fn begin(folder: &Path, limit: u64) -> Kept {
        let secret = Secret::new("0123456789");
        let redactor = Redactor::new([("KEY", &secret)]);
        Kept::begin(folder, "tester", 1, "say 0123456789", limit, &redactor).unwrap()
    }

    fn read(folder: &Path, attached: &Attached) -> String {
        let text = std::fs::read_to_string(folder.join("attachments").join(&attached.name)).unwrap();
        assert_eq!(attached.content.bytes, text.len() as u64);
        text
    }

    #[test]
    fn a_secret_that_comes_in_pieces_is_in_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let Kept { prompt, mut transcript } = begin(folder.path(), 1_000);
        for piece in [b"a 01234".as_slice(), b"56789 b"] {
            transcript.take(piece, 0);
        }
        let transcript = transcript.end("err 0123456789").unwrap();
        assert_eq!(read(folder.path(), &prompt), "say [secret KEY]");
        let text = read(folder.path(), &transcript);
        assert_eq!(
            text,
            "a [secret KEY] b\n{\"type\":\"stagewright\",\"note\":{\"stderr\":\"err [secret KEY]\"}}\n"
        );
    }

    #[test]
    fn after_a_gap_it_begins_again_with_a_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let Kept { mut transcript, .. } = begin(folder.path(), 1_000);
        transcript.take(b"one\ntw 01234567", 0);
        transcript.take(b"89", 20);
        transcript.take(b" the end of it, and more\nthree\n", 0);
        let text = read(folder.path(), &transcript.end("").unwrap());
        let note = "{\"type\":\"stagewright\",\"note\":{\"missed_bytes\":20}}";
        assert_eq!(text, format!("one\ntw [secret KEY]\n{note}\nthree\n"));
    }

    #[test]
    fn what_is_beyond_the_limit_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let Kept { mut transcript, .. } = begin(folder.path(), 5);
        transcript.take(b"abcdefgh", 0);
        let text = read(folder.path(), &transcript.end("").unwrap());
        assert_eq!(text, "abcde\n{\"type\":\"stagewright\",\"note\":{\"left_out_bytes\":3}}\n");
    }

    #[test]
    fn a_name_that_is_taken_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("attachments")).unwrap();
        std::fs::write(folder.path().join("attachments/transcript-tester-1.jsonl"), "mine").unwrap();
        let kept = begin(folder.path(), 1_000);
        assert_eq!(kept.prompt.name, "prompt-tester-2.md");
        assert!(!folder.path().join("attachments/prompt-tester-1.md").exists());
    }
}
