//! What the test-runner is told: the general settings, those of the repository above them, as the JSON object
//! that the component reads.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use stagewright_engine::name::{ProducerName, RepoName};
use stagewright_engine::time::Span;

use super::declare::Section as _;
use super::sections::{Setup, Suite};
use super::value::{Opaque, Program, Seconds, Setting};
use super::{Config, LLM_FALLBACK, Repo, STAGING_RUNNER, TEST_RUNNER};

/// How long a set-up step may take if nobody says.
const SETUP_TIMEOUT: Seconds = Seconds(600);

/// Programs that the runners start by name.
const RUNNER_PROGRAMS: [&str; 5] = ["python3", "python", "cargo", "go", "npm"];

impl Suite {
    /// These settings, and those of `base` where these say nothing.
    fn over(self, base: &Self) -> Self {
        Self {
            framework: self.framework.or(base.framework),
            python: self.python.or_else(|| base.python.clone()),
            program: self.program.or_else(|| base.program.clone()),
            args: self.args.or_else(|| base.args.clone()),
            env: self.env.or_else(|| base.env.clone()),
            exit_codes: self.exit_codes.or_else(|| base.exit_codes.clone()),
            junit: self.junit.or_else(|| base.junit.clone()),
            allow_no_tests: self.allow_no_tests.or(base.allow_no_tests),
            allow_nothing_passed: self.allow_nothing_passed.or(base.allow_nothing_passed),
            timeout_is: self.timeout_is.or(base.timeout_is),
            max_collected_drop: self.max_collected_drop.or(base.max_collected_drop),
            smoke: self.smoke.or_else(|| base.smoke.clone()),
            settings: self.settings.or_else(|| base.settings.clone()),
        }
    }
}

impl Setup {
    /// A step is taken whole: another program has other arguments and codes.
    fn over(self, base: &Self) -> Self {
        if self.program.is_some() {
            return Self { timeout_s: self.timeout_s.or(base.timeout_s), ..self };
        }
        Self {
            program: base.program.clone(),
            args: self.args.or_else(|| base.args.clone()),
            timeout_s: self.timeout_s.or(base.timeout_s),
            exit_codes: self.exit_codes.or_else(|| base.exit_codes.clone()),
        }
    }

    fn limit(&self) -> Option<Seconds> {
        self.program.as_ref().map(|_| self.timeout_s.unwrap_or(SETUP_TIMEOUT))
    }
}

impl Config {
    /// How the suite of a repository is run.
    pub fn suite_of(&self, repo: &RepoName) -> Suite {
        self.repo(repo).suite.over(&self.suite)
    }

    /// The step before the suite of a repository.
    pub fn setup_of(&self, repo: &RepoName) -> Setup {
        self.repo(repo).setup.over(&self.setup)
    }

    /// How long the suite of a repository may take.
    pub fn suite_timeout(&self, repo: &RepoName) -> Span {
        Span::from_secs(self.suite_seconds(&self.repo(repo)).0)
    }

    fn suite_seconds(&self, repo: &Repo) -> Seconds {
        repo.test_runner.timeout_s.unwrap_or(self.test_runner.timeout_s)
    }

    /// How long a whole run of the test-runner may take.
    pub(super) fn suite_limit(&self, repo: &RepoName) -> Span {
        self.suite_limit_of(&self.repo(repo))
    }

    pub(super) fn suite_limit_of(&self, repo: &Repo) -> Span {
        let setup = repo.setup.clone().over(&self.setup).limit().unwrap_or(Seconds(0));
        Span::from_secs(setup.0)
            .plus(Span::from_secs(self.suite_seconds(repo).0))
            .plus(Span::from_secs(self.sandbox.margin_s.0))
    }

