//! Which drafts are a verdict, and what becomes of the others.

use stagewright_llm_fallback::LlmFallback;
use stagewright_sdk::testing::Double;
use stagewright_sdk::{
    Area, Entry, Failure, FailureKind, FileKind, Files, Host, Level, Llm, ModelRequest, ModelResponse,
    Outcome, guest,
};

use crate::scene::{PLACE, agent, job_with, run, said, told};

const PROMPT: &str = r#"{"prompt": "do it"}"#;
const GOOD: &str = "---\nresult: PASS\nsummary: \"all is well\"\n---\n\n# Report\n\nIt is done.\n";

#[test]
fn a_draft_is_a_verdict_only_if_nothing_in_it_is_doubtful() {
    let long = format!("---\nresult: PASS\n---\n{}", "x".repeat(600 * 1024));
    for (draft, expected) in [
        (GOOD, "pass"),
        ("---\nresult: FAIL\n---\nno\n", "fail"),
        ("---\nResult: 'pass'\nstatus: PASS\n---\nyes\n", "pass"),
        ("", "deferred:draft-malformed"),
        ("It is done. PASS\n", "deferred:draft-malformed"),
        ("I did this:\n\n---\nresult: PASS\n---\nyes\n", "deferred:draft-malformed"),
        ("```markdown\n---\nresult: PASS\n---\nyes\n```\n", "deferred:draft-malformed"),
        ("---\nresult: PASS\nyes\n", "deferred:draft-malformed"),
        ("---\nresult: PASS\nresult: PASS\n---\nyes\n", "deferred:draft-malformed"),
        ("---\nresult: PASS\nsummary: \"a \"quoted\" word\"\n---\nyes\n", "deferred:draft-malformed"),
        ("---\nsummary: done\n---\nresult: PASS\n", "deferred:draft-without-verdict"),
        ("---\nverdict: PASS\n---\nanother gate's key\n", "deferred:draft-without-verdict"),
        ("---\nresult: PASSED\n---\nyes\n", "deferred:draft-verdict-unknown"),
        ("---\nresult: {verdict_key}\n---\nyes\n", "deferred:draft-verdict-unknown"),
        ("---\nresult: PASS\nstatus: maybe\n---\nyes\n", "deferred:draft-verdict-unknown"),
        ("---\nresult: PASS\nverdict: FAIL\n---\nyes\n", "deferred:draft-contradicting"),
        ("---\nresult: PASS\nstaging_status: FAILED\n---\nyes\n", "deferred:draft-contradicting"),
        ("---\nresult: PASS\n---\n", "deferred:draft-empty"),
        ("---\nresult: PASS\n---\n\n \u{1} \n##\n", "deferred:draft-empty"),
        ("---\nresult: PASS\n---\nyes\0\n", "deferred:draft-not-text"),
        (&long, "deferred:draft-too-long"),
        ("---\nresult: PASS\nledger_sha256: aa\n---\nan artifact of the host\n", "deferred:draft-stale"),
    ] {
        let host = agent(Some(draft), "---\nresult: PASS\n---\nThe answer says PASS.\n");
        let outcome = run(&job_with(PROMPT), &host);
        assert_eq!(told(&outcome), expected, "{:?}", draft.get(..80).unwrap_or(draft));
        if let Outcome::Deferred(fault) = outcome {
            assert!(fault.remedy.is_some(), "{}", fault.code);
        }
    }
}

#[test]
fn the_report_has_the_drafts_text_and_what_it_cost() {
    let outcome = run(&job_with(PROMPT), &agent(Some(GOOD), "done"));
    let Outcome::Verdict(report) = outcome else { panic!("no verdict: {outcome:?}") };
    assert_eq!(report.summary, "all is well");
    assert_eq!(report.body, "# Report\n\nIt is done.\n", "the draft's front matter is not the artifact's");
    let fact = |name: &str| report.facts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(fact("role"), Some("tester"));
    assert_eq!(fact("draft"), Some("file"));
    assert_eq!((fact("input-tokens"), fact("output-tokens")), (Some("1200"), Some("34")));
    assert_eq!(fact("cost-usd"), Some("0.012300"));
}

#[test]
fn a_cost_that_nobody_told_is_unknown_and_not_zero() {
    let host = Double::new().with_model(|_, host| {
        host.put(PLACE, GOOD);
        let mut answer = said("done");
        answer.usage.cost_micro_usd = None;
        Ok(answer)
    });
    let Outcome::Verdict(report) = run(&job_with(PROMPT), &host) else { panic!("no verdict") };
    assert!(report.facts.contains(&("cost-usd".to_owned(), "unknown".to_owned())));
}

