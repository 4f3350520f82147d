//! Builds the components: the built-in producers, the guests that attack the host in its tests, and those that are
//! measured.
//!
//! Each is compiled for `wasm32-unknown-unknown` into a build folder of its own (its compiler may be another one than
//! the host's), wrapped as a component, and laid where it is looked for: `components/` beside the programs, with a
//! manifest of their digests. The host loads a component only with the digest that the manifest gives. The prompts of
//! the roles lie in `components/prompts/`; they are texts for people to change, so they have no digest.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::command;
use crate::error::Error;
use crate::place;
use crate::setup::wasm::{self, Toolchain};
use crate::step::{say, step};
use crate::workspace::{Profile, Workspace};

/// A package that becomes one component or several.
struct Guest {
    package: &'static str,
    makes: Makes,
}

enum Makes {
    /// Its library becomes the built-in producer of this name and is installed with the programs.
    Producer(&'static str),
    /// Each of its `cdylib` targets (library or example) becomes a component of that target's name, in this folder of
    /// `components/` in the build folder. They are for tests and measurements and are never installed.
    ForTests(&'static str),
}

/// Everything that is compiled to a component.
const GUESTS: &[Guest] = &[
    Guest { package: "stagewright-staging-runner", makes: Makes::Producer("staging-runner") },
    Guest { package: "stagewright-test-runner", makes: Makes::Producer("test-runner") },
    Guest { package: "stagewright-llm-fallback", makes: Makes::Producer("llm-fallback") },
    Guest { package: "stagewright-hostile", makes: Makes::ForTests("hostile") },
    Guest { package: "stagewright-bench-returns", makes: Makes::ForTests("bench") },
    Guest { package: "stagewright-bench-starts-true", makes: Makes::ForTests("bench") },
    Guest { package: "stagewright-bench-waits", makes: Makes::ForTests("bench") },
];

/// Where the prompts of the roles are, in the checkout: a file each, `<role>.md`.
const PROMPTS: &str = "plugins/llm-fallback/prompts";

/// Builds all of them and installs the producers beside the programs of `profile`, and of every profile that was
/// built before, so that no program is left with components of another day.
pub(crate) fn run(workspace: &Workspace, profile: Profile) -> Result<(), Error> {
    let toolchain = wasm::find_or_install(workspace)?;
    step("components", || {
        let made = build(workspace, &toolchain)?;
        install(workspace, profile, &made)
    })
}

/// A finished component.
struct Made {
    /// The producer's name, for one that is installed.
    producer: Option<&'static str>,
    file: PathBuf,
}

fn build(workspace: &Workspace, toolchain: &Toolchain) -> Result<Vec<Made>, Error> {
    let modules = modules(workspace, toolchain)?;
    let mut pairs: Vec<OsString> = Vec::new();
    let mut made = Vec::new();
    for guest in present(workspace) {
        let own = modules.iter().filter(|module| module.package == guest.package);
        for module in own {
            let (producer, name) = match guest.makes {
                Makes::Producer(name) => (Some(name), PathBuf::from(name)),
                Makes::ForTests(folder) => (None, Path::new(folder).join(module.name.replace('_', "-"))),
            };
            let file = workspace.target().join("components").join(name).with_extension("wasm");
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder).map_err(Error::file(folder))?;
            }
            pairs.extend([module.file.clone().into(), file.clone().into()]);
            made.push(Made { producer, file });
        }
    }
    let mut wrap = workspace.cargo();
    wrap.args(["run", "--quiet", "--package", "xtask-componentize", "--"]).args(pairs);
    command::watch("wrapping the modules as components", &mut wrap)?;
    for one in &made {
        let size = fs::metadata(&one.file).map_err(Error::file(&one.file))?.len();
        say(format!("{} ({} KiB)", workspace.shown(&one.file), size.div_ceil(1024)));
    }
    Ok(made)
}

/// The guests that this checkout has.
fn present(workspace: &Workspace) -> impl Iterator<Item = &'static Guest> {
    GUESTS.iter().filter(|guest| workspace.has(guest.package))
}

/// A core module that cargo made.
struct Module {
    package: String,
    name: String,
    file: PathBuf,
}

fn modules(workspace: &Workspace, toolchain: &Toolchain) -> Result<Vec<Module>, Error> {
    let mut build = toolchain.build(&workspace.target().join("guests"));
    build.current_dir(workspace.root()).arg("--message-format=json-render-diagnostics");
    for guest in present(workspace) {
        build.args(["--package", guest.package]);
    }
    build.args(["--lib", "--examples"]);
    let messages = command::read("compiling the components", &mut build)?;
    Ok(messages.lines().filter_map(|line| module(workspace, &serde_json::from_str(line).ok()?)).collect())
}

/// The module that a message of cargo tells of, if it does.
fn module(workspace: &Workspace, message: &Value) -> Option<Module> {
    let package = workspace.packages().find(|one| one["id"] == message["package_id"])?;
    let file = message["filenames"]
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .find(|file| file.ends_with(".wasm"))?;
    Some(Module {
        package: package["name"].as_str()?.to_owned(),
        name: message["target"]["name"].as_str()?.to_owned(),
        file: PathBuf::from(file),
    })
}

fn install(workspace: &Workspace, profile: Profile, made: &[Made]) -> Result<(), Error> {
    let prompts = prompts(&workspace.root().join(PROMPTS))?;
    for each in [Profile::Debug, Profile::Release] {
        let programs = workspace.programs(each);
        if each != profile && !programs.is_dir() {
            continue;
        }
        let folder = programs.join("components");
        fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        let mut manifest = BTreeMap::new();
        for (name, file) in made.iter().filter_map(|one| Some((one.producer?, &one.file))) {
            let bytes = fs::read(file).map_err(Error::file(file))?;
            let file_name = format!("{name}.wasm");
            manifest.insert(name, json!({ "file": file_name, "sha256": hex(&Sha256::digest(&bytes)) }));
            place::file(&folder.join(file_name), &bytes)?;
        }
        place::file(&folder.join("manifest.json"), format!("{:#}\n", json!(manifest)).as_bytes())?;
        let folder = folder.join("prompts");
        fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        for (name, text) in &prompts {
            place::file(&folder.join(name), text)?;
        }
    }
    Ok(())
}

/// The prompts of a folder by their file names.
fn prompts(folder: &Path) -> Result<BTreeMap<OsString, Vec<u8>>, Error> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(Error::file(folder))? {
        let path = entry.map_err(Error::file(folder))?.path();
        if let (Some(name), Some("md")) = (path.file_name(), path.extension().and_then(|end| end.to_str())) {
            found.insert(name.to_owned(), fs::read(&path).map_err(Error::file(&path))?);
        }
    }
    Ok(found)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
