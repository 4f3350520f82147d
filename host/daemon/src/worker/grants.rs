//! From the configuration to the capabilities of one run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use stagewright_capability::process::{self, Confinement, Process};
use stagewright_capability::{Cancel, Place, files, probe};
use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_engine::outcome::Fault;
use stagewright_sandbox::{Capabilities, Capability};

use super::Worker;
use crate::config::TEST_RUNNER;
use crate::config::sections::Require;
use crate::programs;

/// The name under which the test-runner starts the interpreter.
const PYTHON: &str = "python";

/// What a producer may do in one repository.
pub(super) struct Granted {
    process: Option<process::Grant>,
    files: bool,
    endpoints: Option<probe::Grant>,
}

impl Granted {
    /// The capabilities that are granted at all.
    pub(super) fn names(&self) -> std::collections::BTreeSet<Capability> {
        let process = self.process.is_some().then_some(Capability::Process);
        let files = self.files.then_some(Capability::Files);
        let probe = self.endpoints.is_some().then_some(Capability::Probe);
        [process, files, probe].into_iter().flatten().collect()
    }

    /// The capabilities themselves, for one run.
    pub(super) fn capabilities(
        self,
        place: &Place,
        shepherd: &process::Shepherd,
        cancel: &Cancel,
    ) -> Result<Capabilities, Fault> {
        let probe = self.endpoints.map(|grant| probe::Probe::new(grant, cancel.clone())).transpose();
        Ok(Capabilities {
            process: self
                .process
                .map(|grant| Process::new(grant, place.clone(), shepherd.clone(), cancel.clone())),
            files: self.files.then(|| files::Files::new(files::Grant::default(), place.clone())),
            probe: probe.map_err(|failure| Fault::new(failure.code, failure.message))?,
        })
    }
}

impl Worker {
    /// What `producer` may do in `repo`.
    ///
    /// `objects` is where the clone's objects lie: the suite's own git needs them, and may only read them.
    pub(super) fn granted(
        &self,
        producer: &ProducerName,
        repo: &RepoName,
        checkout: Option<&Path>,
        objects: &Path,
    ) -> Granted {
        let config = &self.config;
        let settings = config.producers.get(producer);
        let process = config.programs(producer, repo).map(|named| {
            let mut grant = process::Grant {
                programs: self.programs(named, producer, repo, checkout),
                confinement: match config.isolation.require {
                    Require::BestEffort => Confinement::BestEffort,
                    Require::Landlock => Confinement::Required,
                },
                max_time: Duration::from(config.run_limit(producer, repo)),
                ..process::Grant::default()
            };
            if let Some(own) = settings.map(|settings| &settings.process) {
                grant.env_names.clone_from(&own.env);
                grant.env.extend(own.variables.reveal().clone());
                grant.max_at_once = own.max_commands as usize;
                grant.max_processes = own.max_processes;
                grant.tail_bytes = usize::try_from(own.tail_bytes).unwrap_or(usize::MAX);
                grant.output_log_bytes = own.output_log_bytes;
                grant.read.clone_from(&own.read);
                grant.write.clone_from(&own.write);
                for (name, patterns) in &own.args {
                    if let Some(program) = grant.programs.get_mut(name) {
                        program.args = Some(patterns.clone());
                    }
                }
            }
            grant.read.extend(config.isolation.read_roots.iter().cloned());
            grant.read.push(objects.to_owned());
            grant.read.extend(found_by_looking_upwards(self.state.root()));
            // It may hold secrets, and it may lie in `/etc`, which suites read.
            grant.hidden.extend(config.file.clone());
            grant.read.extend(checkout.into_iter().flat_map(readable_of_checkout));
            self.add_caches(&mut grant);
            grant
        });
        let endpoints = config.endpoints(producer).map(|endpoints| probe::Grant {
            endpoints,
            max_bytes: settings
                .map_or(1 << 20, |settings| u32::try_from(settings.probe.max_bytes).unwrap_or(u32::MAX)),
            max_time: Duration::from_secs(60),
        });
        Granted { process, files: config.files_granted(producer), endpoints }
    }

