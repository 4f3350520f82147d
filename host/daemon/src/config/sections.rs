//! Every key, declared once. A new section is one declaration here and one line in `all`.
//!
//! The comments are the text of the reference page (`docs/configuration.md`), so they are written for the
//! operator.

mod llm;
mod staging;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::declare::{Declared, Section as _, section};
use super::value::{Opaque, Program, Seconds, Secrets, choice};

pub use self::llm::{AgentSays, Llm, LlmGrant, Model, ModelWay, Role};
pub use self::staging::{Ssh, SshGrant, SshTarget, Staging, StagingRunner};

/// A day, in seconds.
const DAY: u64 = 86_400;

/// Every section in the order of the reference page.
pub(super) fn all() -> Vec<Declared> {
    vec![
        State::declare("state"),
        Git::declare("git"),
        Pipeline::declare("pipeline"),
        Limits::declare("limits"),
        Jobs::declare("jobs"),
        TransitionLease::declare("transition_lease"),
        Reconciler::declare("reconciler"),
        Http::declare("http"),
        TestRunner::declare("test_runner"),
        Suite::declare("test_runner"),
        Setup::declare("test_runner.setup"),
        StagingRunner::declare("staging_runner"),
        Staging::declare("staging_runner"),
        Ssh::declare("ssh"),
        SshTarget::declare("ssh.targets.<name>"),
        Llm::declare("llm"),
        Model::declare("llm"),
        Role::declare("llm.roles.<name>"),
        Model::declare("llm.roles.<name>"),
        Repo::declare("repos.<name>"),
        RepoTestRunner::declare("repos.<name>.test_runner"),
        Suite::declare("repos.<name>.test_runner"),
        Setup::declare("repos.<name>.test_runner.setup"),
        Staging::declare("repos.<name>.staging_runner"),
        Producer::declare("producers.<name>"),
        Grants::declare("producers.<name>.grants"),
        ProcessGrant::declare("producers.<name>.grants.process"),
        ProbeGrant::declare("producers.<name>.grants.probe"),
        SshGrant::declare("producers.<name>.grants.ssh"),
        LlmGrant::declare("producers.<name>.grants.llm"),
        Effect::declare("effects.<name>"),
        Artifacts::declare("artifacts"),
        Sandbox::declare("sandbox"),
        Isolation::declare("isolation"),
        Log::declare("log"),
    ]
}

section! {
    /// Where durable state lies.
    State {
        /// The state folder: the store, the host's copies of repositories, logs and reports. It is closed to other users
        /// and must not lie on a network file system or in a repository that is examined. If it is not set:
        /// `$XDG_STATE_HOME/stagewright`, else `~/.local/state/stagewright`. The flag `--state-dir` sets it too.
        dir: Option<PathBuf>;
    }
}

section! {
    /// The git program.
    Git {
        /// Which git the host runs. It is run in the host's own bare copies only, never in a checkout.
        program: Program = Program::named("git");
    }
}

section! {
    /// The pipeline: stages, their producers and gates, and where PASS and FAIL lead.
    Pipeline {
        /// A file with the pipeline of every repository that has none of its own. If it is not set: the built-in one.
        file: Option<PathBuf>;
    }
}

section! {
    /// How much may run at once.
    Limits {
        /// Runs at once on this store, whichever process does them. The rest wait their turn in order.
        jobs: u32 = 4, within 1..=10_000;
    }
}

section! {
    /// What becomes of work that did not run, or not to its end.
    Jobs {
        /// How many times a job whose work did not run is tried again by itself. After that it is held for a person.
        deferral_budget: u32 = 3, within 0..=1_000;
        /// The pause before the first of these tries. Each further pause is twice as long.
        deferral_backoff_s: Seconds = Seconds(30), within 1..=DAY;
        /// The longest of these pauses.
        deferral_backoff_max_s: Seconds = Seconds(600), within 1..=DAY;
        /// What may pass between a verdict and the new stage: the sub-gates (the merge re-test alone: 900 s) and the
        /// edge effects.
        transition_s: Seconds = Seconds(1_500), within 0..=(7 * DAY);
        /// How long processes have to end once they are told to.
        grace_s: Seconds = Seconds(10), within 0..=3_600;
        /// How long the daemon, told to stop, waits for running jobs before it ends them and puts them back into the queue.
        drain_s: Seconds = Seconds(60), within 0..=DAY;
        /// The age at which a job is taken from whoever holds it, whatever its owner says. It must exceed the longest run
        /// of any producer plus `transition_s` plus `grace_s`. If it is not set: that sum and a quarter more.
        max_age_s: Option<Seconds>, within 1..=(30 * DAY);
    }
}

