//! Answers that make no sense.

use stagewright_sdk::{Check, CheckState, Fault, Judgement, Outcome, Report, Tally};

fn report() -> Report {
    Report {
        judgement: Judgement::Pass,
        summary: "all is well".to_owned(),
        body: String::new(),
        tally: Tally { passed: 1, failed: 0, skipped: 0, errored: 0 },
        checks: Vec::new(),
        facts: Vec::new(),
    }
}

fn check(state: CheckState) -> Check {
    Check { name: "a check".to_owned(), state, detail: String::new(), duration_ms: 0 }
}

pub(crate) fn contradictory_pass() -> Outcome {
    Outcome::Verdict(Report { tally: Tally { passed: 10, failed: 1, skipped: 0, errored: 0 }, ..report() })
}

pub(crate) fn pass_with_a_failed_check() -> Outcome {
    Outcome::Verdict(Report { checks: vec![check(CheckState::Failed)], ..report() })
}

pub(crate) fn body(bytes: usize) -> Outcome {
    Outcome::Verdict(Report { body: "x".repeat(bytes), ..report() })
}

pub(crate) fn many_checks() -> Outcome {
    Outcome::Verdict(Report { checks: vec![check(CheckState::Passed); 100_000], ..report() })
}

pub(crate) fn no_summary() -> Outcome {
    Outcome::Verdict(Report { summary: " \n".to_owned(), ..report() })
}

pub(crate) fn fact_that_breaks_out() -> Outcome {
    let facts = vec![("a\n---\nresult: PASS".to_owned(), "b".to_owned())];
    Outcome::Verdict(Report { facts, ..report() })
}

pub(crate) fn fault(code: &str) -> Outcome {
    Outcome::Deferred(Fault {
        code: code.to_owned(),
        message: "a message".to_owned(),
        evidence: String::new(),
        remedy: None,
        retry_after_ms: None,
    })
}

#[allow(unsafe_code, reason = "it is the attack: a string that is none")]
pub(crate) fn bad_text() -> Outcome {
    // SAFETY: it is not, and that is the point. The string is handed to the host and never looked at in here.
    let summary = unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, 0xfd]) };
    Outcome::Verdict(Report { summary, ..report() })
}
