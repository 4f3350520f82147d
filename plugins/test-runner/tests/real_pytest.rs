//! Every row of pytest's table, by real sessions of a real pytest on small repositories.
//!
//! `STAGEWRIGHT_TEST_PYTHON` names another Python with pytest, xdist and pytest-timeout, so that the same tests run
//! against other versions.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod real_host;

use std::path::Path;

use real_host::python::{make_environment, python};
use real_host::{RealHost, told};
use serde_json::json;
use stagewright_sdk::Outcome;

const GOOD: &str = "def test_good():\n    assert 1 + 1 == 2\n";
const BAD: &str = "def test_bad():\n    assert 1 + 1 == 3\n";

/// What a repository with these files, under this pytest.ini, becomes.
fn judged_with(files: &[(&str, &str)], more: serde_json::Value) -> (String, Outcome, RealHost) {
    let host = RealHost::with(files);
    let mut settings = json!({ "framework": "pytest", "python": python(), "timeout_s": 60 });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let outcome = host.produce(settings);
    (told(&outcome), outcome, host)
}

#[track_caller]
fn becomes(files: &[(&str, &str)], expected: &str) {
    becomes_with(files, json!({}), expected);
}

#[track_caller]
fn becomes_with(files: &[(&str, &str)], more: serde_json::Value, expected: &str) {
    let (told, outcome, _) = judged_with(files, more);
    assert_eq!(told, expected, "{outcome:#?}");
}

#[test]
fn a_suite_that_passes_is_a_pass_with_its_counts_and_progress() {
    let files = [
        ("test_a.py", GOOD),
        ("test_b.py", "import pytest\ndef test_x(): pass\n@pytest.mark.skip\ndef test_y(): pass\n"),
    ];
    let (told, outcome, host) = judged_with(&files, json!({}));
    assert_eq!(told, "pass:all-passed", "{outcome:#?}");
    let Outcome::Verdict(report) = outcome else { unreachable!() };
    assert_eq!((report.tally.passed, report.tally.skipped), (2, 1));
    assert!(report.summary.starts_with("2 passed, 1 skipped in "), "{}", report.summary);
    assert!(report.facts.contains(&("collected".to_owned(), "3".to_owned())), "{:?}", report.facts);
    assert_eq!(*host.attached.borrow(), ["junit.xml", "pytest-events.jsonl"]);
    let (done, total, last) = host.progress.borrow().last().cloned().unwrap();
    assert_eq!((done, total, last.as_str()), (3, 3, "test_b.py::test_y"));
    assert!(
        !report.body.contains(host.clone_folder().to_str().unwrap()),
        "no folder of the run is in the report"
    );
}

#[test]
fn one_failing_test_is_a_fail_that_names_it() {
    let (told, outcome, _) = judged_with(&[("test_a.py", GOOD), ("test_b.py", BAD)], json!({}));
    assert_eq!(told, "fail:tests-failed", "{outcome:#?}");
    let Outcome::Verdict(report) = outcome else { unreachable!() };
    assert_eq!((report.tally.passed, report.tally.failed), (1, 1));
    assert_eq!(report.checks[0].name, "test_b.py::test_bad");
    assert!(report.body.contains("assert (1 + 1) == 3"), "{}", report.body);
}

#[test]
fn a_fixture_that_fails_is_a_fail() {
    let fixture =
        "import pytest\n@pytest.fixture\ndef f():\n    raise RuntimeError('no')\ndef test_a(f): pass\n";
    becomes(&[("test_a.py", fixture)], "fail:tests-failed");
    let teardown = "import pytest\n@pytest.fixture\ndef f():\n    yield\n    raise RuntimeError('no')\ndef test_a(f): pass\n";
    becomes(&[("test_a.py", teardown)], "fail:tests-failed");
}

#[test]
fn a_collection_error_is_a_fail_under_every_way_to_go_on() {
    let files = [("test_a.py", GOOD), ("test_b.py", "import module_that_is_not_there\n")];
    becomes(&files, "fail:collection-error");
    becomes_with(&files, json!({ "args": ["--continue-on-collection-errors"] }), "fail:collection-error");
    becomes_with(&files, json!({ "args": ["-n", "2"] }), "fail:collection-error");
}

#[test]
fn a_broken_conftest_is_a_fail_wherever_it_lies() {
    let broken = "raise RuntimeError('broken')\n";
    becomes(&[("test_a.py", GOOD), ("conftest.py", broken)], "fail:conftest-error");
    becomes(
        &[("test_a.py", GOOD), ("tests/conftest.py", "def f(:\n"), ("tests/test_b.py", GOOD)],
        "fail:conftest-error",
    );
    becomes(
        &[("test_a.py", GOOD), ("deep/sub/conftest.py", broken), ("deep/sub/test_b.py", GOOD)],
        "fail:collection-error",
    );
}

