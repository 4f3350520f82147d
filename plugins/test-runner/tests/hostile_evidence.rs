//! Nothing that a suite prints or leaves makes the test-runner panic, and nothing doubtful becomes a pass.

use proptest::prelude::*;
use stagewright_sdk::evidence::{Becomes, TimeoutIs};
use stagewright_sdk::{Completed, Exit, StreamEnd};
use stagewright_test_runner::ending::Ending;
use stagewright_test_runner::junit::{self, Junit};
use stagewright_test_runner::pytest::{Evidence, Session, classify};
use stagewright_test_runner::settings::Settings;
use stagewright_test_runner::{cargo_test, go_test, npm};

fn ended(exit: Exit, output: &str) -> Ending {
    let end = StreamEnd { tail: output.as_bytes().to_vec(), total: output.len() as u64 };
    Ending::Ended(Completed { exit, stdout: end.clone(), stderr: end, duration_ms: u64::MAX })
}

fn exit() -> impl Strategy<Value = Exit> {
    prop_oneof![
        any::<i32>().prop_map(Exit::Code),
        (0..8).prop_map(Exit::Code),
        any::<i32>().prop_map(Exit::Signal),
        Just(Exit::TimedOut),
        Just(Exit::Cancelled),
        Just(Exit::Lost(String::new())),
        Just(Exit::Limit(String::new())),
    ]
}

/// Lines of the reporter, right and wrong, in any order.
fn events() -> impl Strategy<Value = Vec<String>> {
    let kind = prop::sample::select(vec![
        "loaded",
        "began",
        "collected",
        "result",
        "end",
        "finished",
        "worker-down",
        "interrupted",
        "foreign",
        "collect-error",
        "conftest-error",
        "deselected",
        "unbuilt",
        "other",
    ]);
    let outcome = prop::sample::select(vec!["passed", "failed", "skipped", "rerun", ""]);
    let when = prop::sample::select(vec!["setup", "call", "teardown", "???"]);
    let line = (kind, outcome, when, any::<i32>(), any::<u64>(), "[a-c]").prop_map(|(kind, outcome, when, code, count, id)| {
        format!(
            r#"{{"nonce":"n","event":"{kind}","outcome":"{outcome}","when":"{when}","status":{code},"code":{code},"count":{count},"ms":{count},"id":"{id}"}}"#
        )
    });
    prop::collection::vec(prop_oneof![8 => line, 1 => ".*"], 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn pytest_passes_only_with_every_piece_of_evidence(lines in events(), exit in exit(), report in prop_oneof![
        Just(Junit::Missing),
        Just(junit::read(b"<testsuite>")),
        Just(junit::read(b"<testsuite><testcase/></testsuite>")),
        Just(junit::read(b"<testsuite><testcase/><testcase/></testsuite>")),
    ]) {
        let mut session = Session::default();
        for line in &lines {
            session.take(line, "n");
        }
        session.end();
        let evidence = Evidence {
            ending: ended(exit.clone(), ""),
            session: session.clone(),
            junit: report.clone(),
            timeout_is: TimeoutIs::Fail,
            allow_no_tests: false,
            allow_nothing_passed: false,
        };
        let rule = classify(&evidence);
        if rule.becomes == Becomes::Pass {
            prop_assert_eq!(exit, Exit::Code(0));
            prop_assert!(session.loaded.is_some() && session.finished == Some(0));
            prop_assert!(session.tests.tally.passed > 0);
            prop_assert!(session.tests.tally.failed == 0 && session.tests.tally.errored == 0);
            prop_assert!(session.foreign.is_empty());
            let Junit::Read(tests) = report else { return Err(TestCaseError::fail("passed without a report")) };
            prop_assert_eq!(tests.total(), session.tests.total());
        }
        if rule.becomes == Becomes::Fail {
            prop_assert!(session.loaded.is_some(), "a FAIL needs a runner that was up");
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), exit in exit()) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = junit::read(&bytes);
        let _ = npm::summary(&text);
        let settings = Settings::default();
        let mut output = cargo_test::Output::default();
        let mut events = go_test::Events::default();
        for line in text.lines() {
            let _ = output.take(line);
            let _ = events.take(line);
        }
        let ending = ended(exit, &text);
        prop_assert!(cargo_test::classify(&settings, &ending, &output).becomes != Becomes::Pass);
        prop_assert!(go_test::classify(&settings, &ending, &events).becomes != Becomes::Pass);
    }

    #[test]
    fn lines_that_look_like_a_runners_are_read_without_a_panic(
        lines in prop::collection::vec(prop::sample::select(vec![
            "running 18446744073709551615 tests", "running 1 test", "test result: ok. 18446744073709551615 passed; 1 failed;",
            "test result: FAILED.", "test a ... ok", "test a ... FAILED", "---- a stdout ----", "failures:",
            "Tests: 99999999999999999999 passed", "# pass 18446744073709551615", "# fail 18446744073709551615",
            "18446744073709551615 passing", "\u{1b}[", "\u{1b}[1;", "{\"Action\":\"pass\",\"Test\":\"t\",\"Elapsed\":1e308}",
        ]), 0..40),
    ) {
        let text = lines.join("\n");
        let settings = Settings::default();
        let mut output = cargo_test::Output::default();
        let mut events = go_test::Events::default();
        for line in &lines {
            let _ = output.take(line);
            let _ = events.take(line);
        }
        let ending = ended(Exit::Code(0), &text);
        let _ = cargo_test::classify(&settings, &ending, &output);
        let _ = go_test::classify(&settings, &ending, &events);
        let _ = npm::classify(&settings, &ending, &npm::Evidence::default());
    }
}
