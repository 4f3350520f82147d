//! Who pays: what may still be spent, and the account of what was.
//!
//! The budget of a run is counted by the capability itself. Those of the task and the day outlive a run, so that
//! whoever holds them is asked before each call and told after it.

use std::pin::Pin;
use std::time::Duration;

use super::usage::{Usage, usd};
use crate::{Failure, FailureKind};

/// An answer that comes later.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What holds the budgets that outlive a run.
pub trait Purse: Send + Sync {
    /// What may still be spent before the next call, in millionths of a US dollar; `None` where nothing limits it.
    ///
    /// The failure is [`budget_spent`], or says why the account can't be read: no model is asked then.
    fn left(&self) -> Later<'_, Result<Option<u64>, Failure>>;

    /// Takes down a call. It is told of every call that was begun, also of those that failed, ran out of time or
    /// were cancelled.
    fn spent<'a>(&'a self, call: &'a Call) -> Later<'a, ()>;
}

/// A call as the account has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The role that was asked.
    pub role: String,
    /// What is known of its use.
    pub usage: Usage,
    /// How long it took.
    pub duration: Duration,
    /// `ok`, or the failure's code.
    pub answer: &'static str,
}

/// The budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Budget {
    /// Of one run.
    Run,
    /// Of all runs of one task.
    Task,
    /// Of all runs of one day.
    Day,
}

impl Budget {
    /// Its key in the configuration.
    pub fn key(self) -> &'static str {
        match self {
            Self::Run => "llm.budget_run_usd",
            Self::Task => "llm.budget_task_usd",
            Self::Day => "llm.budget_day_usd",
        }
    }
}

/// The refusal to ask a model because a budget is spent: `llm-budget-spent`.
pub fn budget_spent(budget: Budget, limit_micro_usd: u64, spent_micro_usd: u64) -> Failure {
    let name = match budget {
        Budget::Run => "run",
        Budget::Task => "task",
        Budget::Day => "day",
    };
    let message = format!(
        "the budget of this {name} is spent: {} of {} USD; raise {} to go on",
        usd(spent_micro_usd),
        usd(limit_micro_usd),
        budget.key()
    );
    Failure::new(FailureKind::Limit, "llm-budget-spent", message)
}
