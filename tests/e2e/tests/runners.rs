//! The other runners, through the whole path with its isolation: each a suite that passes and one that fails.

use std::process::Command;

use stagewright_e2e::{Host, Repo};

/// Whether this machine has the program; a test without it says that it was skipped, and why.
fn has(program: &str, args: &[&str]) -> bool {
    let there = Command::new(program).args(args).output().is_ok_and(|out| out.status.success());
    if !there {
        eprintln!("SKIPPED: this machine has no `{program} {}`", args.join(" "));
    }
    there
}

const MANIFEST: &str = "[package]\nname = \"demo\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
const LOCK: &str = "version = 3\n\n[[package]]\nname = \"demo\"\nversion = \"0.1.0\"\n";

fn rust(sum: &str) -> Repo {
    let code = format!(
        "pub fn add(a: i32, b: i32) -> i32 {{ {sum} }}\n\
         #[cfg(test)] mod tests {{ #[test] fn adds() {{ assert_eq!(super::add(1, 2), 3); }} }}\n"
    );
    Repo::with(&[("Cargo.toml", MANIFEST), ("Cargo.lock", LOCK), ("src/lib.rs", &code)])
}

#[test]
fn cargo_test_is_judged_right() {
    Host::bare_in_tmp().run(&rust("a + b"), "GOOD").passed();
    Host::bare_in_tmp().run(&rust("a - b"), "BAD").failed();
    Host::bare_in_tmp().run(&rust("a + c"), "NOT-BUILT").failed();
}

#[test]
fn nextest_is_judged_right() {
    if !has("cargo", &["nextest", "--version"]) {
        return;
    }
    let host = || Host::bare_in_tmp().with("test_runner.framework=nextest");
    host().run(&rust("a + b"), "GOOD").passed();
    host().run(&rust("a - b"), "BAD").failed();
}

#[test]
fn npm_is_judged_right() {
    if !has("npm", &["--version"]) {
        return;
    }
    let repo = |sum: &str| {
        let test = format!(
            "const test = require('node:test');\nconst assert = require('node:assert');\n\
             test('adds', () => assert.equal({sum}, 3));\n"
        );
        let package = r#"{"name": "demo", "version": "1.0.0", "scripts": {"test": "node --test"}}"#;
        Repo::with(&[("package.json", package), ("a.test.js", &test)])
    };
    Host::bare_in_tmp().run(&repo("1 + 2"), "GOOD").passed();
    Host::bare_in_tmp().run(&repo("1 - 2"), "BAD").failed();
}

#[test]
fn go_test_is_judged_right() {
    if !has("go", &["version"]) {
        return;
    }
    let repo = |sum: &str| {
        let test = format!(
            "package demo\n\nimport \"testing\"\n\nfunc TestAdds(t *testing.T) {{\n\tif {sum} != 3 {{\n\t\tt.Fatal(\"wrong\")\n\t}}\n}}\n"
        );
        Repo::with(&[("go.mod", "module demo\n\ngo 1.19\n"), ("a_test.go", &test)])
    };
    Host::bare_in_tmp().run(&repo("1 + 2"), "GOOD").passed();
    Host::bare_in_tmp().run(&repo("1 - 2"), "BAD").failed();
}
