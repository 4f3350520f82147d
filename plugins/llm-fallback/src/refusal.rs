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
            Outcome::Deferred(built.build())
        }
        FailureKind::Limit | FailureKind::Denied | FailureKind::NotFound | FailureKind::Permanent => {
            Outcome::Held(built.with_remedy(remedy(failure)).build())
        }
    }
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
