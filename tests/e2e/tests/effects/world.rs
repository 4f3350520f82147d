//! A repository with a task's branch, and a host whose pipeline has effects; what is seen of it from outside.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};
use stagewright_e2e::{Daemon, Host, Ran, Repo, component};

pub(crate) const LIMIT: std::time::Duration = std::time::Duration::from_secs(90);

/// A repository, its task's branch, a place outside of it, and a host whose pipeline has effects.
pub(crate) struct World {
    pub(crate) repo: Repo,
    pub(crate) host: Host,
    pub(crate) outside: tempfile::TempDir,
}

impl World {
    /// With these effects behind `testing`, and this configuration of theirs.
    pub(crate) fn new(effects: &str, config: impl FnOnce(&Path) -> String) -> Self {
        let stages = format!(
            r#"
            [[stage]]
            name = "testing"
            producer = "test-runner"
            gate = "check_tests_passed"
            artifact = "13-test-report.md"
            on_pass = "done"
            on_fail = "development"
            effects = {effects}
            "#
        );
        Self::with_stages(&stages, config)
    }

    /// With these stages between `development` and `done`.
    pub(crate) fn with_stages(stages: &str, config: impl FnOnce(&Path) -> String) -> Self {
        let repo = Repo::passing_with(&[]);
        repo.git(&["checkout", "--quiet", "-b", "task/a-1"]);
        repo.write("work.py", "WORK = 1\n");
        repo.commit("Work");
        // Nobody stands on a branch: the host may move both.
        repo.git(&["checkout", "--quiet", "--detach"]);
        let outside = tempfile::Builder::new().prefix("outside").tempdir_in("/dev/shm").unwrap();
        let pipeline = outside.path().join("pipeline.toml");
        let text = format!(
            r#"
            [[stage]]
            name = "development"
            producer = "llm-fallback"
            gate = "check_development_complete"
            artifact = "10-development.md"
            on_pass = "testing"
            on_fail = "development"
            {stages}
            [[stage]]
            name = "done"
            "#
        );
        std::fs::write(&pipeline, text).unwrap();
        let config = config(outside.path());
        let host = Host::new()
            .with(&format!("pipeline.file={}", pipeline.display()))
            .with("jobs.grace_s=0")
            .with("jobs.deferral_backoff_s=1")
            .with_file(&config);
        Self { repo, host, outside }
    }

