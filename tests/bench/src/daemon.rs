//! The real `serve` of the build that is measured: a place with a repository, a store and a configuration, and the process.
//!
//! What was started here ends with its value, its runs' processes and folders included: those that bear the mark of a run
//! that is in this place's own store, and no others.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use stagewright_capability::{Place, survivors};
use stagewright_engine::identity::RunId;
use stagewright_engine::name::CommitId;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use uuid::Uuid;

use crate::Setting;
use crate::filled::{self, Filled};
use crate::http::Client;
use crate::measure::Failed;

/// One stage, after which a task is done.
const PIPELINE: &str = r#"
[[stage]]
name = "testing"
producer = "test-runner"
gate = "check_tests_passed"
artifact = "13-test-report.md"
on_pass = "done"
on_fail = "testing"

[[stage]]
name = "done"
"#;

/// The longest that anything here is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A repository, a state folder and a configuration.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Site {
    /// A place whose suite is `sleep` with this number of seconds.
    pub(crate) fn new(setting: &Setting, seconds: &str) -> Result<Self, Failed> {
        let folder = setting.folder_on_disk()?;
        // One for all places, so that the component is compiled once: what is measured has a warm cache.
        let cache = setting.scratch.join("components");
        let site = Self { program: setting.programs.join("stagewright"), folder };
        make_repo(&site.repo(), &site.folder.path().join("checkout"))?;
        std::fs::create_dir(site.state())?;
        std::fs::create_dir(site.folder.path().join("home"))?;
        std::fs::write(site.folder.path().join("pipeline.toml"), PIPELINE)?;
        let text = |path: &Path| Value::String(path.to_string_lossy().into_owned());
        let configuration = format!(
            "[state]\ndir = \"state\"\n\
             [pipeline]\nfile = \"pipeline.toml\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n\
             [artifacts]\ncommit = false\n\
             [sandbox]\ncache_dir = {}\n\
             [test_runner]\nframework = \"command\"\nprogram = \"sleep\"\nargs = [\"{seconds}\"]\n",
            text(&cache),
        );
        std::fs::write(site.configuration(), configuration)?;
        Ok(site)
    }

    fn repo(&self) -> PathBuf {
        self.folder.path().join("repo.git")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("stagewright.toml")
    }

    /// Its new store, to be filled.
    pub(crate) async fn fill(&self) -> Result<Filled, Failed> {
        let head = git(&self.repo(), &["rev-parse", "main"])?;
        Filled::new(&self.state().join("store.sqlite3"), &self.repo(), CommitId::new(head)?).await
    }

    /// Starts `serve` and waits until it says that it does.
    pub(crate) async fn serve(&self, jobs: usize) -> Result<Daemon, Failed> {
        Daemon::start(self.command().args(["serve", "--json", "--set"]).arg(format!("limits.jobs={jobs}")))
            .await
    }

    /// The program with this place's configuration, and none of the caller's variables but PATH.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path().join("home"))
            // Where the folders of its runs are looked for afterwards.
            .env("TMPDIR", std::env::temp_dir())
            .env("ORCH_CONFIG", self.configuration())
            .stdin(Stdio::null());
        command
    }

    /// One number that the store is asked for.
    pub(crate) fn count(&self, sql: &str) -> Result<u64, Failed> {
        let counted: i64 = self.look()?.query_row(sql, [], |row| row.get(0))?;
        Ok(counted.unsigned_abs())
    }

    /// The runs that the store has, with this condition.
    pub(crate) fn runs(&self, condition: &str) -> Result<Vec<RunId>, Failed> {
        let connection = self.look()?;
        let mut query =
            connection.prepare(&format!("SELECT run FROM jobs WHERE run IS NOT NULL AND {condition}"))?;
        let rows = query.query_map([], |row| row.get::<_, [u8; 16]>(0))?;
        Ok(rows.map(|bytes| Ok(RunId::new(Uuid::from_bytes(bytes?)))).collect::<rusqlite::Result<_>>()?)
    }

    fn look(&self) -> Result<Connection, Failed> {
        let path = self.state().join("store.sqlite3");
        Ok(Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?)
    }

    /// Ends what the runs of a killed daemon have left, and removes their folders.
    fn clear(&self) -> Result<(), Failed> {
        let runs = all_runs(&self.look()?)?;
        if !runs.is_empty() {
            let left = survivors::end_all(&runs);
            if left > 0 {
                return Err(format!("{left} processes of the measured runs could not be ended").into());
            }
        }
        for folder in runs.into_iter().map(Place::tmp_of).filter(|folder| folder.exists()) {
            std::fs::remove_dir_all(folder)?;
        }
        Ok(())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.state().join("store.sqlite3").exists()
            && let Err(error) = self.clear()
        {
            eprintln!("    something was left behind: {error}");
        }
    }
}

