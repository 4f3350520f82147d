//! What may be started, with which arguments, where and how often.

use stagewright_capability::FailureKind;
use stagewright_capability::process::{Command, Exit, Program};

use crate::run::{Run, sh, text};

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
async fn a_variable_of_the_hosts_can_not_be_set() {
    for name in ["STAGEWRIGHT_RUN", "LD_PRELOAD", "A=B", ""] {
        let mut command = sh("true");
        command.env = vec![(name.into(), "x".into())];
        let failure = Run::new().process().run(command).await.unwrap_err();
        assert_eq!(failure.code, "variable-not-granted", "{name}");
    }
}
