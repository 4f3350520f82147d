//! What the docker engine itself tells of a command in a container that has no shell.
//!
//! Without a shell nobody writes the host's marks inside. The client's exit code is no proof: it is 0 when the engine's stream
//! was cut in the midst of a command, and 137 when the container was killed. The engine keeps a list of events, though,
//! with the beginning of each command in a container, its end, and its exit code; these stand for the marks.
//!
//! It is asked for the time of this run only, and takes no answer where two commands could be meant.

use serde::Deserialize;

/// What the engine tells of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It began and ended, with this code.
    Ended(i32),
    /// It was to begin, and no end is known: it could not be started, or it still runs.
    Begun,
    /// Nothing of this command.
    Nothing,
    /// The engine could not be asked, or more than one command could be meant.
    Unknown,
}

/// One line of `docker events` in the form of [`FORMAT`]: the command's id, its exit code, what happened.
#[derive(Deserialize)]
struct Event(Option<String>, Option<String>, String);

const FORMAT: &str =
    "[{{json .Actor.Attributes.execID}},{{json .Actor.Attributes.exitCode}},{{json .Action}}]";

/// More than the time between the run's beginning and the question, for clocks and connections.
const SLACK_S: u64 = 30;

/// The question, for a command that began `elapsed_ms` ago.
pub(crate) fn question(docker: &str, container: &str, elapsed_ms: u64) -> Vec<String> {
    let since = format!("{}s", (elapsed_ms / 1_000).saturating_add(SLACK_S));
    let filter = format!("container={container}");
    // The engine filters a command's events by their whole text, so only the container is given. It takes times in whole seconds:
    // the question is for a second more, or what has just ended would be missing.
    [
        "events",
        "--since",
        &since,
        "--until=-1s",
        "--filter",
        "type=container",
        "--filter",
        &filter,
        "--format",
        FORMAT,
    ]
    .into_iter()
    .fold(vec![docker.to_owned()], |mut words, word| {
        words.push(word.to_owned());
        words
    })
}

/// What the answer tells of `command`.
pub fn read(answer: &str, command: &[String]) -> Told {
    let Some(begin) = begin(command) else { return Told::Unknown };
    let mut begun = None;
    let mut ends = Vec::new();
    for line in answer.lines().filter(|line| !line.trim().is_empty()) {
        let Ok(Event(exec, code, action)) = serde_json::from_str::<Event>(line) else { return Told::Unknown };
        let Some(exec) = exec else { continue };
        if action == begin {
            if begun.is_some() {
                return Told::Unknown;
            }
            begun = Some(exec);
        } else if action == "exec_die" {
            ends.push((exec, code.and_then(|code| code.parse().ok())));
        }
    }
    let Some(exec) = begun else { return Told::Nothing };
    match ends.into_iter().find(|(id, _)| *id == exec) {
        Some((_, Some(code))) => Told::Ended(code),
        Some((_, None)) => Told::Unknown,
        None => Told::Begun,
    }
}

/// The question which commands run in the container now.
pub(crate) fn running(docker: &str, container: &str) -> Vec<String> {
    [docker, "container", "inspect", "--format", "{{json .ExecIDs}}", container].map(str::to_owned).to_vec()
}

/// Their ids; none if the answer has another form.
pub(crate) fn ids(answer: &str) -> Option<Vec<String>> {
    let ids: Option<Vec<String>> = serde_json::from_str(answer.trim()).ok()?;
    Some(ids.unwrap_or_default())
}

/// Whether one of the running commands is not known to be another than `command`.
pub(crate) fn may_run(ids: &[String], events: &str, command: &[String]) -> bool {
    let Some(ours) = begin(command) else { return true };
    let other = |id: &String| {
        events.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok()).any(
            |Event(exec, _, action)| exec.as_ref() == Some(id) && action.starts_with(BEGIN) && action != ours,
        )
    };
    !ids.iter().all(other)
}

const BEGIN: &str = "exec_start: ";

/// What the engine says of the beginning of a command.
fn begin(command: &[String]) -> Option<String> {
    let (program, args) = command.split_first()?;
    Some(format!("{BEGIN}{program} {}", args.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &str) -> Vec<String> {
        words.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_engine_tells_a_commands_beginning_end_and_code() {
        let answer = r#"["e1","","exec_create: /suite --all"]
["e1","","exec_start: /suite --all"]
["e2","","exec_start: /health "]
["e2","0","exec_die"]
["e1","3","exec_die"]
["","137","die"]
"#;
        assert_eq!(read(answer, &command("/suite --all")), Told::Ended(3));
        assert_eq!(
            read(answer, &command("/health")),
            Told::Ended(0),
            "a command without arguments ends in a blank"
        );
        assert_eq!(read(answer, &command("/other")), Told::Nothing);
    }

    #[test]
    fn a_command_without_an_end_has_begun_at_most() {
        let answer = "[\"e1\",null,\"exec_start: /suite --all\"]\n[\"e2\",\"0\",\"exec_die\"]";
        assert_eq!(read(answer, &command("/suite --all")), Told::Begun);
    }

    #[test]
    fn two_commands_that_could_be_meant_tell_nothing() {
        let answer = "[\"e1\",\"\",\"exec_start: /suite \"]\n[\"e1\",\"0\",\"exec_die\"]\n[\"e2\",\"\",\"exec_start: /suite \"]";
        assert_eq!(read(answer, &command("/suite")), Told::Unknown);
    }

    #[test]
    fn an_answer_in_another_form_tells_nothing() {
        assert_eq!(read("unknown flag: --format", &command("/suite")), Told::Unknown);
        assert_eq!(read("", &command("/suite")), Told::Nothing);
        assert_eq!(read("", &[]), Told::Unknown);
    }

    #[test]
    fn a_running_command_counts_as_ours_unless_it_is_known_to_be_another() {
        let events = "[\"e1\",\"\",\"exec_start: /suite --all\"]\n[\"e2\",\"\",\"exec_start: /health \"]\n";
        let may = |answer: &str| may_run(&ids(answer).unwrap(), events, &command("/suite --all"));
        assert!(!may("null\n") && !may("[]"));
        assert!(!may(r#"["e2"]"#), "a health check");
        assert!(may(r#"["e1"]"#) && may(r#"["e2","e1"]"#));
        assert!(may(r#"["e9"]"#), "one of which the events tell nothing");
        assert_eq!(ids("no answer"), None);
    }
}
