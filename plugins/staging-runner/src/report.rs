//! Turns a run into the outcome that the host is told: a report for a verdict, a fault for everything else.

use stagewright_sdk::{
    CheckState, Fault, Files, Host, Level, Outcome, RemoteState, Report, ReportBuilder, fault, last_lines,
};

use crate::channel::Seen;
use crate::classify::code_of;
use crate::rules::{Becomes, Rule};
use crate::run::{Run, Shown};
use crate::settings::Settings;
use crate::tally::Lines;

/// How many last lines of a stream are shown, and how many bytes of those.
const LINES: usize = 30;
const BYTES: usize = 3_000;
/// The name under which the suite's output is kept.
const OUTPUT: &str = "staging-output.txt";

/// What the host is told.
pub(crate) fn outcome(settings: &Settings, run: &Run, rule: &Rule) -> Outcome {
    match rule.becomes {
        Becomes::Pass => Outcome::Verdict(report(settings, run, rule, ReportBuilder::pass)),
        Becomes::Fail => Outcome::Verdict(report(settings, run, rule, ReportBuilder::fail)),
        Becomes::Held => Outcome::Held(fault_of(settings, run, rule)),
        Becomes::Deferred => Outcome::Deferred(fault_of(settings, run, rule)),
    }
}

/// Keeps what the suite wrote beside the artifact.
pub(crate) fn keep<C: Host + Files>(host: &C, seen: &Seen) {
    let mut text = String::new();
    for (name, end, content) in
        [("standard output", &seen.stdout, seen.out()), ("standard error", &seen.stderr, seen.err())]
    {
        let lost = end.total.saturating_sub(end.tail.len() as u64);
        let cut = if lost > 0 {
            format!(" (its first {lost} bytes are in the host's log only)")
        } else {
            String::new()
        };
        text.push_str(&format!("==> {name}{cut}\n{content}"));
        if !content.is_empty() && !content.ends_with('\n') {
            text.push('\n');
        }
    }
    let kept = host.write(OUTPUT, text.as_bytes()).and_then(|()| host.attach(OUTPUT, OUTPUT));
    if let Err(failure) = kept {
        host.log(Level::Warn, &format!("{OUTPUT} could not be kept: {}", failure.message));
    }
}

/// How the run ended, for people.
pub(crate) fn describe(shown: &Shown) -> String {
    match shown {
        Shown::Ran(code) => format!("exit code {code}"),
        Shown::NotBegun(code) => format!("the suite did not begin; docker ended with code {code}"),
        Shown::Untold(code) => {
            format!("docker ended with code {code}; whether the suite ran to its end is not known")
        }
        Shown::NotStarted(failure) => format!("nothing began: {}", failure.message),
        Shown::Interrupted(failure, left) => {
            format!("interrupted: {}; {}", failure.message, what_is_left(*left))
        }
        Shown::TimedOut(left) => format!("its time was over; {}", what_is_left(*left)),
        Shown::Cancelled => "cancelled".to_owned(),
        Shown::LeftRunning => "not started: an earlier run's suite is still there".to_owned(),
    }
}

const fn what_is_left(state: RemoteState) -> &'static str {
    match state {
        RemoteState::Ended => "nothing of it runs any more",
        RemoteState::Running => "it still runs there",
        RemoteState::Unknown => "whether it still runs there is not known",
    }
}

/// Where the suite runs, for people.
pub(crate) fn place(settings: &Settings) -> String {
    match (settings.exec_host_side, settings.container.as_deref()) {
        (true, None) => format!("on the ssh target {}", settings.target),
        (true, Some(container)) => {
            format!("in the container {container}, on the ssh target {}", settings.target)
        }
        (false, container) => {
            format!("in the container {}, by the granted docker client", container.unwrap_or_default())
        }
    }
}

fn fault_of(settings: &Settings, run: &Run, rule: &Rule) -> Fault {
    let mut evidence =
        format!("{}: {}\n{}", place(settings), shown_command(&run.command), describe(&run.shown));
    for text in [run.seen.out(), run.seen.err()] {
        let text = last_lines(&text, LINES, BYTES);
        if !text.is_empty() {
            evidence.push('\n');
            evidence.push_str(text);
        }
    }
    let message = match &run.shown {
        Shown::NotStarted(failure) => format!("{}: {}", rule.says, failure.message),
        Shown::Interrupted(_, left) => format!("{}; {}", rule.says, what_is_left(*left)),
        _ => rule.says.to_owned(),
    };
    fault::new(code_of(rule, &run.shown), message)
        .with_evidence(&plain(&evidence))
        .with_remedy(rule.remedy)
        .build()
}

