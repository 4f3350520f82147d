//! Nothing that a model writes or says makes the llm-fallback panic, and nothing doubtful becomes a verdict.

use proptest::prelude::*;
use stagewright_sdk::front_matter::{self, VerdictKey};
use stagewright_sdk::{Judgement, Outcome};

use crate::scene::{PLACE, agent, job_with, run};

const PROMPT: &str = r#"{"prompt": "x"}"#;

/// Lines of a draft, right and wrong, in any order.
fn draft() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        "---",
        "---",
        "---",
        "result: PASS",
        "result: PASS",
        "result: FAIL",
        "Result: 'pass'",
        "status: PASS",
        "status: FAIL",
        "verdict: PASS",
        "staging_status: SUCCESS",
        "result:PASS",
        " result: PASS",
        "result: PASS # yes",
        "summary: fine",
        "summary: \"a\"",
        "summary: \"a",
        "# Title",
        "text",
        "",
        "```",
        "```markdown",
        "\u{feff}---",
        "\r",
        "ledger_sha256: x",
    ]);
    prop_oneof![
        6 => prop::collection::vec(line, 0..9).prop_map(|lines| lines.join("\n")),
        2 => any::<String>(),
        1 => any::<String>().prop_map(|text| format!("---\nresult: PASS\n---\n{text}")),
        1 => any::<String>().prop_map(|text| format!("---\nresult: PASS\n{text}\n---\nbody\n")),
    ]
}

fn judged(text: &str) -> Option<Judgement> {
    front_matter::read(text, VerdictKey::Result).ok().map(Judgement::from)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_file_is_a_verdict_only_if_the_shared_reader_says_the_same(text in draft(), answer in draft()) {
        let host = agent(Some(&text), &answer);
        if let Outcome::Verdict(report) = run(&job_with(PROMPT), &host) {
            prop_assert_eq!(Some(report.judgement), judged(&text), "whatever the answer says");
            prop_assert!(!report.summary.trim().is_empty() && !report.body.trim().is_empty());
        }
    }

    #[test]
    fn an_answer_is_a_verdict_only_if_the_shared_reader_says_the_same(answer in draft(), earlier in draft()) {
        let host = agent(None, &answer).with_file(PLACE, &earlier);
        if let Outcome::Verdict(report) = run(&job_with(PROMPT), &host) {
            let bare = answer.trim();
            let inside = bare.split_once('\n').map_or("", |(_, rest)| rest.trim_end_matches("\n```"));
            let read = judged(bare).or_else(|| judged(inside).filter(|_| bare.starts_with("```")));
            prop_assert_eq!(Some(report.judgement), read, "and never the earlier report");
        }
    }
}
