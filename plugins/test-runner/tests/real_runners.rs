//! The other runners, really run on small packages. One whose program is not on this machine is skipped, and says so.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test ends at what it did not expect")]

mod real_host;

use std::process::{Command, Stdio};

use real_host::{RealHost, told};
use serde_json::json;

const MANIFEST: &str = "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";

/// Whether a program answers; where it does not, the test says what it did not look at.
fn there_is(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = status.is_ok_and(|status| status.success());
    if !there {
        eprintln!("skipped: `{program} {}` does not work on this machine", args.join(" "));
    }
    there
}

#[track_caller]
fn becomes(files: &[(&str, &str)], settings: serde_json::Value, expected: &str) -> RealHost {
    let host = RealHost::with(files);
    let outcome = host.produce(settings);
    assert_eq!(told(&outcome), expected, "{outcome:#?}");
    host
}

#[test]
fn cargo_test_is_found_and_judged() {
    let good = "#[test]\nfn a() {}\n";
    let host = becomes(&[("Cargo.toml", MANIFEST), ("src/lib.rs", good)], json!({}), "pass:all-passed");
    assert_eq!(host.log.borrow()[0], "the suite is run by cargo-test (by Cargo.toml)");
    let bad = "#[test]\nfn a() { assert_eq!(1, 2) }\n";
    becomes(&[("Cargo.toml", MANIFEST), ("src/lib.rs", bad)], json!({}), "fail:tests-failed");
    becomes(&[("Cargo.toml", MANIFEST), ("src/lib.rs", "fn a() { b }")], json!({}), "fail:build-failed");
}

#[test]
fn nextest_writes_its_report_where_it_is_told() {
    if !there_is("cargo", &["nextest", "--version"]) {
        return;
    }
    let good = "#[test]\nfn a() {}\n#[test]\nfn b() {}\n";
    let own = "[profile.default.junit]\npath = \"theirs.xml\"\n";
    for config in ["", own] {
        let files = [("Cargo.toml", MANIFEST), ("src/lib.rs", good), (".config/nextest.toml", config)];
        let host = becomes(&files, json!({}), "pass:all-passed");
        assert_eq!(*host.attached.borrow(), ["junit.xml"]);
        let (done, total, _) = host.progress.borrow().last().cloned().unwrap();
        assert_eq!((done, total), (2, 2));
    }
    let bad = "#[test]\nfn a() { assert_eq!(1, 2) }\n";
    let files = [("Cargo.toml", MANIFEST), ("src/lib.rs", bad), (".config/nextest.toml", "")];
    becomes(&files, json!({}), "fail:tests-failed");
}

#[test]
fn go_test_is_judged_by_its_events() {
    if !there_is("go", &["version"]) {
        return;
    }
    let good = "package a\nimport \"testing\"\nfunc TestA(t *testing.T) {}\n";
    let bad = "package a\nimport \"testing\"\nfunc TestA(t *testing.T) { t.Fatal(\"no\") }\n";
    becomes(&[("go.mod", "module example.com/a\n"), ("a_test.go", good)], json!({}), "pass:all-passed");
    becomes(&[("go.mod", "module example.com/a\n"), ("a_test.go", bad)], json!({}), "fail:tests-failed");
    becomes(
        &[("go.mod", "module example.com/a\n"), ("a.go", "package a\n")],
        json!({}),
        "fail:nothing-collected",
    );
}

#[test]
fn npm_is_judged_by_its_summary() {
    if !there_is("npm", &["--version"]) || !there_is("node", &["--test", "--help"]) {
        return;
    }
    let package =
        r#"{"name": "a", "version": "1.0.0", "scripts": {"test": "node --test", "fine": "echo fine"}}"#;
    let good = "require('node:test')('a', () => {});\n";
    let bad = "require('node:test')('a', () => { throw new Error('no'); });\n";
    becomes(&[("package.json", package), ("a.test.js", good)], json!({}), "pass:all-passed");
    becomes(&[("package.json", package), ("a.test.js", bad)], json!({}), "fail:tests-failed");
    becomes(&[("package.json", package)], json!({ "args": ["run", "fine"] }), "held:no-evidence");
    becomes(&[("package.json", package)], json!({ "args": ["run", "nothing"] }), "held:script-missing");
}

#[test]
fn what_a_command_prints_is_no_evidence() {
    let script = [("test.sh", "echo '0 failed, 10 passed'\nexit 1\n")];
    let run = |more: serde_json::Value| {
        let mut settings = json!({ "framework": "command", "program": "sh", "args": ["test.sh"] });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    };
    becomes(&script, run(json!({})), "fail:command-failed");
    becomes(&script, run(json!({ "exit_codes": { "1": "held" } })), "held:command-held");
    becomes(&script, json!({ "framework": "command" }), "held:program-not-set");
    becomes(&script, run(json!({ "program": "/there/is/no/program" })), "held:runner-missing");
    let writes = [("test.sh", "echo '<testsuite><testcase name=\"a\"/></testsuite>' > out.xml\n")];
    becomes(&writes, run(json!({ "junit": "out.xml" })), "pass:all-passed");
    let stale = [writes[0], ("out.xml", "<testsuite><testcase/></testsuite>")];
    becomes(&stale, run(json!({ "junit": "out.xml" })), "held:report-stale");
    becomes(&[("test.sh", "exit 0\n")], run(json!({ "junit": "out.xml" })), "fail:report-missing");
}

#[test]
fn a_repository_that_does_not_tell_is_held() {
    becomes(&[("readme.md", "")], json!({}), "held:framework-unknown");
    becomes(&[("Cargo.toml", MANIFEST), ("go.mod", "module a\n")], json!({}), "held:framework-ambiguous");
}
