use proptest::prelude::*;

use super::*;

fn artifact(front: &str) -> String {
    format!("---\n{front}\n---\n\nbody\n")
}

#[test]
fn case_and_quotes_are_tolerated() {
    for front in ["result: pass", "Result: \"PASS\"", "result: 'Pass'", "RESULT:   PASS  # by hand"] {
        assert_eq!(read(&artifact(front), VerdictKey::Result), Ok(Verdict::Pass), "{front}");
    }
}

#[test]
fn anything_doubtful_is_not_a_pass() {
    let doubtful = [
        "",
        "result: PASS",
        "\n---\nresult: PASS\n---\n",
        "text\n---\nresult: PASS\n---\n",
        "---\nresult: PASS\n",
        "---\nstatus: PASS\n---\n",
        "---\nresult: PASSED\n---\n",
        "---\nresult: PASS!\n---\n",
        "---\nresult:\n---\n",
        "---\nresult: PASS\nresult: PASS\n---\n",
        "---\nresult: PASS\nResult: FAIL\n---\n",
        "---\nresult: PASS\nstatus: FAIL\n---\n",
        "---\nresult: PASS\nstaging_status: FAILED\n---\n",
        "---\nresult: PASS\nverdict: maybe\n---\n",
        "---\nresult: PASS\nnot a key value line\n---\n",
        "---\nresult: \"PASS\n---\n",
        "---\n result: PASS\n---\n",
        "---\nresult:PASS\n---\n",
        "---\nresult: PASS\n  and: more\n---\n",
        "---\nresult: 'PASS' 'FAIL'\n---\n",
        "---\nresult: 'PA'SS'\n---\n",
        "---\nresult: [PASS]\n---\n",
        "---\nresult: PASS\n...\n---\n",
        "---\n\"result\": PASS\n---\n",
        "--- \u{2028}\nresult: PASS\n",
        "---\nother: x\n---\nresult: PASS\n",
        "---\nresult: FAIL\n---\nresult: PASS\n",
    ];
    for text in doubtful {
        assert_ne!(read(text, VerdictKey::Result), Ok(Verdict::Pass), "{text:?}");
    }
}

#[test]
fn front_matter_that_never_ends_is_given_up() {
    let text = format!("---\n{}", "key: value\n".repeat(100_000));
    assert!(matches!(read(&text, VerdictKey::Result), Err(Error::Doubled { .. } | Error::Unterminated)));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        for key in VerdictKey::ALL {
            let _ = read(&text, key);
            let _ = read(&format!("---\n{text}\n---\n"), key);
        }
    }
}
