//! One git command: its arguments and environment, its bounds, its end.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::Error;

/// The most of an answer that is kept: the names of all files of a very large repository fit.
const STDOUT_LIMIT: u64 = 64 << 20;
/// The most of git's complaints that is kept; its last lines are what matters.
const STDERR_TAIL: usize = 4 << 10;

/// Settings that hold for every command, whatever a repository's own configuration says: a `-c` outranks
/// every file.
const SETTINGS: [&str; 14] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.useReplaceRefs=false",
    "core.quotePath=false",
    "core.autocrlf=false",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "credential.helper=",
];

/// A git command that was not started yet.
pub(crate) struct Command {
    program: PathBuf,
    repository: Option<PathBuf>,
    settings: Vec<String>,
    args: Vec<OsString>,
    envs: Vec<(&'static str, OsString)>,
    input: Input,
    limit: Duration,
}

enum Input {
    Nothing,
    Bytes(Vec<u8>),
    File(File),
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    stderr: Vec<u8>,
    command: String,
    repository: PathBuf,
}

impl Command {
    /// A command outside of any repository.
    pub(crate) fn bare(program: &Path, limit: Duration) -> Self {
        Self {
            program: program.to_owned(),
            repository: None,
            settings: Vec::new(),
            args: Vec::new(),
            envs: Vec::new(),
            input: Input::Nothing,
            limit,
        }
    }

    /// A command in the repository at `git_dir`, and in no other.
    pub(crate) fn within(program: &Path, git_dir: &Path, limit: Duration) -> Self {
        Self { repository: Some(git_dir.to_owned()), ..Self::bare(program, limit) }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args<I: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = I>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// One more setting for this command, as `key=value`.
    pub(crate) fn setting(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    pub(crate) fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name, value.as_ref().to_owned()));
        self
    }

    /// What the command reads from its standard input.
    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Gives the command an open file as its standard input. The file's lock is thereby held until the command
    /// has ended, even if this program is killed before.
    pub(crate) fn holding(mut self, lock: File) -> Self {
        self.input = Input::File(lock);
        self
    }

    /// Runs it; any end but success is an error.
    pub(crate) async fn run(self) -> Result<Output, Error> {
        let output = self.answer().await?;
        if output.status.success() { Ok(output) } else { Err(output.into_error()) }
    }

    /// Runs it and leaves the judgement of its exit code to the caller.
    pub(crate) async fn answer(self) -> Result<Output, Error> {
        let name = self.args.first().map(|arg| arg.to_string_lossy().into_owned()).unwrap_or_default();
        let repository = self.repository.clone().unwrap_or_default();
        let limit = self.limit;
        match tokio::time::timeout(limit, self.converse(&name, &repository)).await {
            Ok(ended) => ended,
            // The dropped conversation has killed the process and what it started.
            Err(_) => Err(Error::TimedOut { command: name, repository, limit_s: limit.as_secs() }),
        }
    }

    async fn converse(self, name: &str, repository: &Path) -> Result<Output, Error> {
        let pipe = |source| Error::Pipe { command: name.to_owned(), source };
        let mut command = tokio::process::Command::new(&self.program);
        self.prepare(&mut command);
        let (stdin, bytes) = match self.input {
            Input::Nothing => (Stdio::null(), None),
            Input::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
            Input::File(file) => (Stdio::from(file), None),
        };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(|source| Error::Spawn { program: self.program.clone(), source })?;
        drop(command);
        let group = Group::of(&child);

        let feed = feed(child.stdin.take(), bytes);
        let stdout = read_bounded(child.stdout.take(), STDOUT_LIMIT);
        let stderr = read_tail(child.stderr.take());
        let (fed, stdout, stderr) = tokio::join!(feed, stdout, stderr);
        let Some(stdout) = stdout.map_err(pipe)? else {
            return Err(Error::TooMuchOutput {
                command: name.to_owned(),
                repository: repository.to_owned(),
                limit: STDOUT_LIMIT,
            });
        };
        let status = child.wait().await.map_err(pipe)?;
        group.ended();
        // A command that ended well did not need the rest of its input; one that failed says why itself.
        if status.success() {
            fed.map_err(pipe)?;
        }
        Ok(Output {
            status,
            stdout,
            stderr: stderr.map_err(pipe)?,
            command: name.to_owned(),
            repository: repository.to_owned(),
        })
    }

    fn prepare(&self, command: &mut tokio::process::Command) {
        command.env_clear();
        for name in ["PATH", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_ALLOW_PROTOCOL", "file")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_LITERAL_PATHSPECS", "1");
        command.envs(self.envs.iter().map(|(name, value)| (name, value)));
        for setting in SETTINGS.iter().copied().chain(self.settings.iter().map(String::as_str)) {
            command.arg("-c").arg(setting);
        }
        // Without a repository git still looks for one from its folder upwards: let it find none.
        command.current_dir(self.repository.as_deref().unwrap_or(Path::new("/")));
        if let Some(repository) = &self.repository {
            let mut option = OsString::from("--git-dir=");
            option.push(repository);
            command.arg(option);
        }
        // A group of its own, so that the helpers that git starts end with it.
        command.args(&self.args).process_group(0).kill_on_drop(true);
    }
}

impl Output {
    /// The answer as text, without the line end.
    pub(crate) fn line(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// The parts of an answer that ends each part with NUL.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.stdout.split(|&byte| byte == 0).filter(|record| !record.is_empty())
    }

    /// What git complained about: its last lines, escaped.
    pub(crate) fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let lines: Vec<String> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| line.chars().take(400).flat_map(char::escape_debug).collect())
            .collect();
        let last = lines.len().saturating_sub(5);
        lines.get(last..).map(|lines| lines.join(" / ")).unwrap_or_default()
    }

    pub(crate) fn into_error(self) -> Error {
        let ending = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "unknown end".to_owned(),
        };
        let said = match self.said() {
            nothing if nothing.is_empty() => "it did not say why".to_owned(),
            said => said,
        };
        Error::Failed { command: self.command, repository: self.repository, ending, said }
    }
}

/// Kills git's process group unless git is known to have ended.
struct Group(Option<rustix::process::Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        Self(pid.and_then(rustix::process::Pid::from_raw))
    }

    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // The leader was not waited for yet, so its number can't belong to another group. If there is
            // nothing left to kill, that is as well.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

async fn feed(stdin: Option<tokio::process::ChildStdin>, bytes: Option<Vec<u8>>) -> io::Result<()> {
    if let (Some(mut stdin), Some(bytes)) = (stdin, bytes) {
        stdin.write_all(&bytes).await?;
        stdin.shutdown().await?;
    }
    Ok(())
}

/// Everything up to the limit, or `None` if there is more.
async fn read_bounded(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit + 1).read_to_end(&mut bytes).await?;
    }
    let fits = u64::try_from(bytes.len()).is_ok_and(|length| length <= limit);
    Ok(fits.then_some(bytes))
}

/// The end of a stream, all of which is read so that the writer is never blocked.
async fn read_tail(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut tail = Vec::new();
    let Some(mut pipe) = pipe else { return Ok(tail) };
    let mut buffer = [0; 4096];
    loop {
        let count = pipe.read(&mut buffer).await?;
        let Some(new) = buffer.get(..count).filter(|new| !new.is_empty()) else { return Ok(tail) };
        tail.extend_from_slice(new);
        let surplus = tail.len().saturating_sub(STDERR_TAIL);
        tail.drain(..surplus);
    }
}
