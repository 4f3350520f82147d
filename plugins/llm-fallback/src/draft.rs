//! The draft: which text is this run's, and what it says.
//!
//! A clone may hold an earlier run's report at the same place, since reports are committed to the branch. So the place is
//! looked at before anybody is asked, and what is the same afterwards is nobody's draft.

use stagewright_sdk::front_matter::{self, ARTIFACT_ONLY, Artifact, Error, Verdict, VerdictKey};
use stagewright_sdk::{
    Area, Failure, FailureKind, Fault, FileKind, Files, Job, fault, last_lines, plain_line,
};

use crate::settings::DraftIn;

/// The longest draft, in bytes. It is a report for people.
const MAX_DRAFT: u64 = 512 * 1024;
/// How much of a text a fault shows: lines, and bytes.
const LINES: usize = 30;
const BYTES: usize = 4_000;
/// What a person can do where the draft was not right.
const REMEDY: &str = "read the run's transcript; if the model did as it was told, mend the role's prompt, then resume \
                      the task";

/// Where a draft was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    File,
    Answer,
}

impl Source {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Answer => "answer",
        }
    }
}

/// What lay at the artifact's place before.
#[derive(Debug)]
pub(crate) struct Before {
    look_in: DraftIn,
    /// The whole file. Nothing where there was none, or none that could have been a draft.
    file: Option<Vec<u8>>,
}

/// A text that may hold a verdict.
#[derive(Debug)]
pub(crate) struct Draft {
    source: Source,
    text: String,
}

/// A draft that says how the stage ended.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) summary: String,
    pub(crate) body: String,
    pub(crate) source: Source,
}

impl Before {
    /// Looks at the place before anybody is asked. A fault: it can't be told now, so it could not be told afterwards
    /// what is new.
    pub(crate) fn look<C: Files>(host: &C, look_in: DraftIn, artifact: &str) -> Result<Self, Box<Fault>> {
        if look_in == DraftIn::Answer {
            return Ok(Self { look_in, file: None });
        }
        match host.read_whole(Area::Worktree, artifact, MAX_DRAFT) {
            Ok(bytes) => Ok(Self { look_in, file: Some(bytes) }),
            Err(failure) => match failure.kind {
                // None of these becomes a readable file by itself: one that is there afterwards is new.
                FailureKind::NotFound | FailureKind::Denied | FailureKind::Limit => {
                    Ok(Self { look_in, file: None })
                }
                _ => Err(unreadable(&failure)),
            },
        }
    }

    /// The draft that this run left: the file if there is a new one, else the answer where it may be one.
    pub(crate) fn draft<C: Files>(self, host: &C, job: &Job, answer: &str) -> Result<Draft, Box<Fault>> {
        if self.look_in != DraftIn::Answer
            && let Some(bytes) = plain_file(host, &job.artifact)?
            && self.file.as_ref() != Some(&bytes)
        {
            let text = String::from_utf8(bytes).map_err(|_| not_text(&job.artifact))?;
            return Ok(Draft { source: Source::File, text });
        }
        let text = unfenced(answer);
        let is_draft = Artifact::parse(text) != Err(Error::NoFrontMatter);
        if self.look_in != DraftIn::File && is_draft {
            return match text.len() as u64 > MAX_DRAFT {
                true => {
                    Err(told("draft-too-long", format!("the answer is longer than {MAX_DRAFT} bytes"), ""))
                }
                false => Ok(Draft { source: Source::Answer, text: text.to_owned() }),
            };
        }
        let place = plain_line(&job.artifact);
        let message = match (self.look_in, self.file.is_some()) {
            (DraftIn::Answer, _) => "the model's answer does not begin with front matter".to_owned(),
            (_, true) => {
                format!("the model left no draft of its own at `{place}`, where an earlier run's report was")
            }
            (_, false) => format!("the model left no draft at `{place}`"),
        };
        let evidence = format!("the model said last:\n{}", last_lines(answer, LINES, BYTES));
        Err(told("draft-missing", message, &without_folders(job, &evidence)))
    }
}

