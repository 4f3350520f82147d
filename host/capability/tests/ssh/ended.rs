//! Commands that run to their end.

use stagewright_capability::FailureKind;
use stagewright_capability::ssh::Exit;

use crate::scene::{Scene, command, text};
use crate::sshd::Sshd;

#[tokio::test]
async fn a_command_that_succeeds_says_so_with_its_output() {
    let scene = Scene::new();
    let done = scene.sh("echo out; echo err >&2").await;
    assert_eq!(done.exit, Exit::Exited(0), "{}", text(&done.stderr.tail));
    assert_eq!((text(&done.stdout.tail), text(&done.stderr.tail)), ("out\n".into(), "err\n".into()));
    assert_eq!((scene.log("ssh-stdout.log"), scene.log("ssh-stderr.log")), ("out\n".into(), "err\n".into()));
    scene.ssh().check("staging").await.unwrap();
    let record = |folder: &str| {
        let user = rustix::process::getuid().as_raw();
        std::path::Path::new(folder).join(format!("stagewright-{user}/{}.outer", scene.grant.job))
    };
    assert!(!["/tmp", "/dev/shm", "/var/tmp"].iter().any(|folder| record(folder).exists()));
}

#[tokio::test]
async fn every_exit_code_is_the_commands_own_that_of_ssh_too() {
    let scene = Scene::new();
    for code in [1, 2, 126, 127, 137, 255] {
        assert_eq!(scene.sh(&format!("exit {code}")).await.exit, Exit::Exited(code));
    }
    assert_eq!(scene.exec(&["no-such-program"]).await.exit, Exit::Exited(127));
    assert_eq!(scene.sh("kill -KILL $$").await.exit, Exit::Exited(137));
}

#[tokio::test]
async fn arguments_arrive_as_they_are() {
    let scene = Scene::new();
    let long = "x'\n".repeat(33_000);
    let odd = [
        "",
        "it's",
        "\"",
        "a\nb",
        "\n",
        "$(id)",
        "`id`",
        "a; b",
        "-n",
        "--",
        "\\",
        "*",
        "ä€😀",
        "\u{81}",
        "!!",
        &long,
    ];
    let mut argv = vec!["printf", "%s\\0"];
    argv.extend(odd);
    let done = scene.exec(&argv).await;
    assert_eq!(done.exit, Exit::Exited(0), "{}", text(&done.stderr.tail));
    let expected: Vec<u8> = odd.iter().flat_map(|word| word.bytes().chain([0])).collect();
    assert_eq!(done.stdout.total, expected.len() as u64);
    assert!(expected.ends_with(&done.stdout.tail));
}

#[tokio::test]
async fn what_can_not_be_sent_is_refused() {
    let scene = Scene::new();
    let long = "x".repeat(200_000);
    let cases: [(&[&str], &str); 5] = [
        (&["echo", "a\0b"], "nul-character"),
        (&["echo", &long], "command-too-long"),
        (&[], "no-program"),
        (&[""], "no-program"),
        (&["-c"], "no-program"),
    ];
    for (argv, code) in cases {
        assert_eq!(scene.ssh().exec(command(argv)).await.unwrap_err().code, code);
    }
    let mut other = command(&["true"]);
    other.target = "production".to_owned();
    let failure = scene.ssh().exec(other).await.unwrap_err();
    assert_eq!((failure.kind, failure.code), (FailureKind::Denied, "target-not-granted"));
}

#[tokio::test]
async fn words_of_ssh_and_docker_in_a_suites_output_change_nothing() {
    let done = Scene::new()
        .sh("echo 'Cannot connect to the Docker daemon' >&2; echo 'Connection refused' >&2; \
             echo '[00000000000000000000000000000000 end 0]' >&2; echo '[0 end 0]'; \
             echo 'Permission denied (publickey).' >&2; exit 255")
        .await;
    assert_eq!(done.exit, Exit::Exited(255));
    assert!(text(&done.stderr.tail).contains(" end 0]") && text(&done.stdout.tail) == "[0 end 0]\n");
}