#[test]
fn a_conftest_that_leaves_is_a_fail() {
    becomes(&[("test_a.py", GOOD), ("conftest.py", "import sys\nsys.exit(0)\n")], "fail:ended-early");
}

#[test]
fn no_tests_are_a_fail_unless_the_settings_allow_it() {
    let files = [("pytest.ini", "[pytest]\n"), ("thing.py", "x = 1\n")];
    becomes(&files, "fail:nothing-collected");
    becomes_with(&files, json!({ "allow_no_tests": true }), "pass:no-tests-allowed");
    becomes_with(&files, json!({ "allow_nothing_passed": true }), "fail:nothing-collected");
}

#[test]
fn a_suite_in_which_nothing_passed_is_a_fail_unless_the_settings_allow_it() {
    let skipped = "import pytest\n@pytest.mark.skip(reason='later')\ndef test_a(): pass\n";
    let expected = "import pytest\n@pytest.mark.xfail\ndef test_a(): assert False\n";
    let module = "import pytest\npytest.skip('not here', allow_module_level=True)\n";
    becomes(&[("test_a.py", skipped)], "fail:nothing-passed");
    becomes(&[("test_a.py", expected)], "fail:nothing-passed");
    becomes(&[("test_a.py", skipped), ("test_b.py", module)], "fail:nothing-passed");
    becomes_with(
        &[("test_a.py", skipped)],
        json!({ "allow_nothing_passed": true }),
        "pass:nothing-passed-allowed",
    );
    becomes(
        &[("test_a.py", GOOD), ("pytest.ini", "[pytest]\naddopts = --collect-only\n")],
        "fail:nothing-passed",
    );
}

#[test]
fn options_that_leave_everything_out_are_a_fail() {
    becomes(
        &[("test_a.py", GOOD), ("pytest.ini", "[pytest]\naddopts = -k nothing_has_this_name\n")],
        "fail:nothing-collected",
    );
}

#[test]
fn a_strict_expected_failure_that_passes_is_a_fail() {
    let strict = "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_a(): pass\n";
    becomes(&[("test_a.py", strict)], "fail:tests-failed");
}

#[test]
fn subtests_are_parts_of_their_test() {
    let test = |body: &str| {
        format!(
            "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        for n in range(5):\n            \
             with self.subTest(n=n):\n                {body}\n    def test_b(self): pass\n"
        )
    };
    let (told, outcome, _) = judged_with(&[("test_a.py", &test("self.assertGreater(n, -1)"))], json!({}));
    assert_eq!(told, "pass:all-passed", "{outcome:#?}");
    let Outcome::Verdict(report) = outcome else { unreachable!() };
    assert_eq!(report.tally.passed, 2);
    becomes(&[("test_a.py", &test("self.assertGreater(n, 2)"))], "fail:tests-failed");
    becomes(&[("test_a.py", &test("if n == 3: self.skipTest('three')"))], "pass:all-passed");
}

#[test]
fn a_test_counts_once_whatever_its_phases_say() {
    let fixture = "import pytest\n@pytest.fixture\ndef f():\n    yield\n    pytest.skip('late')\n\
                   def test_a(f): pass\ndef test_b(): pass\n";
    becomes(&[("test_a.py", fixture)], "pass:all-passed");
}

#[test]
fn an_expected_failure_that_passes_counts_as_passed() {
    becomes(&[("test_a.py", "import pytest\n@pytest.mark.xfail\ndef test_a(): pass\n")], "pass:all-passed");
}

#[test]
fn a_missing_pytest_is_held() {
    let bare = make_environment(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("bare-environment"), &[]);
    becomes_with(&[("test_a.py", GOOD)], json!({ "python": bare }), "held:runner-missing");
    becomes_with(&[("test_a.py", GOOD)], json!({ "python": "/there/is/no/python" }), "held:runner-missing");
}

#[test]
fn a_pytest_of_the_repositorys_own_is_not_believed() {
    let forged = "import sys\nfor arg in sys.argv:\n    if arg.startswith('--junitxml='):\n        \
                  open(arg.split('=', 1)[1], 'w').write('<testsuite><testcase name=\"a\"/></testsuite>')\nprint('1 passed')\n";
    becomes(&[("test_a.py", GOOD), ("pytest.py", forged)], "held:runner-not-seen");
    becomes(
        &[("test_a.py", GOOD), ("pytest/__init__.py", ""), ("pytest/__main__.py", forged)],
        "held:runner-not-seen",
    );
}

