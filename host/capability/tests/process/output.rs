//! What a command prints and how it ends, as its holder sees it.

use stagewright_capability::process::{Command, Event, Exit};

use crate::run::{LONG, Run, sh, text};

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
async fn bytes_that_are_no_text_arrive_as_they_are() {
    let done = Run::new().sh("printf '\\377\\000\\n\\303'").await;
    assert_eq!(done.stdout.tail, b"\xff\0\n\xc3");
}

#[tokio::test]
async fn whoever_reads_meets_both_streams_and_then_the_end() {
    let run = Run::new();
    let child = run.begin("yes | head -c 100000; echo problem >&2").await;
    let (mut out, mut err) = (0, 0);
    loop {
        match child.next(1_000, LONG).await {
            Event::Stdout(chunk) => out += chunk.bytes.len() as u64 + chunk.skipped,
            Event::Stderr(chunk) => err += chunk.bytes.len(),
            Event::Ended(done) => break assert_eq!(done.exit, Exit::Code(0)),
            Event::Idle => panic!("nothing happened"),
        }
    }
    assert_eq!((out, err), (100_000, "problem\n".len()));
}

#[tokio::test]
async fn a_command_finds_no_signal_blocked_or_ignored() {
    let mut command = sh("");
    command.program = "cat".into();
    command.args = vec!["/proc/self/status".into()];
    let status = text(&Run::new().process().run(command).await.unwrap().stdout.tail);
    for field in ["SigBlk", "SigIgn"] {
        let value = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        let signals = u64::from_str_radix(value.trim_start_matches([':', '\t']), 16).unwrap();
        // 32 and 33 belong to the C library, which lets nobody change them.
        assert_eq!(signals & !(0b11 << 31), 0, "{field}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
}
