//! One run of the llm-fallback with a model by script.

use stagewright_llm_fallback::LlmFallback;
use stagewright_sdk::testing::{Double, job};
use stagewright_sdk::{Job, ModelResponse, ModelUsage, Outcome, guest};

/// Where the draft belongs in every scene.
pub(crate) const PLACE: &str = "docs/work-items/ORCH-1/13-test-report.md";

/// A job with these settings.
pub(crate) fn job_with(settings: &str) -> Job {
    Job { settings: settings.to_owned(), artifact: PLACE.to_owned(), ..job() }
}

/// The answer of a model that used a little.
pub(crate) fn said(text: &str) -> ModelResponse {
    ModelResponse {
        text: text.to_owned(),
        usage: ModelUsage {
            input_tokens: 1_200,
            output_tokens: 34,
            cache_read_tokens: 5,
            cache_write_tokens: 6,
            cost_micro_usd: Some(12_300),
        },
    }
}

/// An agent that leaves this at the artifact's place, and then says this.
pub(crate) fn agent(draft: Option<&str>, answer: &str) -> Double {
    let (draft, answer) = (draft.map(str::to_owned), answer.to_owned());
    Double::new().with_model(move |_, host| {
        if let Some(draft) = &draft {
            host.put(PLACE, draft);
        }
        Ok(said(&answer))
    })
}

/// The outcome of a job.
pub(crate) fn run(job: &Job, host: &Double) -> Outcome {
    guest::produce::<LlmFallback, _>(job, host)
}

/// `pass`, `fail`, or `deferred:<code>`, `held:<code>`.
pub(crate) fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Verdict(report) => {
            format!("{:?}", report.judgement).rsplit("::").next().unwrap_or_default().to_lowercase()
        }
        Outcome::Deferred(fault) => format!("deferred:{}", fault.code),
        Outcome::Held(fault) => format!("held:{}", fault.code),
    }
}