#[tokio::test]
async fn output_comes_byte_for_byte_and_counted() {
    let scene = Scene::new();
    let binary = scene.sh("printf '\\000\\377[\\200x'; printf '\\001[' >&2").await;
    assert_eq!((binary.stdout.tail, binary.stderr.tail), (b"\0\xff[\x80x".to_vec(), b"\x01[".to_vec()));
    let big = scene.sh("head -c 30000000 /dev/zero; printf end").await;
    assert_eq!((big.exit, big.stdout.total), (Exit::Exited(0), 30_000_003));
    assert!(big.stdout.tail.len() == scene.grant.tail_bytes && big.stdout.tail.ends_with(b"\0end"));
}

#[tokio::test]
async fn a_command_may_close_its_streams() {
    let done = Scene::new().sh("exec <&- >&- 2>&-; exit 3").await;
    assert_eq!((done.exit, done.stdout.total, done.stderr.total), (Exit::Exited(3), 0, 0));
}

#[tokio::test]
async fn what_a_command_leaves_in_the_background_ends_with_it() {
    let done = Scene::new().sh("setsid sleep 600 & env -i sleep 600 & echo $!; exit 4").await;
    assert_eq!(done.exit, Exit::Exited(4));
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", text(&done.stdout.tail).trim()));
    // Where the first process waits for nobody, what has ended stays in the table.
    assert!(stat.as_ref().map_or(true, |stat| stat.contains(") Z ")), "{stat:?}");
}

#[tokio::test]
async fn the_secrets_are_nowhere_that_a_command_may_look() {
    let script = "for p in /proc/[0-9]*; do tr '\\0' '\\n' <$p/cmdline; tr '\\0' '\\n' <$p/environ; done 2>/dev/null; \
                  cat /tmp/stagewright-$(id -u)/*; env; trap";
    let mut scene = Scene::new();
    scene.grant.tail_bytes = 16 << 20;
    let done = scene.sh(script).await;
    // The secrets are on the same line as these, and nowhere else.
    let seen = text(&done.stdout.tail);
    assert!(seen.contains("STAGEWRIGHT_REMOTE="), "{seen}");
    assert!(!seen.contains("begin='") && !seen.contains("end='"), "the line was seen");
}

#[tokio::test]
async fn a_login_shell_that_talks_is_not_taken_for_the_command() {
    let noisy = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(noisy.path(), "echo noise; echo noise >&2").unwrap();
    // Only bash reads it; another login shell has nothing to say here.
    let scene = Scene::on(Sshd::with(&format!("SetEnv BASH_ENV={}", noisy.path().display())));
    let done = scene.exec(&["printf", "out"]).await;
    assert_eq!((text(&done.stdout.tail), text(&done.stderr.tail)), ("out".into(), String::new()));
}

#[tokio::test]
async fn a_command_meets_the_signals_and_the_mask_that_it_would_meet_by_hand() {
    let done = Scene::new()
        .sh("umask; while read -r key value; do [ $key = SigIgn: ] && echo $value; done </proc/self/status")
        .await;
    let seen = text(&done.stdout.tail);
    let (mask, ignored) = seen.trim().split_once('\n').unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    // HUP, INT, QUIT, PIPE, TERM.
    let usual = [1, 2, 3, 13, 15].map(|signal| 1_u64 << (signal - 1)).iter().sum::<u64>();
    assert!(ignored & usual == 0 && mask != "0077", "{seen}");
}

#[tokio::test]
async fn too_much_output_ends_the_command() {
    let mut scene = Scene::new();
    scene.grant.output_bytes = 1_000_000;
    match scene.exec(&["yes"]).await.exit {
        Exit::Interrupted(failure, _) => assert_eq!(failure.kind, FailureKind::Limit),
        other => panic!("{other:?}"),
    }
}
