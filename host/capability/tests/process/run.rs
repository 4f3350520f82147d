//! A run with its folders, and what the tests look at.

use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;
use stagewright_capability::process::{Child, Command, Completed, Event, Grant, Process, Program, Shepherd};
use stagewright_capability::{Cancel, Place, survivors};
use stagewright_engine::identity::RunId;

/// Longer than anything takes that works.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) fn shepherd() -> Shepherd {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("stagewright-shepherd");
    assert!(path.exists(), "{} is missing: run `cargo xtask build`", path.display());
    Shepherd::new(path)
}

/// The build folder; where that lies in a folder that is open to every command, as in a checkout below `/tmp`, the
/// user's folder for caches.
fn private_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(3).unwrap();
    if stagewright_capability::process::open_to_all(built).is_none() {
        return built.to_owned();
    }
    let home =
        std::env::var_os("HOME").expect("a checkout below /tmp needs a HOME outside of it for its tests");
    let folder = PathBuf::from(home).join(".cache/stagewright-tests");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A run's folders, outside of `/tmp`, which is writable for every process.
pub(crate) struct Run {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) place: Place,
    pub(crate) cancel: Cancel,
    pub(crate) grant: Grant,
}

impl Run {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir_in(private_folder()).unwrap();
        let run = RunId::new(uuid::Uuid::now_v7());
        let place = Place::make(run, &folder.path().join("run"), folder.path().join("logs")).unwrap();
        std::fs::create_dir(&place.clone).unwrap();
        let programs = ["sh", "python3", "cat", "true"].map(|name| {
            let path = std::env::split_paths(&std::env::var_os("PATH").unwrap())
                .map(|folder| folder.join(name))
                .find(|path| path.is_file());
            (name.to_owned(), Program::new(path.unwrap_or_else(|| PathBuf::from(name))))
        });
        let grant = Grant { programs: programs.into(), ..Grant::default() };
        Self { folder, place, cancel: Cancel::new(), grant }
    }

    pub(crate) fn process(&self) -> Process {
        Process::new(self.grant.clone(), self.place.clone(), shepherd(), self.cancel.clone())
    }

    pub(crate) async fn sh(&self, script: &str) -> Completed {
        self.process().run(sh(script)).await.unwrap()
    }

    pub(crate) async fn begin(&self, script: &str) -> Child {
        self.process().spawn(sh(script)).await.unwrap()
    }

    /// The processes of this run that are left.
    pub(crate) fn left(&self) -> Vec<Pid> {
        marked(self.place.run)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        survivors::end(self.place.run);
        let _ = std::fs::remove_dir_all(&self.place.tmp);
    }
}

pub(crate) fn sh(script: &str) -> Command {
    Command { program: "sh".into(), args: vec!["-c".into(), script.into()], ..Command::default() }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads from a child until it has printed all these words; everything that it has printed.
pub(crate) async fn until(child: &Child, words: &[&str]) -> String {
    let mut seen = String::new();
    while !words.iter().all(|word| seen.contains(word)) {
        match child.next(1_000, LONG).await {
            Event::Stdout(chunk) | Event::Stderr(chunk) => seen += &text(&chunk.bytes),
            other => panic!("{words:?} did not come: {seen} {other:?}"),
        }
    }
    seen
}

/// The processes that bear the mark of a run.
pub(crate) fn marked(run: RunId) -> Vec<Pid> {
    let mark = format!("STAGEWRIGHT_RUN={run}");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let bears = |entry: &std::fs::DirEntry| {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|entry| entry == mark.as_bytes())
    };
    let pid = |entry: std::fs::DirEntry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?);
    entries.filter(bears).filter_map(pid).collect()
}

/// The shepherd of a run: the parent of the run's process that is a child of one.
pub(crate) fn shepherd_of(run: RunId) -> Pid {
    let name = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    for pid in marked(run) {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let parent = rest.split_ascii_whitespace().nth(1).unwrap();
        if name(parent).starts_with("stagewright-she") {
            return Pid::from_raw(parent.parse().unwrap()).unwrap();
        }
    }
    panic!("no shepherd found");
}

/// Whether the process ends within the time.
pub(crate) fn gone(process: &std::os::fd::OwnedFd, time: Duration) -> bool {
    let timeout = Timespec::try_from(time).unwrap();
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout)).unwrap() == 1
}
