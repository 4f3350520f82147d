//! `cargo xtask`: the entry of a checkout. A fresh machine needs nothing but Rust, git, Python 3 and a C compiler;
//! everything else is found, installed, or named with the command that installs it.
//!
//! It refuses to be clever about what to build: cargo knows. What is here is the order of things, the second
//! compiler of the components, and how it all looks to the one who waits for it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the tasks of a checkout talk to the one who runs them"
)]

mod bench;
mod build;
mod command;
mod components;
mod demo;
mod error;
mod full_demo;
mod layers;
mod place;
mod setup;
mod soak;
mod step;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Error;
use crate::test::Selection;
use crate::workspace::{Profile, Workspace};

/// The tasks of this checkout.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find what the other tasks need, and install what is missing
    Setup,
    /// Build the components and lay them beside the programs
    Components {
        /// For the release build
        #[arg(long)]
        release: bool,
    },
    /// Build the program with everything that lies beside it
    Build {
        /// The release build
        #[arg(long)]
        release: bool,
    },
    /// Show the main job on a small project: a suite that passes, and one that fails
    Demo {
        /// The whole pipeline: agents (a script), an sshd on loopback, and a container where an engine runs
        #[arg(long)]
        full: bool,
    },
    /// Check form, layers, lints and documentation, and run every test
    Test {
        /// Leave out the end-to-end tests, the lints and the documentation
        #[arg(long)]
        quick: bool,
        /// Run only the tests whose name contains this
        filter: Option<String>,
    },
    /// Measure against bare baselines, and write docs/benchmarks.md
    Bench {
        /// The bars, such as B1; all if none is named
        names: Vec<String>,
    },
    /// Kill the daemon again and again at its work, and count what was lost or done twice
    Soak {
        /// How many times it is killed
        #[arg(long, default_value_t = 200)]
        kills: u32,
        /// Begins the row of random numbers; told at the start, so that a run can be had again
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Hold the running daemon's HTTP surface against its own document
    Api,
    /// Check which crate depends on which
    CheckLayers,
}

fn main() -> ExitCode {
    match perform(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Told) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nerror: {error}");
            ExitCode::FAILURE
        }
    }
}

fn api(workspace: &Workspace) -> Result<(), Error> {
    match test::api::run(workspace)? {
        test::api::Outcome::Good => Ok(()),
        test::api::Outcome::Skipped(why) => Err(Error::Verdict(format!("nothing was looked at: {why}"))),
    }
}

fn perform(task: Task) -> Result<(), Error> {
    let workspace = Workspace::find()?;
    match task {
        Task::Setup => setup::run(&workspace),
        Task::Components { release } => components::run(&workspace, Profile::of(release)),
        Task::Build { release } => {
            setup::run(&workspace)?;
            build::run(&workspace, Profile::of(release))
        }
        Task::Demo { full: false } => demo::run(&workspace),
        Task::Demo { full: true } => full_demo::run(&workspace),
        Task::Test { quick, filter } => test::run(&workspace, &Selection { quick, filter }),
        Task::Bench { names } => bench::run(&workspace, &names),
        Task::Soak { kills, seed } => soak::run(&workspace, kills, seed),
        Task::Api => api(&workspace),
        Task::CheckLayers => layers::run(&workspace),
    }
}
