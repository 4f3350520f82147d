//! Asking an agent: a program that works in the run's clone, confined like a suite.
//!
//! What it prints goes to the transcript as it comes. How it ended is read from the end of its output, which the
//! process keeps whole, and from its exit only where the output says nothing.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::grant::{Agent, Output};
use super::heard::Heard;
use super::kept::Transcript;
use super::result_line::{self, Cause, Trouble};
use super::secret::{Redactor, shortened};
use super::signs::Sign;
use super::template::{Filling, fill};
use super::usage::{Usage, usd};
use crate::process::{Command, Completed, Event, Exit, Grant, Process, StreamEnd};
use crate::{Failure, FailureKind, Place};

/// How much of the end of an output is looked at, in bytes: a result line has to fit.
const TAIL: usize = 2 << 20;
/// How much is read at once, in bytes.
const CHUNK: usize = 64 << 10;
/// How long one event is waited for; nothing depends on it.
const LONG: Duration = Duration::from_secs(3_600);
/// How much of an agent's errors is told, in bytes.
const EVIDENCE: usize = 2_000;

impl Agent {
    /// The capability to start it in the run at `place`. To be made before foreign code runs there.
    pub(super) fn process(
        &self,
        max_time: Duration,
        place: &Place,
        shepherd: crate::process::Shepherd,
        cancel: crate::Cancel,
    ) -> Process {
        let credentials = self.credentials.iter();
        let credentials = credentials.map(|(name, secret)| (name.clone(), secret.reveal().to_owned()));
        // No logs: they are written as the output comes, with the secrets in it.
        let mut grant = Grant { max_time, tail_bytes: TAIL, output_log_bytes: 0, ..self.process.clone() };
        grant.env.extend(credentials);
        Process::new(grant, place.clone(), shepherd, cancel)
    }
}

/// One question to an agent.
pub(super) struct Question<'a> {
    pub(super) prompt: &'a str,
    pub(super) timeout: Duration,
    pub(super) budget_micro_usd: Option<u64>,
    pub(super) redactor: &'a Redactor,
}

/// Asks, and waits for the end of its whole process tree.
pub(super) async fn ask(
    agent: &Agent,
    process: &Process,
    question: Question<'_>,
    transcript: &mut Transcript,
    given_up: &CancellationToken,
) -> Heard {
    let Question { prompt, timeout, budget_micro_usd, redactor } = question;
    let filling = Filling { prompt, model: agent.model.as_deref(), budget_micro_usd };
    let filled = match fill(&agent.args, &filling) {
        Ok(filled) => filled,
        Err(failure) => return Heard::failed(failure),
    };
    let stdin = if filled.holds_prompt { Vec::new() } else { prompt.as_bytes().to_vec() };
    let program = agent.program.clone();
    let command = Command { program, args: filled.args, stdin, timeout: Some(timeout), ..Command::default() };
    let child = match process.spawn(command).await {
        Ok(child) => child,
        Err(failure) => return Heard::failed(not_started(failure)),
    };
    let mut ending = false;
    let done = loop {
        tokio::select! {
            event = child.next(CHUNK, LONG) => match event {
                Event::Stdout(chunk) => transcript.take(&chunk.bytes, chunk.skipped),
                // Its end is noted when all is over: in the middle it would tear the lines apart.
                Event::Stderr(_) | Event::Idle => {}
                Event::Ended(done) => break *done,
            },
            () = given_up.cancelled(), if !ending => {
                ending = true;
                child.kill();
            }
        }
    };
    let mut heard = judge(agent.output, &done, timeout, budget_micro_usd);
    heard.stderr = last_lines(&done.stderr, CHUNK);
    let args = filled.shown.iter().map(|arg| redactor.text(arg)).collect();
    heard.command = Some(Completed { args, stdout: told(done.stdout), stderr: told(done.stderr), ..done });
    heard
}

/// Size and digest of a stream; its bytes may hold secrets.
fn told(stream: StreamEnd) -> StreamEnd {
    StreamEnd { tail: Vec::new(), ..stream }
}

fn not_started(failure: Failure) -> Failure {
    let code = match failure.code {
        "program-missing" => "agent-missing",
        "program-not-executable" => "agent-not-executable",
        other => other,
    };
    Failure { code, ..failure }
}

