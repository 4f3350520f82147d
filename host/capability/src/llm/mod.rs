//! The one way to a language model.
//!
//! A component names a role; the operator said what stands behind it: an agent's program that works in the run's
//! clone, or an OpenAI-compatible server. [`Llm::ask`] is the only function of the host that reaches a model. Before
//! it does, it asks for the budgets, and makes the files in which prompt and transcript are kept; afterwards it tells
//! the [`Purse`] what was used, whatever happened. Secrets that the grant knows are in none of what it keeps or says.
//!
//! It refuses to judge an answer, to ask a second time, and to take a doubtful end for an answer.

mod agent;
mod grant;
mod heard;
mod kept;
mod preflight;
mod purse;
mod result_line;
mod secret;
mod server;
mod signs;
mod template;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use grant::{Agent, Grant, Output, Role, Server, Way, claude_args};
pub use purse::{Budget, Call, Later, Purse, budget_spent};
pub use secret::Secret;
use tokio_util::sync::CancellationToken;
pub use usage::{Prices, Usage};

use self::heard::Heard;
use self::kept::Kept;
use self::secret::Redactor;
use crate::files::Attached;
use crate::process::{Completed, Process, Shepherd};
use crate::{Cancel, Failure, FailureKind, Place};

/// The longest prompt, in bytes.
const MAX_PROMPT: usize = 8 << 20;

/// A question to a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// A role that the grant names.
    pub role: String,
    /// What is asked.
    pub prompt: String,
    /// Ends the call after this time; the role's own limit holds in any case.
    pub timeout: Option<Duration>,
}

/// What came of a question.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What the model said last.
    pub result: Result<String, Failure>,
    /// What is known of its use, also after a failure.
    pub usage: Usage,
    /// How long the call took.
    pub duration: Duration,
    /// How long to wait before asking again, where that was told. The message of the failure says it, too, as
    /// `retry after 60 s`.
    pub retry_after: Option<Duration>,
    /// Prompt and transcript; none if the call was not begun.
    pub attachments: Vec<Attached>,
    /// The agent's process, if one ran, for the ledger: the prompt is not in its arguments, and of its output there
    /// are sizes and digests only.
    pub command: Option<Completed>,
}

/// The capability to ask models for one run. Clones share its budget.
#[derive(Clone)]
pub struct Llm {
    inner: Arc<Inner>,
}

struct Inner {
    grant: Grant,
    place: Place,
    cancel: Cancel,
    purse: Arc<dyn Purse>,
    redactor: Redactor,
    /// Those of the agents, by role. What they may reach is found out before foreign code could have a say in it.
    processes: BTreeMap<String, Process>,
    /// One call at a time, so that none is begun on money that another one is spending.
    account: tokio::sync::Mutex<Account>,
}

/// What this run has used.
#[derive(Default)]
struct Account {
    calls: u32,
    micro_usd: u64,
}

impl Llm {
    /// The capability that `grant` gives to the run at `place`.
    ///
    /// # Errors
    /// Those of [`Role::check`].
    pub fn new(
        grant: Grant,
        place: Place,
        shepherd: &Shepherd,
        cancel: Cancel,
        purse: Arc<dyn Purse>,
    ) -> Result<Self, Failure> {
        let redactor = grant.redactor();
        let mut processes = BTreeMap::new();
        for (name, role) in &grant.roles {
            role.check(name)?;
            if let Way::Agent(agent) = &role.way {
                let process = agent.process(role.max_time, &place, shepherd.clone(), cancel.clone());
                processes.insert(name.clone(), process);
            }
        }
        let account = tokio::sync::Mutex::default();
        Ok(Self { inner: Arc::new(Inner { grant, place, cancel, purse, redactor, processes, account }) })
    }

    /// Asks a model, and waits for its answer.
    ///
    /// The call is a task of its own: whoever stops waiting for it ends it, and it is accounted for all the same.
    ///
    /// The result's failures: nothing was asked with `cancelled`, `role-not-granted`, `llm-prompt-too-long`,
    /// `llm-too-many-calls`, `llm-budget-spent`, `llm-not-kept`, or a failure of the purse's own. Of both ways:
    /// `llm-rate-limited`, `llm-unauthorized`, `llm-no-credit`, `llm-timed-out`, `llm-answer-too-large`, `cancelled`.
    /// Of an agent: `agent-missing`, `agent-not-executable`, `agent-no-result`, `agent-failed`, `agent-max-turns`,
    /// `agent-killed`, `agent-limit`, `agent-lost`, `llm-budget-spent`, and those of [`Process::spawn`]. Of a server:
    /// `llm-unreachable`, `llm-unavailable`, `llm-broken-answer`, `llm-nonsense`, `llm-answer-cut`,
    /// `llm-answer-filtered`, `llm-bad-request`, `llm-not-found`, `llm-bad-address`.
    pub async fn ask(&self, request: Request) -> Answered {
        let inner = Arc::clone(&self.inner);
        let given_up = CancellationToken::new();
        let _waiting = given_up.clone().drop_guard();
        let call = tokio::spawn(async move { inner.ask(request, given_up).await });
        call.await.unwrap_or_else(|_| {
            let message = "the call broke off inside of the host; it is not known what was used";
            Answered::refused(Failure::new(FailureKind::Other, "llm-broke-off", message))
        })
    }
}

