//! What a component is given by way of WASI, and what it is not.
//!
//! The guests are written here, in the text format, so that each calls exactly what its test is about. One that finds
//! what it should ends with a verdict, and one that doesn't traps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod support;

use std::path::Path;
use std::time::Duration;

use stagewright_engine::outcome::{Cause, Judgement, Outcome};
use stagewright_sandbox::{Limits, LoadError, Produced, Producer};
use support::{Bench, Run, deferred, limits, verdict};

/// A guest that imports these functions and does this before it answers with a PASS.
///
/// An import is `("interface", "function", "its core type")`, called `$function`. At 0 there is room for what a call
/// hands back, at 4,096 a text of 14 bytes, and `$must` traps unless it is given something other than 0.
fn guest(imports: &[(&str, &str, &str)], work: &str) -> Vec<u8> {
    guest_of("guest", "0.2.3", imports, work)
}

/// Such a guest of another world, which has WASI in another version.
fn guest_of(world: &str, version: &str, imports: &[(&str, &str, &str)], work: &str) -> Vec<u8> {
    let imports: String = imports
        .iter()
        .map(|(interface, function, kind)| {
            let name = function.rsplit(['.', ']']).next().unwrap();
            format!("(import \"{interface}@{version}\" \"{function}\" (func ${name} {kind}))\n")
        })
        .collect();
    // A verdict at 1,024: case 0, judgement 0, a summary of two bytes at 2,048, and zeros for whatever else it has.
    let text = format!(
        r#"(module
            {imports}
            (memory (export "memory") 32)
            (data (i32.const 1036) "\00\08\00\00\02\00\00\00")
            (data (i32.const 2048) "ok")
            (data (i32.const 4096) "one\ntwo, begun")
            (global $free (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                (global.set $free (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func $must (param i32) (if (i32.eqz (local.get 0)) (then unreachable)))
            (func (export "stagewright:producer/producer@1.0.0#describe") (result i32) unreachable)
            (func (export "stagewright:producer/producer@1.0.0#preflight") (param i32 i32) (result i32) unreachable)
            (func (export "stagewright:producer/producer@1.0.0#produce") (param $job i32) (result i32)
                (local $handle i32)
                (local $time i64)
                {work}
                (i32.const 1024)))"#
    );
    let mut module = wat::parse_str(text).unwrap();
    let mut wit = wit_parser::Resolve::default();
    wit.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/v1")).unwrap();
    let package = wit.push_str("wasi.wit", include_str!("support/wasi.wit")).unwrap();
    let world = wit.select_world(&[package], Some(world)).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &wit, world, encoding).unwrap();
    wit_component::ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// The producer that a guest is.
fn load(guest: &[u8]) -> Result<Producer, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guest.wasm");
    std::fs::write(&file, guest).unwrap();
    Bench::shared().sandbox.load("guest", &file, None)
}

/// What its run comes to, and what it logged.
async fn run_with(guest: &[u8], limits: Limits) -> (Produced, Vec<String>) {
    let run = Run::new("nothing");
    let heard = run.heard.clone();
    let produced = run.on(&load(guest).unwrap(), limits).await;
    (produced, heard.lines())
}

/// It finds what it looks for, and is believed.
async fn finds(imports: &[(&str, &str, &str)], work: &str) {
    let (produced, _) = run_with(&guest(imports, work), limits()).await;
    assert_eq!(verdict(&produced).judgement, Judgement::Pass, "{produced:?}");
}

/// Its run ends as this fault, and the host is well afterwards.
async fn ends_as(guest: &[u8], limits: Limits, code: &str) -> Produced {
    let (produced, _) = run_with(guest, limits).await;
    assert_eq!(deferred(&produced).code, code, "{produced:?}");
    Bench::shared().is_well().await;
    produced
}

const MONOTONIC_NOW: (&str, &str, &str) = ("wasi:clocks/monotonic-clock", "now", "(result i64)");
const AFTER: (&str, &str, &str) =
    ("wasi:clocks/monotonic-clock", "subscribe-duration", "(param i64) (result i32)");
const BLOCK: (&str, &str, &str) = ("wasi:io/poll", "[method]pollable.block", "(param i32)");
const POLL: (&str, &str, &str) = ("wasi:io/poll", "poll", "(param i32 i32 i32)");
const STDOUT: (&str, &str, &str) = ("wasi:cli/stdout", "get-stdout", "(result i32)");
const STDERR: (&str, &str, &str) = ("wasi:cli/stderr", "get-stderr", "(result i32)");
const PRINT: (&str, &str, &str) =
    ("wasi:io/streams", "[method]output-stream.blocking-write-and-flush", "(param i32 i32 i32 i32)");
const CHECK_WRITE: (&str, &str, &str) =
    ("wasi:io/streams", "[method]output-stream.check-write", "(param i32 i32)");
const EXIT: (&str, &str, &str) = ("wasi:cli/exit", "exit", "(param i32)");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_begins_with_the_run_and_goes_on() {
    // A minute is more than any run of a test takes.
    let work = "(call $must (i64.lt_u (local.tee $time (call $now)) (i64.const 60000000000)))
        (call $must (i64.ge_u (call $now) (local.get $time)))";
    finds(&[MONOTONIC_NOW], work).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_day_is_the_real_one() {
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    // An hour is more than any run of a test takes.
    let work = format!(
        "(call $now (i32.const 0))
        (call $must (i64.ge_u (i64.load (i32.const 0)) (i64.const {before})))
        (call $must (i64.lt_u (i64.load (i32.const 0)) (i64.const {})))
        (call $must (i32.lt_u (i32.load (i32.const 8)) (i32.const 1000000000)))",
        before + 3_600
    );
    finds(&[("wasi:clocks/wall-clock", "now", "(param i32)")], &work).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_takes_its_time_and_is_not_computing() {
    let work = "(local.set $time (call $now))
        (call $block (call $subscribe-duration (i64.const 100000000)))
        (call $must (i64.ge_u (call $now) (i64.add (local.get $time) (i64.const 100000000))))";
    let guest = guest(&[MONOTONIC_NOW, AFTER, BLOCK], work);
    let (produced, _) = run_with(&guest, limits()).await;
    assert_eq!(verdict(&produced).judgement, Judgement::Pass, "{produced:?}");
    assert!(produced.usage.computing < Duration::from_millis(100), "{:?}", produced.usage);
    assert!(produced.usage.wall >= Duration::from_millis(100), "{:?}", produced.usage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_waits_the_one_that_is_over_is_told() {
    // The second of two handles: one in a day, one at once.
    let work = "(i32.store (i32.const 16) (call $subscribe-duration (i64.const 86400000000000)))
        (i32.store (i32.const 20) (call $subscribe-instant (i64.const 0)))
        (call $poll (i32.const 16) (i32.const 2) (i32.const 0))
        (call $must (i32.eq (i32.load (i32.const 4)) (i32.const 1)))
        (call $must (i32.eq (i32.load (i32.load (i32.const 0))) (i32.const 1)))
        (call $must (call $ready (i32.load (i32.const 20))))
        (call $must (i32.eqz (call $ready (i32.load (i32.const 16)))))";
    let at = ("wasi:clocks/monotonic-clock", "subscribe-instant", "(param i64) (result i32)");
    let ready = ("wasi:io/poll", "[method]pollable.ready", "(param i32) (result i32)");
    finds(&[AFTER, at, POLL, ready], work).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn randomness_is_as_long_as_was_asked_for_and_never_the_same() {
    let imports = [
        ("wasi:random/random", "get-random-bytes", "(param i64 i32)"),
        ("wasi:random/random", "get-random-u64", "(result i64)"),
        ("wasi:random/insecure", "get-insecure-random-bytes", "(param i64 i32)"),
        ("wasi:random/insecure", "get-insecure-random-u64", "(result i64)"),
        ("wasi:random/insecure-seed", "insecure-seed", "(param i32)"),
    ];
    let work = "(call $get-random-bytes (i64.const 10000) (i32.const 0))
        (call $must (i32.eq (i32.load (i32.const 4)) (i32.const 10000)))
        (call $must (i64.ne (i64.load (i32.load (i32.const 0))) (i64.load offset=9992 (i32.load (i32.const 0)))))
        (call $must (i64.ne (call $get-random-u64) (call $get-random-u64)))
        (call $get-insecure-random-bytes (i64.const 32) (i32.const 0))
        (call $must (i32.eq (i32.load (i32.const 4)) (i32.const 32)))
        (call $must (i64.ne (call $get-insecure-random-u64) (call $get-insecure-random-u64)))
        (call $insecure-seed (i32.const 0))
        (call $must (i64.ne (i64.load (i32.const 0)) (i64.load (i32.const 8))))";
    finds(&imports, work).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_printed_reaches_the_log_line_by_line() {
    let work =
        "(call $blocking-write-and-flush (call $get-stdout) (i32.const 4096) (i32.const 14) (i32.const 0))
        (call $must (i32.eqz (i32.load8_u (i32.const 0))))
        (call $blocking-write-and-flush (call $get-stdout) (i32.const 4096) (i32.const 4) (i32.const 0))
        (call $blocking-write-and-flush (call $get-stderr) (i32.const 4096) (i32.const 4) (i32.const 0))";
    let guest = guest(&[STDOUT, STDERR, PRINT], work);
    let (produced, lines) = run_with(&guest, limits()).await;
    assert_eq!(verdict(&produced).judgement, Judgement::Pass, "{produced:?}");
    assert_eq!(lines, ["one", "two, begunone", "one"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_printed_without_a_line_end_is_logged_though_the_component_trapped() {
    let work =
        "(call $blocking-write-and-flush (call $get-stdout) (i32.const 4096) (i32.const 14) (i32.const 0))
        unreachable";
    let guest = guest(&[STDOUT, PRINT], work);
    let (produced, lines) = run_with(&guest, limits()).await;
    assert_eq!(deferred(&produced).code, "component-trapped", "{produced:?}");
    assert_eq!(lines, ["one", "two, begun"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_prints_passes_the_limit_on_calls_and_only_so_many_lines_are_heard() {
    let work = "(local.set $handle (call $get-stdout))
        (loop $again
            (call $blocking-write-and-flush (local.get $handle) (i32.const 4096) (i32.const 4) (i32.const 0))
            (br $again))";
    let guest = guest(&[STDOUT, PRINT], work);
    let (produced, lines) = run_with(&guest, Limits { log_lines: 100, ..limits() }).await;
    assert_eq!(deferred(&produced).code, "component-over-limit", "{produced:?}");
    assert_eq!(lines.len(), 101, "a hundred lines, and that the rest is dropped");
    assert!(lines[100].contains("dropped"), "{:?}", lines[100]);
    Bench::shared().is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_wait_for_nothing_are_counted_too_and_are_the_components_own_computing() {
    let work = "(local.set $handle (call $get-stdout))
        (loop $again (call $check-write (local.get $handle) (i32.const 0)) (br $again))";
    let storm = guest(&[STDOUT, CHECK_WRITE], work);
    ends_as(&storm, limits(), "component-over-limit").await;
    let unlimited = Limits { calls: u64::MAX, computing: Duration::from_millis(100), ..limits() };
    ends_as(&storm, unlimited.clone(), "component-overran").await;
    // The host's work for it is counted, too.
    let bytes = ("wasi:random/random", "get-random-bytes", "(param i64 i32)");
    let work = "(loop $again
        (global.set $free (i32.const 65536))
        (call $get-random-bytes (i64.const 1048576) (i32.const 0))
        (br $again))";
    let produced = ends_as(&guest(&[bytes], work), unlimited, "component-overran").await;
    assert!(deferred(&produced).message.contains("computed for more than"), "{produced:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_write_more_at_once_than_is_allowed_is_against_the_rules() {
    let write = ("wasi:io/streams", "[method]output-stream.write", "(param i32 i32 i32 i32)");
    let work = "(call $write (call $get-stdout) (i32.const 4096) (i32.const 100000) (i32.const 0))";
    ends_as(&guest(&[STDOUT, write], work), limits(), "component-answered-nonsense").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standard_input_is_at_its_end() {
    let imports = [
        ("wasi:cli/stdin", "get-stdin", "(result i32)"),
        ("wasi:io/streams", "[method]input-stream.blocking-read", "(param i32 i64 i32)"),
    ];
    // An error, and of the two the one that says closed.
    let work = "(call $blocking-read (call $get-stdin) (i64.const 100) (i32.const 0))
        (call $must (i32.eq (i32.load8_u (i32.const 0)) (i32.const 1)))
        (call $must (i32.eq (i32.load8_u (i32.const 4)) (i32.const 1)))";
    finds(&imports, work).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_is_empty_and_there_is_no_terminal() {
    // What stands there before is no answer.
    let nothing = |call: &str, at: u32| {
        format!(
            "(i64.store (i32.const 0) (i64.const -1)) (call ${call} (i32.const 0)) (call $must (i32.eqz (i32.load8_u (i32.const {at}))))"
        )
    };
    let imports = [
        ("wasi:cli/environment", "get-environment", "(param i32)"),
        ("wasi:cli/environment", "get-arguments", "(param i32)"),
        ("wasi:cli/environment", "initial-cwd", "(param i32)"),
        ("wasi:cli/terminal-stdin", "get-terminal-stdin", "(param i32)"),
        ("wasi:cli/terminal-stdout", "get-terminal-stdout", "(param i32)"),
        ("wasi:cli/terminal-stderr", "get-terminal-stderr", "(param i32)"),
        ("wasi:cli/terminal-input", "[resource-drop]terminal-input", "(param i32)"),
        ("wasi:cli/terminal-output", "[resource-drop]terminal-output", "(param i32)"),
    ];
    let lists = ["get-environment", "get-arguments"].map(|call| nothing(call, 4)).concat();
    let options = ["initial-cwd", "get-terminal-stdin", "get-terminal-stdout", "get-terminal-stderr"]
        .map(|call| nothing(call, 0))
        .concat();
    finds(&imports, &(lists + &options)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_no_folder_to_open_a_file_in() {
    let folders = ("wasi:filesystem/preopens", "get-directories", "(param i32)");
    let open = ("wasi:filesystem/types", "[method]descriptor.open-at", "(param i32 i32 i32 i32 i32 i32 i32)");
    let work = "(i64.store (i32.const 0) (i64.const -1))
        (call $get-directories (i32.const 0))
        (call $must (i32.eqz (i32.load (i32.const 4))))";
    finds(&[folders], work).await;
    // And none can be guessed: a number that is no handle is against the rules.
    for handle in [0, 1, 3] {
        let work = format!(
            "(call $open-at (i32.const {handle}) (i32.const 0) (i32.const 4096) (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 0))"
        );
        ends_as(&guest(&[open], &work), limits(), "component-answered-nonsense").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_socket_and_every_name_is_denied() {
    let create = "(param i32 i32)";
    let imports = [
        ("wasi:sockets/tcp-create-socket", "create-tcp-socket", create),
        ("wasi:sockets/udp-create-socket", "create-udp-socket", create),
        ("wasi:sockets/instance-network", "instance-network", "(result i32)"),
        ("wasi:sockets/ip-name-lookup", "resolve-addresses", "(param i32 i32 i32 i32)"),
        ("wasi:sockets/tcp", "[method]tcp-socket.is-listening", "(param i32) (result i32)"),
        ("wasi:sockets/udp", "[method]udp-socket.unicast-hop-limit", "(param i32 i32)"),
        ("wasi:sockets/network", "[resource-drop]network", "(param i32)"),
    ];
    // An error each, and its code: 1 is `access-denied`, 20 `permanent-resolver-failure`.
    let denied = |call: &str, code: u32| {
        format!(
            "{call}
            (call $must (i32.eq (i32.load8_u (i32.const 0)) (i32.const 1)))
            (call $must (i32.eq (i32.load8_u (i32.const 4)) (i32.const {code})))"
        )
    };
    let mut work = String::new();
    for family in [0, 1] {
        for create in ["create-tcp-socket", "create-udp-socket"] {
            work += &denied(&format!("(call ${create} (i32.const {family}) (i32.const 0))"), 1);
        }
    }
    let lookup = "(call $resolve-addresses (local.tee $handle (call $instance-network))
        (i32.const 4096) (i32.const 3) (i32.const 0))";
    work += &denied(lookup, 20);
    work += "(call $network (local.get $handle))";
    finds(&imports, &work).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_exit_is_no_verdict_whatever_the_status() {
    for status in [0, 1] {
        let guest = guest(&[EXIT], &format!("(call $exit (i32.const {status}))"));
        let produced = ends_as(&guest, limits(), "component-exited").await;
        let fault = deferred(&produced);
        assert!(fault.message.contains(&format!("status {status}")), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_past_the_end_of_the_runs_time_is_ended() {
    let wall = Duration::from_millis(200);
    // A day, and longer than a clock can count.
    for long in ["86400000000000", "-1"] {
        let block = format!("(call $block (call $subscribe-duration (i64.const {long})))");
        let poll = format!(
            "(i32.store (i32.const 16) (call $subscribe-duration (i64.const {long})))
            (call $poll (i32.const 16) (i32.const 1) (i32.const 0))"
        );
        for guest in [guest(&[AFTER, BLOCK], &block), guest(&[AFTER, POLL], &poll)] {
            let produced = ends_as(&guest, Limits { wall, ..limits() }, "component-overran").await;
            assert!(produced.usage.wall >= wall, "{:?}", produced.usage);
            assert!(
                produced.usage.computing < wall,
                "to wait was counted as computing: {:?}",
                produced.usage
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_that_waits_is_cancelled_when_its_grace_is_over() {
    let work =
        "(call $blocking-write-and-flush (call $get-stdout) (i32.const 4096) (i32.const 4) (i32.const 0))
        (call $block (call $subscribe-duration (i64.const 86400000000000)))";
    let producer = load(&guest(&[STDOUT, PRINT, AFTER, BLOCK], work)).unwrap();
    let run = Run::new("nothing");
    let (cancel, heard) = (run.cancel.clone(), run.heard.clone());
    let going = tokio::spawn(async move { run.on(&producer, limits()).await });
    heard.something().await;
    cancel.cancel(Cause::Operator);
    let produced = going.await.unwrap();
    assert_eq!(produced.outcome, Outcome::Cancelled(Cause::Operator), "{produced:?}");
    assert!(produced.usage.wall < limits().wall, "{:?}", produced.usage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_keep_every_handle_passes_the_limit() {
    let streams = guest(&[STDOUT], "(loop $again (drop (call $get-stdout)) (br $again))");
    ends_as(&streams, limits(), "component-over-limit").await;
    let waits = "(loop $again (drop (call $subscribe-duration (i64.const 0))) (br $again))";
    ends_as(&guest(&[AFTER], waits), limits(), "component-over-limit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_ask_for_too_much_at_once_passes_the_limit() {
    let bytes = ("wasi:random/random", "get-random-bytes", "(param i64 i32)");
    for len in ["1048577", "-1"] {
        let work = format!("(call $get-random-bytes (i64.const {len}) (i32.const 0))");
        ends_as(&guest(&[bytes], &work), limits(), "component-over-limit").await;
    }
    // One handle, named more often than a component may hold handles.
    let work = "(local.set $handle (call $subscribe-duration (i64.const 0)))
        (loop $again
            (i32.store offset=8192 (i32.wrap_i64 (local.get $time)) (local.get $handle))
            (local.set $time (i64.add (local.get $time) (i64.const 4)))
            (br_if $again (i64.lt_u (local.get $time) (i64.const 40000))))
        (call $poll (i32.const 8192) (i32.const 10000) (i32.const 0))";
    ends_as(&guest(&[AFTER, POLL], work), limits(), "component-over-limit").await;
}

#[test]
fn what_of_wasi_is_given_is_shown_and_needs_no_grant() {
    let producer = load(&guest(&[STDOUT, PRINT], "")).unwrap();
    assert!(producer.imports().capabilities.is_empty());
    for interface in ["wasi:cli/stdout@0.2.3", "wasi:io/streams@0.2.3"] {
        assert!(producer.imports().wasi.iter().any(|import| import == interface), "{:?}", producer.imports());
    }
    assert!(producer.check(&[].into()).is_ok());
    let without = Bench::shared().hostile();
    assert!(without.imports().wasi.is_empty(), "{:?}", without.imports());
}

#[test]
fn a_later_version_is_served_as_far_as_its_functions_are_known() {
    // That 0.2.3 is served, though this host defines another, is shown by every other test.
    let tomorrow = ("wasi:clocks/wall-clock", "tomorrow", "(result i64)");
    let later = guest_of("later", "0.2.999", &[tomorrow], "(drop (call $tomorrow))");
    let error = load(&later).unwrap_err();
    assert!(
        matches!(&error, LoadError::NotAProducer { reason, .. } if reason.contains("wasi:clocks/wall-clock@0.2.999")),
        "{error}"
    );
}
