//! The configuration: `stagewright.toml`, overridden by `ORCH_…` variables, overridden by flags (S5).
//!
//! Every key is declared once, in [`sections`]; reading, errors, `config show`, the reference page and
//! `.env.example` come from there. A configuration is taken whole or refused whole, with everything that is wrong
//! in it at once. An unknown key is wrong: a misspelt switch must not pass for one that is off.
//!
//! The file is the one that `--config` names, else `ORCH_CONFIG`, else the user's
//! `$XDG_CONFIG_HOME/stagewright/stagewright.toml` (`~/.config/…`) if it exists. The current folder is not
//! looked at: it may be a repository under examination, which has no say in its own judging.
//!
//! Loading looks at no path or program but the file; whether they exist is for `doctor` to say.

mod checks;
mod declare;
mod document;
mod model;
mod overrides;
mod problem;
mod reader;
pub mod reference;
pub mod sections;
mod show;
mod staging;
mod suite;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use stagewright_engine::budget::DeferralBudget;
use stagewright_engine::name::{EffectName, ProducerName, RepoName};
use stagewright_engine::time::Span;

use self::declare::Tree;
pub use self::model::COMMENTATOR;
pub use self::overrides::Override;
pub use self::problem::{Error, Place, Problem};
pub use self::reader::Shown;
use self::reader::{Collected, Reader};
use self::sections::{
    Artifacts, Effect, Git, Grants, Http, Isolation, Jobs, Limits, Llm, LlmGrant, Log, Model, Pipeline,
    ProbeGrant, ProcessGrant, Reconciler, RepoTestRunner, Sandbox, Setup, Ssh, SshGrant, SshTarget, Staging,
    StagingRunner, State, Suite, TestRunner, TransitionLease,
};
pub use self::show::Style;
pub use self::value::{Money, Opaque, Program, Seconds, Secrets, Setting};

/// The built-in producer that runs suites.
pub const TEST_RUNNER: &str = "test-runner";
/// The built-in producer that checks staging.
pub const STAGING_RUNNER: &str = "staging-runner";
/// The built-in producer that asks a model.
pub const LLM_FALLBACK: &str = "llm-fallback";
/// Every producer that is built in.
pub const BUILT_IN: [&str; 3] = [TEST_RUNNER, STAGING_RUNNER, LLM_FALLBACK];

/// How long one run may take if nobody says.
const RUN_TIMEOUT: Seconds = Seconds(3_600);

/// Where a configuration is taken from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that a flag names.
    pub file: Option<PathBuf>,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
    /// What flags set, the last one winning.
    pub overrides: Vec<Override>,
    /// Where relative paths of variables and flags start.
    pub current_dir: PathBuf,
}

/// The configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// Where state lies.
    pub state: State,
    /// The git program.
    pub git: Git,
    /// The pipeline.
    pub pipeline: Pipeline,
    /// How much may run at once.
    pub limits: Limits,
    /// Deferrals and ages.
    pub jobs: Jobs,
    /// The transition lease.
    pub transition_lease: TransitionLease,
    /// The reconciler's schedule.
    pub reconciler: Reconciler,
    /// The HTTP server.
    pub http: Http,
    /// Scope and retries of the test-runner.
    pub test_runner: TestRunner,
    /// How suites are run, for every repository.
    pub suite: Suite,
    /// The step before the suite, for every repository.
    pub setup: Setup,
    /// Scope and retries of the staging-runner.
    pub staging_runner: StagingRunner,
    /// How staging is checked, for every repository.
    pub staging: Staging,
    /// The ssh program.
    pub ssh: Ssh,
    /// The remote hosts, by name.
    pub ssh_targets: BTreeMap<String, SshTarget>,
    /// What models may cost.
    pub llm: Llm,
    /// Who answers, for every role.
    pub model: Model,
    /// The roles that are named.
    pub roles: BTreeMap<String, Role>,
    /// The repositories that are named.
    pub repos: BTreeMap<RepoName, Repo>,
    /// The producers, the built-in ones too.
    pub producers: BTreeMap<ProducerName, Producer>,
    /// The edge effects that pipelines may name.
    pub effects: BTreeMap<EffectName, Effect>,
    /// What becomes of reports.
    pub artifacts: Artifacts,
    /// Limits of components.
    pub sandbox: Sandbox,
    /// What keeps processes away from the machine.
    pub isolation: Isolation,
    /// The log.
    pub log: Log,
    shown: Vec<Shown>,
}

