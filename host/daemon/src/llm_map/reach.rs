//! By which ways a producer reaches a model: its `llm` import, and every other grant that leads to one.
//!
//! A component without the import could still start an agent that it is granted as a program, read a model's server as an
//! endpoint, or be handed a model's credential. What an ssh target or a suite's own code does is not looked into: that is
//! the code under examination, and its answers reach control flow only as the exit code of a program.

use std::collections::BTreeMap;

use serde::Serialize;
use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_sandbox::Capability;

use crate::config::Config;

/// A way to a model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "by", content = "name")]
pub enum Reach {
    /// The component imports `llm`.
    Import,
    /// A granted program is an agent.
    Program(String),
    /// A granted endpoint is a model's server.
    Endpoint(String),
    /// Its processes are given a model's credential.
    Variable(String),
    /// It is the host itself, by its one seam.
    Seam,
    /// Nothing is known of the component.
    Unknown,
}

/// Programs that are known to ask a model, by the name of their file.
const AGENTS: [&str; 16] = [
    "aichat",
    "aider",
    "amp",
    "claude",
    "codex",
    "copilot",
    "crush",
    "cursor-agent",
    "gemini",
    "goose",
    "llama-cli",
    "llama-server",
    "llm",
    "ollama",
    "opencode",
    "qwen",
];
/// Hosts that are known to serve models.
const SERVERS: [&str; 9] = [
    "api.anthropic.com",
    "api.cohere.com",
    "api.deepseek.com",
    "api.groq.com",
    "api.mistral.ai",
    "api.openai.com",
    "generativelanguage.googleapis.com",
    "localhost:11434",
    "openrouter.ai",
];
/// Beginnings of variables that hold a model's credential or address.
const VARIABLES: [&str; 9] =
    ["ANTHROPIC_", "AWS_BEDROCK_", "CLAUDE_", "CODEX_", "GEMINI_", "GROQ_", "MISTRAL_", "OLLAMA_", "OPENAI_"];

/// Every way by which a producer reaches a model, in order.
pub fn of(config: &Config, producer: &ProducerName, repo: &RepoName, imports: &[Capability]) -> Vec<Reach> {
    let mut reaches = Vec::new();
    if imports.contains(&Capability::Llm) {
        reaches.push(Reach::Import);
    }
    // What is granted and not imported is out of reach.
    if imports.contains(&Capability::Process) {
        let agents = Agents::of(config);
        for (name, program) in config.programs(producer, repo).unwrap_or_default() {
            if agents.is_one(program.as_path()) {
                reaches.push(Reach::Program(name));
            }
        }
        let variables = config.producers.get(producer).map(|producer| producer.process.variables.reveal());
        let known = variables.into_iter().flat_map(BTreeMap::keys).filter(|name| is_of_a_model(name));
        reaches.extend(known.map(|name| Reach::Variable(name.clone())));
    }
    if imports.contains(&Capability::Probe) {
        let served = servers(config);
        for (name, address) in config.endpoints(producer).unwrap_or_default() {
            if authority(&address).is_some_and(|host| served.iter().any(|server| server == host)) {
                reaches.push(Reach::Endpoint(name));
            }
        }
    }
    reaches
}

/// The file names of agents: the known ones, and those of the configuration.
struct Agents(Vec<String>);

impl Agents {
    fn of(config: &Config) -> Self {
        let mut names: Vec<String> = AGENTS.map(str::to_owned).to_vec();
        let configured = config.known_roles().into_iter().map(|role| config.model_of(&role).program());
        names.extend(configured.filter_map(|program| file_name(program.as_path())));
        Self(names)
    }

    fn is_one(&self, program: &std::path::Path) -> bool {
        file_name(program).is_some_and(|name| self.0.contains(&name))
    }
}

fn file_name(program: &std::path::Path) -> Option<String> {
    Some(program.file_name()?.to_str()?.to_ascii_lowercase())
}

fn servers(config: &Config) -> Vec<String> {
    let configured = config.known_roles().into_iter().filter_map(|role| config.model_of(&role).url);
    let configured = configured.filter_map(|url| authority(&url).map(str::to_owned));
    SERVERS.map(str::to_owned).into_iter().chain(configured).collect()
}

/// Host and port of an address.
fn authority(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("://")?;
    rest.split(['/', '?', '#']).next()
}

fn is_of_a_model(variable: &str) -> bool {
    VARIABLES.iter().any(|beginning| variable.to_ascii_uppercase().starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Override, Sources};

    fn reaches(settings: &[(&str, &str)], imports: &[Capability]) -> Vec<Reach> {
        let set = |(key, value): &(&str, &str)| Override {
            flag: "--set".to_owned(),
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        let sources = Sources { overrides: settings.iter().map(set).collect(), ..Sources::default() };
        let config = Config::load(&sources).unwrap();
        of(&config, &ProducerName::new("test-runner").unwrap(), &RepoName::new("shop").unwrap(), imports)
    }

    const ALL: [Capability; 3] = [Capability::Process, Capability::Files, Capability::Probe];

    #[test]
    fn what_the_runners_have_by_themselves_reaches_none() {
        assert_eq!(reaches(&[], &ALL), []);
    }

    #[test]
    fn an_import_is_a_way_even_if_nothing_is_granted() {
        assert_eq!(reaches(&[], &[Capability::Llm]), [Reach::Import]);
    }

    #[test]
    fn an_agent_is_known_by_its_file_and_by_the_configuration() {
        let grant = "producers.test-runner.grants.process.programs";
        let programs = "{ helper = \"/opt/bin/claude\", mine = \"own-agent\", make = \"make\" }";
        let found = reaches(&[(grant, programs), ("llm.roles.tester.program", "own-agent")], &ALL);
        assert_eq!(found, [Reach::Program("helper".to_owned()), Reach::Program("mine".to_owned())]);
        assert_eq!(reaches(&[(grant, programs)], &[Capability::Files]), [], "it can't start them");
    }

    #[test]
    fn a_server_and_a_credential_are_ways_too() {
        let found = reaches(
            &[
                (
                    "producers.test-runner.grants.probe.endpoints",
                    "{ ai = \"http://127.0.0.1:9/x\", app = \"http://a/\" }",
                ),
                ("producers.test-runner.grants.process.variables", "{ OPENAI_API_KEY = \"k\", DB = \"d\" }"),
                ("llm.url", "http://127.0.0.1:9/v1"),
            ],
            &ALL,
        );
        assert_eq!(found, [Reach::Variable("OPENAI_API_KEY".to_owned()), Reach::Endpoint("ai".to_owned())]);
    }
}
