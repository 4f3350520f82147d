//! What the daemon works on while it is killed: a repository, effects of every class, and a person.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command;
use crate::error::Error;
use crate::workspace::{Profile, Workspace};

/// How soon it is looked again whether a daemon has died.
const AGAIN: Duration = Duration::from_millis(5);

/// A stage with effects of every class behind it.
const PIPELINE: &str = r#"
[[stage]]
name = "testing"
producer = "test-runner"
gate = "check_tests_passed"
artifact = "13-test-report.md"
on_pass = "done"
on_fail = "testing"
effects = ["keyed", "observable", "blind", "merge"]

[[stage]]
name = "done"
"#;

/// Everything of one soak, in a folder of its own.
pub(super) struct World {
    program: PathBuf,
    pub(super) folder: PathBuf,
    tasks: u32,
    kills: BTreeMap<String, u32>,
    looked: u32,
}

impl World {
    pub(super) fn new(workspace: &Workspace) -> Result<Self, Error> {
        let folder = workspace.target().join("soak");
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(Error::file(&folder))?;
        }
        for part in ["outside", "home"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(Error::file(&path))?;
        }
        let program = workspace.programs(Profile::Debug).join("stagewright");
        let world = Self { program, folder, tasks: 0, kills: BTreeMap::new(), looked: 0 };
        world.write("pipeline.toml", PIPELINE)?;
        world.write("stagewright.toml", &world.configuration())?;
        let repo = world.repo();
        let made = Command::new("git")
            .args(["init", "--quiet", "--bare", "--initial-branch=main"])
            .arg(&repo)
            .status();
        made.map_err(Error::file(&repo))?;
        world.commit("main", None, "README.md")?;
        Ok(world)
    }

    pub(super) fn repo(&self) -> PathBuf {
        self.folder.join("project.git")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// A file outside of the repository that an effect writes a line to.
    pub(super) fn outside(&self, name: &str) -> PathBuf {
        self.folder.join("outside").join(name)
    }

    pub(super) fn tasks(&self) -> u32 {
        self.tasks
    }

    pub(super) fn all_kills(&self) -> u32 {
        self.kills.values().sum()
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(Error::file(&path))
    }

    fn configuration(&self) -> String {
        let [keyed, observable, blind] = ["keyed", "observable", "blind"].map(|name| self.outside(name));
        let outside = self.folder.join("outside");
        // Each writes its line at one stroke, in the midst of some time in which it can be killed. The keyed one's target
        // knows a key again.
        let effect = |class: &str, script: String| {
            format!(
                "[effects.{class}]\ndoes = \"command\"\nclass = \"{class}\"\nprogram = \"sh\"\ntimeout_s = 1\n\
                 write = [{outside:?}]\nargs = [\"-c\", '''{script}''']\n"
            )
        };
        let append =
            |file: &Path| format!("sleep 0.02; echo \"$STAGEWRIGHT_KEY\" >> {}; sleep 0.02", file.display());
        let once = format!(
            "grep -qxF \"$STAGEWRIGHT_KEY\" {0} 2>/dev/null || {{ {1}; }}",
            keyed.display(),
            append(&keyed)
        );
        let look = format!("grep -qxF \"$STAGEWRIGHT_KEY\" {} 2>/dev/null", observable.display());
        format!(
            "[pipeline]\nfile = {pipeline:?}\n[http]\nenabled = false\n[reconciler]\nevery_s = 1\n[limits]\njobs = 4\n\
             [jobs]\ngrace_s = 0\ndeferral_budget = 100\ndeferral_backoff_s = 1\ndeferral_backoff_max_s = 1\n\
             [test_runner]\nframework = \"command\"\nprogram = \"sh\"\nargs = [\"-c\", \"sleep 0.05\"]\n\
             {}{}read_back = \"sh\"\nread_back_args = [\"-c\", '''{look} && exit 0; exit 1''']\n{}[effects.merge]\ndoes = \"merge\"\n",
            effect("keyed", once),
            effect("observable", append(&observable)),
            effect("blind", append(&blind)),
            pipeline = self.folder.join("pipeline.toml"),
        )
    }

    /// The program, with this world's state and configuration and nothing of the caller's but PATH.
    pub(super) fn call(&self, args: &[&str]) -> Command {
        let mut call = Command::new(&self.program);
        call.args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.join("home"))
            .env("ORCH_STATE_DIR", self.state())
            .env("ORCH_CONFIG", self.folder.join("stagewright.toml"))
            .stdin(Stdio::null());
        call
    }

    fn ask(&self, args: &[&str]) -> Result<Value, Error> {
        let text = command::read("the host", &mut self.call(args))?;
        serde_json::from_str(&text)
            .map_err(|error| Error::Verdict(format!("the host answered {text}: {error}")))
    }

    /// A branch with a commit of its own that adds this file, made without any checkout.
    fn commit(&self, branch: &str, from: Option<&str>, file: &str) -> Result<(), Error> {
        let from = from.map(|from| format!("from refs/heads/{from}\n")).unwrap_or_default();
        let script = format!(
            "commit refs/heads/{branch}\ncommitter A Developer <developer@example.invalid> 1700000000 +0000\n\
             data 4\nWork\n{from}M 100644 inline {file}\ndata 5\nwork\n\n"
        );
        let repo = self.repo();
        let mut import = Command::new("git");
        import.arg("-C").arg(&repo).args(["fast-import", "--quiet"]).stdin(Stdio::piped());
        let mut child = import.spawn().map_err(Error::file(&repo))?;
        if let Some(mut stdin) = child.stdin.take() {
            std::io::Write::write_all(&mut stdin, script.as_bytes()).map_err(Error::file(&repo))?;
        }
        let status = child.wait().map_err(Error::file(&repo))?;
        command::ended("git fast-import", &import, status)
    }

    /// One task more, on a branch of its own.
    pub(super) fn add_task(&mut self) -> Result<(), Error> {
        self.tasks += 1;
        let (branch, key) = (format!("task/{}", self.tasks), format!("S-{}", self.tasks));
        // All of them from the first commit of `main`, so that the merges have something to merge.
        self.commit(&branch, Some("main"), &format!("work/{}.txt", self.tasks))?;
        let repo = self.repo();
        let repo = repo.to_string_lossy();
        let args =
            ["task", "add", &key, "--branch", &branch, "--stage", "testing", "--json", "--repo", &repo];
        self.ask(&args).map(drop)
    }

    fn list(&self) -> Result<Vec<Value>, Error> {
        if self.tasks == 0 {
            return Ok(Vec::new());
        }
        Ok(self.ask(&["task", "list", "--json"])?.as_array().cloned().unwrap_or_default())
    }

    /// How many tasks are not done.
    pub(super) fn under_way(&self) -> Result<usize, Error> {
        Ok(self.list()?.iter().filter(|task| task["state"] != "done").count())
    }

    /// The tasks that are not done.
    pub(super) fn not_done(&self) -> Result<Vec<Value>, Error> {
        Ok(self.list()?.into_iter().filter(|task| task["state"] != "done").collect())
    }

    /// A person looks at the targets of effects that the host can't judge, says what is true, and lets held tasks go on.
    pub(super) fn person(&mut self) -> Result<(), Error> {
        let unresolved = self.ask(&["effect", "list", "--json"])?;
        for effect in unresolved.as_array().into_iter().flatten() {
            let (Some(id), Some(name)) = (effect["id"].as_str(), effect["name"].as_str()) else { continue };
            let job = effect["job"].as_str().unwrap_or_default();
            let lines = fs::read_to_string(self.outside(name)).unwrap_or_default();
            let happened = lines.lines().any(|line| line.ends_with(&format!("#{job}")));
            self.looked += 1;
            self.ask(&["effect", "settle", id, if happened { "done" } else { "not-done" }, "--json"])?;
        }
        for task in self.list()?.iter().filter(|task| task["state"] == "held") {
            if let Some(key) = task["work_item"].as_str() {
                self.ask(&["task", "resume", key, "--json"])?;
            }
        }
        Ok(())
    }

    /// Notes a kill.
    pub(super) fn killed(&mut self, point: Option<&str>) {
        let name = point.map_or("at a random time", |point| point.split(':').next().unwrap_or(point));
        *self.kills.entry(name.to_owned()).or_default() += 1;
    }

    /// Lets a daemon work undisturbed until every task is done.
    pub(super) fn finish(&mut self, limit: Duration) -> Result<(), Error> {
        let begun = Instant::now();
        let daemon = Daemon::start(self, None)?;
        while self.under_way()? > 0 && begun.elapsed() < limit {
            self.person()?;
            thread::sleep(Duration::from_millis(500));
        }
        daemon.stop()
    }

    /// What happened, for people.
    pub(super) fn summary(&self) -> Vec<String> {
        let kills: Vec<String> = self.kills.iter().map(|(name, count)| format!("{count} {name}")).collect();
        vec![
            format!("killed: {}", kills.join(", ")),
            format!("effects that a person had to look at: {}", self.looked),
        ]
    }
}

