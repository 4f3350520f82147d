//! The command line: what can be asked, and which module answers.
//!
//! Parsing and dispatch only. Every command is a module of its own that returns how it ended; this one turns
//! an error into one message on standard error and an exit code (S2).

mod completions;
mod config_command;
mod demo;
mod doctor;
mod effect;
mod failure;
mod lease;
mod llm_map;
mod output;
mod plugin;
mod progress;
mod queue;
mod run;
mod run_report;
mod run_text;
mod serve;
mod setting;
mod task;
mod trial;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub(crate) use self::failure::{Failure, chain};
pub use self::run_report::RunReport;
use crate::exit::Exit;

/// Moves work items through a delivery pipeline whose facts are established by programs.
#[derive(Debug, Parser)]
#[command(name = "stagewright", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(
    after_help = "Examples:\n  stagewright run --repo . --work-item SHOP-12\n  stagewright doctor --repo .\n\nEvery command has --help with an example."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The configuration file [default: the user's stagewright.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE", env = "ORCH_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where state is kept [default: the user's state folder]
    #[arg(long, global = true, value_name = "FOLDER", env = "ORCH_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Set one configuration key for this call, such as test_runner.timeout_s=60 (may be given again)
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<setting::Setting>,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Do one stage for one work item of a local repository
    Run(run::RunArgs),
    /// Work on the queue until told to stop: the daemon
    Serve(serve::ServeArgs),
    /// Show what this does on a small project that it makes
    Demo(demo::DemoArgs),
    /// Check for real what a run needs, and say how to mend what is missing
    Doctor(doctor::DoctorArgs),
    /// Look at tasks; hold, resume, retry, move or cancel them
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// Look at edge effects, and settle those whose end nobody knows
    #[command(subcommand)]
    Effect(effect::EffectCommand),
    /// Show what runs, what waits and for what
    Queue(queue::QueueArgs),
    /// Look at transition leases; take one away
    #[command(subcommand)]
    Lease(lease::LeaseCommand),
    /// Look at producers
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Show where a model's judgement is used, and what it has cost
    LlmMap(llm_map::LlmMapArgs),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config_command::ConfigCommand),
    /// Print the completions for a shell
    Completions(completions::CompletionsArgs),
    /// Compile one component for the cache, in a process of its own
    #[command(hide = true)]
    CompileComponent(plugin::CompileArgs),
}

/// Reads the command line, runs the command, and gives the exit code.
pub fn main() -> ExitCode {
    run_from(std::env::args_os()).into()
}

fn run_from(args: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(settings_first(args)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for and go to standard output; everything else is wrong use.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Success };
            let _ = error.print();
            return exit;
        }
    };
    let json = cli.global.json;
    match dispatch(cli) {
        Ok(exit) => exit,
        Err(failure) => {
            failure.tell(json);
            failure.exit()
        }
    }
}

/// Puts every `--set` before the command. clap takes those behind the command *instead* of those before it, and a setting
/// that is silently lost is worse than one that is refused.
fn settings_first(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args = args.into_iter();
    let mut first: Vec<OsString> = args.next().into_iter().collect();
    let mut rest = Vec::new();
    while let Some(arg) = args.next() {
        if arg == "--" {
            rest.push(arg);
            break;
        }
        if arg == "--set" {
            first.push(arg);
            first.extend(args.next());
        } else if arg.to_str().is_some_and(|arg| arg.starts_with("--set=")) {
            first.push(arg);
        } else {
            rest.push(arg);
        }
    }
    first.extend(rest);
    first.extend(args);
    first
}

fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Run(args) => block_on(run::run(&global, &args)),
        Command::Serve(args) => block_on(serve::serve(&global, &args)),
        Command::Demo(args) => block_on(demo::demo(&global, &args)),
        Command::Doctor(args) => block_on(doctor::doctor(&global, &args)),
        Command::Task(command) => block_on(task::task(&global, &command)),
        Command::Effect(command) => block_on(effect::effect(&global, &command)),
        Command::Queue(args) => block_on(queue::queue(&global, &args)),
        Command::Lease(command) => block_on(lease::lease(&global, &command)),
        Command::Plugin(command) => block_on(plugin::plugin(&global, &command)),
        Command::LlmMap(args) => block_on(llm_map::llm_map(&global, &args)),
        Command::Config(command) => config_command::config(&global, &command),
        Command::Completions(args) => completions::completions(&args, &mut Cli::command()),
        Command::CompileComponent(args) => plugin::compile(&args),
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal("the async runtime could not be started", &error))?
        .block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_before_and_behind_the_command_all_hold() {
        let args = "stagewright --set a.b=1 task --set=c.d=2 list --set e.f=3 --json -- --set g.h=4";
        let sorted = settings_first(args.split(' ').map(OsString::from));
        let text: Vec<&str> = sorted.iter().filter_map(|arg| arg.to_str()).collect();
        assert_eq!(
            text.join(" "),
            "stagewright --set a.b=1 --set=c.d=2 --set e.f=3 task list --json -- --set g.h=4"
        );
        let cli = Cli::try_parse_from(&sorted[..sorted.len() - 3]).unwrap();
        assert_eq!(cli.global.set.len(), 3);
    }

    #[test]
    fn every_command_has_an_example_in_its_help() {
        fn look(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
                let path = format!("{path} {}", sub.get_name());
                if sub.has_subcommands() {
                    look(sub, &path);
                } else {
                    let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                    assert!(help.contains("Example"), "{path} has no example");
                }
            }
        }
        look(&Cli::command(), "stagewright");
    }
}