    /// With a stage more before the merge, so that a push at it leads back. Each has its report committed.
    pub(crate) fn with_acceptance() -> Self {
        let stages = r#"
            [[stage]]
            name = "testing"
            producer = "test-runner"
            gate = "check_tests_passed"
            artifact = "13-test-report.md"
            on_pass = "acceptance"
            on_fail = "development"
            [[stage]]
            name = "acceptance"
            producer = "mine"
            gate = "check_tests_passed"
            artifact = "14-acceptance.md"
            on_pass = "done"
            on_fail = "development"
            effects = ["merge"]
            "#;
        let file = component("bench/starts-true.wasm");
        let sha256: String =
            Sha256::digest(std::fs::read(&file).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
        let config = format!(
            "[effects.merge]\ndoes = \"merge\"\n[producers.mine]\ncomponent = {file:?}\nsha256 = {sha256:?}\n\
             [producers.mine.grants.process]\nprograms = {{ true = \"true\" }}\n"
        );
        Self::with_stages(stages, |_| config)
    }

    pub(crate) fn with_merge() -> Self {
        Self::new(r#"["merge"]"#, |_| "[effects.merge]\ndoes = \"merge\"\n".to_owned())
    }

    /// With a command that appends its key to a file outside, of this class.
    pub(crate) fn with_command(class: &str) -> Self {
        Self::new(r#"["tell"]"#, |outside| {
            let told = outside.join("told");
            let read_back = if class == "observable" {
                let script =
                    format!("grep -q \"$STAGEWRIGHT_KEY\" {0} 2>/dev/null && exit 0; exit 1", told.display());
                format!("read_back = \"sh\"\nread_back_args = [\"-c\", '''{script}''']\n")
            } else {
                String::new()
            };
            format!(
                "[effects.tell]\ndoes = \"command\"\nprogram = \"sh\"\nclass = \"{class}\"\ntimeout_s = 1\n\
                 args = [\"-c\", '''echo \"$STAGEWRIGHT_KEY\" >> {}''']\n{read_back}",
                told.display()
            )
        })
    }

    pub(crate) fn add(&self) {
        let path = self.repo.path();
        let args = ["task", "add", "A-1", "--branch", "task/a-1", "--stage", "testing", "--repo"];
        let added = self.host.call(args.into_iter().chain([path.to_str().unwrap()]));
        assert_eq!(added.exit, 0, "{added:#?}");
    }

    /// The daemon's command, to be killed or stopped at a point of its own.
    pub(crate) fn command(&self, variable: &str, point: &str) -> Command {
        let mut command = self.host.command(Daemon::args(&[]));
        command.env(variable, point);
        command
    }

    /// A daemon that kills itself at this point; waits for that.
    pub(crate) fn killed_at(&self, point: &str) {
        let daemon = Daemon::begin(self.command("STAGEWRIGHT_CRASH_AT", point));
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(daemon.wait().signal(), Some(9), "it was not killed at {point}");
    }

    pub(crate) fn told(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.outside.path().join("told")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn effects(&self) -> Vec<Value> {
        self.host.call(["effect", "list", "A-1", "--json"]).json().as_array().unwrap().clone()
    }

    pub(crate) fn effect(&self, name: &str) -> Value {
        self.effects().into_iter().find(|effect| effect["name"] == name).expect("the journal has it")
    }

    /// The merge commits on `main`.
    pub(crate) fn merges(&self) -> Vec<String> {
        let text = self.repo.git(&["rev-list", "--merges", "main"]);
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn is_done(&self) {
        let task = self.host.task("A-1");
        assert_eq!((&task["state"], &task["stage"]), (&"done".into(), &"done".into()), "{task:#}");
    }

    /// The task waits for a person, who has looked at the effect and says what is true.
    pub(crate) fn settle(&self, what: &str) {
        let effect = self.effect("tell");
        let id = effect["id"].as_str().unwrap();
        let settled = self.host.call(["effect", "settle", id, what]);
        assert_eq!(settled.exit, 0, "{settled:#?}");
        assert_eq!(self.host.call(["task", "resume", "A-1"]).exit, 0);
    }

    /// Whether nobody holds the lock of the host's copy.
    pub(crate) fn copy_is_free(&self) -> bool {
        let folder = std::fs::read_dir(self.host.state().join("repos")).unwrap();
        let locks = folder
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "lock"));
        locks.into_iter().all(|path| std::fs::File::open(path).unwrap().try_lock().is_ok())
    }

    pub(crate) fn run(&self) -> Ran {
        self.host.call(self.run_args())
    }

    pub(crate) fn run_args(&self) -> Vec<String> {
        let path = self.repo.path();
        let args = ["run", "--work-item", "A-1", "--branch", "task/a-1", "--json", "--repo"];
        args.into_iter().chain([path.to_str().unwrap()]).map(str::to_owned).collect()
    }

    /// A push to the task's branch.
    pub(crate) fn push(&self, path: &str, content: &str) -> String {
        self.repo.git(&["checkout", "--quiet", "task/a-1"]);
        self.repo.write(path, content);
        let pushed = self.repo.commit("Pushed");
        self.repo.git(&["checkout", "--quiet", "--detach"]);
        pushed
    }
}

pub(crate) fn hear_held(daemon: &Daemon) -> Value {
    let end = daemon.hear_transition("A-1", "testing");
    assert_eq!(end["outcome"], "held", "{end}");
    end
}

pub(crate) fn hear_moved(daemon: &Daemon) {
    loop {
        let end = daemon.hear_transition("A-1", "testing");
        match end["outcome"].as_str() {
            Some("moved") => return assert_eq!(end["to_stage"], "done", "{end}"),
            Some("put-off") => {}
            _ => panic!("{end}"),
        }
    }
}

/// How often a stage was written.
pub(crate) fn writes_to(world: &World, stage: &str) -> usize {
    count(world, &format!("kind = 'stage-written' AND detail ->> '$.to' = '{stage}'"))
}

/// How many events of this kind the audit trail has.
pub(crate) fn events(world: &World, kind: &str) -> usize {
    count(world, &format!("kind = '{kind}'"))
}

pub(crate) fn count(world: &World, which: &str) -> usize {
    let store: PathBuf = world.host.state().join("store.sqlite3");
    let query = format!("SELECT count(*) FROM events WHERE {which}");
    let python = stagewright_e2e::python();
    let script =
        "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone()[0])";
    let output = Command::new(python).args(["-c", script]).arg(store).arg(query).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// An effect that says that it has begun, and waits until it may end.
pub(crate) fn slow_effect(outside: &Path) -> String {
    let (begun, open, told) = (outside.join("begun"), outside.join("open"), outside.join("told"));
    let script = format!(
        "touch {}; while [ ! -e {} ]; do sleep 0.02; done; echo \"$STAGEWRIGHT_KEY\" >> {}",
        begun.display(),
        open.display(),
        told.display()
    );
    format!(
        "[effects.tell]\ndoes = \"command\"\nprogram = \"sh\"\nclass = \"keyed\"\ntimeout_s = 300\nargs = [\"-c\", '''{script}''']\n"
    )
}
