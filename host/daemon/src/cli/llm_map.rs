//! `llm-map`: where a model's judgement is used, and what it has cost (P7).

use std::path::Path;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_sandbox::Capability;
use stagewright_store::request::model::RoleSpending;

use super::config_command::load;
use super::output::{print, print_json};
use super::plugin::Workshop;
use super::{Failure, Global};
use crate::actor::Pipelines;
use crate::config::{COMMENTATOR, Config};
use crate::exit::Exit;
use crate::host;
use crate::installation::Installation;
use crate::llm_map::{self, Map, Reaches, reach};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  stagewright llm-map\n  stagewright llm-map --format json\n  stagewright llm-map --repo shop\n\nIt looks at the components' imports, the grants and the pipeline, and at what runs have cost on this store. It asks no\nmodel."
)]
pub(crate) struct LlmMapArgs {
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Md)]
    format: Format,
    /// A repository of the configuration, with its own pipeline and grants [default: what holds for everybody]
    #[arg(long, value_name = "NAME")]
    repo: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Markdown
    Md,
    /// JSON
    Json,
}

pub(crate) async fn llm_map(global: &Global, args: &LlmMapArgs) -> Result<Exit, Failure> {
    let config = std::sync::Arc::new(load(global)?);
    let repo = repo(&config, args.repo.as_deref())?;
    let pipelines = Pipelines::read(&config)?;
    let pipeline = pipelines.of(&repo);
    let producers = pipeline.stages().iter().filter_map(|stage| stage.work.as_ref());
    let producers = producers.flat_map(|work| [Some(&work.producer), work.fallback.as_ref()]).flatten();
    let reaches = reaches(&config, &repo, producers.cloned().collect()).await;
    let comments = config.llm.comment.then_some(COMMENTATOR);
    let map = llm_map::derive(pipeline, &reaches, |stage| config.role_of(stage), comments);
    let spent = spent(&config).await?;
    match args.format {
        Format::Json => print_json(&object(&map, &spent)),
        Format::Md if global.json => print_json(&object(&map, &spent)),
        Format::Md => print(&page(&map, &spent)),
    }
    Ok(Exit::Success)
}

fn repo(config: &Config, name: Option<&str>) -> Result<RepoName, Failure> {
    let Some(name) = name else { return Ok(RepoName::new("unnamed")?) };
    let repo = RepoName::new(name)?;
    if !config.repos.contains_key(&repo) {
        let known: Vec<&str> = config.repos.keys().map(RepoName::as_str).collect();
        return Err(Failure::usage(format!(
            "the configuration has no repository `{repo}` (it has: {})",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        )));
    }
    Ok(repo)
}

/// By which ways each producer reaches a model. One whose component can't be looked at is left out: it could.
async fn reaches(
    config: &Config,
    repo: &RepoName,
    producers: std::collections::BTreeSet<ProducerName>,
) -> Reaches {
    let mut reaches = Reaches::new();
    let (Ok(workshop), Ok(installation)) = (Workshop::open(config), Installation::find()) else {
        return reaches;
    };
    for name in producers {
        match workshop.imports(config, &installation, &name).await {
            Ok(imports) => {
                let imports: Vec<Capability> = imports.capabilities.into_iter().collect();
                reaches.insert(name.clone(), reach::of(config, &name, repo, &imports));
            }
            Err(error) => tracing::warn!(producer = %name, %error, "its component can't be looked at"),
        }
    }
    reaches
}

/// What roles have cost on this store, if there is one.
async fn spent(config: &Config) -> Result<Vec<RoleSpending>, Failure> {
    let Ok(state) = host::state_location(config) else { return Ok(Vec::new()) };
    let file = state.join("store.sqlite3");
    if !Path::new(&file).is_file() {
        return Ok(Vec::new());
    }
    Ok(host::open_store(file).await?.spending_by_role().await?)
}

fn page(map: &Map, spent: &[RoleSpending]) -> String {
    format!(
        "# Where a model is asked\n\n{}\n# What it costs\n\n{}",
        llm_map::call_sites(map),
        llm_map::roadmap(map, spent)
    )
}

fn object(map: &Map, spent: &[RoleSpending]) -> Value {
    let spent: Vec<Value> = spent
        .iter()
        .map(|role| {
            json!({
                "role": role.role,
                "stage": role.stage.as_str(),
                "producer": role.producer.as_str(),
                "runs": role.runs,
                "calls": role.spending.calls,
                "failed": role.failed,
                "micro_usd": role.spending.micro_usd,
                "unknown_cost": role.spending.unknown,
                "tokens_in": role.tokens_in,
                "tokens_out": role.tokens_out,
                "duration_ms": role.duration.as_millis(),
            })
        })
        .collect();
    json!({"call_sites": map.call_sites, "deterministic": map.deterministic, "spent": spent})
}