#[test]
fn a_draft_without_a_summary_is_summed_up_by_its_first_words() {
    for (body, summary) in [("\n## The *suite*\n\ntext\n", "The *suite*"), ("#\n\n12 passed\n", "12 passed")]
    {
        let draft = format!("---\nresult: PASS\nsummary:\n---\n{body}");
        let Outcome::Verdict(report) = run(&job_with(PROMPT), &agent(Some(&draft), "")) else {
            panic!("no verdict")
        };
        assert_eq!(report.summary, summary);
    }
}

#[test]
fn the_folders_of_the_run_are_not_in_the_report() {
    let draft =
        "---\nresult: FAIL\nsummary: broken in /run/clone/a.rs\n---\n/run/clone/a.rs:1 and /run/scratch/x\n";
    let Outcome::Verdict(report) = run(&job_with(PROMPT), &agent(Some(draft), "")) else {
        panic!("no verdict")
    };
    assert_eq!(
        (report.summary.as_str(), report.body.as_str()),
        ("broken in ./a.rs", "./a.rs:1 and $SCRATCH/x\n")
    );
}

#[test]
fn no_draft_is_no_verdict_and_the_agents_last_words_are_kept() {
    for answer in ["docker is not installed here", "result: PASS", "PASS", ""] {
        let outcome = run(&job_with(PROMPT), &agent(None, answer));
        let Outcome::Deferred(fault) = outcome else { panic!("not deferred: {outcome:?}") };
        assert_eq!(fault.code, "draft-missing");
        assert!(fault.message.contains(PLACE), "{}", fault.message);
        assert!(fault.evidence.ends_with(answer), "{}", fault.evidence);
    }
}

#[test]
fn an_earlier_runs_report_is_never_taken_for_a_draft() {
    for settings in [PROMPT, r#"{"prompt": "x", "draft": "file"}"#] {
        let host = agent(None, "It is done.").with_file(PLACE, GOOD);
        let outcome = run(&job_with(settings), &host);
        let Outcome::Deferred(fault) = outcome else { panic!("not deferred: {outcome:?}") };
        assert_eq!(fault.code, "draft-missing");
        assert!(fault.message.contains("earlier run"), "{}", fault.message);
        // Nor if the agent writes the same once more.
        let host = agent(Some(GOOD), "It is done.").with_file(PLACE, GOOD);
        assert_eq!(told(&run(&job_with(settings), &host)), "deferred:draft-missing");
        let host = agent(Some("---\nresult: FAIL\n---\nanew\n"), "").with_file(PLACE, GOOD);
        assert_eq!(told(&run(&job_with(settings), &host)), "fail");
    }
}

