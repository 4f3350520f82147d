//! Calls of language models.

use std::collections::{BTreeMap, BTreeSet};

use stagewright_engine::identity::RunId;
use stagewright_engine::time::Span;

use super::state::State;
use crate::error::Error;
use crate::request::model::{ModelCall, RoleSpending, Spending, SpendingOf};

impl State {
    pub(super) fn write_model_call(&mut self, call: ModelCall) -> Result<(), Error> {
        if !self.tasks.contains_key(&call.task) {
            let detail = format!("a model was asked for {}, a task that is not there", call.task);
            return Err(Error::Rejected { detail });
        }
        self.model_calls.push(call);
        Ok(())
    }

    pub(super) fn spending(&self, of: &SpendingOf) -> Spending {
        let asked = self.model_calls.iter().filter(|call| {
            of.task.as_ref().is_none_or(|task| call.task == *task)
                && of.since.is_none_or(|since| call.at >= since)
        });
        asked.fold(Spending::default(), with)
    }

    pub(super) fn spending_by_role(&self) -> Vec<RoleSpending> {
        let mut roles: BTreeMap<_, (RoleSpending, BTreeSet<RunId>)> = BTreeMap::new();
        for call in &self.model_calls {
            let key = (call.role.clone(), call.stage.clone(), call.producer.clone());
            let (role, runs) = roles.entry(key).or_insert_with(|| (nothing_of(call), BTreeSet::new()));
            let usage = &call.usage;
            runs.insert(call.run);
            role.runs = runs.len() as u64;
            role.failed += u64::from(call.answer != "ok");
            role.spending = with(role.spending, call);
            role.tokens_in += usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
            role.tokens_out += usage.output_tokens;
            role.duration = role.duration.plus(call.duration);
        }
        roles.into_values().map(|(role, _)| role).collect()
    }
}

fn with(spending: Spending, call: &ModelCall) -> Spending {
    let cost = call.usage.cost_micro_usd;
    Spending {
        calls: spending.calls + 1,
        micro_usd: spending.micro_usd + cost.unwrap_or(0),
        unknown: spending.unknown + u64::from(cost.is_none()),
    }
}

fn nothing_of(call: &ModelCall) -> RoleSpending {
    RoleSpending {
        role: call.role.clone(),
        stage: call.stage.clone(),
        producer: call.producer.clone(),
        runs: 0,
        failed: 0,
        spending: Spending::default(),
        tokens_in: 0,
        tokens_out: 0,
        duration: Span::ZERO,
    }
}
