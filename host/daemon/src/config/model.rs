//! Who answers in which role, and what may be spent.

use std::collections::BTreeSet;
use std::path::PathBuf;

use stagewright_capability::llm::claude_args;
use stagewright_engine::name::{ProducerName, StageName};

use super::sections::{AgentSays, Model, ModelWay};
use super::value::{Program, Seconds, Secrets};
use super::{Config, LLM_FALLBACK};

/// How long one answer may take if nobody says. Less than a whole run, so that what was spent is still told.
const ANSWER_TIMEOUT: Seconds = Seconds(3_000);

/// The roles of the default pipeline's stages.
const ROLES: [(&str, &str); 7] = [
    ("analysis", "analyst"),
    ("architecture", "architect"),
    ("development", "developer"),
    ("review", "reviewer"),
    ("testing", "tester"),
    ("deploy-staging", "deployer"),
    ("deploy", "deployer"),
];

/// The role in which a model comments on a FAIL.
pub const COMMENTATOR: &str = "commentator";

impl Model {
    /// These settings, and those of `base` where these say nothing.
    fn over(self, base: &Self) -> Self {
        // Another program has other arguments and another way to tell its end.
        let same = self.program.is_none();
        // Another server is not sent the key of the first, and has other prices, as another model has.
        let same_server = self.url.is_none();
        let same_price = same_server && self.model.is_none();
        let own = !self.variables.reveal().is_empty();
        Self {
            way: self.way.or(base.way),
            args: self.args.or_else(|| base.args.clone().filter(|_| same)),
            output: self.output.or(base.output.filter(|_| same)),
            program: self.program.or_else(|| base.program.clone()),
            model: self.model.or_else(|| base.model.clone()),
            variables: match (own, same) {
                (true, _) => self.variables,
                (false, true) => base.variables.clone(),
                (false, false) => Secrets::default(),
            },
            read: self.read.or_else(|| base.read.clone()),
            write: self.write.or_else(|| base.write.clone()),
            url: self.url.or_else(|| base.url.clone()),
            key_file: self.key_file.or_else(|| base.key_file.clone().filter(|_| same_server)),
            price_in_usd: self.price_in_usd.or(base.price_in_usd.filter(|_| same_price)),
            price_out_usd: self.price_out_usd.or(base.price_out_usd.filter(|_| same_price)),
            timeout_s: self.timeout_s.or(base.timeout_s),
        }
    }

    /// Who answers.
    pub fn way(&self) -> ModelWay {
        self.way.unwrap_or(ModelWay::Agent)
    }

    /// The agent.
    pub fn program(&self) -> Program {
        self.program.clone().unwrap_or_else(|| Program::named("claude"))
    }

    /// The agent's arguments, with their placeholders.
    pub fn agent_args(&self) -> Vec<String> {
        self.args.clone().unwrap_or_else(claude_args)
    }

    /// How the agent tells its end.
    pub fn output(&self) -> AgentSays {
        self.output.unwrap_or(AgentSays::ResultLine)
    }

    /// How long one answer may take.
    pub fn timeout(&self) -> Seconds {
        self.timeout_s.unwrap_or(ANSWER_TIMEOUT)
    }
}

impl Config {
    /// Who answers in a role.
    pub fn model_of(&self, role: &str) -> Model {
        let own = self.roles.get(role).map(|role| role.model.clone()).unwrap_or_default();
        own.over(&self.model)
    }

    /// The role that does a stage's work.
    pub fn role_of(&self, stage: &StageName) -> String {
        let default =
            ROLES.iter().find(|(name, _)| *name == stage.as_str()).map(|(_, role)| (*role).to_owned());
        let configured = self.llm.stages.get(stage.as_str()).cloned();
        configured.or(default).unwrap_or_else(|| stage.to_string())
    }

    /// The roles in which a producer may ask; `None` if the capability is not granted.
    ///
    /// The llm-fallback needs no grant. At a stage it asks in no other role than the one that does the stage's work, so that
    /// nothing wrong with another role holds this stage.
    pub fn roles_of(&self, producer: &ProducerName, stage: Option<&StageName>) -> Option<BTreeSet<String>> {
        let granted = self.producers.get(producer).and_then(|producer| producer.llm.roles.clone());
        let granted: Option<BTreeSet<String>> = granted.map(|roles| roles.into_iter().collect());
        if producer.as_str() != LLM_FALLBACK {
            return granted;
        }
        Some(match (stage.map(|stage| self.role_of(stage)), granted) {
            (Some(role), None) => BTreeSet::from([role]),
            (Some(role), Some(granted)) => granted.into_iter().filter(|granted| *granted == role).collect(),
            (None, granted) => granted.unwrap_or_else(|| self.known_roles()),
        })
    }

    /// Every role that is known by name: those of the default pipeline, and those of the configuration. A stage that has no
    /// role by either is done in the role of its own name, which only its pipeline knows.
    pub fn known_roles(&self) -> BTreeSet<String> {
        let default = ROLES.iter().map(|(_, role)| (*role).to_owned());
        let comment = self.llm.comment.then(|| COMMENTATOR.to_owned());
        let configured = self.roles.keys().chain(self.llm.stages.values()).cloned();
        default.chain(comment).chain(configured).collect()
    }

    /// Files whose content is nobody's but the host's: keys, and this configuration.
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let own = self.roles.values().filter_map(|role| role.model.key_file.clone());
        let keys = own.chain(self.model.key_file.clone());
        let targets = self.ssh_targets.values().flat_map(|target| [&target.identity, &target.config]);
        keys.chain(targets.flatten().cloned()).chain(self.file.clone()).collect()
    }

    /// The budgets that outlive a run, in millionths of a US dollar: of a task, and of a day.
    pub fn lasting_budgets(&self) -> (Option<u64>, Option<u64>) {
        (
            self.llm.budget_task_usd.map(|money| money.micro_usd()),
            self.llm.budget_day_usd.map(|money| money.micro_usd()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_without_a_role_of_its_own_is_done_in_the_one_of_its_name() {
        let config = Config::load(&crate::config::Sources::default()).unwrap();
        let fallback: ProducerName = LLM_FALLBACK.parse().unwrap();
        let roles = config.roles_of(&fallback, Some(&"lint".parse().unwrap())).unwrap();
        assert_eq!(roles, BTreeSet::from(["lint".to_owned()]));
    }

    #[test]
    fn another_program_does_not_get_the_arguments_of_the_first() {
        let base =
            Model { args: Some(vec!["-p".to_owned()]), output: Some(AgentSays::Text), ..Model::default() };
        let own = Model { program: Some(Program::named("codex")), ..Model::default() };
        let model = own.over(&base);
        assert_eq!((model.args, model.output), (None, None));
    }

    #[test]
    fn another_server_is_not_sent_the_key_of_the_first() {
        let base = Model {
            url: Some("http://a/v1".to_owned()),
            key_file: Some(PathBuf::from("/key")),
            price_in_usd: None,
            ..Model::default()
        };
        let own = Model { url: Some("http://b/v1".to_owned()), ..Model::default() };
        assert_eq!(own.over(&base).key_file, None);
        assert_eq!(Model::default().over(&base).key_file, Some(PathBuf::from("/key")));
    }
}
