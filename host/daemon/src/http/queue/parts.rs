//! The blocks of `GET /queue`: what each part of the daemon has to say of itself.

use schemars::JsonSchema;
use serde::Serialize;
use stagewright_sandbox::{Finding, FindingState};
use stagewright_store::request::model::Spending;
use stagewright_store::request::queue::Overview;

use crate::actor::preflight::Looked;
use crate::config::{Config, STAGING_RUNNER, TEST_RUNNER};
use crate::view::{LeaseView, Time};

/// Whether a part works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PartState {
    /// It does.
    On,
    /// The operator has switched it off.
    Off,
    /// This program has no such part, or nobody has set it up.
    NotConfigured,
}

/// The test-runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct TestRunnerView {
    state: PartState,
    /// The repositories that it serves; `*` for all, none for those that are marked `self_hosting`.
    repos: Vec<String>,
    /// How long a suite may take, in seconds, where a repository does not say otherwise.
    timeout_s: u64,
    /// How many of its jobs run.
    running: u64,
    /// How many of them may; `null` for as many as the host runs at all.
    limit: Option<u32>,
}

/// The staging-runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct StagingRunnerView {
    state: PartState,
    /// The repositories that it serves; `*` for all, none for those that are marked `self_hosting`.
    repos: Vec<String>,
    /// How many of its jobs run.
    running: u64,
    /// Whether its environment is known to be defect for good; `null` while nobody has looked.
    permanent_env: Option<bool>,
    /// Whether it runs on the host over ssh.
    exec_host_side: Option<bool>,
    /// What the look at its channel at the start has shown.
    preflight: PreflightView,
}

/// A look at a whole channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct PreflightView {
    state: PartState,
    /// When it was looked at.
    at: Option<Time>,
    /// What was found, in one line.
    message: Option<String>,
    /// Each thing that was looked at, in order, up to the first that is not good.
    findings: Vec<FindingView>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct FindingView {
    /// What.
    check: String,
    /// How it is.
    state: FindingWord,
    /// In words.
    message: String,
    /// The way out.
    remedy: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum FindingWord {
    /// Good.
    Ok,
    /// Odd.
    Warning,
    /// Not good.
    Defect,
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        let state = match finding.state {
            FindingState::Ok => FindingWord::Ok,
            FindingState::Warning => FindingWord::Warning,
            FindingState::Defect => FindingWord::Defect,
        };
        let Finding { check, message, remedy, .. } = finding.clone();
        Self { check, state, message, remedy }
    }
}

/// The transition lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct LeasesView {
    /// Whether actors defer to whoever holds a lease.
    enabled: bool,
    /// The repositories that it holds for; `*` for all, none for those that are marked `self_hosting`.
    repos: Vec<String>,
    /// The leases that are held, the oldest first.
    leases: Vec<LeaseView>,
}

/// The serial gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct SerialGateView {
    state: PartState,
    /// The leases of the tasks that are in it.
    holders: Vec<LeaseView>,
}

/// The language model: what was spent, and what may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct LlmView {
    state: PartState,
    /// Of this day (UTC).
    today: SpendingView,
    /// What may be spent in one day, in millionths of a US dollar; `null` where nothing limits it.
    day_budget_micro_usd: Option<u64>,
    /// What may be spent on one task.
    task_budget_micro_usd: Option<u64>,
    /// What may be spent by one run.
    run_budget_micro_usd: Option<u64>,
}

/// What calls of models have cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct SpendingView {
    /// How many calls there were.
    calls: u64,
    /// What those cost of which it is known, in millionths of a US dollar.
    micro_usd: u64,
    /// How many calls there were of which nobody said what they cost.
    unknown: u64,
}

impl From<Spending> for SpendingView {
    fn from(Spending { calls, micro_usd, unknown }: Spending) -> Self {
        Self { calls, micro_usd, unknown }
    }
}

impl TestRunnerView {
    pub(super) fn of(config: &Config, overview: &Overview) -> Self {
        let runner = config.producers.iter().find(|(name, _)| name.as_str() == TEST_RUNNER);
        Self {
            state: if config.test_runner.enabled { PartState::On } else { PartState::Off },
            repos: config.test_runner.repos.clone(),
            timeout_s: config.test_runner.timeout_s.0,
            running: running(overview, TEST_RUNNER),
            limit: runner.and_then(|(_, runner)| runner.producer.jobs),
        }
    }
}

impl LeasesView {
    pub(super) fn of(config: &Config, leases: Vec<LeaseView>) -> Self {
        Self {
            enabled: config.transition_lease.enabled,
            repos: config.transition_lease.repos.clone(),
            leases,
        }
    }
}

impl SerialGateView {
    pub(super) fn of(holders: Vec<LeaseView>) -> Self {
        Self { state: PartState::On, holders }
    }
}

/// How many jobs of a producer run.
fn running(overview: &Overview, name: &str) -> u64 {
    let counted = overview.running.iter();
    let own =
        counted.filter(|(producer, _)| producer.as_ref().is_some_and(|producer| producer.as_str() == name));
    own.map(|(_, number)| number).sum()
}

impl StagingRunnerView {
    pub(super) fn of(config: &Config, overview: &Overview, looked: Option<Looked>) -> Self {
        let state = match (config.staging_runner.enabled, config.has_staging()) {
            (false, _) => PartState::Off,
            (true, true) => PartState::On,
            (true, false) => PartState::NotConfigured,
        };
        let preflight = match (state, config.staging_runner.preflight) {
            (PartState::On, true) => PartState::On,
            (PartState::NotConfigured, _) => PartState::NotConfigured,
            _ => PartState::Off,
        };
        let findings = looked.as_ref().and_then(|looked| looked.found.as_ref().ok());
        Self {
            state,
            repos: config.staging_runner.repos.clone(),
            running: running(overview, STAGING_RUNNER),
            permanent_env: looked.as_ref().and_then(Looked::is_defect),
            exec_host_side: (state != PartState::NotConfigured).then(|| config.staging_host_side()),
            preflight: PreflightView {
                state: preflight,
                at: looked.as_ref().map(|looked| looked.at.into()),
                message: looked.as_ref().map(Looked::message),
                findings: findings.into_iter().flatten().map(Into::into).collect(),
            },
        }
    }
}

impl LlmView {
    pub(super) fn of(config: &Config, today: Spending) -> Self {
        let (task, day) = config.lasting_budgets();
        Self {
            state: PartState::On,
            today: today.into(),
            day_budget_micro_usd: day,
            task_budget_micro_usd: task,
            run_budget_micro_usd: config.llm.budget_run_usd.map(|money| money.micro_usd()),
        }
    }
}
