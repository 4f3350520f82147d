//! What is sent to the target: a short command that is the same for everybody's eyes, and one line on its input.
//!
//! The remote command is what a login shell gets, and what everybody there can read. So it only starts a POSIX shell
//! that reads one line and runs it. The line has the scripts, the arguments and the secrets; it goes over the
//! connection and is never in an argument list or an environment. It has no limit but the target's own on a single
//! argument, and since the remote command has neither single quotes nor line ends within its quotes, it means the same in
//! sh, bash, dash, zsh, fish and csh.

use super::marks::Secrets;
use super::quote::{NEWLINE, assign, quote};
use crate::process::GRACE;

const TREE: &str = include_str!("tree.sh");
const SUPERVISE: &str = include_str!("supervise.sh");
const END: &str = include_str!("end.sh");

/// The variable by which the processes of a job are found on a target.
const VARIABLE: &str = "STAGEWRIGHT_REMOTE";
/// Reads the line and runs it. A line that was cut off is not run: `read` fails without a line's end.
const READER: &str = r#"IFS= read -r p && eval "$p""#;

/// Which call it is; what the target may know.
pub(super) struct Call<'a> {
    pub(super) job: &'a str,
    pub(super) id: &'a str,
}

/// The remote command that reads a line.
pub(super) fn opening(call: &Call<'_>) -> String {
    format!("exec {}", words(&reader(call, "outer")))
}

/// The remote command that reads a line and leaves no mark of the job on itself.
pub(super) fn unmarked_opening() -> String {
    format!("exec sh -c '{READER}'")
}

fn reader(call: &Call<'_>, level: &str) -> Vec<String> {
    let mark = format!("{VARIABLE}={}/{}/{level}+", call.job, call.id);
    ["env", &mark, "sh", "-c", READER].map(str::to_owned).to_vec()
}

fn words(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// The secrets of both levels.
pub(super) struct Marks {
    pub(super) outer: Secrets,
    pub(super) inner: Option<Secrets>,
}

/// The line that runs a command between marks, with a last limit of `seconds` that holds without us.
pub(super) fn supervise(
    call: &Call<'_>,
    marks: &Marks,
    enclosure: &[String],
    argv: &[String],
    seconds: u64,
) -> String {
    let level = |level, secrets: &Secrets, inner: &str, argv: &[String]| {
        let mut line = NEWLINE.to_owned();
        assign(&mut line, "call", call.id);
        assign(&mut line, "level", level);
        assign(&mut line, "limit", &seconds.to_string());
        close(line, call.job, secrets, inner, argv, SUPERVISE)
    };
    match &marks.inner {
        None => level("outer", &marks.outer, "", argv),
        Some(secrets) => {
            let inner = level("inner", secrets, "", argv);
            let entering = [enclosure, &reader(call, "inner")].concat();
            level("outer", &marks.outer, &inner, &entering)
        }
    }
}

/// The line that ends whatever runs for a job.
pub(super) fn end(job: &str, marks: &Marks, enclosure: &[String]) -> String {
    let level = |secrets: &Secrets, inner: &str, argv: &[String]| {
        close(NEWLINE.to_owned(), job, secrets, inner, argv, END)
    };
    match &marks.inner {
        None => level(&marks.outer, "", &[]),
        Some(secrets) => {
            let inner = level(secrets, "", &[]);
            let shell = ["sh", "-c", READER].map(str::to_owned);
            level(&marks.outer, &inner, &[enclosure, &shell].concat())
        }
    }
}

fn close(
    mut line: String,
    job: &str,
    secrets: &Secrets,
    inner: &str,
    argv: &[String],
    script: &str,
) -> String {
    assign(&mut line, "job", job);
    assign(&mut line, "begin", &secrets.begin);
    assign(&mut line, "end", &secrets.end);
    assign(&mut line, "grace", &(GRACE.as_millis() / 100).to_string());
    assign(&mut line, "inner", inner);
    line + " set -- " + &words(argv) + "; eval " + &quote(&format!("{TREE}{script}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_arguments_are_on_the_line_and_not_in_the_remote_command() {
        let call = Call { job: "job", id: "call" };
        let secrets = || Secrets { begin: "first-secret".into(), end: "second-secret".into() };
        let marks = Marks { outer: secrets(), inner: Some(secrets()) };
        let line = supervise(&call, &marks, &["docker".into()], &["it's\nmine".into()], 60);
        assert!(line.contains("first-secret") && line.contains("mine") && !line.contains('\n'));
        let opening = opening(&call);
        assert!(!opening.contains("secret") && !opening.contains("mine"), "{opening}");
    }
}