section! {
    /// One actor at a time moves a task.
    TransitionLease {
        /// Off, nobody defers to anybody. A stage is still written only if it is the expected one.
        enabled: bool = true;
        /// The repositories that it holds for: `*` for all. Empty: those with `self_hosting`.
        repos: Vec<String> = vec!["*".to_owned()];
    }
}

section! {
    /// The reconciler of the daemon: it compares tasks with their branches, and queues what a lost signal left out.
    Reconciler {
        /// How often it looks.
        every_s: Seconds = Seconds(30), within 1..=DAY;
    }
}

section! {
    /// The daemon's HTTP server: `/health`, `/queue`, `/metrics`, tasks and leases (docs/http.md). Whatever changes something needs
    /// the API token, which is in the file `token` of the state folder.
    Http {
        /// Off, the daemon listens nowhere; the command line works all the same.
        enabled: bool = true;
        /// Where it listens: address and port; with port 0 on one that is free. Beyond loopback, reading needs the token too, and
        /// the connection should be encrypted by a proxy.
        listen: String = "127.0.0.1:8470".to_owned();
        /// Further names by which it may be asked (the `Host` of a request), such as that of a proxy before it.
        hosts: Vec<String> = Vec::new();
        /// Connections at once. Who comes beyond it waits.
        connections: u32 = 512, within 1..=65_536;
        /// How long the answer to a request may take.
        timeout_s: Seconds = Seconds(30), within 2..=600;
        /// The largest body of a request, in bytes.
        body_bytes: u64 = 256 * 1_024, within 1_024..=(64 * 1_024 * 1_024);
    }
}

section! {
    /// The built-in test-runner: which repositories it serves, for how long, and what becomes of its own faults.
    TestRunner {
        /// Off, the pipeline's fallback producer does the stage. A broken tool never leads there.
        enabled: bool = true;
        /// The repositories that it serves: `*` for all. Empty: those with `self_hosting`. A repository that `run` is
        /// pointed at is always served.
        repos: Vec<String> = vec!["*".to_owned()];
        /// How long the suite may take. A suite that overruns has failed.
        timeout_s: Seconds = Seconds(1_800), within 1..=(7 * DAY);
        /// How many times a run that did not work is tried again by itself. If it is not set: `jobs.deferral_budget`.
        infra_retry_max: Option<u32>, within 0..=1_000;
        /// The pause before the first of these tries. If it is not set: `jobs.deferral_backoff_s`.
        infra_retry_backoff_s: Option<Seconds>, within 1..=DAY;
    }
}

choice! {
    /// What runs a repository's tests.
    Framework {
        /// Found out from the repository's files.
        Auto = "auto",
        /// pytest.
        Pytest = "pytest",
        /// `cargo test`.
        CargoTest = "cargo-test",
        /// cargo-nextest.
        Nextest = "nextest",
        /// `go test`.
        GoTest = "go-test",
        /// The `test` script of npm.
        Npm = "npm",
        /// Any program with a map of its exit codes.
        Command = "command",
    }
}

choice! {
    /// What a suite that overran its time has shown.
    TimeoutIs {
        /// The code is at fault.
        Fail = "fail",
        /// Nothing: it is tried again.
        Deferred = "deferred",
    }
}

section! {
    /// How the suite is run. These keys stand in `[test_runner]` for every repository and in
    /// `[repos.<name>.test_runner]` for one.
    Suite {
        /// What runs the tests. `auto` finds it out from the repository's files, and says so. If it is not set: `auto`.
        framework: Option<Framework>;
        /// The Python that has pytest. If it is not set: the checkout's own `.venv`, else `python3` on the path.
        python: Option<Program>;
        /// What `framework = "command"` runs.
        program: Option<Program>;
        /// Further arguments for the runner, such as `["-x", "tests/unit"]`. For npm: what follows `npm` (by default `test`); for
        /// go: what follows `go test -json` (by default `./...`).
        args: Option<Vec<String>>;
        /// Variables for the suite: `{ RUST_BACKTRACE = "1" }`. They may appear in reports; what is secret belongs in
        /// `producers.test-runner.grants.process.variables`.
        env: Option<BTreeMap<String, String>>;
        /// What the exit codes of `framework = "command"` mean: `{ "0" = "pass", "1" = "fail", "3" = "held" }`. By default 0
        /// is a pass and 1 a fail. Any other code leads to another try.
        exit_codes: Option<BTreeMap<String, String>>;
        /// A JUnit file that the suite of `command` or `npm` writes, relative to the clone. With it, a PASS needs its evidence.
        junit: Option<String>;
        /// Whether a suite without any test may pass. If it is not set: no.
        allow_no_tests: Option<bool>;
        /// Whether a suite in which every test was skipped may pass. If it is not set: no.
        allow_nothing_passed: Option<bool>;
        /// What it means that the suite overran `timeout_s`. If it is not set: `fail`.
        timeout_is: Option<TimeoutIs>;
        /// By how many percent fewer tests than last time on the base branch may be collected. Below that it is no PASS.
        /// If it is not set: the two numbers are only reported.
        max_collected_drop: Option<u32>, within 0..=100;
        /// Read-only probes after a suite that passed: `[{ endpoint = "staging", path = "/health" }]`. The endpoints are those of
        /// `producers.test-runner.grants.probe.endpoints`.
        smoke: Option<Vec<Opaque>>;
        /// Further settings, handed to the component as they are.
        settings: Option<Opaque>;
    }
}

