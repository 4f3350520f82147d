//! From the configuration to the capabilities of one run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use stagewright_capability::llm::{self, Llm, Purse};
use stagewright_capability::process::{self, Confinement, Process};
use stagewright_capability::{Cancel, Failure, Place, files, probe, ssh};
use stagewright_engine::identity::JobId;
use stagewright_engine::name::{ProducerName, RepoName, StageName};
use stagewright_engine::outcome::Fault;
use stagewright_sandbox::{Capabilities, Finding};

use super::{Worker, models};
use crate::config::sections::{Require, SshTarget};
use crate::config::{Config, TEST_RUNNER};
use crate::{component, programs};

/// The name under which the test-runner starts the interpreter.
const PYTHON: &str = "python";

/// What a producer may do in one repository.
pub(super) struct Granted {
    process: Option<process::Grant>,
    files: bool,
    endpoints: Option<probe::Grant>,
    ssh: Option<ssh::Grant>,
    llm: Option<Result<llm::Grant, Failure>>,
}

impl Granted {
    /// The capabilities themselves, for one run.
    pub(super) fn capabilities(
        self,
        place: &Place,
        shepherd: &process::Shepherd,
        cancel: &Cancel,
        purse: Arc<dyn Purse>,
    ) -> Result<Capabilities, Fault> {
        let fault = |failure: Failure| Fault::new(failure.code, failure.message);
        let probe = self.endpoints.map(|grant| probe::Probe::new(grant, cancel.clone())).transpose();
        let llm = self.llm.transpose().map_err(fault)?;
        let llm =
            llm.map(|grant| Llm::new(grant, place.clone(), shepherd, cancel.clone(), purse)).transpose();
        Ok(Capabilities {
            ssh: self.ssh.map(|grant| ssh::Ssh::new(grant, place, shepherd.clone(), cancel.clone())),
            llm: llm.map_err(fault)?,
            process: self
                .process
                .map(|grant| Process::new(grant, place.clone(), shepherd.clone(), cancel.clone())),
            files: self.files.then(|| files::Files::new(files::Grant::default(), place.clone())),
            probe: probe.map_err(fault)?,
        })
    }
}

impl Worker {
    /// What `producer` may do in `repo`.
    ///
    /// `objects` is where the clone's objects lie: the suite's own git needs them, and may only read them. `job` is what an
    /// earlier run of it is known by on other hosts.
    pub(super) fn granted(
        &self,
        producer: &ProducerName,
        repo: &RepoName,
        job: (JobId, Option<&StageName>),
        checkout: Option<&Path>,
        objects: Option<&Path>,
    ) -> Granted {
        let (job, stage) = job;
        let config = &self.config;
        let settings = config.producers.get(producer);
        let mut base = self.confined(producer, repo, checkout, objects);
        self.add_caches(&mut base);
        let process = config.programs(producer, repo).map(|named| {
            let mut grant = base.clone();
            grant.programs = self.programs(named, producer, repo, checkout);
            if let Some(own) = settings.map(|settings| &settings.process) {
                grant.env_names.clone_from(&own.env);
                grant.env.extend(own.variables.reveal().clone());
                grant.max_at_once = own.max_commands as usize;
                grant.max_processes = own.max_processes;
                grant.tail_bytes = usize::try_from(own.tail_bytes).unwrap_or(usize::MAX);
                grant.output_log_bytes = own.output_log_bytes;
                grant.read.extend(own.read.iter().cloned());
                grant.write.extend(own.write.iter().cloned());
                for (name, patterns) in &own.args {
                    if let Some(program) = grant.programs.get_mut(name) {
                        program.args = Some(patterns.clone());
                    }
                }
            }
            grant
        });
        let endpoints = config.endpoints(producer).map(|endpoints| probe::Grant {
            endpoints,
            max_bytes: settings
                .map_or(1 << 20, |settings| u32::try_from(settings.probe.max_bytes).unwrap_or(u32::MAX)),
            max_time: Duration::from_secs(60),
        });
        let ssh = ssh_grant(config, producer, repo, job);
        let llm = config.roles_of(producer, stage).map(|roles| models::grant(config, roles, &base));
        Granted { process, files: config.files_granted(producer), endpoints, ssh, llm }
    }