    /// The settings that the component is given: the configured ones, and what only the host knows.
    pub(super) fn settings(
        &self,
        producer: &ProducerName,
        repo: &RepoName,
        checkout: Option<&Path>,
    ) -> Map<String, Value> {
        let mut settings = self.config.settings(producer, repo);
        if producer.as_str() == TEST_RUNNER {
            settings.insert("python".to_owned(), Value::from(PYTHON));
            if let Some(checkout) = checkout {
                let checkout = checkout.to_string_lossy().into_owned();
                settings.insert("source_checkout".to_owned(), Value::from(checkout));
            }
        }
        settings
    }

    /// Each granted name with the file that it stands for. A program that is nowhere keeps its bare name, so
    /// that the run says that it is missing.
    fn programs(
        &self,
        named: BTreeMap<String, crate::config::Program>,
        producer: &ProducerName,
        repo: &RepoName,
        checkout: Option<&Path>,
    ) -> BTreeMap<String, process::Program> {
        let path = std::env::var_os("PATH");
        let mut found: BTreeMap<String, process::Program> = named
            .into_iter()
            .map(|(name, program)| {
                let file = programs::find(program.as_path(), path.as_deref());
                (name, process::Program::new(file.unwrap_or_else(|| program.as_path().to_owned())))
            })
            .collect();
        if producer.as_str() == TEST_RUNNER {
            let configured = self.config.suite_of(repo).python;
            let configured = configured.as_ref().map(|program| program.as_path());
            let file = programs::python(configured, checkout.unwrap_or(Path::new("/")), path.as_deref());
            let file =
                file.or_else(|| configured.map(Path::to_owned)).unwrap_or_else(|| PathBuf::from("python3"));
            found.insert(PYTHON.to_owned(), process::Program::new(file));
        }
        found
    }

    /// Folders of the host's own for what the runners keep between runs, so that none of it is the user's.
    fn add_caches(&self, grant: &mut process::Grant) {
        let root = self.state.tool_cache();
        let caches = [
            ("PIP_CACHE_DIR", "pip"),
            ("CARGO_HOME", "cargo"),
            ("GOCACHE", "go-build"),
            ("GOMODCACHE", "go-mod"),
            ("npm_config_cache", "npm"),
        ];
        for (variable, folder) in caches {
            let folder = root.join(folder);
            let _ = std::fs::create_dir_all(&folder);
            grant.env.entry(variable.to_owned()).or_insert_with(|| folder.to_string_lossy().into_owned());
        }
        grant.write.push(root);
        // A toolchain is not a cache: rustup's is only read. The set that is in force here is named, since
        // rustup would look for its choice in the home folder.
        let rustup = std::env::var_os("RUSTUP_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".rustup")));
        if let Some(rustup) = rustup.filter(|folder| folder.is_dir()) {
            grant
                .env
                .entry("RUSTUP_HOME".to_owned())
                .or_insert_with(|| rustup.to_string_lossy().into_owned());
            grant.read.push(rustup);
        }
    }
}

/// Configuration that tools look for in every folder above the one they work in. Where there is one above the
/// state folder, such as `~/.cargo/config.toml`, a tool that may not read it gives up, and a good suite would
/// seem a bad one.
fn found_by_looking_upwards(folder: &Path) -> Vec<PathBuf> {
    const NAMES: [&str; 10] = [
        ".cargo/config.toml",
        ".cargo/config",
        "Cargo.toml",
        "rust-toolchain.toml",
        "rust-toolchain",
        "go.work",
        "pytest.ini",
        "pyproject.toml",
        "tox.ini",
        "setup.cfg",
    ];
    let above = folder.ancestors().skip(1);
    above.flat_map(|folder| NAMES.map(|name| folder.join(name))).filter(|path| path.is_file()).collect()
}

/// What of the user's checkout may be read: an editable install in its virtual environment leads there, and
/// the reporter has to see that it does. What begins with a dot (`.git`, `.env`) stays out of reach.
fn readable_of_checkout(checkout: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(checkout).into_iter().flatten().flatten();
    let visible = entries.filter(|entry| {
        let name = entry.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        !hidden || name == ".venv"
    });
    // Links are left out: where they lead was not decided by whoever granted the checkout.
    visible
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()))
        .map(|entry| entry.path())
        .collect()
}
