//! What one run asks for: the role, the filled prompt, and the key by which the answer is read.

use stagewright_sdk::front_matter::{Verdict, VerdictKey};
use stagewright_sdk::{Fault, Job, ModelRequest, fault, plain_line};

use crate::prompt;
use crate::role;
use crate::settings::Settings;

/// What one run asks for.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// Who is asked.
    pub(crate) role: String,
    /// The key that carries the verdict in the draft.
    pub(crate) key: VerdictKey,
    prompt: String,
    timeout_ms: Option<u64>,
}

impl Assignment {
    /// The fault is for a person: the host did not hand over what is needed.
    pub(crate) fn new(job: &Job, settings: &Settings) -> Result<Self, Box<Fault>> {
        let row = role::of(&job.stage);
        let role = settings.role.as_deref().map(str::trim).filter(|role| !role.is_empty());
        let role = role.or(row.map(|row| row.role)).ok_or_else(|| {
            let message = format!("no role is set for the stage `{}`", plain_line(&job.stage));
            Box::new(
                fault::new("role-missing", message).with_remedy("name the role that does this stage").build(),
            )
        })?;
        if settings.prompt.trim().is_empty() {
            let message = format!("the role `{}` has no prompt", plain_line(role));
            let remedy = "put the role's prompt file back, or write one: it must not be empty";
            return Err(Box::new(fault::new("prompt-missing", message).with_remedy(remedy).build()));
        }
        let key = settings.verdict_key.map(VerdictKey::from).or(row.map(|row| row.key));
        let key = key.unwrap_or(VerdictKey::Result);
        Ok(Self {
            role: role.to_owned(),
            key,
            prompt: prompt::fill(&settings.prompt, &values(job, settings, key)),
            timeout_ms: settings.timeout_s.map(|seconds| seconds.saturating_mul(1_000)),
        })
    }

    pub(crate) fn request(&self) -> ModelRequest {
        ModelRequest { role: self.role.clone(), prompt: self.prompt.clone(), timeout_ms: self.timeout_ms }
    }
}

/// What stands for each placeholder, on one line but for the list of reports.
fn values(
    job: &Job,
    settings: &Settings,
    key: VerdictKey,
) -> [(&'static str, String); prompt::PLACEHOLDERS.len()] {
    prompt::PLACEHOLDERS.map(|name| {
        let value = match name {
            "work_item" => plain_line(&job.work_item),
            "repo" => plain_line(&job.repo),
            "stage" => plain_line(&job.stage),
            "branch" => plain_line(&job.branch),
            "commit" => plain_line(&job.commit),
            "artifact" => plain_line(&job.artifact),
            "verdict_key" => key.name().to_owned(),
            "pass_word" => key.word(Verdict::Pass).to_owned(),
            "fail_word" => key.word(Verdict::Fail).to_owned(),
            "attempt" => job.attempt.to_string(),
            _ => reports(&settings.reports),
        };
        (name, value)
    })
}

fn reports(paths: &[String]) -> String {
    if paths.is_empty() {
        return "(none)".to_owned();
    }
    let lines = paths.iter().map(|path| format!("- {}", plain_line(path)));
    lines.collect::<Vec<_>>().join("\n")
}