    /// The settings of a producer for one repository, as its component is given them. The host adds to the
    /// test-runner's what only it knows: the interpreter that it found, the checkout, the last count of tests.
    pub fn settings(&self, producer: &ProducerName, repo: &RepoName) -> Map<String, Value> {
        let configured = self.producers.get(producer).map(|producer| producer.producer.settings.0.clone());
        match producer.as_str() {
            TEST_RUNNER => self.suite_settings(repo, configured.unwrap_or_default()),
            STAGING_RUNNER => self.staging_settings(repo, configured.unwrap_or_default()),
            _ => configured.unwrap_or_default(),
        }
    }

    fn suite_settings(&self, repo: &RepoName, configured: Map<String, Value>) -> Map<String, Value> {
        let suite = self.suite_of(repo);
        let setup = self.setup_of(repo);
        let mut settings = suite.settings.clone().map_or_else(Map::new, |Opaque(settings)| settings);
        settings.extend(configured);
        settings.insert("timeout_s".to_owned(), Value::from(self.suite_seconds(&self.repo(repo)).0));
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                settings.insert(key.to_owned(), value);
            }
        };
        put("framework", suite.framework.show());
        put("python", suite.python.show());
        put("program", suite.program.show());
        put("args", suite.args.show());
        put("env", suite.env.show());
        put("exit_codes", suite.exit_codes.show());
        put("junit", suite.junit.show());
        put("allow_no_tests", suite.allow_no_tests.show());
        put("allow_nothing_passed", suite.allow_nothing_passed.show());
        put("timeout_is", suite.timeout_is.show());
        put("max_collected_drop", suite.max_collected_drop.show());
        put("smoke", suite.smoke.show());
        if let Some(timeout) = setup.limit() {
            let step = [
                ("program", setup.program.show()),
                ("args", setup.args.show()),
                ("timeout_s", timeout.show()),
                ("exit_codes", setup.exit_codes.show()),
            ];
            let step = step.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
            put("setup", Some(Value::Object(step.collect())));
        }
        settings
    }

    /// The keys of `[test_runner]` that are handed to the component, so that `settings` can't say them again.
    pub(super) fn suite_keys() -> Vec<&'static str> {
        let keys = Suite::declare("test_runner").keys;
        keys.into_iter()
            .map(|key| key.name)
            .filter(|name| *name != "settings")
            .chain(["timeout_s", "setup"])
            .collect()
    }

    /// The programs that a producer may start for one repository; `None` if it may start none. The built-in
    /// test-runner may start what its settings name and what the runners are called.
    pub fn programs(&self, producer: &ProducerName, repo: &RepoName) -> Option<BTreeMap<String, Program>> {
        let granted = self.producers.get(producer).and_then(|producer| producer.process.programs.clone());
        match producer.as_str() {
            TEST_RUNNER => {}
            // It starts a local docker client only where the operator names one; the grant is there to say that it is missing.
            STAGING_RUNNER => return Some(granted.unwrap_or_default()),
            _ => return granted,
        }
        let mut programs = granted.unwrap_or_else(|| {
            RUNNER_PROGRAMS.iter().map(|name| ((*name).to_owned(), Program::named(name))).collect()
        });
        let suite = self.suite_of(repo);
        for program in [suite.python, suite.program, self.setup_of(repo).program].into_iter().flatten() {
            programs.insert(program.as_path().to_string_lossy().into_owned(), program);
        }
        Some(programs)
    }

    /// Whether a producer may use the files of its run.
    pub fn files_granted(&self, producer: &ProducerName) -> bool {
        let configured = self.producers.get(producer).and_then(|producer| producer.grants.files);
        configured.unwrap_or([TEST_RUNNER, STAGING_RUNNER, LLM_FALLBACK].contains(&producer.as_str()))
    }

    /// The endpoints that a producer may read; `None` if the capability is not granted.
    pub fn endpoints(&self, producer: &ProducerName) -> Option<BTreeMap<String, String>> {
        let configured = self.producers.get(producer).and_then(|producer| producer.probe.endpoints.clone());
        configured.or_else(|| (producer.as_str() == TEST_RUNNER).then(BTreeMap::new))
    }
}
