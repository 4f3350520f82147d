//! Measures the host against bare baselines: `cargo xtask bench` calls this and writes the table.
//!
//! Each bar is a module: what is measured, and beside it the barest thing that does the same. Both alternate in one
//! process on one machine, so that a ratio means something although the machine has other things to do. It prints one
//! JSON object a row of the table.
//!
//! It refuses to judge a build: no test fails because of what it finds.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its answer is what it prints")]

mod claims;
mod clock;
mod component;
mod crowd;
mod daemon;
mod filled;
mod http;
mod instance;
mod measure;
mod process;
mod recovery;
mod start;
mod suite;
mod transition;
mod watchers;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::measure::{Failed, Row};

/// What a bar may use.
#[derive(Debug, Parser)]
struct Setting {
    /// The folder with `stagewright` and `stagewright-shepherd`.
    #[arg(long)]
    programs: PathBuf,
    /// The folder with the benches' own components.
    #[arg(long)]
    components: PathBuf,
    /// A folder on the disk that the store is measured on; what is left there is removed.
    #[arg(long)]
    scratch: PathBuf,
    /// A Python with pytest.
    #[arg(long)]
    python: PathBuf,
    /// Which bars; all if none is named.
    names: Vec<String>,
}

impl Setting {
    /// A new folder, not in `/tmp`: that may lie in memory, where a commit costs nothing.
    fn folder_on_disk(&self) -> std::io::Result<tempfile::TempDir> {
        std::fs::create_dir_all(&self.scratch)?;
        tempfile::tempdir_in(&self.scratch)
    }
}

/// The bars, in the order in which they are measured.
const BARS: [&str; 10] = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "B10"];

fn main() -> ExitCode {
    let setting = Setting::parse();
    if let Some(unknown) = setting.names.iter().find(|name| !BARS.contains(&name.to_uppercase().as_str())) {
        eprintln!("there is no bar `{unknown}`; the bars are {}", BARS.join(", "));
        return ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the runtime can't be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut code = ExitCode::SUCCESS;
    let wanted = |bar: &&str| {
        setting.names.is_empty() || setting.names.iter().any(|name| name.eq_ignore_ascii_case(bar))
    };
    for bar in BARS.into_iter().filter(wanted) {
        eprintln!("    measuring {bar}");
        match runtime.block_on(measured(bar, &setting)) {
            Ok(rows) => rows.iter().for_each(|row| println!("{}", row.json())),
            Err(error) => {
                eprintln!("{bar} could not be measured: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

async fn measured(bar: &str, setting: &Setting) -> Result<Vec<Row>, Failed> {
    let one = match bar {
        "B1" => instance::measure(setting).await,
        "B2" => transition::one_by_one(setting).await,
        "B3" => transition::at_once(setting).await,
        "B4" => process::measure(setting).await,
        "B5" => return crowd::measure(setting).await,
        "B6" => return claims::measure(setting).await,
        "B7" => return start::measure(setting).await,
        "B8" => return watchers::measure(setting).await,
        "B9" => return recovery::measure(setting).await,
        _ => suite::measure(setting),
    };
    Ok(vec![one?.into()])
}