#[test]
fn options_that_pytest_refuses_are_held() {
    becomes(
        &[("test_a.py", GOOD), ("pytest.ini", "[pytest]\naddopts = --no-such-option\n")],
        "held:bad-option",
    );
    becomes_with(&[("test_a.py", GOOD)], json!({ "args": ["--no-such-option"] }), "held:bad-option");
    becomes(
        &[("test_a.py", GOOD), ("pytest.ini", "[pytest]\nrequired_plugins = pytest-that-is-not-there\n")],
        "held:bad-option",
    );
    becomes(
        &[("test_a.py", GOOD), ("pytest.ini", "[pytest]\naddopts = -p plugin_that_is_not_there\n")],
        "held:runner-not-seen",
    );
}

#[test]
fn paths_that_are_not_there_are_held() {
    becomes_with(&[("test_a.py", GOOD)], json!({ "args": ["no/such/path.py"] }), "held:bad-path");
    becomes_with(&[("test_a.py", GOOD)], json!({ "args": ["test_a.py::test_other"] }), "held:bad-path");
}

#[test]
fn an_internal_error_is_deferred() {
    let hook = "def pytest_collection_modifyitems(): raise RuntimeError('no')\n";
    becomes(&[("test_a.py", GOOD), ("conftest.py", hook)], "deferred:runner-internal-error");
}

#[test]
fn a_process_that_leaves_in_the_middle_is_a_fail_whatever_its_code() {
    for code in [0, 1, 3] {
        let text = format!("import os\ndef test_a(): pass\ndef test_b(): os._exit({code})\n");
        let expected = if code == 3 { "deferred:runner-internal-error" } else { "fail:ended-early" };
        becomes(&[("test_a.py", &text)], expected);
    }
}

#[test]
fn the_thread_method_of_pytest_timeout_is_a_fail() {
    let text = "import time\ndef test_a(): time.sleep(60)\n";
    let config = "[pytest]\ntimeout = 1\ntimeout_method = thread\n";
    becomes(&[("test_a.py", text), ("pytest.ini", config)], "fail:ended-early");
    becomes(
        &[("test_a.py", text), ("pytest.ini", "[pytest]\ntimeout = 1\ntimeout_method = signal\n")],
        "fail:tests-failed",
    );
}

#[test]
fn a_crash_is_a_fail_and_a_kill_is_deferred() {
    let by =
        |signal: &str| format!("import os, signal\ndef test_a(): os.kill(os.getpid(), signal.{signal})\n");
    for signal in ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"] {
        becomes(&[("test_a.py", &by(signal))], "fail:crashed");
    }
    for signal in ["SIGKILL", "SIGTERM"] {
        becomes(&[("test_a.py", &by(signal))], "deferred:killed-by-signal");
    }
    becomes(&[("test_a.py", &by("SIGINT"))], "deferred:interrupted");
}

#[test]
fn a_worker_that_crashes_is_a_fail_and_one_that_is_killed_is_deferred() {
    let by = |signal: &str| {
        format!(
            "import os, signal\ndef test_a(): os.kill(os.getpid(), signal.{signal})\ndef test_b(): pass\n"
        )
    };
    let workers = json!({ "args": ["-n", "2"] });
    becomes_with(&[("test_a.py", &by("SIGSEGV"))], workers.clone(), "fail:tests-failed");
    becomes_with(&[("test_a.py", &by("SIGKILL"))], workers.clone(), "deferred:workers-killed");
    becomes_with(&[("test_a.py", &by("SIGKILL")), ("test_c.py", BAD)], workers, "fail:tests-failed");
}

#[test]
fn workers_count_as_one_session() {
    let (told, outcome, _) = judged_with(
        &[("test_a.py", "import pytest\n@pytest.mark.parametrize('n', range(20))\ndef test_a(n): pass\n")],
        json!({ "args": ["-n", "3", "-q"] }),
    );
    assert_eq!(told, "pass:all-passed", "{outcome:#?}");
    let Outcome::Verdict(report) = outcome else { unreachable!() };
    assert_eq!(report.tally.passed, 20);
    assert!(report.facts.contains(&("collected".to_owned(), "20".to_owned())), "{:?}", report.facts);
}

#[test]
fn code_that_stops_the_session_is_a_fail_with_every_return_code() {
    for code in [0, 4, 5, 42] {
        let text = format!(
            "import pytest\ndef test_a(): pass\ndef test_b(): pytest.exit('enough', returncode={code})\n"
        );
        becomes(&[("test_a.py", &text)], "fail:stopped-by-code");
    }
}

#[test]
fn a_time_out_after_the_session_began_is_what_the_settings_say() {
    let files = [("test_a.py", "import time\ndef test_a(): time.sleep(600)\n")];
    becomes_with(&files, json!({ "timeout_s": 3 }), "fail:timed-out");
    becomes_with(&files, json!({ "timeout_s": 3, "timeout_is": "deferred" }), "deferred:timed-out");
    let slow = [("test_a.py", GOOD), ("conftest.py", "import time\ntime.sleep(600)\n")];
    becomes_with(&slow, json!({ "timeout_s": 3 }), "deferred:timed-out-before-start");
}

