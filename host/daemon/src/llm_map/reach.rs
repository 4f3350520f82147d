//! By which ways a producer reaches a model: its `llm` import, and every other grant that leads to one.
//!
//! A component without the import could still start an agent that it is granted as a program, read a model's server as an
//! endpoint, or be handed a model's credential. What an ssh target or a suite's own code does is not looked into: that is
//! the code under examination, and its answers reach control flow only as the exit code of a program.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_sandbox::Capability;

use crate::config::{BUILT_IN, Config};
use crate::programs;

/// A way to a model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", tag = "by", content = "name")]
pub enum Reach {
    /// The component imports `llm`.
    Import,
    /// A granted program is an agent.
    Program(String),
    /// A granted program runs any other, or reaches any server.
    AnyProgram(String),
    /// A granted target runs anything.
    Target(String),
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
/// Programs by which anything can be reached: shells, interpreters, clients. What a built-in runner starts by them is the
/// suite; a foreign producer says by itself what they run.
const ANYTHING: [&str; 24] = [
    "bash", "bun", "busybox", "curl", "dash", "deno", "docker", "env", "node", "npx", "nc", "perl", "php",
    "podman", "python", "python3", "ruby", "sh", "socat", "ssh", "sudo", "wget", "xargs", "zsh",
];
/// Hosts that are known to serve models.
const SERVERS: [&str; 8] = [
    "api.anthropic.com",
    "api.cohere.com",
    "api.deepseek.com",
    "api.groq.com",
    "api.mistral.ai",
    "api.openai.com",
    "generativelanguage.googleapis.com",
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
        let foreign = !BUILT_IN.contains(&producer.as_str());
        for (name, program) in config.programs(producer, repo).unwrap_or_default() {
            if agents.is_one(program.as_path()) {
                reaches.push(Reach::Program(name));
            } else if foreign && names(program.as_path()).iter().any(|name| ANYTHING.contains(&name.as_str()))
            {
                reaches.push(Reach::AnyProgram(name));
            }
        }
        let variables = config.producers.get(producer).map(|producer| producer.process.variables.reveal());
        let known = variables.into_iter().flat_map(BTreeMap::keys).filter(|name| is_of_a_model(name));
        reaches.extend(known.map(|name| Reach::Variable(name.clone())));
    }
    if imports.contains(&Capability::Probe) {
        let served = servers(config);
        for (name, address) in config.endpoints(producer).unwrap_or_default() {
            if authority(&address).is_some_and(|host| served.contains(&host)) {
                reaches.push(Reach::Endpoint(name));
            }
        }
    }
    if imports.contains(&Capability::Ssh) && !BUILT_IN.contains(&producer.as_str()) {
        reaches.extend(config.targets(producer, repo).unwrap_or_default().into_keys().map(Reach::Target));
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

    fn is_one(&self, program: &Path) -> bool {
        names(program).iter().any(|name| self.0.contains(name))
    }
}

/// The name of a program, and of what it really is where it is a link.
fn names(program: &Path) -> Vec<String> {
    let found = programs::find(program, std::env::var_os("PATH").as_deref());
    let real = found.and_then(|file| file.canonicalize().ok());
    [Some(program), real.as_deref()].into_iter().flatten().filter_map(file_name).collect()
}

fn file_name(program: &Path) -> Option<String> {
    Some(program.file_name()?.to_str()?.to_ascii_lowercase())
}

fn servers(config: &Config) -> Vec<String> {
    let configured = config.known_roles().into_iter().filter_map(|role| config.model_of(&role).url);
    let configured = configured.filter_map(|url| authority(&url));
    let known = SERVERS.iter().filter_map(|server| authority(&format!("https://{server}")));
    let local = authority("http://localhost:11434");
    known.chain(local).chain(configured).collect()
}

/// Host and port of an address, in one way of writing: lower case, the port always there, one name for this machine.
fn authority(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?.to_ascii_lowercase();
    let default = if scheme.eq_ignore_ascii_case("https") { "443" } else { "80" };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) => {
            (host, port)
        }
        _ => (authority.as_str(), default),
    };
    let here = ["localhost", "[::1]"].contains(&host) || host.starts_with("127.");
    Some(format!("{}:{port}", if here { "localhost" } else { host }))
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
    fn an_address_is_the_same_however_it_is_written() {
        for (one, other) in [
            ("https://API.openai.com/v1", "https://api.openai.com:443"),
            ("http://127.0.0.1:11434", "http://localhost:11434/api"),
            ("http://[::1]:11434/", "http://localhost:11434"),
        ] {
            assert_eq!(authority(one), authority(other));
        }
        assert_ne!(authority("http://a:1"), authority("http://a:2"));
    }

    #[test]
    fn a_foreign_producer_with_a_shell_or_a_target_could_reach_anything() {
        let text = "[producers.mine]\ncomponent = \"/x.wasm\"\nsha256 = \"SHA\"\n\
                    [producers.mine.grants.process]\nprograms = { run = \"bash\", make = \"make\" }\n\
                    [producers.mine.grants.ssh]\ntargets = [\"far\"]\n[ssh.targets.far]\nhost = \"far\"\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text.replace("SHA", &"0".repeat(64))).unwrap();
        let sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
        let config = Config::load(&sources).unwrap();
        let imports = [Capability::Process, Capability::Ssh];
        let found =
            of(&config, &ProducerName::new("mine").unwrap(), &RepoName::new("shop").unwrap(), &imports);
        assert_eq!(found, [Reach::AnyProgram("run".to_owned()), Reach::Target("far".to_owned())]);
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