/// What is configured for one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repo {
    /// Itself.
    pub repo: sections::Repo,
    /// What differs for its tests.
    pub test_runner: RepoTestRunner,
    /// How its suite is run, where that differs.
    pub suite: Suite,
    /// Its set-up step, where that differs.
    pub setup: Setup,
    /// How its staging is checked, where that differs.
    pub staging: Staging,
}

/// What is configured for one role of models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// Itself.
    pub role: sections::Role,
    /// Who answers in it, where that differs.
    pub model: Model,
}

/// What is configured for one producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producer {
    /// Itself.
    pub producer: sections::Producer,
    /// Whether it may use files.
    pub grants: Grants,
    /// Which processes it may start.
    pub process: ProcessGrant,
    /// Which endpoints it may read.
    pub probe: ProbeGrant,
    /// On which targets it may run commands.
    pub ssh: SshGrant,
    /// In which roles it may ask a model.
    pub llm: LlmGrant,
}

impl Sources {
    /// The sources of this process. `file` and `overrides` come from its command line.
    pub fn of_process(file: Option<PathBuf>, overrides: Vec<Override>) -> Self {
        Self {
            file,
            variables: std::env::vars_os().collect(),
            overrides,
            // Without a current folder relative paths mean nothing; they stay as they are, and fail when they are used.
            current_dir: std::env::current_dir().unwrap_or_default(),
        }
    }

    fn variable(&self, name: &str) -> Option<&OsString> {
        self.variables.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value)
    }

    fn home(&self) -> Option<PathBuf> {
        self.variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
    }

    /// The file to read, and whether somebody named it.
    fn file(&self) -> Option<(PathBuf, bool)> {
        if let Some(named) = self.file.clone().or_else(|| self.variable("ORCH_CONFIG").map(PathBuf::from)) {
            return Some((self.current_dir.join(named), true));
        }
        self.user_file().map(|file| (file, false))
    }

    /// Where the user's own file is, whether it exists or not.
    pub fn user_file(&self) -> Option<PathBuf> {
        let folder =
            self.variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
        let folder = folder.or_else(|| self.home().map(|home| home.join(".config")))?;
        Some(folder.join("stagewright/stagewright.toml"))
    }
}

impl Config {
    /// Reads and checks the configuration. It looks at nothing but the file.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        let sections = sections::all();
        let tree = Tree::of(&sections);
        let mut collected = Collected::default();
        let producers = collected.names.entry("producers".to_owned()).or_default();
        producers.extend(BUILT_IN.map(|name| (name.to_owned(), Place::Default)));

        let (mut read, mut understood) = (None, true);
        if let Some((file, named)) = sources.file()
            && (named || file.exists())
        {
            match document::text_of(&file) {
                Ok(text) => understood = document::collect(&file, &text, &tree, &mut collected),
                Err(problem) => {
                    collected.problems.push(problem);
                    understood = false;
                }
            }
            read = Some(file);
        }
        // Names that a flag brings must be known before the variables are looked at, and flags win over variables.
        let mut from_flags = Collected::default();
        overrides::flags(&sources.overrides, &tree, &mut from_flags);
        collected.know_names_of(from_flags);
        overrides::variables(&sources.variables, &sections, understood, &mut collected);
        overrides::flags(&sources.overrides, &tree, &mut collected);

