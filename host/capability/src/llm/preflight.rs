//! Whether a role could be asked, found out without asking it: nothing is spent.

use std::time::Duration;

use rustix::fs::{Access, access};
use serde_json::Value;

use super::grant::{Agent, Role, Server, Way};
use super::secret::Redactor;
use super::server;
use crate::{Failure, FailureKind};

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(10);

impl Role {
    /// Checks the settings, and looks for the program or asks the server for its models; says what was seen.
    ///
    /// # Errors
    /// Those of [`Role::check`]; `agent-missing`, `agent-not-executable`; what [`Llm::ask`](super::Llm::ask) says of a server.
    pub async fn preflight(&self, name: &str) -> Result<String, Failure> {
        self.check(name)?;
        match &self.way {
            Way::Agent(agent) => agent.look(),
            Way::Server(server) => {
                let secrets = self.secrets(name);
                let redactor = Redactor::new(secrets.iter().map(|(name, secret)| (name.as_str(), *secret)));
                let seen = server.look().await;
                let hide = |failure: Failure| Failure { message: redactor.text(&failure.message), ..failure };
                seen.map(|seen| redactor.text(&seen)).map_err(hide)
            }
        }
    }
}

impl Agent {
    fn look(&self) -> Result<String, Failure> {
        let program = &self.program;
        let Some(path) = self.path().filter(|path| path.is_file()) else {
            let message = format!("the agent `{program}` is not there; install it, or name another one");
            return Err(Failure::new(FailureKind::NotFound, "agent-missing", message));
        };
        access(path, Access::EXEC_OK).map_err(|error| {
            let message = format!("{} can't be executed: {error}", path.display());
            Failure::new(FailureKind::Permanent, "agent-not-executable", message)
        })?;
        Ok(format!("{} is there", path.display()))
    }
}

impl Server {
    async fn look(&self) -> Result<String, Failure> {
        let asked = tokio::time::timeout(PATIENCE, server::models(self)).await;
        let answer = asked.unwrap_or_else(|_| {
            let message = format!("the server did not answer within {} s", PATIENCE.as_secs());
            Err(Failure::new(FailureKind::TimedOut, "llm-timed-out", message))
        })?;
        // Not each server has the list.
        if matches!(answer.status, 404 | 405) {
            return Ok(format!("the server answers, and has no list of models (status {})", answer.status));
        }
        let body = serde_json::from_slice(&answer.body).unwrap_or_default();
        match server::refusal(&answer, &body) {
            Some((failure, _)) => Err(failure),
            None => Ok(self.of_list(&body)),
        }
    }

    fn of_list(&self, list: &Value) -> String {
        match list["data"].as_array() {
            None => "the server answers, and its list of models can't be read".to_owned(),
            Some(models) if models.iter().any(|model| model["id"] == self.model.as_str()) => {
                format!("the server answers and lists `{}`", self.model)
            }
            Some(_) => {
                format!("the server answers and does not list `{}`; it may know it all the same", self.model)
            }
        }
    }
}