fn judge(output: Output, done: &Completed, timeout: Duration, budget: Option<u64>) -> Heard {
    // The host's own orders stand before anything that an agent may have said; that its time was over does not, for
    // an agent may have said its last word and hang.
    let ordered = match &done.exit {
        Exit::Cancelled => Some(Failure::cancelled()),
        Exit::Limit(which) => {
            let message = format!("the agent was ended at its limit of {which}; the operator can raise it");
            Some(Failure::new(FailureKind::Limit, "agent-limit", message))
        }
        Exit::Lost(why) => Some(Failure::new(
            FailureKind::Other,
            "agent-lost",
            format!("it is not known how the agent ended: {why}"),
        )),
        Exit::Code(_) | Exit::Signal(_) | Exit::TimedOut => None,
    };
    let line = match output {
        Output::ResultLine => {
            let cut = done.stdout.total > done.stdout.tail.len() as u64;
            result_line::last(&done.stdout.tail, cut)
        }
        Output::Text => None,
    };
    let usage = line.as_ref().map_or_else(Usage::default, |line| line.usage);
    let (result, retry_after) = match (ordered, line) {
        (Some(failure), _) => (Err(failure), None),
        (None, Some(line)) => match line.end {
            Ok(text) => (Ok(text), None),
            Err(trouble) => {
                let (failure, wait) = troubled(&trouble, budget);
                (Err(failure), wait)
            }
        },
        (None, None) => by_exit(output, done, timeout),
    };
    Heard { result, usage, retry_after, ..Heard::default() }
}

/// The failure that a result line tells.
fn troubled(trouble: &Trouble, budget: Option<u64>) -> (Failure, Option<Duration>) {
    let said = shortened(&trouble.said, EVIDENCE);
    let failure = match trouble.cause {
        Cause::Sign(sign) => return sign.failure("the agent", said),
        Cause::Turns => {
            let message = format!("the agent took as many turns as it may: {said}");
            Failure::new(FailureKind::Limit, "agent-max-turns", message)
        }
        Cause::Budget => {
            let left =
                budget.map_or_else(String::new, |left| format!(" of {} USD that were left", usd(left)));
            let message = format!(
                "the agent has spent its budget{left}; raise llm.budget_run_usd, llm.budget_task_usd or \
                 llm.budget_day_usd to go on: {said}"
            );
            Failure::new(FailureKind::Limit, "llm-budget-spent", message)
        }
        Cause::Failed => {
            Failure::new(FailureKind::Transient, "agent-failed", format!("the agent failed: {said}"))
        }
    };
    (failure, None)
}

/// What the exit says where the output has no result line, or none is expected.
fn by_exit(
    output: Output,
    done: &Completed,
    timeout: Duration,
) -> (Result<String, Failure>, Option<Duration>) {
    if done.exit == Exit::TimedOut {
        let message = format!("the agent did not end within {} ms and was ended", timeout.as_millis());
        return (Err(Failure::new(FailureKind::TimedOut, "llm-timed-out", message)), None);
    }
    if output == Output::Text && done.exit == Exit::Code(0) {
        return (text_answer(&done.stdout), None);
    }
    let evidence = last_lines(&done.stderr, EVIDENCE);
    if let Some(sign) = Sign::of(None, &evidence) {
        let (failure, wait) = sign.failure("the agent", &evidence);
        return (Err(failure), wait);
    }
    let how = done.exit.tell();
    let failure = match (&done.exit, output) {
        (Exit::Signal(_), _) => {
            let message = format!("the agent was killed ({how}), and not by the host: {evidence}");
            Failure::new(FailureKind::Transient, "agent-killed", message)
        }
        (_, Output::ResultLine) => {
            let message = format!("the agent ended ({how}) without a result line: {evidence}");
            Failure::new(FailureKind::Transient, "agent-no-result", message)
        }
        (_, Output::Text) => Failure::new(
            FailureKind::Transient,
            "agent-failed",
            format!("the agent failed ({how}): {evidence}"),
        ),
    };
    (Err(failure), None)
}

fn text_answer(stdout: &StreamEnd) -> Result<String, Failure> {
    if stdout.total > stdout.tail.len() as u64 {
        let message = format!("the agent's answer has more than {TAIL} bytes");
        return Err(Failure::new(FailureKind::Limit, "llm-answer-too-large", message));
    }
    let text = String::from_utf8_lossy(&stdout.tail);
    if text.trim().is_empty() {
        let message = "the agent ended well and said nothing";
        return Err(Failure::new(FailureKind::Transient, "agent-no-result", message));
    }
    Ok(text.into_owned())
}

/// Whole lines from the end of a stream: a line that lacks its beginning may hold a part of a secret.
fn last_lines(stream: &StreamEnd, max: usize) -> String {
    let tail = &stream.tail;
    let begins = tail.len().saturating_sub(max);
    let whole = if begins == 0 && stream.total == tail.len() as u64 {
        tail.as_slice()
    } else {
        let rest = &tail[begins..];
        rest.iter().position(|&byte| byte == b'\n').map_or(&[][..], |end| &rest[end + 1..])
    };
    String::from_utf8_lossy(whole).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_whole_lines() {
        let stream = |text: &str, total| StreamEnd { tail: text.into(), total, sha256: String::new() };
        assert_eq!(last_lines(&stream("one\ntwo\n", 8), 100), "one\ntwo");
        assert_eq!(last_lines(&stream("one\ntwo\n", 9), 100), "two");
        assert_eq!(last_lines(&stream("one\ntwo\n", 8), 6), "two");
        assert_eq!(last_lines(&stream("one", 9), 100), "");
    }
}