        let config = Self::read(read, &mut collected, &sources.current_dir, sources.home());
        checks::all(&config, &mut collected);
        match Error::of(collected.problems) {
            None => Ok(config),
            Some(error) => Err(error),
        }
    }

    fn read(
        file: Option<PathBuf>,
        collected: &mut Collected,
        current_dir: &Path,
        home: Option<PathBuf>,
    ) -> Self {
        let repos = checks::names::<RepoName>(collected, "repos");
        let producers = checks::names::<ProducerName>(collected, "producers");
        let effects = checks::names::<EffectName>(collected, "effects");
        let targets = collected.names("ssh.targets");
        let roles = collected.names("llm.roles");
        let mut reader = Reader::new(collected, current_dir, home);
        let reader = &mut reader;
        let mut config = Self {
            file,
            state: reader.section("state", None),
            git: reader.section("git", None),
            pipeline: reader.section("pipeline", None),
            limits: reader.section("limits", None),
            jobs: reader.section("jobs", None),
            transition_lease: reader.section("transition_lease", None),
            reconciler: reader.section("reconciler", None),
            http: reader.section("http", None),
            test_runner: reader.section("test_runner", None),
            suite: reader.section("test_runner", None),
            setup: reader.section("test_runner.setup", None),
            staging_runner: reader.section("staging_runner", None),
            staging: reader.section("staging_runner", None),
            ssh: reader.section("ssh", None),
            ssh_targets: BTreeMap::new(),
            llm: reader.section("llm", None),
            model: reader.section("llm", None),
            roles: BTreeMap::new(),
            repos: BTreeMap::new(),
            producers: BTreeMap::new(),
            effects: BTreeMap::new(),
            artifacts: reader.section("artifacts", None),
            sandbox: reader.section("sandbox", None),
            isolation: reader.section("isolation", None),
            log: reader.section("log", None),
            shown: Vec::new(),
        };
        for name in targets {
            let target = reader.section("ssh.targets.<name>", Some(&name));
            config.ssh_targets.insert(name, target);
        }
        for name in roles {
            let at = Some(name.as_str());
            let role = Role {
                role: reader.section("llm.roles.<name>", at),
                model: reader.section("llm.roles.<name>", at),
            };
            config.roles.insert(name, role);
        }
        for name in repos {
            let at = Some(name.as_str());
            let repo = Repo {
                repo: reader.section("repos.<name>", at),
                test_runner: reader.section("repos.<name>.test_runner", at),
                suite: reader.section("repos.<name>.test_runner", at),
                setup: reader.section("repos.<name>.test_runner.setup", at),
                staging: reader.section("repos.<name>.staging_runner", at),
            };
            config.repos.insert(name, repo);
        }
        for name in producers {
            let at = Some(name.as_str());
            let producer = Producer {
                producer: reader.section("producers.<name>", at),
                grants: reader.section("producers.<name>.grants", at),
                process: reader.section("producers.<name>.grants.process", at),
                probe: reader.section("producers.<name>.grants.probe", at),
                ssh: reader.section("producers.<name>.grants.ssh", at),
                llm: reader.section("producers.<name>.grants.llm", at),
            };
            config.producers.insert(name, producer);
        }
        for name in effects {
            let effect = reader.section("effects.<name>", Some(name.as_str()));
            config.effects.insert(name, effect);
        }
        config.shown = reader.take_shown();
        config
    }

    /// Every key with the value that holds and where it comes from, without secrets.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// What is configured for a repository; the defaults if it is not named.
    pub fn repo(&self, name: &RepoName) -> Repo {
        self.repos.get(name).cloned().unwrap_or_default()
    }

    /// The name of the repository whose `path` is this folder, whichever way it is written.
    pub fn repo_at(&self, folder: &Path) -> Option<&RepoName> {
        let folder = folder.canonicalize().ok()?;
        let same = |repo: &Repo| {
            repo.repo.path.as_ref().and_then(|path| path.canonicalize().ok()) == Some(folder.clone())
        };
        self.repos.iter().find(|(_, repo)| same(repo)).map(|(name, _)| name)
    }

    /// Whether a list such as `test_runner.repos` covers a repository: `*` covers all, an empty list those that are
    /// marked `self_hosting` (P4).
    pub fn covers(&self, scope: &[String], repo: &RepoName) -> bool {
        match scope {
            [] => self.repo(repo).repo.self_hosting,
            names => names.iter().any(|name| name == "*" || name == repo.as_str()),
        }
    }

    /// Whether actors that want to move a task of this repository defer to a live owner (O8).
    pub fn lease_holds(&self, repo: &RepoName) -> bool {
        self.transition_lease.enabled && self.covers(&self.transition_lease.repos, repo)
    }

    /// Whether a producer serves a repository: its switch is on, and the repository in its scope (P4). Only the runners
    /// have a switch.
    pub fn serves(&self, producer: &ProducerName, repo: &RepoName) -> bool {
        self.scope(producer).is_none_or(|(enabled, repos)| enabled && self.covers(repos, repo))
    }

    /// Whether a producer is switched on.
    pub fn is_enabled(&self, producer: &ProducerName) -> bool {
        self.scope(producer).is_none_or(|(enabled, _)| enabled)
    }

    fn scope(&self, producer: &ProducerName) -> Option<(bool, &[String])> {
        match producer.as_str() {
            TEST_RUNNER => Some((self.test_runner.enabled, &self.test_runner.repos)),
            STAGING_RUNNER => Some((self.staging_runner.enabled, &self.staging_runner.repos)),
            _ => None,
        }
    }

    /// How long one run of a producer may take in all, for one repository.
    pub fn run_limit(&self, producer: &ProducerName, repo: &RepoName) -> Span {
        match producer.as_str() {
            TEST_RUNNER => return self.suite_limit(repo),
            STAGING_RUNNER => return self.staging_limit(&self.repo(repo)),
            _ => {}
        }
        let configured = self.producers.get(producer).and_then(|producer| producer.producer.timeout_s);
        Span::from_secs(configured.unwrap_or(RUN_TIMEOUT).0)
    }

    /// The longest that any run may take.
    pub fn longest_run(&self) -> Span {
        // A repository that is not named has the general settings, which is what the empty `Repo` stands for.
        let unnamed = Repo::default();
        let repos = || self.repos.values().chain([&unnamed]);
        let suites = repos().map(|repo| self.suite_limit_of(repo));
        let checks = repos().map(|repo| self.staging_limit(repo));
        let others =
            self.producers.iter().filter(|(name, _)| ![TEST_RUNNER, STAGING_RUNNER].contains(&name.as_str()));
        suites
            .chain(checks)
            .chain(
                others.map(|(_, producer)| {
                    Span::from_secs(producer.producer.timeout_s.unwrap_or(RUN_TIMEOUT).0)
                }),
            )
            .max()
            .unwrap_or(Span::ZERO)
    }

    /// The least maximum age that never hits a job which is still at its work (J6).
    pub fn least_age(&self) -> Span {
        self.longest_run()
            .plus(Span::from_secs(self.jobs.transition_s.0))
            .plus(Span::from_secs(self.jobs.grace_s.0))
    }

    /// The age at which a job is taken from whoever holds it.
    pub fn max_age(&self) -> Span {
        match self.jobs.max_age_s {
            Some(age) => Span::from_secs(age.0),
            None => Span::from_millis(self.least_age().as_millis().saturating_mul(5) / 4),
        }
    }

    /// How often, and with which pauses, work that did not run is tried again.
    pub fn deferrals(&self) -> DeferralBudget {
        self.deferral_budget(self.jobs.deferral_budget, self.jobs.deferral_backoff_s)
    }

    /// The same for work of one producer.
    pub fn deferrals_of(&self, producer: &ProducerName) -> DeferralBudget {
        let (max, first) = match producer.as_str() {
            TEST_RUNNER => (self.test_runner.infra_retry_max, self.test_runner.infra_retry_backoff_s),
            STAGING_RUNNER => {
                (self.staging_runner.infra_retry_max, self.staging_runner.infra_retry_backoff_s)
            }
            _ => (None, None),
        };
        let max = max.unwrap_or(self.jobs.deferral_budget);
        self.deferral_budget(max, first.unwrap_or(self.jobs.deferral_backoff_s))
    }

    fn deferral_budget(&self, max: u32, first: Seconds) -> DeferralBudget {
        let longest = self.jobs.deferral_backoff_max_s.max(first);
        DeferralBudget { max, first: Span::from_secs(first.0), longest: Span::from_secs(longest.0) }
    }
}

#[cfg(test)]
mod tests;