/// One life of the daemon.
pub(super) struct Daemon {
    process: Child,
}

impl Daemon {
    /// Starts one that kills itself at this point.
    pub(super) fn start(world: &World, point: Option<&str>) -> Result<Self, Error> {
        let mut serve = world.call(&["serve", "--json"]);
        if let Some(point) = point {
            serve.env("STAGEWRIGHT_CRASH_AT", point);
        }
        let log = world.folder.join("daemon.log");
        let open = || fs::File::options().create(true).append(true).open(&log).map_err(Error::file(&log));
        serve.stdout(open()?).stderr(open()?);
        let process = serve.spawn().map_err(|error| command::unstartable(&serve, error))?;
        Ok(Self { process })
    }

    /// Waits until it has killed itself, or kills it when its time is over. Whether it came to its point.
    pub(super) fn die_within(&mut self, limit: Duration) -> Result<bool, Error> {
        let begun = Instant::now();
        loop {
            let ended = self.process.try_wait().map_err(Error::file("the daemon"))?;
            match ended {
                Some(status) if status.signal() == Some(9) => return Ok(true),
                Some(status) => {
                    let what = format!(
                        "the daemon ended by itself ({status}); what it said is in the soak folder's daemon.log"
                    );
                    return Err(Error::Verdict(what));
                }
                None if begun.elapsed() >= limit => {
                    self.process.kill().map_err(Error::file("the daemon"))?;
                    self.process.wait().map_err(Error::file("the daemon"))?;
                    return Ok(false);
                }
                None => thread::sleep(AGAIN),
            }
        }
    }

    /// Tells it to stop and waits for its end.
    pub(super) fn stop(mut self) -> Result<(), Error> {
        let id = self.process.id().to_string();
        command::watch("telling the daemon to stop", Command::new("kill").args(["-TERM", &id]))?;
        let status = self.process.wait().map_err(Error::file("the daemon"))?;
        // One that was told before it listens to signals ends at once, as any program does.
        if status.success() || status.signal() == Some(15) {
            Ok(())
        } else {
            Err(Error::Verdict(format!("the daemon stopped with {status}")))
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended is not hit: its id is kept until it was waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
