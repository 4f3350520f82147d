//! The llm-fallback: has a stage done by a model in its role, and reads the verdict from the draft that is left.
//!
//! It fills the role's prompt, asks once through the host's one way to a model, and then reads the draft at the
//! artifact's place by the reader that the gates use. The host writes the artifact, and the same gate judges it.
//!
//! It refuses to take anything but a draft for a verdict. A model that failed, a draft that is missing, old, malformed
//! or at odds with itself: all of that is a fault, whatever words stand in the answer. It starts no process and changes
//! no file; an agent does both, in its own bounds.
//!
//! | what was seen | becomes |
//! |---|---|
//! | a draft of this run that says PASS or FAIL | that verdict |
//! | no draft, or only one that was there before | deferred `draft-missing` |
//! | an earlier report of the host, changed | deferred `draft-stale` |
//! | something else than a plain file at its place | deferred `draft-refused` |
//! | a draft that can't be read, is too long, is no text | deferred `draft-unreadable`, `draft-too-long`, `draft-not-text` |
//! | no front matter, or not of its form | deferred `draft-malformed` |
//! | no verdict key, an unknown word, two that disagree | deferred `draft-without-verdict`, `draft-verdict-unknown`, `draft-contradicting` |
//! | nothing below the front matter | deferred `draft-empty` |
//! | the model could not be had now, or was cancelled | deferred, with the seam's code |
//! | a limit or budget is passed, the role is not granted, something has to be mended | held, with the seam's code |
//! | no prompt, or no role | held `prompt-missing`, `role-missing` |

mod assignment;
mod draft;
pub mod prompt;
mod refusal;
mod report;
pub mod role;
pub mod settings;

use stagewright_sdk::{Files, Host, Job, Level, Llm, Outcome, Produce, Producer};

use crate::assignment::Assignment;
use crate::draft::Before;
use crate::settings::Settings;

/// The producer for every stage that a model works on.
#[derive(Debug)]
pub struct LlmFallback;

impl Producer for LlmFallback {
    type Settings = Settings;
    const NAME: &'static str = "llm-fallback";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "Has a stage done by a model in its role, and reads the verdict from the draft that it leaves";
    const STAGES: &'static [&'static str] = &[];
}

impl<C: Host + Files + Llm> Produce<C> for LlmFallback {
    fn produce(job: &Job, settings: &Settings, host: &C) -> Outcome {
        let assignment = match Assignment::new(job, settings) {
            Ok(assignment) => assignment,
            Err(fault) => return Outcome::Held(*fault),
        };
        // Before anybody is asked: what lies there now is an earlier run's.
        let before = match Before::look(host, settings.draft, &job.artifact) {
            Ok(before) => before,
            Err(fault) => return Outcome::Deferred(*fault),
        };
        host.progress(0, 0, &format!("the {} is at work", assignment.role));
        let answer = match host.ask(&assignment.request()) {
            Ok(answer) => answer,
            // A draft may lie there all the same. Whoever failed after writing it did not finish.
            Err(failure) => return refusal::outcome(&failure),
        };
        let draft = before.draft(host, job, &answer.text);
        match draft.and_then(|draft| draft.judge(job, assignment.key)) {
            Ok(judged) => {
                host.log(Level::Info, &format!("the verdict was read from the {}", judged.source.name()));
                Outcome::Verdict(report::build(&assignment, &judged, &answer.usage))
            }
            Err(fault) => {
                host.log(Level::Warn, &format!("no verdict: {}", fault.message));
                Outcome::Deferred(*fault)
            }
        }
    }
}

stagewright_sdk::export!(LlmFallback);
