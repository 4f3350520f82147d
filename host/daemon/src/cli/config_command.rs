//! `config show` and `config check`: what holds, and whether it can hold.

use clap::Subcommand;

use super::output::{print, print_json};
use super::{Failure, Global};
use crate::config::{Config, Override, Sources, Style};
use crate::exit::Exit;
use crate::logging;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show every key with the value that holds
    #[command(after_help = "Examples:\n  stagewright config show --origin\n  stagewright config show --json")]
    Show {
        /// Say where each value comes from: default, file and line, variable, or flag
        #[arg(long)]
        origin: bool,
    },
    /// Look whether the configuration is right, and do nothing else
    #[command(after_help = "Example:\n  stagewright config check --config stagewright.toml")]
    Check,
}

pub(crate) fn config(global: &Global, command: &ConfigCommand) -> Result<Exit, Failure> {
    let sources = sources(global);
    let config = Config::load(&sources)?;
    match command {
        ConfigCommand::Show { .. } if global.json => print_json(&config.to_json()),
        ConfigCommand::Show { origin } => print(&config.to_toml(Style { origin: *origin })),
        ConfigCommand::Check if global.json => {
            print_json(&serde_json::json!({"ok": true, "file": config.file}));
        }
        ConfigCommand::Check => print(&checked(&config, &sources)),
    }
    Ok(Exit::Success)
}

fn checked(config: &Config, sources: &Sources) -> String {
    match (&config.file, sources.user_file()) {
        (Some(file), _) => format!("{} is right\n", file.display()),
        (None, Some(file)) => {
            format!("there is no {}; defaults, variables and flags are right\n", file.display())
        }
        (None, None) => "no configuration file; defaults, variables and flags are right\n".to_owned(),
    }
}

/// The configuration of this call. From here on this process logs as it says.
pub(crate) fn load(global: &Global) -> Result<Config, Failure> {
    let config = Config::load(&sources(global))?;
    logging::begin(&config.log);
    Ok(config)
}

/// Where the configuration of this call comes from. `--set` stands above the flags that have a key.
fn sources(global: &Global) -> Sources {
    let state_dir = global.state_dir.iter().map(|folder| Override {
        flag: "--state-dir".to_owned(),
        key: "state.dir".to_owned(),
        value: folder.to_string_lossy().into_owned(),
    });
    let set = global.set.iter().map(|setting| Override {
        flag: "--set".to_owned(),
        key: setting.key.clone(),
        value: setting.value.clone(),
    });
    Sources::of_process(global.config.clone(), state_dir.chain(set).collect())
}
