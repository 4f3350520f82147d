//! Real processes under the real shepherd. `cargo xtask test` builds the shepherd first.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use stagewright_capability::process::{
    Child, Command, Completed, Event, Exit, Grant, Process, Program, Shepherd,
};
use stagewright_capability::{Cancel, FailureKind, Place, survivors};
use stagewright_engine::identity::RunId;
use stagewright_engine::outcome::Cause;

fn shepherd() -> Shepherd {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("stagewright-shepherd");
    assert!(path.exists(), "{} is missing: run `cargo xtask build`", path.display());
    Shepherd::new(path)
}

/// A run's folders, outside of `/tmp`, which is writable for every process.
struct Run {
    folder: tempfile::TempDir,
    place: Place,
    cancel: Cancel,
    grant: Grant,
}

impl Run {
    fn new() -> Self {
        let beside = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir_in(beside.ancestors().nth(3).unwrap()).unwrap();
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

    fn process(&self) -> Process {
        Process::new(self.grant.clone(), self.place.clone(), shepherd(), self.cancel.clone())
    }

    async fn sh(&self, script: &str) -> Completed {
        self.process().run(sh(script)).await.unwrap()
    }

    async fn begin(&self, script: &str) -> Child {
        self.process().spawn(sh(script)).await.unwrap()
    }

    /// The processes of this run that are left.
    fn left(&self) -> usize {
        let mark = format!("STAGEWRIGHT_RUN={}", self.place.run);
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|entry| {
                let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
                environment.split(|&byte| byte == 0).any(|entry| entry == mark.as_bytes())
            })
            .count()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        survivors::end(self.place.run);
        let _ = std::fs::remove_dir_all(&self.place.tmp);
    }
}

fn sh(script: &str) -> Command {
    Command { program: "sh".into(), args: vec!["-c".into(), script.into()], ..Command::default() }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_command_ends_with_its_own_exit_code_and_output() {
    let run = Run::new();
    let done = run.sh("echo out; echo err >&2; exit 7").await;
    assert_eq!(done.exit, Exit::Code(7), "{done:?}");
    assert_eq!((text(&done.stdout.tail), text(&done.stderr.tail)), ("out\n".into(), "err\n".into()));
    assert_eq!(std::fs::read(run.place.logs.join("stdout.log")).unwrap(), b"out\n");
}

#[tokio::test]
async fn a_crash_keeps_its_signal() {
    assert_eq!(Run::new().sh("kill -SEGV $$").await.exit, Exit::Signal(11));
}

#[tokio::test]
async fn input_arrives() {
    let run = Run::new();
    let command = Command { program: "cat".into(), stdin: b"in\0put".to_vec(), ..Command::default() };
    assert_eq!(run.process().run(command).await.unwrap().stdout.tail, b"in\0put");
}

#[tokio::test]
async fn an_escapee_that_holds_the_pipe_is_ended_and_does_not_hold_the_run() {
    let run = Run::new();
    let begun = Instant::now();
    let done = run.sh("setsid sh -c 'setsid sleep 600 & sleep 600' & echo started").await;
    assert_eq!(done.exit, Exit::Code(0));
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert_eq!(run.left(), 0);
}

#[tokio::test]
async fn a_command_past_its_time_is_ended_with_its_whole_tree() {
    let run = Run::new();
    let command = Command {
        timeout: Some(Duration::from_millis(300)),
        ..sh("trap '' TERM; setsid sleep 600 & sleep 600; sleep 600")
    };
    assert_eq!(run.process().run(command).await.unwrap().exit, Exit::TimedOut);
    assert_eq!(run.left(), 0);
}

#[tokio::test]
async fn a_cancelled_run_ends_its_commands() {
    let run = Run::new();
    let child = run.begin("echo ready; sleep 600").await;
    assert!(matches!(child.next(100, Duration::from_secs(60)).await, Event::Stdout(_)));
    run.cancel.cancel(Cause::Operator);
    assert_eq!(child.end().await.exit, Exit::Cancelled);
    assert_eq!(run.process().spawn(sh("true")).await.unwrap_err().kind, FailureKind::Cancelled);
    assert_eq!(run.left(), 0);
}

#[tokio::test]
async fn a_killed_shepherd_leaves_nothing_behind_and_gives_no_exit_code() {
    stagewright_capability::harden::this_process().unwrap();
    let run = Run::new();
    let child = run.begin("setsid sh -c 'echo ready; sleep 600' & sleep 600").await;
    assert!(matches!(child.next(100, Duration::from_secs(60)).await, Event::Stdout(_)));
    let pid = shepherd_of(&run);
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let done = child.end().await;
    assert!(matches!(done.exit, Exit::Lost(_)), "{done:?}");
    assert_eq!(run.left(), 0);
}

/// The shepherd of a run: the parent of the run's process that is a child of one.
fn shepherd_of(run: &Run) -> rustix::process::Pid {
    let mark = format!("STAGEWRIGHT_RUN={}", run.place.run);
    let name = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if !environment.split(|&byte| byte == 0).any(|entry| entry == mark.as_bytes()) {
            continue;
        }
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap();
        let parent = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(1).unwrap().to_owned();
        if name(&parent).starts_with("stagewright-she") {
            return rustix::process::Pid::from_raw(parent.parse().unwrap()).unwrap();
        }
    }
    panic!("no shepherd found");
}

#[tokio::test]
async fn two_hundred_megabytes_of_output_are_counted_and_bounded() {
    let mut run = Run::new();
    run.grant.output_log_bytes = 1_000;
    let done = run.sh("head -c 200000000 /dev/zero").await;
    assert_eq!((done.exit, done.stdout.total), (Exit::Code(0), 200_000_000));
    assert_eq!(done.stdout.tail.len(), run.grant.tail_bytes);
    assert_eq!(std::fs::metadata(run.place.logs.join("stdout.log")).unwrap().len(), 1_000);
}

