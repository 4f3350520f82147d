//! A run with a target, and what the tests look at.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use stagewright_capability::process::Shepherd;
use stagewright_capability::ssh::{Command, Completed, Exit, Grant, Ssh, Target};
use stagewright_capability::{Cancel, Failure, Place, survivors};
use stagewright_engine::identity::{JobId, RunId};

use crate::sshd::{self, Sshd};

/// Longer than anything takes that works.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// One run of one job, with one target that is called `staging`.
pub(crate) struct Scene {
    pub(crate) sshd: Sshd,
    folder: tempfile::TempDir,
    place: Place,
    pub(crate) cancel: Cancel,
    pub(crate) grant: Grant,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::on(Sshd::start())
    }

    pub(crate) fn on(sshd: Sshd) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = RunId::new(uuid::Uuid::now_v7());
        let place = Place::make(run, &folder.path().join("run"), folder.path().join("logs")).unwrap();
        let mut target = Target::new("127.0.0.1");
        target.port = Some(sshd.port);
        target.identity = Some(sshd.key());
        target.known_hosts = Some(sshd.known_hosts());
        target.config = Some(PathBuf::from("/dev/null")).filter(|path| path.is_file());
        let mut grant = Grant::new(JobId::new(uuid::Uuid::now_v7()));
        grant.program = sshd::ssh();
        grant.targets.insert("staging".to_owned(), target);
        Self { sshd, folder, place, cancel: Cancel::new(), grant }
    }

    pub(crate) fn target(&mut self) -> &mut Target {
        self.grant.targets.get_mut("staging").unwrap()
    }

    pub(crate) fn ssh(&self) -> Ssh {
        let test = std::env::current_exe().unwrap();
        let path = test.ancestors().nth(2).unwrap().join("stagewright-shepherd");
        assert!(path.exists(), "{} is missing: run `cargo xtask build`", path.display());
        Ssh::new(self.grant.clone(), &self.place, Shepherd::new(path), self.cancel.clone())
    }

    pub(crate) async fn exec(&self, argv: &[&str]) -> Completed {
        self.ssh().exec(command(argv)).await.unwrap()
    }

    pub(crate) async fn sh(&self, script: &str) -> Completed {
        self.exec(&["sh", "-c", script]).await
    }

    /// A folder that the commands may write to: on loopback the target is this machine.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.place.logs.join(name)).unwrap()
    }

    /// Starts a command with a family that does not want to end; gives it with handles on all its processes once they
    /// are there.
    pub(crate) async fn family(&self) -> (tokio::task::JoinHandle<Result<Completed, Failure>>, Vec<OwnedFd>) {
        self.family_in(&[]).await
    }

    /// The same within an enclosure of this machine.
    pub(crate) async fn family_in(
        &self,
        enclosure: &[&str],
    ) -> (tokio::task::JoinHandle<Result<Completed, Failure>>, Vec<OwnedFd>) {
        let pipe = self.file("pids");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let pipe = pipe.to_str().unwrap().to_owned();
        let script = format!(
            "trap '' TERM; setsid sh -c 'echo $$ >>{pipe}; sleep 600' & env -i sh -c 'echo $$ >>{pipe}; exec sleep 600' & echo $$ >>{pipe}; echo suite; sleep 600; sleep 600"
        );
        let mut command = command(&["sh", "-c", &script]);
        command.enclosure = enclosure.iter().map(|word| (*word).to_owned()).collect();
        let ssh = self.ssh();
        let task = tokio::spawn(async move { ssh.exec(command).await });
        let path = self.file("pids");
        let pids = tokio::task::spawn_blocking(move || {
            use std::io::{BufRead, BufReader};
            let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
            let lines = BufReader::new(file).lines().take(3);
            lines.map(|line| line.unwrap().parse::<i32>().unwrap()).collect::<Vec<_>>()
        });
        let pids = tokio::time::timeout(LONG, pids).await.expect("the family did not come up").unwrap();
        let open = |pid| pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
        (task, pids.into_iter().map(open).collect())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        survivors::end(self.place.run);
        let _ = std::fs::remove_dir_all(&self.place.tmp);
    }
}

pub(crate) fn command(argv: &[&str]) -> Command {
    let argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
    Command { target: "staging".to_owned(), argv, ..Command::default() }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The code of a command that never started.
pub(crate) fn never(done: &Completed) -> &'static str {
    match &done.exit {
        Exit::NotStarted(failure) => failure.code,
        other => panic!("it started: {other:?} {}", text(&done.stderr.tail)),
    }
}

/// Whether a process ends within the time.
pub(crate) fn gone(process: &OwnedFd, time: Duration) -> bool {
    let timeout = Timespec::try_from(time).unwrap();
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout)).unwrap() == 1
}
