//! What the operator grants: roles, and for each the way to its model.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::secret::{Redactor, Secret};
use super::template;
use super::usage::Prices;
use crate::{Failure, FailureKind, process};

/// The grant of models.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The roles, by the name under which a component knows them.
    pub roles: BTreeMap<String, Role>,
    /// What one run may spend, in millionths of a US dollar; without it, nothing but the [`Purse`](super::Purse)
    /// limits it. A call whose cost nobody knows counts for nothing here.
    pub run_budget_micro_usd: Option<u64>,
    /// How often one run may ask.
    pub run_calls: u32,
    /// The longest prompt or transcript that is kept, in bytes.
    pub attachment_bytes: u64,
}

impl Default for Grant {
    /// No role at all.
    fn default() -> Self {
        Self { roles: BTreeMap::new(), run_budget_micro_usd: None, run_calls: 16, attachment_bytes: 32 << 20 }
    }
}

/// A role that a model plays.
#[derive(Clone, Debug)]
pub struct Role {
    /// How its model is reached.
    pub way: Way,
    /// The longest time of one call.
    pub max_time: Duration,
}

/// How a model is reached.
#[derive(Clone, Debug)]
pub enum Way {
    /// A program that works in the run's clone.
    Agent(Box<Agent>),
    /// A server that answers and does nothing.
    Server(Server),
}

/// An agent's command line.
#[derive(Clone, Debug)]
pub struct Agent {
    /// What confines it, and its own limits. Its configuration folder belongs into `write`, and the variable that
    /// names it into `env`. Of its output nothing is logged: the transcript is kept in its place, without secrets.
    pub process: process::Grant,
    /// The name of its program in `process.programs`.
    pub program: String,
    /// Its arguments, in which `{prompt}`, `{model}` and `{budget_usd}` are filled in. Without `{prompt}` the prompt
    /// goes to the standard input: one argument has room for 128 KiB only. Where there is no model or budget to fill
    /// in, the argument is left out, and so is the option before it.
    pub args: Vec<String>,
    /// What `{model}` stands for.
    pub model: Option<String>,
    /// Variables that hold its credential.
    pub credentials: BTreeMap<String, Secret>,
    /// What its output means.
    pub output: Output,
}

/// What an agent's output means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// One JSON a line; the last one of `"type":"result"` tells the end, whatever the exit code is.
    ResultLine,
    /// The answer and nothing else; exit code 0 is success.
    Text,
}

/// An OpenAI-compatible server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its base, such as `http://127.0.0.1:8080/v1`.
    pub url: String,
    /// The model's name there.
    pub model: String,
    /// The key, where it wants one.
    pub key: Option<Secret>,
    /// What its tokens cost; without it the cost is unknown.
    pub prices: Option<Prices>,
    /// The longest answer that is read, in bytes.
    pub max_bytes: usize,
}

/// The arguments of `claude -p`, which asks nobody for leave: what it may do is confined by the grant. The prompt goes to its
/// standard input.
pub fn claude_args() -> Vec<String> {
    let args = "-p --output-format stream-json --verbose --permission-mode bypassPermissions --model {model} \
                --max-budget-usd {budget_usd}";
    args.split(' ').map(Into::into).collect()
}

impl Role {
    /// Whether the role could be asked, as far as its settings alone tell.
    ///
    /// # Errors
    /// `llm-bad-role`, `llm-bad-program`, `llm-bad-template`, `llm-bad-address`, `llm-bad-key`.
    pub fn check(&self, name: &str) -> Result<(), Failure> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !(1..=40).contains(&name.len()) || !name.chars().all(plain) || name.starts_with('-') {
            // Files are named after it.
            let why =
                format!("`{}` is no name of a role; use letters, digits, `-` and `_`", name.escape_debug());
            return Err(bad("llm-bad-role", why));
        }
        if self.max_time.is_zero() {
            return Err(bad("llm-bad-role", format!("the role `{name}` has no time at all")));
        }
        match &self.way {
            Way::Agent(agent) => agent.check(name),
            Way::Server(server) => server.check(name),
        }
    }
}

impl Agent {
    fn check(&self, role: &str) -> Result<(), Failure> {
        if !self.path().is_some_and(Path::is_absolute) {
            let why =
                format!("the program of the role `{role}` has no absolute path; name one that is there");
            return Err(bad("llm-bad-program", why));
        }
        for arg in &self.args {
            template::check(arg).map_err(|placeholder| {
                let why = format!(
                    "the arguments of the role `{role}` have the placeholder `{placeholder}`; known are {}",
                    template::KNOWN.join(", ")
                );
                bad("llm-bad-template", why)
            })?;
        }
        Ok(())
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.process.programs.get(&self.program).map(|program| program.path.as_path())
    }
}

impl Server {
    fn check(&self, role: &str) -> Result<(), Failure> {
        self.address("models").map_err(|why| {
            bad("llm-bad-address", format!("the role `{role}` has no good address of a server: {why}"))
        })?;
        if self.model.is_empty() {
            return Err(bad("llm-bad-role", format!("the role `{role}` names no model")));
        }
        if self.authorization().is_some_and(|header| header.is_none()) {
            let why = format!("the key of the role `{role}` has characters that no header can hold");
            return Err(bad("llm-bad-key", why));
        }
        Ok(())
    }

    /// The address of `path` below the base. The error doesn't repeat the address: it may hold a password.
    pub(super) fn address(&self, path: &str) -> Result<Url, String> {
        let mut url = Url::parse(&self.url).map_err(|error| error.to_string())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("`{}` is neither http nor https", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(
                "it holds a user, a password or a query; a credential belongs into the key".to_owned()
            );
        }
        let joined = format!("{}/{path}", url.path().trim_end_matches('/'));
        url.set_path(&joined);
        url.set_fragment(None);
        Ok(url)
    }

    /// The header with the key; `Some(None)` if the key can't stand in one.
    pub(super) fn authorization(&self) -> Option<Option<HeaderValue>> {
        let key = self.key.as_ref()?;
        let value = HeaderValue::from_str(&format!("Bearer {}", key.reveal())).ok();
        Some(value.map(|mut value| {
            value.set_sensitive(true);
            value
        }))
    }
}

impl Grant {
    /// What takes every secret of the grant out of what is kept and told, whichever role it belongs to.
    pub(super) fn redactor(&self) -> Redactor {
        let names: Vec<(String, &Secret)> =
            self.roles.iter().flat_map(|(role, facts)| facts.secrets(role)).collect();
        Redactor::new(names.iter().map(|(name, secret)| (name.as_str(), *secret)))
    }
}

impl Role {
    pub(super) fn secrets(&self, name: &str) -> Vec<(String, &Secret)> {
        match &self.way {
            Way::Agent(agent) => {
                agent.credentials.iter().map(|(name, secret)| (name.clone(), secret)).collect()
            }
            Way::Server(server) => server.key.iter().map(|key| (format!("key of {name}"), key)).collect(),
        }
    }
}

fn bad(code: &'static str, why: String) -> Failure {
    Failure::new(FailureKind::Permanent, code, why)
}
