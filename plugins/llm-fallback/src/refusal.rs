//! What becomes of a model that gave no answer.
//!
//! The seam's code goes on as it is. It is never a verdict: no model's failure says anything about the code.

use stagewright_sdk::{Failure, FailureKind, Outcome, fault};

/// The seam's code for a spent budget.
const BUDGET_SPENT: &str = "llm-budget-spent";

/// The outcome of a failed ask.
pub(crate) fn outcome(failure: &Failure) -> Outcome {
    let built = fault::new(&failure.code, failure.message.as_str());
    match failure.kind {
        FailureKind::Cancelled | FailureKind::TimedOut | FailureKind::Transient | FailureKind::Other => {
            let built = match told_wait(&failure.message) {
                Some(seconds) => built.retry_after_ms(seconds.saturating_mul(1_000)),
                None => built,
            };
            Outcome::Deferred(built.build())
        }
        FailureKind::Limit | FailureKind::Denied | FailureKind::NotFound | FailureKind::Permanent => {
            Outcome::Held(built.with_remedy(remedy(failure)).build())
        }
    }
}

/// How long the seam says to wait, in seconds: `… retry after 60 s`.
fn told_wait(message: &str) -> Option<u64> {
    let (_, behind) = message.rsplit_once("retry after ")?;
    behind.strip_suffix(" s").unwrap_or(behind).split(' ').next()?.parse().ok()
}

fn remedy(failure: &Failure) -> &'static str {
    match failure.kind {
        FailureKind::Limit if failure.code == BUDGET_SPENT => {
            "raise the budget that the message names (`llm.budget_run_usd`, `llm.budget_task_usd` or \
             `llm.budget_day_usd`), then resume the task"
        }
        FailureKind::Limit => "raise the limit that the message names, then resume the task",
        FailureKind::Denied => "grant the role to this producer, then resume the task",
        FailureKind::NotFound => "install what the message names or set up the role, then resume the task",
        _ => "mend what the message names, then resume the task",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_is_told_is_waited() {
        let told = |message: &str| {
            let failure = Failure {
                kind: FailureKind::Transient,
                code: "llm-rate-limited".to_owned(),
                message: message.to_owned(),
            };
            match outcome(&failure) {
                Outcome::Deferred(fault) => fault.retry_after_ms,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(told("the model is busy; retry after 60 s"), Some(60_000));
        assert_eq!(told("the model is busy; retry after 60 s (429)"), Some(60_000));
        assert_eq!(told("the model is busy"), None);
    }
}
