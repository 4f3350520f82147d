//! Every way in which a suite can end, judged through the whole path: exit code, outcome, fault code, stage.

use std::time::Duration;

use stagewright_e2e::{Host, Repo, processes};

const GOOD: &str = "def test_good():\n    assert 1 + 1 == 2\n";
const BAD: &str = "def test_bad():\n    assert 1 + 1 == 3\n";

#[test]
fn a_suite_that_passes_moves_the_task_on() {
    let ran = Host::new().run(&Repo::with(&[("test_a.py", GOOD)]), "A-1");
    ran.passed();
    let json = ran.json();
    assert_eq!(json["judgement"], "pass");
    assert_eq!(json["tally"]["passed"], 1);
    assert!(ran.artifact().contains("\nresult: PASS\n"), "{}", ran.artifact());
}

#[test]
fn one_failing_test_sends_the_task_back() {
    let ran = Host::new().run(&Repo::with(&[("test_a.py", GOOD), ("test_b.py", BAD)]), "A-1");
    ran.failed();
    assert_eq!(ran.json()["tally"]["failed"], 1);
    assert!(ran.artifact().contains("\nresult: FAIL\n"));
    assert!(ran.artifact().contains("test_bad"), "the report names what failed");
}

#[test]
fn a_collection_error_is_a_fault_of_the_code() {
    let repo = Repo::with(&[("test_a.py", GOOD), ("test_b.py", "import module_that_is_not_there\n")]);
    Host::new().run(&repo, "A-1").failed();
}

#[test]
fn a_broken_conftest_is_a_fault_of_the_code() {
    let repo = Repo::passing_with(&[("conftest.py", "raise RuntimeError('broken')\n")]);
    Host::new().run(&repo, "A-1").failed();
}

#[test]
fn no_tests_at_all_is_not_a_pass() {
    let repo = Repo::with(&[("pytest.ini", "[pytest]\n"), ("shop.py", "x = 1\n")]);
    Host::new().run(&repo, "A-1").failed();
}

#[test]
fn a_suite_that_skips_everything_is_not_a_pass() {
    let text = "import pytest\n@pytest.mark.skip(reason='later')\ndef test_a():\n    pass\n";
    let ran = Host::new().run(&Repo::with(&[("test_a.py", text)]), "A-1");
    ran.failed();
    assert_eq!(ran.json()["tally"]["passed"], 0);
}

#[test]
fn a_suite_of_expected_failures_only_is_not_a_pass() {
    let text = "import pytest\n@pytest.mark.xfail\ndef test_a():\n    assert False\n";
    Host::new().run(&Repo::with(&[("test_a.py", text)]), "A-1").failed();
}

#[test]
fn a_missing_pytest_is_held_and_never_sends_the_task_back() {
    let bare = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(bare.path().join("venv"))
        .status()
        .unwrap();
    assert!(made.success());
    let host =
        Host::bare().with(&format!("test_runner.python={}", bare.path().join("venv/bin/python").display()));
    let ran = host.run(&Repo::with(&[("test_a.py", GOOD)]), "A-1");
    ran.ended(78, "held", "runner-missing", "testing");
    assert!(ran.json()["fault"]["remedy"].is_string(), "{ran:#?}");
}

#[test]
fn an_option_that_pytest_does_not_know_is_held() {
    let repo = Repo::passing_with(&[("pytest.ini", "[pytest]\naddopts = --no-such-option\n")]);
    Host::new().run(&repo, "A-1").ended(78, "held", "bad-option", "testing");
}

#[test]
fn a_pytest_of_the_repositorys_own_is_not_believed() {
    let forged = "print('1 passed in 0.01s')\n";
    let repo = Repo::passing_with(&[("pytest.py", forged)]);
    Host::new().run(&repo, "A-1").ended(78, "held", "runner-not-seen", "testing");
}

#[test]
fn a_test_that_ends_the_runner_with_exit_code_0_is_not_a_pass() {
    let repo = Repo::with(&[("test_a.py", "import os\ndef test_a():\n    os._exit(0)\n")]);
    Host::new().run(&repo, "A-1").failed();
}

#[test]
fn a_segmentation_fault_is_a_fault_of_the_code() {
    let text = "import os, signal\ndef test_a():\n    os.kill(os.getpid(), signal.SIGSEGV)\n";
    Host::new().run(&Repo::with(&[("test_a.py", text)]), "A-1").failed();
}

#[test]
fn a_runner_that_somebody_killed_is_deferred() {
    let text = "import os, signal\ndef test_a():\n    os.kill(os.getpid(), signal.SIGKILL)\n";
    let ran = Host::new().run(&Repo::with(&[("test_a.py", text)]), "A-1");
    ran.ended(75, "deferred", "killed-by-signal", "testing");
}