#[tokio::test]
async fn endless_output_is_ended_at_the_limit() {
    let mut run = Run::new();
    run.grant.output_bytes = 1_000_000;
    assert_eq!(run.sh("yes").await.exit, Exit::Limit("output".into()));
}

#[tokio::test]
async fn the_environment_is_built_from_nothing() {
    let run = Run::new();
    let mut command = sh("env");
    command.env = vec![("MINE".into(), "1".into())];
    let done = run.process().run(command).await.unwrap();
    let env = text(&done.stdout.tail);
    assert!(env.contains("MINE=1\n") && env.contains("STAGEWRIGHT_TEST_RUN=1\n"), "{env}");
    assert!(env.contains(&format!("HOME={}\n", run.place.home.display())), "{env}");
    assert!(!env.contains("CARGO_") && !env.contains("RUST"), "{env}");
}

#[tokio::test]
async fn a_variable_of_the_hosts_can_not_be_set() {
    for name in ["STAGEWRIGHT_RUN", "LD_PRELOAD", "A=B", ""] {
        let mut command = sh("true");
        command.env = vec![(name.into(), "x".into())];
        let failure = Run::new().process().run(command).await.unwrap_err();
        assert_eq!(failure.code, "variable-not-granted", "{name}");
    }
}

#[tokio::test]
async fn what_is_not_granted_or_not_there_is_told_apart() {
    let mut run = Run::new();
    run.grant.programs.insert("gone".into(), Program::new("/no/such/program".into()));
    let named = |program: &str| Command { program: program.into(), ..Command::default() };
    let process = run.process();
    let refused = process.run(named("rm")).await.unwrap_err();
    assert_eq!((refused.kind, refused.code), (FailureKind::Denied, "program-not-granted"));
    assert_eq!(process.run(named("gone")).await.unwrap_err().code, "program-missing");
}

#[tokio::test]
async fn only_granted_arguments_are_taken() {
    let mut run = Run::new();
    run.grant.programs.get_mut("sh").unwrap().args = Some(vec!["-c".into(), "echo *".into()]);
    assert_eq!(run.sh("echo hello").await.exit, Exit::Code(0));
    assert_eq!(run.process().run(sh("rm x")).await.unwrap_err().code, "argument-not-granted");
}

#[tokio::test]
async fn the_working_folder_stays_inside_the_clone() {
    let run = Run::new();
    std::fs::create_dir(run.place.clone.join("sub")).unwrap();
    std::os::unix::fs::symlink("/", run.place.clone.join("out")).unwrap();
    let at = |cwd: &str| Command { cwd: Some(cwd.into()), ..sh("pwd") };
    let done = run.process().run(at("sub")).await.unwrap();
    assert!(text(&done.stdout.tail).ends_with("/clone/sub\n"));
    for cwd in ["..", "out", "/", "sub/../..", "missing"] {
        assert_eq!(run.process().run(at(cwd)).await.unwrap_err().code, "outside-worktree", "{cwd}");
    }
}

#[tokio::test]
async fn too_many_commands_at_once_are_a_limit() {
    let mut run = Run::new();
    run.grant.max_at_once = 1;
    let process = run.process();
    let child = process.spawn(sh("sleep 600")).await.unwrap();
    assert_eq!(process.spawn(sh("true")).await.unwrap_err().code, "too-many-processes");
    child.kill();
    child.end().await;
    assert_eq!(process.run(sh("true")).await.unwrap().exit, Exit::Code(0));
}

#[tokio::test]
async fn a_storm_of_children_is_ended() {
    let run = Run::new();
    let done = run.sh("for i in $(seq 200); do (setsid sleep 600 &) ; done; exit 3").await;
    assert_eq!(done.exit, Exit::Code(3));
    assert_eq!(run.left(), 0);
}

#[tokio::test]
async fn the_state_beside_a_run_and_other_processes_are_out_of_reach_under_landlock() {
    let run = Run::new();
    std::fs::write(run.folder.path().join("token"), "secret").unwrap();
    let script = format!(
        "cat {folder}/token; ls {folder}; cat {logs}/stdout.log; cat /proc/{pid}/environ; kill -0 {pid}; \
         echo x > {folder}/new; echo end",
        folder = run.folder.path().display(),
        logs = run.place.logs.display(),
        pid = std::process::id()
    );
    let done = run.sh(&script).await;
    if done.isolation == "none" {
        eprintln!("SKIPPED: this kernel has no Landlock");
        return;
    }
    assert_eq!(text(&done.stdout.tail), "end\n", "{}", text(&done.stderr.tail));
    assert!(!run.folder.path().join("new").exists());
}

#[tokio::test]
async fn what_a_good_suite_needs_is_in_reach() {
    let run = Run::new();
    let script = "set -e; echo x > file; echo x > \"$HOME/file\"; echo x > \"$TMPDIR/file\"; echo x > /dev/null; \
                  head -c 4 /dev/urandom > /dev/shm/sw-$$; rm /dev/shm/sw-$$; cat /etc/passwd > /dev/null; \
                  cat /proc/self/status > /dev/null; python3 -c 'import ssl, sqlite3, multiprocessing as m; \
                  m.Lock(); print(m.get_context(\"fork\").Pool(1).map(abs, [-1]))'";
    let done = run.sh(script).await;
    assert_eq!(done.exit, Exit::Code(0), "{}", text(&done.stderr.tail));
}
