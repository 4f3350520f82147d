//! The program `stagewright`: reads the command line, runs one command, turns its end into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    stagewright::cli::main()
}