#[test]
fn an_answer_is_a_draft_where_the_model_can_not_write_files() {
    let answer = "---\nresult: PASS\n---\nyes\n";
    for (settings, answer, expected) in [
        (r#"{"prompt": "x", "draft": "answer"}"#, answer, "pass"),
        (PROMPT, answer, "pass"),
        (r#"{"prompt": "x", "draft": "file"}"#, answer, "deferred:draft-missing"),
        (PROMPT, "\n---\nresult: FAIL\n---\nno\n\n", "fail"),
        (PROMPT, "```markdown\n---\nresult: PASS\n---\nyes\n```\n", "pass"),
        (PROMPT, "```\n---\nresult: PASS\n---\n```\nx\n```\nyes\n```", "deferred:draft-missing"),
        (PROMPT, "Here it is:\n---\nresult: PASS\n---\nyes\n", "deferred:draft-missing"),
        (PROMPT, "---\nresult: PASS\n", "deferred:draft-malformed"),
        (PROMPT, "---\nresult: PASS\nstatus: FAIL\n---\nyes\n", "deferred:draft-contradicting"),
        (r#"{"prompt": "x", "draft": "answer"}"#, "PASS", "deferred:draft-missing"),
    ] {
        let outcome = run(&job_with(settings), &agent(None, answer));
        assert_eq!(told(&outcome), expected, "{settings} {answer:?}");
        if let Outcome::Verdict(report) = outcome {
            assert!(
                report.facts.contains(&("draft".to_owned(), "answer".to_owned())),
                "the report says which it was"
            );
        }
    }
    let long = format!("---\nresult: PASS\n---\n{}", "x".repeat(600 * 1024));
    assert_eq!(told(&run(&job_with(PROMPT), &agent(None, &long))), "deferred:draft-too-long");
    let host = agent(Some("---\nresult: FAIL\n---\nno\n"), answer);
    assert_eq!(
        told(&run(&job_with(r#"{"prompt": "x", "draft": "answer"}"#), &host)),
        "pass",
        "only the answer counts"
    );
}

#[test]
fn the_key_of_the_stages_gate_is_the_one_that_counts() {
    for (stage, settings, draft, expected) in [
        ("deploy-staging", PROMPT, "---\nstaging_status: SUCCESS\n---\nyes\n", "pass"),
        ("deploy-staging", PROMPT, "---\nresult: PASS\n---\nyes\n", "deferred:draft-without-verdict"),
        ("deploy", PROMPT, "---\ndeploy_status: FAILED\n---\nno\n", "fail"),
        ("review", PROMPT, "---\nverdict: PASS\n---\nyes\n", "pass"),
        ("audit", r#"{"prompt": "x", "role": "auditor"}"#, "---\nresult: PASS\n---\nyes\n", "pass"),
        ("testing", r#"{"prompt": "x", "verdict_key": "status"}"#, "---\nstatus: FAIL\n---\nno\n", "fail"),
    ] {
        let job = stagewright_sdk::Job { stage: stage.to_owned(), ..job_with(settings) };
        assert_eq!(told(&run(&job, &agent(Some(draft), ""))), expected, "{stage} {draft}");
    }
}

/// A host whose clone has something else than a plain file at the artifact's place.
struct Odd {
    inner: Double,
    kind: FileKind,
    read: Result<&'static [u8], (FailureKind, &'static str)>,
}

impl Odd {
    fn new(kind: FileKind, read: Result<&'static [u8], (FailureKind, &'static str)>) -> Self {
        Self { inner: agent(None, "done"), kind, read }
    }
}

impl Files for Odd {
    fn read(&self, _: Area, path: &str, offset: u64, _: u32) -> Result<Vec<u8>, Failure> {
        // The place is empty until the agent was there.
        if self.inner.asked().is_empty() {
            return Err(failure(FailureKind::NotFound, "no-such-file", path));
        }
        match self.read {
            Ok(bytes) if offset == 0 => Ok(bytes.to_vec()),
            Ok(_) => Ok(Vec::new()),
            Err((kind, code)) => Err(failure(kind, code, path)),
        }
    }

    fn entries(&self, _: Area, _: &str, after: Option<&str>, _: u32) -> Result<Vec<Entry>, Failure> {
        let entry = Entry { name: "13-test-report.md".to_owned(), kind: self.kind, size: 1 };
        Ok(if after.is_none() { vec![entry] } else { Vec::new() })
    }

    fn write(&self, _: &str, _: &[u8]) -> Result<(), Failure> {
        unreachable!("it writes no file")
    }

    fn attach(&self, _: &str, _: &str) -> Result<(), Failure> {
        unreachable!("it keeps no file")
    }
}

impl Host for Odd {
    fn log(&self, level: Level, message: &str) {
        self.inner.log(level, message);
    }
    fn progress(&self, done: u64, total: u64, message: &str) {
        self.inner.progress(done, total, message);
    }
    fn now_ms(&self) -> u64 {
        self.inner.now_ms()
    }
    fn remaining_ms(&self) -> u64 {
        self.inner.remaining_ms()
    }
    fn cancelled(&self) -> Option<stagewright_sdk::Cause> {
        self.inner.cancelled()
    }
    fn sleep_ms(&self, duration: u64) -> bool {
        self.inner.sleep_ms(duration)
    }
    fn random(&self, len: u32) -> Vec<u8> {
        self.inner.random(len)
    }
}

impl Llm for Odd {
    fn ask(&self, request: &ModelRequest) -> Result<ModelResponse, Failure> {
        self.inner.ask(request)
    }
}

fn failure(kind: FailureKind, code: &str, path: &str) -> Failure {
    Failure { kind, code: code.to_owned(), message: format!("could not open `{path}`") }
}

#[test]
fn a_draft_that_is_no_plain_file_is_refused() {
    for (kind, read, expected) in [
        (FileKind::File, Ok(GOOD.as_bytes()), "pass"),
        (FileKind::File, Ok(b"---\nresult: PASS\n---\n\xc3\n"), "deferred:draft-not-text"),
        (FileKind::Link, Ok(GOOD.as_bytes()), "deferred:draft-refused"),
        (FileKind::Link, Err((FailureKind::Denied, "permission-denied")), "deferred:draft-refused"),
        (FileKind::Directory, Err((FailureKind::Denied, "not-a-file")), "deferred:draft-refused"),
        (FileKind::File, Err((FailureKind::Other, "io-error")), "deferred:draft-unreadable"),
        (FileKind::File, Err((FailureKind::Cancelled, "cancelled")), "deferred:cancelled"),
    ] {
        let job = job_with(PROMPT);
        let outcome = guest::produce::<LlmFallback, _>(&job, &Odd::new(kind, read));
        assert_eq!(told(&outcome), expected, "{kind:?} {read:?}");
    }
}