impl std::fmt::Debug for Llm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Llm").field("roles", &self.inner.grant.roles.keys()).finish()
    }
}

impl Answered {
    /// Nothing was begun.
    fn refused(failure: Failure) -> Self {
        Self {
            result: Err(failure),
            usage: Usage::default(),
            duration: Duration::ZERO,
            retry_after: None,
            attachments: Vec::new(),
            command: None,
        }
    }
}

impl Inner {
    async fn ask(&self, request: Request, given_up: CancellationToken) -> Answered {
        let mut account = self.account.lock().await;
        let (role, budget) = match self.allowed(&request, &account).await {
            Ok(allowed) => allowed,
            Err(failure) => return Answered::refused(failure),
        };
        let limit = self.grant.attachment_bytes;
        let begun = Kept::begin(
            &self.place.logs,
            &request.role,
            account.calls + 1,
            &request.prompt,
            limit,
            &self.redactor,
        );
        let kept = match begun {
            Ok(kept) => kept,
            Err(failure) => return Answered::refused(failure),
        };
        account.calls += 1;
        let answered = self.call(role, &request, budget, kept, &given_up).await;
        account.micro_usd = account.micro_usd.saturating_add(answered.usage.cost_micro_usd.unwrap_or(0));
        let answer = answered.result.as_ref().map_or_else(|failure| failure.code, |_| "ok");
        let call = Call { role: request.role, usage: answered.usage, duration: answered.duration, answer };
        self.purse.spent(&call).await;
        answered
    }

    /// The role, and what may be spent on it.
    async fn allowed(&self, request: &Request, account: &Account) -> Result<(&Role, Option<u64>), Failure> {
        if self.cancel.cause().is_some() {
            return Err(Failure::cancelled());
        }
        let role = self.grant.roles.get(&request.role).ok_or_else(|| {
            let (roles, way_out) = (self.grant.roles.keys(), "add it to the producer's grants.llm.roles");
            Failure::not_granted("role-not-granted", "role", &request.role, roles, way_out)
        })?;
        if request.prompt.len() > MAX_PROMPT {
            let message = format!("the prompt has more than {MAX_PROMPT} bytes");
            return Err(Failure::new(FailureKind::Limit, "llm-prompt-too-long", message));
        }
        if account.calls >= self.grant.run_calls {
            let message = format!(
                "this run has asked {} times, which is as often as it may; raise llm.run_calls to go on",
                account.calls
            );
            return Err(Failure::new(FailureKind::Limit, "llm-too-many-calls", message));
        }
        let of_run = match self.grant.run_budget_micro_usd {
            Some(limit) if account.micro_usd >= limit => {
                return Err(budget_spent(Budget::Run, limit, account.micro_usd));
            }
            limit => limit.map(|limit| limit - account.micro_usd),
        };
        let of_others = self.purse.left().await?;
        if of_others == Some(0) {
            let message = format!(
                "nothing is left to spend on this task or this day; raise {} or {} to go on",
                Budget::Task.key(),
                Budget::Day.key()
            );
            return Err(Failure::new(FailureKind::Limit, "llm-budget-spent", message));
        }
        Ok((role, of_run.into_iter().chain(of_others).min()))
    }

    async fn call(
        &self,
        role: &Role,
        request: &Request,
        budget_micro_usd: Option<u64>,
        kept: Kept,
        given_up: &CancellationToken,
    ) -> Answered {
        let Kept { prompt, mut transcript } = kept;
        let begun = Instant::now();
        let timeout = request.timeout.unwrap_or(role.max_time).min(role.max_time);
        let heard = match (&role.way, self.processes.get(&request.role)) {
            (Way::Agent(agent), Some(process)) => {
                let question = agent::Question {
                    prompt: &request.prompt,
                    timeout,
                    budget_micro_usd,
                    redactor: &self.redactor,
                };
                agent::ask(agent, process, question, &mut transcript, given_up).await
            }
            (Way::Server(server), _) => {
                server::ask(server, &request.prompt, timeout, &mut transcript, &self.cancel, given_up).await
            }
            // Each agent got its process as the capability was made.
            (Way::Agent(_), None) => Heard::default(),
        };
        let hide = |failure: Failure| Failure { message: self.redactor.text(&failure.message), ..failure };
        let result = heard.result.map(|text| self.redactor.text(&text)).map_err(hide);
        if let Err(failure) = &result {
            transcript.note(&serde_json::json!({ "failure": failure.code, "message": failure.message }));
        }
        let transcript = transcript.end(&heard.stderr);
        Answered {
            result,
            usage: heard.usage,
            duration: begun.elapsed(),
            retry_after: heard.retry_after,
            attachments: [Some(prompt), transcript].into_iter().flatten().collect(),
            command: heard.command,
        }
    }
}
