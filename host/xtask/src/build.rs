//! Builds the program with everything that lies beside it: the components with their manifest, and the shepherd.
//!
//! The shepherd is started for every command of every run, so it is built small, and static where the machine has a
//! static C library: a static program starts without a dynamic linker.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command;
use crate::components;
use crate::error::Error;
use crate::place;
use crate::step::{say, step};
use crate::workspace::{Profile, Workspace};

/// Components, shepherd and program, in this order.
pub(crate) fn run(workspace: &Workspace, profile: Profile) -> Result<(), Error> {
    beside(workspace, profile)?;
    programs(workspace, profile, &["stagewright"])
}

/// Everything that lies beside the program.
pub(crate) fn beside(workspace: &Workspace, profile: Profile) -> Result<(), Error> {
    components::run(workspace, profile)?;
    step("shepherd", || shepherd(workspace, profile))
}

/// The named programs of the workspace.
///
/// Cargo is told the whole workspace and not the packages: it then chooses the features of every dependency as it does
/// for the tests, and nothing as large as wasmtime is compiled twice.
pub(crate) fn programs(workspace: &Workspace, profile: Profile, names: &[&str]) -> Result<(), Error> {
    step(&names.join(" and "), || {
        let mut build = workspace.cargo();
        build.args(["build", "--workspace"]);
        build.args(names.iter().flat_map(|name| ["--bin", name]));
        if profile == Profile::Release {
            build.arg("--release");
        }
        command::watch("building the programs", &mut build)?;
        for name in names {
            say(workspace.shown(&workspace.programs(profile).join(name)));
        }
        Ok(())
    })
}

/// Builds the shepherd and puts it beside the program.
fn shepherd(workspace: &Workspace, profile: Profile) -> Result<(), Error> {
    let host = host_target()?;
    let is_static = has_static_c_library();
    let mut build = workspace.cargo();
    build
        .args(["build", "--profile", "shepherd", "--package", "stagewright-shepherd", "--target", &host])
        .args(["--bin", "stagewright-shepherd"]);
    if is_static {
        // The named target keeps the flag away from build scripts and macros.
        build.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", "-C target-feature=+crt-static");
    }
    command::watch("building the shepherd", &mut build)?;
    let built = workspace.target().join(&host).join("shepherd/stagewright-shepherd");
    let bytes = fs::read(&built).map_err(Error::file(&built))?;
    let kind = if is_static { "static" } else { "dynamic: no static C library here" };
    let path = workspace.programs(profile).join("stagewright-shepherd");
    say(format!("{} ({} KiB, {kind})", workspace.shown(&path), bytes.len().div_ceil(1024)));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(Error::file(folder))?;
    }
    place::program(&path, &bytes)
}

/// The target that this machine's programs are built for.
fn host_target() -> Result<String, Error> {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let text = command::read("asking rustc for its target", rustc.arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Error::Metadata("`rustc -vV` names no host".to_owned()))
}

/// The C compiler answers with a path only if it has the file.
fn has_static_c_library() -> bool {
    let answer = command::ask(Command::new("cc").arg("-print-file-name=libc.a"));
    answer.is_some_and(|path| Path::new(&path).is_absolute())
}