section! {
    /// A step before the suite, such as the installation of dependencies. By default its failing says nothing about
    /// the code: the run is tried again.
    Setup {
        /// What it runs. If it is not set: there is no such step.
        program: Option<Program>;
        /// Its arguments.
        args: Option<Vec<String>>;
        /// How long it may take. If it is not set: 600.
        timeout_s: Option<Seconds>, within 1..=DAY;
        /// What its exit codes mean: `pass`, `fail`, `held` or `deferred`. By default 0 is a pass, and every other code leads to
        /// another try.
        exit_codes: Option<BTreeMap<String, String>>;
    }
}

section! {
    /// One repository, by the name that reports, rows and `repos` lists use.
    Repo {
        /// Its checkout or bare repository. `run --repo` with that path uses the settings of this section.
        path: Option<PathBuf>;
        /// Marks the repositories that an empty `repos` list means.
        self_hosting: bool = false;
        /// A file with this repository's own pipeline.
        pipeline: Option<PathBuf>;
    }
}

section! {
    /// What differs from `[test_runner]` for this repository.
    RepoTestRunner {
        /// How long its suite may take. If it is not set: `test_runner.timeout_s`.
        timeout_s: Option<Seconds>, within 1..=(7 * DAY);
    }
}

section! {
    /// One producer, by the name that the pipeline uses. `test-runner`, `staging-runner` and `llm-fallback` are there without
    /// being named.
    Producer {
        /// The component's file. Only the built-in producers have one without this key.
        component: Option<PathBuf>;
        /// The SHA-256 of that file in hex. A file that changed is not loaded. `stagewright plugin inspect <file>` shows it.
        sha256: Option<String>;
        /// How long one run may take in all. If it is not set: 3600. For the test-runner and the staging-runner it follows from
        /// `timeout_s` of what they run.
        timeout_s: Option<Seconds>, within 1..=(7 * DAY);
        /// Runs of it at once on this store. If it is not set: `limits.jobs` alone limits it.
        jobs: Option<u32>, within 1..=10_000;
        /// Its settings, checked against the schema that the component brings. The test-runner's are in `[test_runner]`, the
        /// staging-runner's in `[staging_runner]`.
        settings: Opaque = Opaque::default();
    }
}

section! {
    /// What a producer may reach. A component that imports what is not granted here is not loaded. The built-in producers have
    /// what they need; a key that is set replaces it.
    Grants {
        /// Whether it may read the run's clone, and write and keep files in its scratch folder.
        files: Option<bool>;
    }
}

section! {
    /// Local processes in the run's clone.
    ProcessGrant {
        /// The programs that it may start, by the name that it uses: `{ make = "make", lint = "/opt/lint/bin/lint" }`. To set
        /// it is to grant `process`.
        programs: Option<BTreeMap<String, Program>>;
        /// Patterns for the arguments of a program (`*` stands for any text): `{ make = ["check", "-j*"] }`. Every argument must
        /// match one. A program that is not named here takes any.
        args: BTreeMap<String, Vec<String>> = BTreeMap::new();
        /// Names of variables that it may set for its processes; a `*` at the end stands for any text.
        env: Vec<String> = vec!["*".to_owned()];
        /// Variables that every process gets, such as a test database's address. The values are never shown.
        variables: Secrets = Secrets::default();
        /// Commands at once in one run.
        max_commands: u32 = 16, within 1..=1_000;
        /// The kernel's limit on processes of this user while a command runs. It counts every process of the user, and does
        /// not hold for root. If it is not set: the machine's own limit.
        max_processes: Option<u64>, within 1..=4_194_304;
        /// How much of the end of each output the component sees, in bytes.
        tail_bytes: u64 = 64 * 1_024, within 1_024..=(8 * 1_024 * 1_024);
        /// How much of each output is kept in the log, in bytes. The rest is counted and dropped.
        output_log_bytes: u64 = 64 * 1_024 * 1_024, within 0..=(64 * 1_024 * 1_024 * 1_024);
        /// Further folders that its processes may read.
        read: Vec<PathBuf> = Vec::new();
        /// Further folders that its processes may write.
        write: Vec<PathBuf> = Vec::new();
    }
}