fn report(settings: &Settings, run: &Run, rule: &Rule, new: impl FnOnce(&str) -> ReportBuilder) -> Report {
    let lines = Lines::read(&run.seen.out());
    let passed = rule.becomes == Becomes::Pass;
    let seconds = seconds(run.seen.duration_ms);
    let mut builder = new(&format!("{} ({} in {seconds})", rule.says, describe(&run.shown)));
    // The lines of a suite that says by its code that all is well, and prints that something is not, are shown and not counted.
    let against = passed && lines.has_bad();
    if !lines.is_empty() && !against {
        builder = builder.with_tally(lines.tally());
        for (name, state) in lines.iter() {
            builder = builder.with_check(name, state, "", 0);
        }
    } else {
        let state = if passed { CheckState::Passed } else { CheckState::Failed };
        let (good, bad) = (u64::from(passed), u64::from(!passed));
        let err = run.seen.err();
        builder = builder
            .with_tally(stagewright_sdk::Tally { passed: good, failed: bad, skipped: 0, errored: 0 })
            .with_check(
                &shown_command(&settings.suite()),
                state,
                &plain(last_lines(&err, LINES, BYTES)),
                run.seen.duration_ms,
            );
    }
    builder = builder
        .with_body(&body(settings, run, rule, &lines))
        .with_fact("rule", rule.code)
        .with_fact("exec-host-side", settings.exec_host_side.to_string())
        .with_fact("suite-end", describe(&run.shown));
    if settings.exec_host_side {
        builder = builder.with_fact("target", &*settings.target);
    }
    if let Some(container) = &settings.container {
        builder = builder.with_fact("container", &**container);
    }
    if let Shown::Ran(code) = run.shown {
        builder = builder.with_fact("exit-code", code.to_string());
    }
    builder.build()
}

fn body(settings: &Settings, run: &Run, rule: &Rule, lines: &Lines) -> String {
    let mut text = String::from("## What ran\n\n");
    fence(&mut text, &plain(&shown_command(&run.command)));
    text.push_str(&format!(
        "\nIt ran {}. {} after {}.\n",
        place(settings),
        capital(&stagewright_sdk::plain_line(&describe(&run.shown))),
        seconds(run.seen.duration_ms)
    ));
    if run.bare {
        text.push_str("\nThe container has no shell, so beginning and end are the engine's word.\n");
    }
    for (name, output) in [("output", run.seen.out()), ("errors", run.seen.err())] {
        let output = plain(last_lines(&output, LINES, BYTES));
        if !output.is_empty() {
            text.push_str(&format!("\n## The last lines of its {name}\n\n"));
            fence(&mut text, &output);
        }
    }
    text.push_str(&format!(
        "\n## How this was judged\n\n{} by the rule `{}`: {}.\n",
        rule.becomes, rule.code, rule.seen
    ));
    if rule.becomes == Becomes::Pass && lines.has_bad() {
        text.push_str("\nLines of its output say that something failed; its exit code counts.\n");
    }
    text.push_str(&format!("\nThe whole output is in `{OUTPUT}`.\n"));
    text
}

fn seconds(duration_ms: u64) -> String {
    let tenths = duration_ms.saturating_add(50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// A fenced block that no fence in its text can end.
fn fence(text: &mut String, inside: &str) {
    let longest = inside.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.saturating_add(1).max(3));
    text.push_str(&format!("{fence}text\n{}\n{fence}\n", inside.trim_end()));
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The command as a shell would take it.
pub(crate) fn shown_command(words: &[String]) -> String {
    let words = words.iter().map(|word| {
        let plain_word =
            !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c));
        if plain_word { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Colours and other control sequences have no place in a report.
fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    text.retain(|c| c == '\n' || c == '\t' || !c.is_control());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_in_the_text_does_not_end_the_block() {
        let mut text = String::new();
        fence(&mut text, "a\n````\nb");
        assert!(text.starts_with("`````text\n") && text.ends_with("\n`````\n"), "{text}");
    }

    #[test]
    fn a_command_is_shown_as_a_shell_would_take_it() {
        let words = ["sh", "-c", "echo 'a b'; $(x)", ""].map(str::to_owned);
        assert_eq!(shown_command(&words), r"sh -c 'echo '\''a b'\''; $(x)' ''");
    }
}
