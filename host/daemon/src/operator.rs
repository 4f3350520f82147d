//! The operator: carries out what a person wants of a task.
//!
//! The engine decides what a wish means, the store's one function writes it: a person, too, names the stage and the epoch
//! that were seen, and defers to whoever is in the task's transition. A job that runs meanwhile is overtaken: its worker
//! notices that its epoch has passed, ends it, and writes nothing.
//!
//! It refuses to force anything. A lease is taken away from a living owner elsewhere, and by its own command.

use std::sync::Arc;

use stagewright_engine::identity::{InstanceId, JobId};
use stagewright_engine::pipeline::Pipeline;
use stagewright_engine::task::Task;
use stagewright_engine::transition::{self, AfterRequest, PersonMove, Refused, Request, Standing};
use stagewright_store::Store;
use stagewright_store::request::conclusion::{Attempts, Becomes, ConcludeRefused, Ownership, StageChange};
use stagewright_store::request::job::NewJob;
use stagewright_store::request::task::TaskRefused;

use crate::clock;
use crate::config::Config;
use crate::instance::Alive;
use crate::state::StateDir;

/// Carries out a person's wishes in the name of an instance: one of its own, or the daemon's.
pub struct Operator {
    store: Arc<dyn Store>,
    instance: InstanceId,
    alive: Option<Alive>,
}

/// Why a wish was not carried out. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It makes no sense for this task.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The task can't be held or resumed.
    #[error(transparent)]
    Task(#[from] TaskRefused),
    /// Its stage can't be written now.
    #[error(transparent)]
    Conclude(#[from] ConcludeRefused),
}

impl Operator {
    /// Registers an instance, so that what it writes has an owner who can be proven dead.
    pub async fn start(store: Arc<dyn Store>, state: &StateDir) -> Result<Self, crate::host::Error> {
        state.make_parts()?;
        let alive = crate::host::join(&store, state).await?;
        Ok(Self { store, instance: alive.id(), alive: Some(alive) })
    }

    /// One that writes in the name of an instance that is registered already.
    pub fn within(store: Arc<dyn Store>, instance: InstanceId) -> Self {
        Self { store, instance, alive: None }
    }

    /// Carries a wish out and answers with the task afterwards.
    pub async fn wish(
        &self,
        config: &Config,
        pipeline: &Pipeline,
        task: Task,
        wish: &Request,
    ) -> Result<Task, Error> {
        let now = clock::now();
        match transition::after_request(pipeline, &task, wish, now)? {
            AfterRequest::Nothing => Ok(task),
            AfterRequest::Hold(hold) => Ok(self.store.hold_task(&task.key, hold, now).await?),
            AfterRequest::Resume => Ok(self.store.resume_task(&task.key, now).await?),
            AfterRequest::Move(to) => {
                let change = self.change(config, pipeline, task, to, wish);
                Ok(self.store.move_stage(change).await?)
            }
        }
    }

    fn change(
        &self,
        config: &Config,
        pipeline: &Pipeline,
        task: Task,
        to: PersonMove,
        wish: &Request,
    ) -> StageChange {
        let now = clock::now();
        let becomes = match to.becomes {
            Standing::Cancelled => Becomes::Cancelled,
            Standing::Done => Becomes::Done,
            Standing::Active => {
                // Whoever takes jobs next finds it; without a head that was seen there is nothing to examine yet.
                let next = task.head.clone().filter(|_| pipeline.work(&to.to).is_some());
                let id = JobId::new(clock::new_id());
                let job = next.map(|commit| NewJob {
                    id,
                    task: task.key.clone(),
                    stage: to.to.clone(),
                    commit,
                    now,
                });
                Becomes::Active { next_job: job }
            }
        };
        StageChange {
            expected_stage: to.expected,
            to: to.to,
            ownership: ownership(config, &task, self.instance),
            completes: None,
            past_a_hold: true,
            attempts: Attempts::Reset,
            becomes,
            reason: reason(wish),
            events: Vec::new(),
            now,
            task: task.key,
        }
    }

    /// Ends the instance: it owns nothing.
    pub async fn end(self) {
        if let Some(alive) = self.alive {
            crate::host::leave(&self.store, alive).await;
        }
    }
}

/// The right to write a stage in one transaction, by the operator's word on leases (O8).
fn ownership(config: &Config, task: &Task, owner: InstanceId) -> Ownership {
    match config.lease_holds(&task.key.repo) {
        true => Ownership::TakeNow { owner, epoch: task.epoch },
        false => Ownership::Unleased { owner, epoch: task.epoch },
    }
}

fn reason(wish: &Request) -> String {
    match wish {
        Request::Hold { reason } => format!("held by a person: {reason}"),
        Request::Resume => "resumed by a person".to_owned(),
        Request::Retry => "a person wants the stage done again".to_owned(),
        Request::Move { to } => format!("moved to {to} by a person"),
        Request::Cancel => "given up by a person".to_owned(),
    }
}
