//! Running other programs: watched by the user, or read by us, and never without a name for what they are for.
//!
//! It refuses to hide a failure: whoever runs a command gets an error that has the command in it, as it could be
//! typed.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::error::Error;

/// The command as it could be typed, variables that were set for it included.
pub(crate) fn shown(command: &Command) -> String {
    let quoted = |word: &OsStr| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) { word.into_owned() } else { format!("'{word}'") }
    };
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(value?))));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

/// Runs it with its output going to the user.
pub(crate) fn watch(what: &str, command: &mut Command) -> Result<(), Error> {
    let status = command.stdin(Stdio::null()).status().map_err(|error| unstartable(command, error))?;
    ended(what, command, status)
}

/// Runs it and returns its standard output as text; its standard error goes to the user.
pub(crate) fn read(what: &str, command: &mut Command) -> Result<String, Error> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| unstartable(command, error))?;
    ended(what, command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Which of a command's streams is looked at on its way to the user.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Runs it with its output going to the user, and shows every line of one stream to `line` on the way.
pub(crate) fn overhear(
    what: &str,
    command: &mut Command,
    stream: Stream,
    mut line: impl FnMut(&str),
) -> Result<(), Error> {
    command.stdin(Stdio::null());
    match stream {
        Stream::Output => command.stdout(Stdio::piped()),
        Stream::Error => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().map_err(|error| unstartable(command, error))?;
    let pipe: Option<Box<dyn Read>> = match stream {
        Stream::Output => child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read>),
        Stream::Error => child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read>),
    };
    for bytes in pipe.into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n')).map_while(Result::ok) {
        let text = String::from_utf8_lossy(&bytes);
        match stream {
            Stream::Output => println!("{text}"),
            Stream::Error => eprintln!("{text}"),
        }
        line(&text);
    }
    let status = child.wait().map_err(|error| unstartable(command, error))?;
    ended(what, command, status)
}

/// What it printed if it exists and succeeds, both streams kept from the user: for looking whether something is there.
pub(crate) fn ask(command: &mut Command) -> Option<String> {
    let Output { status, stdout, .. } = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    status.success().then(|| String::from_utf8_lossy(&stdout).trim().to_owned())
}

/// Runs it quietly for at most `limit`; whether it succeeded within that time.
pub(crate) fn within(limit: Duration, command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let id = child.id();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        // The receiver is gone when the time was over; nobody waits for the answer then.
        let _ = tell.send(child.wait());
    });
    if let Ok(waited) = told.recv_timeout(limit) {
        return waited.is_ok_and(|status| status.success());
    }
    // The waiting thread owns the child, so that it is signalled by its number. It has not been waited for yet, or
    // the receive would have succeeded, so the number is still its own.
    let _ = Command::new("kill").arg(id.to_string()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    false
}

/// The error of a command that ended with `status`, if that is one.
pub(crate) fn ended(what: &str, command: &Command, status: ExitStatus) -> Result<(), Error> {
    if status.success() {
        return Ok(());
    }
    Err(Error::Failed { what: what.to_owned(), how: status.to_string(), command: shown(command) })
}

/// The error of a command that did not start.
pub(crate) fn unstartable(command: &Command, error: std::io::Error) -> Error {
    Error::Start { program: command.get_program().to_string_lossy().into_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_shown_as_it_could_be_typed() {
        let mut command = Command::new("sh");
        command.env("LANG", "C").args(["-c", "exit 3"]);
        let error = watch("the suite", &mut command).unwrap_err().to_string();
        assert_eq!(error, "the suite failed (exit status: 3): LANG=C sh -c 'exit 3'");
    }

    #[test]
    fn a_command_that_never_ends_is_ended_at_its_limit() {
        assert!(!within(Duration::from_millis(50), Command::new("sleep").arg("60")));
        assert!(within(Duration::from_secs(60), &mut Command::new("true")));
    }

    #[test]
    fn what_is_overheard_is_whole_though_the_command_fails() {
        let mut heard = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "printf 'one\ntwo'; exit 1"]);
        let result = overhear("it", &mut command, Stream::Output, |line| heard.push(line.to_owned()));
        assert!(result.is_err());
        assert_eq!(heard, ["one", "two"]);
    }

    #[test]
    fn a_program_that_is_not_there_answers_nothing() {
        assert_eq!(ask(&mut Command::new("no-such-program-anywhere")), None);
        assert_eq!(ask(Command::new("echo").arg("here")), Some("here".to_owned()));
    }
}
