//! The table in `docs/evidence/staging.md` is the rows of the code. `UPDATE_EVIDENCE=1 cargo test -p stagewright-staging-runner
//! --test evidence_pages` writes it anew.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at what it did not expect")]

use std::path::Path;

use stagewright_sdk::evidence::Becomes::{Deferred, Held};
use stagewright_sdk::evidence::{Rule, table};
use stagewright_staging_runner::{classify, docker};

const PLACES: [(&str, &[Rule]); 2] = [("suite", classify::TABLE), ("docker", docker::TABLE)];
const END: &str = "<!-- Until here. -->\n";

#[test]
fn the_page_has_the_rows_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/evidence/staging.md");
    let mut page = std::fs::read_to_string(&path).unwrap();
    for (name, rules) in PLACES {
        let begin = format!("<!-- These rows are written by the code: {name}. -->\n");
        let (before, rest) = page.split_once(&begin).expect("the page has a place for its rows");
        let (rows, after) = rest.split_once(END).expect("the place has an end");
        let expected = format!("\n{}\n", table(rules));
        if std::env::var_os("UPDATE_EVIDENCE").is_some() {
            page = format!("{before}{begin}{expected}{END}{after}");
            std::fs::write(&path, &page).unwrap();
        } else {
            assert_eq!(rows, expected, "staging.md parts from the code; see the head of this test");
        }
    }
}

#[test]
fn every_rule_that_is_no_verdict_says_what_to_do() {
    for rule in PLACES.iter().flat_map(|(_, rules)| rules.iter()) {
        assert_eq!(matches!(rule.becomes, Held | Deferred), !rule.remedy.is_empty(), "{}", rule.code);
        assert!(!rule.seen.contains('|'), "{} would break the table", rule.code);
        assert!(rule.code.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{} is kebab-case", rule.code);
    }
}
