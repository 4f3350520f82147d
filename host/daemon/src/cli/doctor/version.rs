//! Runs a program to see that it starts: bounded in time and output, with a small environment.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// A program that says its version takes less than this.
const LIMIT: Duration = Duration::from_secs(15);
/// What is read of its output, in bytes.
const MAX_OUTPUT: u64 = 16 * 1_024;

/// How the program ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It started, and ended with 0 and this first line.
    Said(String),
    /// It started, and ended otherwise. The line is its last word on standard error.
    Refused(String),
    /// It started, and did not end in time.
    TimedOut,
    /// It did not start.
    NotStarted(String),
}

/// Runs `program` with `args` and reads what it says.
pub(super) async fn ask(program: &Path, args: &[&str]) -> Answer {
    let mut command = Command::new(program);
    command.args(args).env_clear().env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let mut child = match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return Answer::NotStarted(error.to_string()),
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (stdout, stderr) = tokio::join!(read(stdout), read(stderr));
        (child.wait().await, stdout, stderr)
    };
    let ended = tokio::time::timeout(LIMIT, work).await;
    match ended {
        Err(_) => Answer::TimedOut,
        Ok((Err(error), ..)) => Answer::NotStarted(error.to_string()),
        Ok((Ok(status), stdout, stderr)) if status.success() => {
            let first = stdout.lines().chain(stderr.lines()).find(|line| !line.trim().is_empty());
            Answer::Said(first.unwrap_or_default().trim().to_owned())
        }
        Ok((Ok(status), _, stderr)) => {
            let last = stderr.lines().rfind(|line| !line.trim().is_empty());
            Answer::Refused(last.map_or_else(|| status.to_string(), |line| line.trim().to_owned()))
        }
    }
}

async fn read(stream: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What can't be read has not been said; how the program ended is known all the same.
        let _ = stream.take(MAX_OUTPUT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_is_really_started() {
        let shell = Path::new("/bin/sh");
        assert_eq!(ask(shell, &["-c", "echo one; echo two"]).await, Answer::Said("one".into()));
        assert_eq!(ask(shell, &["-c", "echo one >&2; exit 3"]).await, Answer::Refused("one".into()));
        assert!(matches!(ask(Path::new("/no/such/program"), &[]).await, Answer::NotStarted(_)));
    }

    #[tokio::test]
    async fn it_gets_none_of_our_variables() {
        let said = ask(Path::new("/bin/sh"), &["-c", "echo ${CARGO_MANIFEST_DIR:-none}"]).await;
        assert_eq!(said, Answer::Said("none".into()));
    }
}
