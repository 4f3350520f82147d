//! The tables in `docs/evidence/` are the rows of the code. `UPDATE_EVIDENCE=1 cargo test -p stagewright-test-runner
//! --test evidence_pages` writes them anew.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at what it did not expect")]

use std::path::Path;

use stagewright_sdk::evidence::Becomes::{Deferred, Held};
use stagewright_sdk::evidence::{Rule, table};
use stagewright_test_runner::{
    cargo_build, cargo_test, command, ending, go_test, nextest, npm, pytest, report, setup, smoke,
};

const BEGIN: &str = "<!-- These rows are written by the code. -->\n";
const END: &str = "<!-- Until here. -->\n";

#[track_caller]
fn page_has(name: &str, tables: &[&[Rule]]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/evidence").join(name);
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for its rows");
    let (rows, after) = rest.split_once(END).expect("the place has an end");
    let expected = format!("\n{}\n", table(tables.iter().copied().flatten()));
    if std::env::var_os("UPDATE_EVIDENCE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
    } else {
        assert_eq!(rows, expected, "{name} parts from the code; see the head of this test");
    }
}

#[test]
fn every_page_has_the_rows_of_its_code() {
    page_has("pytest.md", &[pytest::TABLE, ending::TABLE]);
    page_has("cargo-test.md", &[cargo_test::TABLE, cargo_build::TABLE, ending::TABLE]);
    page_has("nextest.md", &[nextest::TABLE, cargo_build::TABLE, ending::TABLE]);
    page_has("go-test.md", &[go_test::TABLE, ending::TABLE]);
    page_has("npm.md", &[npm::TABLE, ending::TABLE]);
    page_has("command.md", &[command::TABLE, ending::TABLE]);
    page_has("README.md", &[setup::TABLE, &[report::COLLECTED_DROPPED], smoke::TABLE]);
}

#[test]
fn every_rule_that_is_no_verdict_says_what_to_do() {
    let all = [
        pytest::TABLE,
        cargo_test::TABLE,
        cargo_build::TABLE,
        nextest::TABLE,
        go_test::TABLE,
        npm::TABLE,
        command::TABLE,
        ending::TABLE,
        setup::TABLE,
        &[report::COLLECTED_DROPPED],
        smoke::TABLE,
    ];
    for rule in all.iter().flat_map(|table| table.iter()) {
        assert_eq!(matches!(rule.becomes, Held | Deferred), !rule.remedy.is_empty(), "{}", rule.code);
        assert!(!rule.seen.contains('|'), "{} would break the table", rule.code);
        assert!(rule.code.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{} is kebab-case", rule.code);
    }
}
