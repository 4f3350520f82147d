//! `plugin list` and `plugin inspect`: which producers there are, what they could reach and what they may.
//!
//! The import list of a component is the list of what it could reach, so that is said before it is run for the
//! first time. It is loaded and asked what it is; it is given neither work nor capability.

mod workshop;

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use clap::{Args, Subcommand};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::{Value, json};
use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_sandbox::{Capability, Descriptor};

pub(crate) use self::workshop::{Inspected, Workshop};
use super::config_command::load;
use super::output::{print, print_json};
use super::progress::printable;
use super::{Failure, Global};
use crate::config::Config;
use crate::exit::Exit;
use crate::installation::Installation;

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// List the producers, with what they import and what they are granted
    #[command(after_help = "Example:\n  stagewright plugin list --json")]
    List,
    /// Show one producer, or a component's file before it is configured
    #[command(
        after_help = "Examples:\n  stagewright plugin inspect test-runner\n  stagewright plugin inspect ./linter.wasm --json"
    )]
    Inspect {
        /// The producer's name, or the component's file
        #[arg(value_name = "NAME|FILE")]
        what: String,
    },
}

/// The compiling child takes a component on standard input and nothing else.
#[derive(Debug, Args)]
pub(crate) struct CompileArgs {}

pub(crate) async fn plugin(global: &Global, command: &PluginCommand) -> Result<Exit, Failure> {
    let config = load(global)?;
    let workshop = Workshop::open(&config)
        .map_err(|error| Failure::internal("no component can be looked at", &error))?;
    match command {
        PluginCommand::List => list(global, &config, &workshop).await,
        PluginCommand::Inspect { what } => inspect(global, &config, &workshop, what).await,
    }
}

async fn list(global: &Global, config: &Config, workshop: &Workshop) -> Result<Exit, Failure> {
    let installation = Installation::find()?;
    let mut objects = Vec::new();
    for name in config.producers.keys() {
        let found = workshop.producer(config, &installation, name, &any_repo()?).await;
        match (&found, global.json) {
            (Ok(found), true) => objects.push(object(name.as_str(), found)),
            (Err(error), true) => objects.push(json!({"name": name, "error": error.to_string()})),
            (Ok(found), false) => print(&line(name, found)),
            (Err(error), false) => {
                print(&format!("{name}\n  can't be used: {}\n", printable(&error.to_string())))
            }
        }
    }
    if global.json {
        print_json(&json!({"producers": objects}));
    }
    Ok(Exit::Success)
}

fn line(name: &ProducerName, found: &Inspected) -> String {
    let whose = if found.built_in { "built in".to_owned() } else { found.file.display().to_string() };
    let Descriptor { version, summary, .. } = &found.descriptor;
    format!(
        "{name} {} ({whose})\n  {}\n  imports: {}\n  sha256:  {}\n",
        printable(version),
        printable(summary),
        names(found.producer.imports().capabilities.iter()),
        found.producer.digest()
    )
}

async fn inspect(global: &Global, config: &Config, workshop: &Workshop, what: &str) -> Result<Exit, Failure> {
    let named = ProducerName::new(what).ok().filter(|name| config.producers.contains_key(name));
    let found = match &named {
        Some(name) => workshop.producer(config, &Installation::find()?, name, &any_repo()?).await,
        None if Path::new(what).exists() || what.contains(['/', '.']) => workshop.file(Path::new(what)).await,
        None => return Err(unknown(config, what)),
    };
    let found = found.map_err(|error| Failure::usage(error.to_string()))?;
    let name = named.as_ref().map_or(found.producer.name(), ProducerName::as_str);
    match global.json {
        true => print_json(&object(name, &found)),
        false => print(&text(name, config, &found)),
    }
    Ok(Exit::Success)
}

fn unknown(config: &Config, what: &str) -> Failure {
    let known: Vec<&str> = config.producers.keys().map(ProducerName::as_str).collect();
    Failure::usage(format!(
        "there is no producer `{}` and no such file; the producers are: {}",
        printable(what),
        known.join(", ")
    ))
}

/// What is granted to a producer is looked at without a repository of its own settings.
fn any_repo() -> Result<RepoName, Failure> {
    Ok(RepoName::new("unnamed")?)
}

fn text(name: &str, config: &Config, found: &Inspected) -> String {
    let Descriptor { name: own, version, summary, stages, settings_schema } = &found.descriptor;
    let imports = &found.producer.imports().capabilities;
    let mut text = format!("{name}: {} {}\n{}\n\n", printable(own), printable(version), printable(summary));
    let _ = writeln!(
        text,
        "file      {}{}",
        found.file.display(),
        if found.built_in { " (built in)" } else { "" }
    );
    let _ = writeln!(text, "sha256    {}", found.producer.digest());
    let stages = if stages.is_empty() { "any".to_owned() } else { printable(&stages.join(", ")) };
    let _ = writeln!(text, "stages    {stages}");
    let _ = writeln!(text, "imports   {}", names(imports.iter()));
    let wasi = found.producer.imports().wasi.len();
    if wasi > 0 {
        let _ = writeln!(text, "wasi      {wasi} interfaces: clock, randomness and log; no file, no network");
    }
    match &found.granted {
        Some(granted) => {
            let _ = writeln!(text, "granted   {}", names(granted.iter()));
            text.push_str(&grants(name, config));
        }
        None => text.push_str(&proposal(name, found)),
    }
    let settings = settings(settings_schema);
    if !settings.is_empty() {
        let _ = writeln!(text, "settings  {}", settings.join(", "));
    }
    text
}

