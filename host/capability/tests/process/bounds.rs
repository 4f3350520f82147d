//! What a command can and can't reach.

use stagewright_capability::process::{Exit, Program};

use crate::run::{Run, sh, text};

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

#[tokio::test]
async fn a_command_can_not_signal_its_shepherd_or_make_device_files() {
    let script = "kill -KILL $PPID && echo killed; kill -STOP $PPID && echo stopped; \
                  mknod device c 1 3 && echo made; mknod pipe p && echo pipe; echo end";
    let done = Run::new().sh(script).await;
    if done.isolation == "none" {
        eprintln!("SKIPPED: this kernel has no Landlock");
        return;
    }
    assert_eq!((done.exit, text(&done.stdout.tail)), (Exit::Code(0), "pipe\nend\n".into()));
}

#[tokio::test]
async fn what_is_hidden_in_a_readable_folder_is_out_of_reach() {
    let mut run = Run::new();
    let shared = run.folder.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("config"), "secret").unwrap();
    std::fs::write(shared.join("data"), "plain").unwrap();
    run.grant.read = vec![shared.clone()];
    run.grant.hidden = vec![shared.join("config")];
    let done = run.sh(&format!("cat {0}/data; cat {0}/config", shared.display())).await;
    if done.isolation == "none" {
        eprintln!("SKIPPED: this kernel has no Landlock");
        return;
    }
    assert_eq!((done.exit, text(&done.stdout.tail)), (Exit::Code(1), "plain".into()));
}

#[tokio::test]
async fn git_finds_the_objects_that_the_clone_borrows() {
    let mut run = Run::new();
    let git = |folder: &std::path::Path, args: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.current_dir(folder).args(["-c", "user.name=a", "-c", "user.email=a@example.org"]).args(args);
        let done = command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
    };
    let bare = run.folder.path().join("bare");
    std::fs::create_dir(&bare).unwrap();
    git(&bare, &["init", "--quiet"]);
    git(&bare, &["commit", "--quiet", "--allow-empty", "-m", "first words"]);
    let (bare, clone) = (bare.to_str().unwrap(), run.place.clone.to_str().unwrap());
    git(run.folder.path(), &["clone", "--quiet", "--shared", bare, clone]);
    let program = ["/usr/bin/git", "/usr/local/bin/git", "/bin/git"].map(std::path::PathBuf::from);
    let program = program.into_iter().find(|path| path.is_file()).expect("git is in a system folder");
    run.grant.programs.insert("git".into(), Program::new(program));
    let mut command = sh("");
    command.program = "git".into();
    command.args = ["-c", "safe.directory=*", "log", "--format=%s"].map(Into::into).to_vec();
    let done = run.process().run(command).await.unwrap();
    assert_eq!(text(&done.stdout.tail), "first words\n", "{}", text(&done.stderr.tail));
}

#[tokio::test]
async fn a_command_has_as_many_open_files_as_by_hand() {
    let by_hand = std::process::Command::new("sh").args(["-c", "ulimit -n"]).output().unwrap().stdout;
    stagewright_capability::harden::this_process().unwrap();
    assert_eq!(Run::new().sh("ulimit -n").await.stdout.tail, by_hand);
}
