//! What is said on the control socket.
//!
//! One request goes in: a length as four bytes, little-endian, then fields, each a length of four bytes and
//! as many bytes. Words come out: one line of text each. After the request the only order is the byte `T`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// The version of this protocol; daemon and shepherd are installed together and must agree.
const VERSION: u32 = 2;
/// The longest request that is read, in bytes.
pub const MAX_REQUEST: usize = 64 << 20;
/// The order to end the command: TERM, grace, KILL.
pub const TERMINATE: u8 = b'T';

/// What is to be started, and in which bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The file to execute.
    pub program: PathBuf,
    /// Its arguments, without its own name.
    pub args: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// The folder to start in.
    pub cwd: PathBuf,
    /// What the command reads from its standard input.
    pub stdin: Vec<u8>,
    /// How long after TERM the KILL comes.
    pub grace: Duration,
    /// The most processes that its user may have while it runs; none for no limit. Root is not limited.
    pub max_processes: Option<u64>,
    /// How many files each process may have open; none for as many as the shepherd may.
    pub open_files: Option<u64>,
    /// Whether to confine the file system at all.
    pub confine: bool,
    /// Folders and files that may be read and executed.
    pub read: Vec<PathBuf>,
    /// Folders and files that may be read, executed and written.
    pub write: Vec<PathBuf>,
}

/// A request that can't be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the request is malformed: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

impl Request {
    /// The request as it goes over the socket, its length included.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Fields(vec![0; 4]);
        fields.number(u64::from(VERSION));
        fields.bytes(self.program.as_os_str().as_bytes());
        fields.list(self.args.iter().map(|arg| arg.as_bytes()));
        fields.list(self.env.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]));
        fields.bytes(self.cwd.as_os_str().as_bytes());
        fields.bytes(&self.stdin);
        fields.number(u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX));
        fields.number(self.max_processes.unwrap_or(0));
        fields.number(self.open_files.unwrap_or(0));
        fields.number(u64::from(self.confine));
        fields.list(self.read.iter().map(|path| path.as_os_str().as_bytes()));
        fields.list(self.write.iter().map(|path| path.as_os_str().as_bytes()));
        let mut bytes = fields.0;
        let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// Reads a request from its fields, without the length in front.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(bytes);
        if reader.number()? != u64::from(VERSION) {
            return Err(Malformed("it is of another version; install daemon and shepherd together"));
        }
        let program = path(reader.bytes()?);
        let args = reader.list()?.into_iter().map(text).collect();
        let mut env = Vec::new();
        let mut names = reader.list()?.into_iter();
        while let Some(name) = names.next() {
            env.push((text(name), text(names.next().ok_or(Malformed("a variable has no value"))?)));
        }
        let cwd = path(reader.bytes()?);
        let stdin = reader.bytes()?.to_vec();
        let grace = Duration::from_millis(reader.number()?);
        let max_processes = Some(reader.number()?).filter(|&max| max > 0);
        let open_files = Some(reader.number()?).filter(|&files| files > 0);
        let confine = reader.number()? != 0;
        let read = reader.list()?.into_iter().map(path).collect();
        let write = reader.list()?.into_iter().map(path).collect();
        if !reader.0.is_empty() {
            return Err(Malformed("something follows its end"));
        }
        Ok(Self { program, args, env, cwd, stdin, grace, max_processes, open_files, confine, read, write })
    }
}

struct Fields(Vec<u8>);

impl Fields {
    fn bytes(&mut self, bytes: &[u8]) {
        // A longer field makes a request that is over the limit and is refused as a whole.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn list<'a>(&mut self, items: impl Iterator<Item = &'a [u8]>) {
        let items: Vec<_> = items.collect();
        self.number(items.len() as u64);
        for item in items {
            self.bytes(item);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or(Malformed("it ends too early"))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (bytes, rest) = rest.split_at_checked(length).ok_or(Malformed("a field ends too early"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let bytes: [u8; 8] =
            self.bytes()?.try_into().map_err(|_| Malformed("a number is not eight bytes"))?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn list(&mut self) -> Result<Vec<&'a [u8]>, Malformed> {
        let count = self.number()?;
        (0..count).map(|_| self.bytes()).collect()
    }
}

fn text(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// What the shepherd says, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// The command was executed.
    Started {
        /// The leader's process id.
        pid: u32,
        /// What confines it: `landlock-7`, or `none`.
        isolation: String,
    },
    /// The command was not executed.
    Failed {
        /// The operating system's error number; 0 if it was not the system that refused.
        errno: i32,
        /// What was being done.
        what: String,
    },
    /// The leader ended by itself or by a signal.
    Exited(Ending),
    /// Every descendant has ended.
    Gone,
    /// Something can't be ended.
    Lost(String),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Word {
    /// The word as a line, with its end.
    pub fn line(&self) -> String {
        match self {
            Self::Started { pid, isolation } => format!("started {pid} {isolation}\n"),
            Self::Failed { errno, what } => format!("failed {errno} {}\n", what.replace('\n', " ")),
            Self::Exited(Ending::Code(code)) => format!("exited code {code}\n"),
            Self::Exited(Ending::Signal(signal)) => format!("exited signal {signal}\n"),
            Self::Gone => "gone\n".to_owned(),
            Self::Lost(what) => format!("lost {}\n", what.replace('\n', " ")),
        }
    }

    /// Reads a line; `None` if it is no word.
    pub fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        match word {
            "started" => {
                let (pid, isolation) = rest.split_once(' ')?;
                Some(Self::Started { pid: pid.parse().ok()?, isolation: isolation.to_owned() })
            }
            "failed" => {
                let (errno, what) = rest.split_once(' ')?;
                Some(Self::Failed { errno: errno.parse().ok()?, what: what.to_owned() })
            }
            "exited" => match rest.split_once(' ')? {
                ("code", code) => Some(Self::Exited(Ending::Code(code.parse().ok()?))),
                ("signal", signal) => Some(Self::Exited(Ending::Signal(signal.parse().ok()?))),
                _ => None,
            },
            "gone" => Some(Self::Gone),
            "lost" => Some(Self::Lost(rest.to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            program: "/bin/echo".into(),
            args: vec!["-n".into(), "".into(), OsString::from_vec(vec![0xff, b'\n'])],
            env: vec![("A".into(), "1".into()), ("EMPTY".into(), "".into())],
            cwd: "/tmp".into(),
            stdin: b"in\0put".to_vec(),
            grace: Duration::from_millis(1_500),
            max_processes: Some(10),
            open_files: Some(1_024),
            confine: true,
            read: vec!["/usr".into()],
            write: vec!["/tmp".into(), "/dev/shm".into()],
        }
    }

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let bytes = request().encode();
        assert_eq!(Request::decode(&bytes[4..]), Ok(request()));
    }

    #[test]
    fn a_request_that_was_cut_anywhere_is_refused() {
        let bytes = request().encode();
        for end in 4..bytes.len() {
            assert!(Request::decode(&bytes[4..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn every_word_is_read_as_it_was_written() {
        let words = [
            Word::Started { pid: 7, isolation: "landlock-7".into() },
            Word::Failed { errno: 2, what: "execute /no/such file".into() },
            Word::Exited(Ending::Code(3)),
            Word::Exited(Ending::Signal(9)),
            Word::Gone,
            Word::Lost("2 processes".into()),
        ];
        for word in words {
            assert_eq!(Word::parse(&word.line()), Some(word));
        }
    }
}