section! {
    /// Read-only HTTP requests.
    ProbeGrant {
        /// The addresses that it may ask, by name: `{ staging = "http://127.0.0.1:8080" }`. To set it, even to `{}`, is to grant
        /// `probe`.
        endpoints: Option<BTreeMap<String, String>>;
        /// The longest answer, in bytes.
        max_bytes: u64 = 1_024 * 1_024, within 1..=(8 * 1_024 * 1_024);
    }
}

choice! {
    /// What an edge effect does.
    EffectKind {
        /// Merges the task's branch into another one of its repository.
        Merge = "merge",
        /// Runs a program.
        Command = "command",
    }
}

choice! {
    /// What may be done about an effect whose end nobody has seen: the host was killed, or the program overran its time.
    EffectIs {
        /// Its target refuses it if things have changed: it may be done again.
        Conditional = "conditional",
        /// Its target knows it again by `STAGEWRIGHT_KEY`: it may be done again.
        Keyed = "keyed",
        /// `read_back` tells whether it has happened.
        Observable = "observable",
        /// None of these: the task is held, and a person looks.
        Blind = "blind",
    }
}

section! {
    /// An edge effect: an outside act on the way from a stage to the one that PASS leads to, by the name that the pipeline's
    /// `effects` use.
    Effect {
        /// What it does: `merge` or `command`.
        does: Option<EffectKind>;
        /// For `merge`: the branch that gets the task's branch. If it is not set: `main`. It must not be checked out anywhere.
        into: Option<String>;
        /// For `command`: what it runs, in a clone at the task's head, confined as suites are. It finds
        /// `STAGEWRIGHT_REPO`, `_WORK_ITEM`, `_STAGE`, `_TO`, `_BRANCH`, `_COMMIT` (the examined one), `_HEAD`, `_EFFECT`, `_KEY` (the same
        /// whenever the same act is done again) and `_EPOCH` in its environment.
        program: Option<Program>;
        /// Its arguments.
        args: Vec<String> = Vec::new();
        /// What may be done about it when its end is not known. For `command` it has to be set.
        class: Option<EffectIs>;
        /// How long it may take. After that its processes are ended, and its end is not known.
        timeout_s: Seconds = Seconds(600), within 1..=DAY;
        /// What the exit codes of `command` mean: `done`, `later` (it was certainly not done; it is tried again), `held` (it was
        /// certainly not done; a person has to look) or `unclear`. By default 0 is `done`, and every other code `unclear`.
        exit_codes: Option<BTreeMap<String, String>>;
        /// For the class `observable`: a program that exits with 0 if the act has happened, with 1 if it has not, and with any
        /// other code if it can't tell. It has the same environment.
        read_back: Option<Program>;
        /// Its arguments.
        read_back_args: Vec<String> = Vec::new();
        /// Variables for both programs, such as a token. The values are never shown.
        variables: Secrets = Secrets::default();
        /// Further folders that they may read.
        read: Vec<PathBuf> = Vec::new();
        /// Further folders that they may write.
        write: Vec<PathBuf> = Vec::new();
    }
}

section! {
    /// The reports of stages, as files of the task's branch.
    Artifacts {
        /// Whether the daemon commits each report to the task's branch, before the stage is written. `run` does it only with
        /// `--commit`.
        commit: bool = true;
    }
}

section! {
    /// What a component itself may use. The processes that it starts are not counted here.
    Sandbox {
        /// Memory of one run's component, in MiB. More than 1,024 is not to be had: so large is a slot of the pool.
        memory_mb: u32 = 256, within 8..=1_024;
        /// Processor time of one run's component.
        cpu_s: Seconds = Seconds(60), within 1..=3_600;
        /// How long a run of the test-runner or the staging-runner may take beyond what it runs, for probes and the reading of
        /// evidence.
        margin_s: Seconds = Seconds(300), within 10..=3_600;
        /// Where compiled components are kept. If it is not set: `cache/components` in the state folder. It must be a place that
        /// suites can't write.
        cache_dir: Option<PathBuf>;
    }
}

choice! {
    /// What must be in place before foreign code is run.
    Require {
        /// The best that this kernel has; the report names it.
        BestEffort = "best-effort",
        /// Landlock; without it nothing is run.
        Landlock = "landlock",
    }
}

section! {
    /// What keeps the processes of a run away from the rest of the machine.
    Isolation {
        /// What must be there. `best-effort` takes the best that the kernel has; `landlock` runs nothing without it.
        require: Require = Require::BestEffort;
        /// Further folders that every run's processes may read, such as a toolchain outside the system folders.
        read_roots: Vec<PathBuf> = Vec::new();
    }
}

choice! {
    /// How log lines are written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

section! {
    /// The log on standard error.
    Log {
        /// `text`, or `json` for one object a line.
        format: LogFormat = LogFormat::Text;
        /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, also for each module: `warn,stagewright_store=debug`.
        level: String = "warn".to_owned();
    }
}
