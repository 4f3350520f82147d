//! Who answers a run's questions to a model, and who pays.
//!
//! The budgets of a task and of a day are kept in the store: they are asked for before each call and told of after it. Two
//! runs that ask at the same time may both find room and together pass a budget by what their calls cost; the next call then
//! finds it spent.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stagewright_capability::llm::{
    Agent, Budget, Call, Grant, Later, Output, Prices, Purse, Role, Secret, Server, Way, budget_spent,
};
use stagewright_capability::{Failure, FailureKind, process};
use stagewright_engine::identity::{RunId, TaskKey};
use stagewright_engine::name::{ProducerName, StageName};
use stagewright_engine::time::Span;
use stagewright_store::Store;
use stagewright_store::request::model::{ModelCall, Spending, SpendingOf};
use tokio::sync::Mutex;

use crate::config::sections::{AgentSays, Model, ModelWay};
use crate::config::{Config, Money};
use crate::{clock, programs};

/// The longest answer of a server, in bytes.
const MAX_ANSWER: usize = 8 << 20;

/// The roles of a grant, each with its way to a model. `process` is what every process of the run may do.
///
/// # Errors
/// A key's file can't be read: that is told, and never what is in it.
pub(super) fn grant(
    config: &Config,
    roles: impl IntoIterator<Item = String>,
    process: &process::Grant,
) -> Result<Grant, Failure> {
    let mut granted = BTreeMap::new();
    for name in roles {
        let role = role(&config.model_of(&name), process)?;
        granted.insert(name, role);
    }
    Ok(Grant {
        roles: granted,
        run_budget_micro_usd: config.llm.budget_run_usd.map(Money::micro_usd),
        run_calls: config.llm.run_calls,
        ..Grant::default()
    })
}

/// The way to the model of a role, for whoever looks whether it is there. It starts nothing.
pub(crate) fn role_of_model(config: &Config, name: &str) -> Result<Role, Failure> {
    role(&config.model_of(name), &process::Grant::default())
}

fn role(model: &Model, process: &process::Grant) -> Result<Role, Failure> {
    let way = match model.way() {
        ModelWay::Agent => Way::Agent(Box::new(agent(model, process.clone()))),
        ModelWay::Server => Way::Server(server(model)?),
    };
    Ok(Role { way, max_time: Duration::from(model.timeout()) })
}

fn agent(model: &Model, mut process: process::Grant) -> Agent {
    let named = model.program();
    let found = programs::find(named.as_path(), std::env::var_os("PATH").as_deref());
    // One that is nowhere keeps a path that says so when it is started.
    let path = found.unwrap_or_else(|| Path::new("/nonexistent").join(named.as_path()));
    let name = named.as_path().display().to_string();
    process.programs = BTreeMap::from([(name.clone(), process::Program::new(path))]);
    process.read.extend(model.read.clone().unwrap_or_default());
    process.write.extend(model.write.clone().unwrap_or_default());
    let credentials = model.variables.reveal().iter();
    Agent {
        process,
        program: name,
        args: model.agent_args(),
        model: model.model.clone(),
        credentials: credentials.map(|(name, value)| (name.clone(), Secret::new(value))).collect(),
        output: match model.output() {
            AgentSays::ResultLine => Output::ResultLine,
            AgentSays::Text => Output::Text,
        },
    }
}

fn server(model: &Model) -> Result<Server, Failure> {
    let key = model.key_file.as_deref().map(key).transpose()?;
    let prices = model.price_in_usd.zip(model.price_out_usd);
    Ok(Server {
        url: model.url.clone().unwrap_or_default(),
        model: model.model.clone().unwrap_or_default(),
        key,
        prices: prices.map(|(input, output)| Prices {
            input: input.micro_usd(),
            cached_input: None,
            output: output.micro_usd(),
        }),
        max_bytes: MAX_ANSWER,
    })
}

fn key(file: &Path) -> Result<Secret, Failure> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Secret::new(text.trim())),
        Err(error) => {
            let message = format!("the key file {} can't be read: {error}", file.display());
            Err(Failure::new(FailureKind::Permanent, "llm-key-missing", message))
        }
    }
}

/// Who pays for the calls of one run.
pub(crate) struct TaskPurse {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: Arc<Config>,
    pub(crate) task: TaskKey,
    pub(crate) stage: StageName,
    pub(crate) run: RunId,
    pub(crate) producer: ProducerName,
    /// Calls that could not be written down yet. While there are any, nothing more is spent.
    pub(crate) unwritten: Mutex<Vec<ModelCall>>,
}

impl TaskPurse {
    /// Writes down what could not be written before.
    async fn catch_up(&self) -> Result<(), Failure> {
        let mut unwritten = self.unwritten.lock().await;
        while let Some(call) = unwritten.last() {
            self.store.write_model_call(call.clone()).await.map_err(|error| {
                let message = format!("what was spent can't be written down: {error}");
                Failure::new(FailureKind::Transient, "llm-account-unreadable", message)
            })?;
            unwritten.pop();
        }
        Ok(())
    }

    async fn budgets(&self) -> Result<Option<u64>, Failure> {
        self.catch_up().await?;
        let (task, day) = self.config.lasting_budgets();
        let of_task = SpendingOf { task: Some(self.task.clone()), since: None };
        let of_day = SpendingOf { task: None, since: Some(clock::day_of(clock::now())) };
        let mut left = None;
        for (budget, limit, of) in [(Budget::Task, task, of_task), (Budget::Day, day, of_day)] {
            let Some(limit) = limit else { continue };
            let Spending { micro_usd, .. } = self.store.spending(of).await.map_err(|error| {
                let message = format!("what was spent can't be read: {error}");
                Failure::new(FailureKind::Transient, "llm-account-unreadable", message)
            })?;
            if micro_usd >= limit {
                return Err(budget_spent(budget, limit, micro_usd));
            }
            let here = limit - micro_usd;
            left = Some(left.map_or(here, |left: u64| left.min(here)));
        }
        Ok(left)
    }
}

impl Purse for TaskPurse {
    fn left(&self) -> Later<'_, Result<Option<u64>, Failure>> {
        Box::pin(self.budgets())
    }

    fn spent<'a>(&'a self, call: &'a Call) -> Later<'a, ()> {
        Box::pin(async move {
            let row = ModelCall {
                run: self.run,
                task: self.task.clone(),
                stage: self.stage.clone(),
                producer: self.producer.clone(),
                role: call.role.clone(),
                answer: call.answer.to_owned(),
                usage: call.usage.into(),
                duration: Span::from_millis(u64::try_from(call.duration.as_millis()).unwrap_or(u64::MAX)),
                at: clock::now(),
            };
            if let Err(error) = self.store.write_model_call(row.clone()).await {
                self.unwritten.lock().await.push(row);
                tracing::error!(%error, role = call.role, cost = ?call.usage.cost_micro_usd, "what a model cost could not be written down");
            }
        })
    }
}
