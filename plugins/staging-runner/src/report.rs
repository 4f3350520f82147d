//! Turns a run into the outcome that the host is told: a report for a verdict, a fault for everything else.

use stagewright_sdk::evidence::{Becomes, Rule};
use stagewright_sdk::text::{capital, command, fence, plain, seconds};
use stagewright_sdk::{
    CheckState, Fault, Files, Host, Judgement, Level, Outcome, RemoteState, Report, ReportBuilder, Tally,
    fault, last_lines, plain_line,
};

use crate::channel::Seen;
use crate::classify::code_of;
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
    rule.outcome(|judgement| report(settings, run, rule, judgement), || fault_of(settings, run, rule))
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
    let mut evidence = format!("{}: {}\n{}", place(settings), command(&run.command), describe(&run.shown));
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

fn report(settings: &Settings, run: &Run, rule: &Rule, judgement: Judgement) -> Report {
    let lines = Lines::read(&run.seen.out());
    let passed = rule.becomes == Becomes::Pass;
    let seconds = seconds(run.seen.duration_ms);
    let summary = format!("{} ({} in {seconds})", rule.says, describe(&run.shown));
    let mut builder = ReportBuilder::new(judgement, &summary);
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
        builder = builder.with_tally(Tally { passed: good, failed: bad, skipped: 0, errored: 0 }).with_check(
            &command(&settings.suite()),
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
    fence(&mut text, &plain(&command(&run.command)));
    text.push_str(&format!(
        "\nIt ran {}. {} after {}.\n",
        place(settings),
        capital(&plain_line(&describe(&run.shown))),
        seconds(run.seen.duration_ms)
    ));
    if run.bare {
        text.push_str(
            "\nNobody marked its beginning and end inside the container; they are the engine's word.\n",
        );
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