impl Draft {
    /// What it says. Everything that leaves room for doubt is a fault.
    pub(crate) fn judge(self, job: &Job, key: VerdictKey) -> Result<Judged, Box<Fault>> {
        let text = &self.text;
        let doubt = |code: &str, message: &str| {
            let head: String = text.lines().take(LINES).flat_map(|line| [line, "\n"]).collect();
            let head = head.get(..head.floor_char_boundary(BYTES)).unwrap_or_default();
            let message = format!("the draft ({}) gives no verdict: {message}", self.source.name());
            told(code, message, &without_folders(job, head))
        };
        if text.contains('\0') {
            return Err(not_text(&job.artifact));
        }
        let artifact = Artifact::parse(text).map_err(|error| doubt(code(&error), &error.to_string()))?;
        if artifact.get(ARTIFACT_ONLY).is_some() {
            return Err(doubt(
                "draft-stale",
                "it is an earlier report that was changed and not written anew",
            ));
        }
        let verdict =
            front_matter::read(text, key).map_err(|error| doubt(code(&error), &error.to_string()))?;
        let summary = artifact.get("summary").map(plain_line).filter(|summary| !summary.trim().is_empty());
        let Some(first) = first_words(artifact.body) else {
            return Err(doubt("draft-empty", "nothing stands below its front matter"));
        };
        Ok(Judged {
            verdict,
            summary: without_folders(job, &summary.unwrap_or(first)),
            body: without_folders(job, artifact.body),
            source: self.source,
        })
    }
}

/// The file, if there is one. A link is refused even where it leads to a file of the clone: that one is not a draft.
fn plain_file<C: Files>(host: &C, artifact: &str) -> Result<Option<Vec<u8>>, Box<Fault>> {
    let refused = |message: &str| told("draft-refused", format!("no draft can be read: {message}"), "");
    let bytes = match host.read_whole(Area::Worktree, artifact, MAX_DRAFT) {
        Ok(bytes) => bytes,
        Err(failure) => {
            return match failure.kind {
                FailureKind::NotFound => Ok(None),
                FailureKind::Denied => Err(refused(&failure.message)),
                FailureKind::Limit => Err(told("draft-too-long", failure.message, "")),
                _ => Err(unreadable(&failure)),
            };
        }
    };
    let (folder, name) = artifact.rsplit_once('/').unwrap_or(("", artifact));
    match host.names(Area::Worktree, folder, FileKind::File).iter().any(|file| file == name) {
        true => Ok(Some(bytes)),
        false => Err(refused(&format!("`{}` is not a plain file", plain_line(artifact)))),
    }
}

/// The answer without one code fence around all of it: models like to put what they were asked for into one. Where more
/// fences make it doubtful what is inside, it stays as it is.
fn unfenced(answer: &str) -> &str {
    let text = answer.trim();
    let inside = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("\n```")).and_then(|rest| {
        let (info, inside) = rest.split_once('\n')?;
        (!info.contains('`')).then_some(inside)
    });
    match inside {
        Some(inside) if !inside.contains("```") => inside,
        _ => text,
    }
}

/// The first line that says something, without the marks of a heading.
fn first_words(body: &str) -> Option<String> {
    body.lines()
        .map(|line| plain_line(line.trim_start_matches('#')).trim().to_owned())
        .find(|line| !line.is_empty())
}

/// The run's own folders are of no interest to a reader, and differ from run to run.
fn without_folders(job: &Job, text: &str) -> String {
    let mut text = text.to_owned();
    for (folder, name) in [(&job.worktree, "."), (&job.scratch, "$SCRATCH")] {
        if !folder.is_empty() {
            text = text.replace(folder.as_str(), name);
        }
    }
    text
}

const fn code(error: &Error) -> &'static str {
    match error {
        Error::NoFrontMatter | Error::Unterminated | Error::Malformed { .. } | Error::Doubled { .. } => {
            "draft-malformed"
        }
        Error::Missing { .. } => "draft-without-verdict",
        Error::UnknownValue { .. } => "draft-verdict-unknown",
        Error::Contradiction { .. } => "draft-contradicting",
    }
}

fn not_text(artifact: &str) -> Box<Fault> {
    told("draft-not-text", format!("the draft of `{}` is not a text", plain_line(artifact)), "")
}

fn unreadable(failure: &Failure) -> Box<Fault> {
    match failure.kind {
        FailureKind::Cancelled => Box::new(fault::new("cancelled", failure.message.as_str()).build()),
        _ => told("draft-unreadable", failure.message.clone(), &failure.code),
    }
}

fn told(code: &str, message: String, evidence: &str) -> Box<Fault> {
    Box::new(fault::new(code, message).with_evidence(evidence).with_remedy(REMEDY).build())
}