#[test]
fn what_a_suite_prints_is_no_evidence() {
    let repo = Repo::with(&[("test.sh", "echo '0 failed, 10 passed'\nexit 1\n")]);
    let host = Host::new()
        .with("test_runner.framework=command")
        .with("test_runner.program=sh")
        .with(r#"test_runner.args=["test.sh"]"#);
    host.run(&repo, "A-1").failed();
}

#[test]
fn a_daemon_that_a_suite_leaves_behind_is_gone_and_does_not_hold_the_run() {
    let mark = format!("left-behind-{}", std::process::id());
    let text = format!(
        "import subprocess, sys\n\
         def test_a():\n    \
         subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', '{mark}'], start_new_session=True)\n"
    );
    Host::new().run(&Repo::with(&[("test_a.py", &text)]), "A-1").passed();
    assert_eq!(processes::with_mark(&mark), Vec::<u32>::new());
}

#[test]
fn a_suite_past_its_time_is_ended_with_all_its_processes() {
    let mark = format!("sleeper-{}", std::process::id());
    let text = format!(
        "import subprocess, sys\n\
         def test_a():\n    \
         subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)', '{mark}'], start_new_session=True)\n"
    );
    let host = Host::new().with("test_runner.timeout_s=4");
    let ran = host.run(&Repo::with(&[("test_a.py", &text)]), "A-1");
    ran.failed();
    assert!(ran.artifact().contains("time"), "the report says that the time was over");
    assert_eq!(processes::with_mark(&mark), Vec::<u32>::new());
}

#[test]
fn two_hundred_megabytes_of_output_do_not_fill_the_memory() {
    let text = "import os\ndef test_a():\n    line = b'x' * (1 << 20)\n    for _ in range(200):\n        os.write(1, line)\n";
    // Without capturing, so that all of it comes out of the runner.
    let repo = Repo::with(&[("test_a.py", text), ("pytest.ini", "[pytest]\naddopts = -s\n")]);
    let host = Host::new();
    let mut child = host.begin(&repo, "A-1");
    let stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || std::io::read_to_string(stdout).unwrap());
    let stderr = child.stderr.take().unwrap();
    let drain = std::thread::spawn(move || std::io::copy(&mut { stderr }, &mut std::io::sink()).unwrap());
    let mut peak = 0;
    let status = loop {
        if let Ok(text) = std::fs::read_to_string(format!("/proc/{}/status", child.id())) {
            let kib = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = kib.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
            peak = peak.max(kib.unwrap_or(0));
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    };
    drain.join().unwrap();
    assert_eq!(status.code(), Some(0), "{}", reader.join().unwrap());
    assert!(peak > 0 && peak < 300 * 1024, "the host's memory peaked at {peak} KiB");
}

#[test]
fn output_that_is_no_text_does_no_harm() {
    let text =
        "import os\ndef test_a():\n    os.write(1, bytes(range(256)))\n    assert b'\\xff' == b'\\xfe'\n";
    let repo = Repo::with(&[("test_a.py", text), ("pytest.ini", "[pytest]\naddopts = -s\n")]);
    Host::new().run(&repo, "A-1").failed();
}

#[test]
fn file_names_with_spaces_and_quotes_are_only_names() {
    let repo = Repo::named("a project's \"own\" folder");
    repo.write("tests/test_'one' \"two\".py", GOOD);
    repo.write("tests/-rf/test_$(x).py", GOOD);
    repo.commit("Begin");
    let ran = Host::new().run(&repo, "A-1");
    ran.passed();
    assert_eq!(ran.json()["tally"]["passed"], 2);
}

#[test]
fn the_report_shows_how_many_tests_were_collected_last_on_the_base_branch() {
    let repo = Repo::with(&[("test_a.py", "def test_a(): pass\ndef test_b(): pass\n")]);
    let host = Host::new();
    let first = host.run(&repo, "A-1");
    first.passed();
    assert!(!first.artifact().contains("x-collected-on-base"), "there was nothing before: {first:#?}");

    repo.git(&["switch", "--quiet", "-c", "feature"]);
    repo.write("test_a.py", "def test_a(): pass\n");
    repo.commit("One test fewer");
    let second = host.run(&repo, "A-2");
    second.passed();
    assert!(second.artifact().contains("x-collected: \"1\"\nx-collected-on-base: \"2\""), "{second:#?}");
    // The feature branch is no base: what was collected there is nobody's measure.
    let third = host.run(&repo, "A-3");
    assert!(third.artifact().contains("x-collected-on-base: \"2\""), "{third:#?}");

    let strict = Host::new().with("test_runner.max_collected_drop=20");
    strict.run_with(&repo, "A-1", &["--branch", "main"]).passed();
    let dropped = strict.run(&repo, "A-2");
    dropped.failed();
    assert!(dropped.artifact().contains("x-rule: collected-dropped"), "{dropped:#?}");
}
