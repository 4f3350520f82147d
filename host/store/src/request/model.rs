//! Calls of language models: what was asked, what it took and what it cost (P3, P7).
//!
//! A call is written down when it has ended, however it ended, in a transaction of its own: money that was spent is known
//! though the run that spent it comes to nothing. Budgets and the roadmap of `llm-map` are read from here.

use stagewright_engine::identity::{RunId, TaskKey};
use stagewright_engine::ledger::ModelUsage;
use stagewright_engine::name::{ProducerName, StageName};
use stagewright_engine::time::{Span, Timestamp};

/// A call that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCall {
    /// The run that asked.
    pub run: RunId,
    /// The task that it worked for.
    pub task: TaskKey,
    /// The stage that it worked for.
    pub stage: StageName,
    /// The producer that asked.
    pub producer: ProducerName,
    /// The role in which the model was asked.
    pub role: String,
    /// `ok`, or the failure's code.
    pub answer: String,
    /// What it took. Where nobody said, its cost is unknown.
    pub usage: ModelUsage,
    /// How long it took.
    pub duration: Span,
    /// When it ended.
    pub at: Timestamp,
}

/// Whose spending is asked for. Every condition that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpendingOf {
    /// Of this task only.
    pub task: Option<TaskKey>,
    /// Of calls that ended at this time or later.
    pub since: Option<Timestamp>,
}

/// What calls have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// How many calls there were.
    pub calls: u64,
    /// What those cost of which it is known, in millionths of a US dollar.
    pub micro_usd: u64,
    /// How many calls there were of which nobody said what they cost.
    pub unknown: u64,
}

/// The calls of one role for one stage by one producer, added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSpending {
    /// The role.
    pub role: String,
    /// The stage.
    pub stage: StageName,
    /// The producer.
    pub producer: ProducerName,
    /// How many runs asked.
    pub runs: u64,
    /// How many calls were answered with a failure.
    pub failed: u64,
    /// What they cost.
    pub spending: Spending,
    /// Tokens that went in, caches included.
    pub tokens_in: u64,
    /// Tokens that came out.
    pub tokens_out: u64,
    /// How long they took, all together.
    pub duration: Span,
}