#[test]
fn a_plugin_that_fails_the_session_is_a_fail() {
    let hook = "def pytest_sessionfinish(session): session.exitstatus = 1\n";
    becomes(&[("test_a.py", GOOD), ("conftest.py", hook)], "fail:failed-by-plugin");
}

#[test]
fn an_exit_code_that_nobody_names_is_deferred() {
    let hook = "def pytest_sessionfinish(session): session.exitstatus = 77\n";
    becomes(&[("test_a.py", GOOD), ("conftest.py", hook)], "deferred:unexplained-exit");
    let late = "import atexit, os\natexit.register(os._exit, 9)\n";
    becomes(&[("test_a.py", GOOD), ("conftest.py", late)], "deferred:unexplained-exit");
}

#[test]
fn a_report_that_is_missing_broken_or_other_is_a_fail() {
    let find = "import glob, os\ndef pytest_unconfigure(config):\n    path = config.option.xmlpath\n";
    let gone = format!("{find}    os.remove(path)\n");
    let half =
        format!("{find}    text = open(path).read()\n    open(path, 'w').write(text[:len(text) // 2])\n");
    let other = format!("{find}    open(path, 'w').write('<testsuite><testcase/><testcase/></testsuite>')\n");
    // The file is written by a plugin that is unconfigured later than a conftest; so do it at the very end.
    for (hook, expected) in [(gone, "missing"), (half, "broken"), (other, "disagrees")] {
        let late = hook.replace("def pytest_unconfigure(config):", "import atexit\ndef pytest_configure(config):\n    atexit.register(late, config)\ndef late(config):");
        becomes(&[("test_a.py", GOOD), ("conftest.py", &late)], &format!("fail:report-{expected}"));
    }
}

#[test]
fn the_reporter_needs_no_terminal_and_survives_what_tests_replace() {
    let text = "import os, json, time\ndef test_a(monkeypatch):\n    for name in ['open', 'write', 'close', 'getpid']:\n        \
                monkeypatch.setattr(os, name, None)\n    monkeypatch.setattr(json, 'dumps', None)\n    \
                monkeypatch.setattr(time, 'time', lambda: -1)\n\
                def test_c(tmp_path):\n    os.chdir(tmp_path)\n\
                def test_d():\n    if os.fork() == 0:\n        os._exit(0)\n    os.wait()\n";
    let config = "[pytest]\naddopts = -p no:terminal -s\n";
    becomes(&[("test_a.py", text), ("pytest.ini", config)], "pass:all-passed");
}

#[test]
fn options_of_the_users_do_not_take_our_report_away() {
    let config = "[pytest]\naddopts = -q --junitxml=mine.xml -p no:cacheprovider --maxfail=3\n";
    becomes(&[("test_a.py", GOOD), ("pytest.ini", config)], "pass:all-passed");
    becomes_with(
        &[("test_a.py", GOOD)],
        json!({ "args": ["--junitxml=other.xml", "--", "test_a.py"] }),
        "pass:all-passed",
    );
}

#[test]
fn names_and_output_that_are_no_text_do_no_harm() {
    let text = "import os, pytest\n@pytest.mark.parametrize('x', ['a b', '\"', \"'\", '\\n', '<&>', '\\u2028', '\\x00'])\n\
                def test_a(x):\n    os.write(1, bytes(range(256)))\n    assert x != '<&>', bytes(range(256))\n";
    let files = [("tests/test_'one' \"two\".py", text), ("pytest.ini", "[pytest]\naddopts = -s\n")];
    let (told, outcome, _) = judged_with(&files, json!({}));
    assert_eq!(told, "fail:tests-failed", "{outcome:#?}");
    let Outcome::Verdict(report) = outcome else { unreachable!() };
    assert_eq!((report.tally.passed, report.tally.failed), (6, 1));
}

#[test]
fn a_suite_that_shrank_too_far_is_no_pass() {
    let shrunk = json!({ "collected_baseline": 10, "max_collected_drop": 20 });
    becomes_with(&[("test_a.py", GOOD)], shrunk, "fail:collected-dropped");
    becomes_with(&[("test_a.py", GOOD)], json!({ "collected_baseline": 10 }), "pass:all-passed");
}

#[test]
fn a_set_up_step_comes_first_and_its_failing_is_not_the_codes() {
    let files = [("test_a.py", "import made\ndef test_a(): pass\n")];
    let step = |code: i32| json!({ "setup": { "program": "sh", "args": ["-c", format!("echo > made.py; exit {code}")], "exit_codes": { "3": "fail", "4": "held" } } });
    becomes_with(&files, step(0), "pass:all-passed");
    becomes_with(&files, step(1), "deferred:setup-did-not-work");
    becomes_with(&files, step(3), "fail:setup-failed");
    becomes_with(&files, step(4), "held:setup-held");
}