/// The runs of daemons; those that were only written down never had a process.
fn all_runs(store: &Connection) -> Result<Vec<RunId>, Failed> {
    let of_daemons = "SELECT id FROM instances WHERE facts ->> '$.host' <> ?1";
    let mut query = store.prepare(&format!("SELECT id FROM runs WHERE instance IN ({of_daemons})"))?;
    let rows = query.query_map([filled::HOST], |row| row.get::<_, [u8; 16]>(0))?;
    Ok(rows.map(|bytes| Ok(RunId::new(Uuid::from_bytes(bytes?)))).collect::<rusqlite::Result<_>>()?)
}

/// A bare repository with one commit on `main`.
fn make_repo(bare: &Path, checkout: &Path) -> Result<(), Failed> {
    std::fs::create_dir(checkout)?;
    git(checkout, &["init", "--quiet", "--initial-branch=main"])?;
    std::fs::write(checkout.join("README.md"), "# A project whose suite waits\n")?;
    git(checkout, &["add", "--all"])?;
    git(checkout, &["commit", "--quiet", "--message", "Wait"])?;
    let to = bare.to_string_lossy();
    git(checkout, &["clone", "--quiet", "--bare", ".", &to]).map(drop)
}

/// Runs git and gives what it prints.
fn git(folder: &Path, args: &[&str]) -> Result<String, Failed> {
    let output = Command::new("git")
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=Bench", "-c", "user.email=bench@localhost"])
        .args(args)
        .stdin(Stdio::null())
        .output()?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(format!("git {args:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// A daemon, and what it says. It is killed with the value.
pub(crate) struct Daemon {
    process: Child,
    lines: UnboundedReceiver<Value>,
    serving: Value,
    begun: Instant,
}

impl Daemon {
    async fn start(command: &mut Command) -> Result<Self, Failed> {
        let begun = Instant::now();
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let out = process.stdout.take();
        let (say, lines) = unbounded_channel();
        std::thread::spawn(move || {
            use std::io::BufRead as _;
            for line in
                out.into_iter().flat_map(|out| std::io::BufReader::new(out).lines()).map_while(Result::ok)
            {
                // Whoever does not listen any more misses nothing.
                let _ = say.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        let mut daemon = Self { process, lines, serving: Value::Null, begun };
        daemon.serving = daemon.hear("serving").await?;
        Ok(daemon)
    }

    /// When its process was started.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// The next event of this name; what comes before it is passed over.
    pub(crate) async fn hear(&mut self, event: &str) -> Result<Value, Failed> {
        let heard = async {
            loop {
                match self.lines.recv().await {
                    Some(line) if line["event"] == event => return Ok(line),
                    Some(_) => {}
                    None => return Err("the daemon has ended"),
                }
            }
        };
        let heard = tokio::time::timeout(PATIENCE, heard).await;
        Ok(heard.map_err(|_| format!("the daemon did not say `{event}` within {PATIENCE:?}"))??)
    }

    /// Where it listens, such as `127.0.0.1:40123`.
    pub(crate) fn address(&self) -> Result<&str, Failed> {
        let url = self.serving["http"].as_str();
        Ok(url.and_then(|url| url.strip_prefix("http://")).ok_or("the daemon listens nowhere")?)
    }

    /// A connection to it.
    pub(crate) async fn connect(&self) -> Result<Client, Failed> {
        Client::connect(self.address()?).await
    }

    /// A number of bytes in its `/proc/<pid>/status`, such as `VmHWM`.
    pub(crate) fn memory(&self, field: &str) -> Result<u64, Failed> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let kilobytes = status.lines().find_map(|line| {
            let (name, rest) = line.split_once(':')?;
            (name == field).then(|| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())?
        });
        Ok(kilobytes.ok_or_else(|| format!("the kernel tells no {field}"))? * 1024)
    }

    /// The processor time that it has taken itself, in clock ticks; its children's is not in it.
    pub(crate) fn ticks(&self) -> Result<u64, Failed> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name in brackets may hold anything. Behind it the fields have a fixed order: 14 and 15 of all are the times.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let times = fields.split_ascii_whitespace().skip(11).take(2).map(str::parse::<u64>);
        Ok(times.sum::<Result<u64, _>>()?)
    }

    /// SIGKILL; returns when it is gone.
    pub(crate) fn kill(mut self) -> Result<(), Failed> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for its end in order.
    pub(crate) async fn stop(mut self) -> Result<(), Failed> {
        let pid = self.process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status()?;
        if !told.success() {
            return Err(format!("kill -TERM {pid}: {told}").into());
        }
        self.hear("stopped").await?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended is not hit: its id is kept until it was waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