/// What the grants of a configured producer reach.
fn grants(name: &str, config: &Config) -> String {
    let mut text = String::new();
    let (Ok(name), Ok(repo)) = (ProducerName::new(name), any_repo()) else { return text };
    for (program, path) in config.programs(&name, &repo).unwrap_or_default() {
        let _ = writeln!(text, "          program {} -> {}", printable(&program), path.as_path().display());
    }
    for (endpoint, address) in config.endpoints(&name).unwrap_or_default() {
        let _ = writeln!(text, "          endpoint {} -> {}", printable(&endpoint), printable(&address));
    }
    for (target, facts) in config.targets(&name, &repo).unwrap_or_default() {
        let host = facts.host.unwrap_or_default();
        let _ = writeln!(text, "          target {} -> {}", printable(&target), printable(&host));
    }
    let roles: Vec<String> = config.roles_of(&name, None).unwrap_or_default().into_iter().collect();
    if !roles.is_empty() {
        let _ = writeln!(text, "          roles {}", printable(&roles.join(", ")));
    }
    text
}

/// What to write into the configuration so that this file is a producer.
fn proposal(name: &str, found: &Inspected) -> String {
    let name = ProducerName::new(name.replace('_', "-")).map_or_else(|_| "<name>".to_owned(), String::from);
    let mut text = format!(
        "\nTo use it, read what it imports, and add:\n\n  [producers.{name}]\n  component = {:?}\n  sha256 = \"{}\"\n",
        found.file.display().to_string(),
        found.producer.digest()
    );
    for capability in &found.producer.imports().capabilities {
        let grant = match capability {
            Capability::Process => "process.programs = {}  # name = \"path\"",
            Capability::Files => "files = true",
            Capability::Probe => "probe.endpoints = {}  # name = \"http://…\"",
            Capability::Ssh => "ssh.targets = []  # names of [ssh.targets.<name>]",
            Capability::Llm => "llm.roles = []  # such as \"analyst\"",
        };
        if !text.contains(".grants]") {
            let _ = writeln!(text, "  [producers.{name}.grants]");
        }
        let _ = writeln!(text, "  {grant}");
    }
    text.push('\n');
    text
}

fn object(name: &str, found: &Inspected) -> Value {
    let names = |set: &std::collections::BTreeSet<Capability>| -> Vec<&str> {
        set.iter().map(|it| it.name()).collect()
    };
    let Descriptor { name: own, version, summary, stages, settings_schema } = &found.descriptor;
    // A component that answers something else than JSON is shown with its own words.
    let schema =
        serde_json::from_str(settings_schema).unwrap_or_else(|_| Value::from(settings_schema.as_str()));
    json!({
        "name": name,
        "component": {"name": own, "version": version, "summary": summary, "stages": stages},
        "file": found.file,
        "built_in": found.built_in,
        "sha256": found.producer.digest(),
        "imports": names(&found.producer.imports().capabilities),
        "wasi": found.producer.imports().wasi,
        "granted": found.granted.as_ref().map(names),
        "settings_schema": schema,
    })
}

fn names<'a>(capabilities: impl Iterator<Item = &'a Capability>) -> String {
    let names: Vec<&str> = capabilities.map(|capability| capability.name()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// The keys of a settings schema.
fn settings(schema: &str) -> Vec<String> {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    let keys = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|keys| keys.keys());
    keys.map(|key| printable(key)).collect()
}

/// The largest component that is compiled, in bytes: as much as is loaded.
const MAX_COMPONENT: u64 = 256 << 20;
/// What the compiling child may take of the machine: processor seconds, and bytes of address space.
const COMPILE_CPU: u64 = 300;
const COMPILE_SPACE: u64 = 8 << 30;

/// The compiling child (hidden): a component on standard input, its compiled form on standard output. It limits
/// itself first, so that a component that is made to be hard to compile takes this process down and no other.
pub(crate) fn compile(_: &CompileArgs) -> Result<Exit, Failure> {
    let limits = [
        (Resource::Cpu, COMPILE_CPU),
        (Resource::As, COMPILE_SPACE),
        (Resource::Core, 0),
        // It writes to its standard output, a pipe, and to no file.
        (Resource::Fsize, 0),
    ];
    for (resource, limit) in limits {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        setrlimit(resource, limit).map_err(|error| {
            Failure::internal("the compiling process can't be limited", &io::Error::from(error))
        })?;
    }
    let mut component = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_COMPONENT + 1)
        .read_to_end(&mut component)
        .map_err(|error| Failure::internal("the component can't be read", &error))?;
    if component.len() as u64 > MAX_COMPONENT {
        return Err(Failure::usage(format!("the component has more than {MAX_COMPONENT} bytes")));
    }
    let code =
        stagewright_sandbox::precompile(&component).map_err(|error| Failure::usage(error.to_string()))?;
    let mut out = io::stdout().lock();
    out.write_all(&code)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::internal("the compiled component can't be handed over", &error))?;
    Ok(Exit::Success)
}
