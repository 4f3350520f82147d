//! `completions`: what a shell needs to complete this program's command line.

use clap::Args;
use clap_complete::Shell;

use super::Failure;
use super::output::print;
use crate::exit::Exit;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  stagewright completions bash > ~/.local/share/bash-completion/completions/stagewright"
)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn completions(args: &CompletionsArgs, command: &mut clap::Command) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "stagewright", &mut script);
    print(&String::from_utf8_lossy(&script));
    Ok(Exit::Success)
}