    /// What every process of a run may do and may not do, whoever starts it. It names no program yet.
    pub(super) fn confined(
        &self,
        producer: &ProducerName,
        repo: &RepoName,
        checkout: Option<&Path>,
        objects: Option<&Path>,
    ) -> process::Grant {
        let config = &self.config;
        let mut grant = process::Grant {
            confinement: match config.isolation.require {
                Require::BestEffort => Confinement::BestEffort,
                Require::Landlock => Confinement::Required,
            },
            max_time: Duration::from(config.run_limit(producer, repo)),
            ..process::Grant::default()
        };
        grant.read.extend(config.isolation.read_roots.iter().cloned());
        grant.read.extend(objects.map(Path::to_owned));
        grant.read.extend(found_by_looking_upwards(self.state.root()));
        // They may lie in `/etc`, which suites read.
        grant.hidden.extend(config.secret_files());
        grant.read.extend(checkout.into_iter().flat_map(readable_of_checkout));
        grant
    }

    /// What a producer finds in its environment, before it has any work.
    pub(crate) async fn preflight(
        &self,
        producer: &ProducerName,
        repo: &RepoName,
        place: &Place,
        cancel: &Cancel,
    ) -> Result<Vec<Finding>, Fault> {
        let (component, _) = self.load(producer).await?;
        let job = JobId::new(crate::clock::new_id());
        let granted = self.granted(producer, repo, (job, None), None, None);
        let allowed = component::granted(&self.config, producer, repo);
        component.check(&allowed).map_err(|error| Fault::new(error.code(), error.to_string()))?;
        let capabilities = granted.capabilities(place, &self.shepherd, cancel, Arc::new(NoMoney))?;
        let settings = Value::Object(self.settings(producer, repo, None)).to_string();
        component.preflight(&settings, capabilities).await
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

/// Nobody pays for a look around.
struct NoMoney;

impl Purse for NoMoney {
    fn left(&self) -> llm::Later<'_, Result<Option<u64>, Failure>> {
        Box::pin(async {
            let message = "a look at the environment asks no model";
            Err(Failure::new(stagewright_capability::FailureKind::Denied, "llm-not-asked", message))
        })
    }

    fn spent<'a>(&'a self, _: &'a llm::Call) -> llm::Later<'a, ()> {
        Box::pin(async {})
    }
}

/// On which targets a producer may run commands for a repository; `None` if it is not granted at all.
pub(crate) fn ssh_grant(
    config: &Config,
    producer: &ProducerName,
    repo: &RepoName,
    job: JobId,
) -> Option<ssh::Grant> {
    let targets = config.targets(producer, repo)?;
    let program = programs::find(config.ssh.program.as_path(), std::env::var_os("PATH").as_deref());
    Some(ssh::Grant {
        targets: targets.into_iter().filter_map(|(name, named)| Some((name, target(named)?))).collect(),
        program: program.unwrap_or_else(|| config.ssh.program.as_path().to_owned()),
        max_time: Duration::from(config.run_limit(producer, repo)),
        ..ssh::Grant::new(job)
    })
}

/// A target as the capability knows it. One without an address was refused with the configuration.
fn target(named: SshTarget) -> Option<ssh::Target> {
    Some(ssh::Target {
        host: named.host?,
        user: named.user,
        port: named.port.and_then(|port| u16::try_from(port).ok()),
        identity: named.identity,
        known_hosts: named.known_hosts,
        config: named.config,
        connect_timeout: Duration::from(named.connect_timeout_s),
        options: named.options,
    })
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
