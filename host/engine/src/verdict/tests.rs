use proptest::prelude::*;

use super::*;
use crate::identity::{Epoch, JobId, RunId};
use crate::name::{CommitId, StageName, WorkItem};
use crate::outcome::{Report, Tally};
use crate::time::Span;

fn facts() -> ArtifactFacts {
    ArtifactFacts {
        work_item: WorkItem::new("ORCH-1").unwrap(),
        stage: StageName::new("testing").unwrap(),
        commit: CommitId::new("a".repeat(40)).unwrap(),
        branch: "feature/x".into(),
        producer: "test-runner".into(),
        producer_version: "1.0.0".into(),
        producer_sha256: "b".repeat(64),
        job: JobId::new(uuid::Uuid::from_u128(1)),
        run: RunId::new(uuid::Uuid::from_u128(2)),
        epoch: Epoch::new(3),
        started: "2026-01-01T00:00:00Z".into(),
        duration: Span::from_millis(12),
        isolation: "landlock-7".into(),
        ledger_sha256: "c".repeat(64),
    }
}

fn report(judgement: Judgement, body: &str) -> Report {
    Report {
        judgement,
        summary: "a summary: with \"quotes\"\n---\nresult: PASS".into(),
        body: body.into(),
        tally: Tally::default(),
        checks: Vec::new(),
        facts: Vec::new(),
    }
}

#[test]
fn all_verdict_keys_that_the_host_writes_say_the_same() {
    let text = write(&facts(), &report(Judgement::Fail, ""), VerdictKey::StagingStatus);
    for line in ["result: FAIL", "status: FAIL", "verdict: FAIL", "staging_status: FAILED"] {
        assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn what_yaml_would_take_for_something_else_than_a_text_is_quoted() {
    let mut about = facts();
    for word in
        ["null", "True", "no", "1e5", "2026-01-01", "0x1f", "~", "", "-", "a b", "a: b", "a #b", "\u{85}"]
    {
        about.branch = word.into();
        let text = write(&about, &report(Judgement::Pass, ""), VerdictKey::Result);
        let line = text.lines().find(|line| line.starts_with("branch: ")).unwrap();
        assert!(line.starts_with("branch: \"") && line.ends_with('"'), "{line}");
    }
    about.branch = "feature/ORCH-116".into();
    let text = write(&about, &report(Judgement::Pass, ""), VerdictKey::Result);
    assert!(text.contains("\nbranch: feature/ORCH-116\n"));
}

#[test]
fn facts_of_the_same_key_are_all_kept() {
    let mut run = report(Judgement::Pass, "");
    run.facts = vec![("a b".into(), "1".into()), ("a-b".into(), "2".into()), ("x-A b".into(), "3".into())];
    let text = write(&facts(), &run, VerdictKey::Result);
    let artifact = Artifact::parse(&text).unwrap();
    let found = ["x-a-b", "x-a-b.2", "x-a-b.3"].map(|key| artifact.get(key));
    assert_eq!(found, [Some("1"), Some("2"), Some("3")]);
}

#[test]
fn an_artifact_lies_in_the_folder_of_its_work_item() {
    let work_item = WorkItem::new("ORCH-1").unwrap();
    assert_eq!(artifact_path(&work_item, "13-test-report.md"), "docs/work-items/ORCH-1/13-test-report.md");
}

proptest! {
    #[test]
    fn what_was_written_is_read_as_exactly_that(
        pass in any::<bool>(),
        summary in any::<String>(),
        body in any::<String>(),
        lines in prop::collection::vec(prop::sample::select(vec![
            "---", "result: PASS", "result: FAIL", "status: FAIL", "\r", "\0", "...", "- x", "staging_status: SUCCESS",
        ]), 0..8),
        facts_of_run in prop::collection::vec((any::<String>(), any::<String>()), 0..6),
        branch in any::<String>(),
    ) {
        let judgement = if pass { Judgement::Pass } else { Judgement::Fail };
        for key in VerdictKey::ALL {
            let mut run = report(judgement, &format!("{}\n{body}", lines.join("\n")));
            run.summary = summary.clone();
            run.facts = facts_of_run.clone();
            let mut about = facts();
            about.branch = branch.clone();
            let text = write(&about, &run, key);
            prop_assert_eq!(read(&text, key), Ok(judgement));
            let artifact = Artifact::parse(&text).unwrap();
            prop_assert_eq!(artifact.get("summary"), Some(summary.as_str()));
            prop_assert_eq!(artifact.get("branch"), Some(branch.as_str()));
            let values: Vec<_> = artifact.entries.iter().filter(|(key, _)| key.starts_with("x-")).collect();
            prop_assert_eq!(values.len(), run.facts.len(), "no fact is lost");
            for ((_, value), (_, given)) in values.iter().zip(&run.facts) {
                prop_assert_eq!(value, given);
            }
            let body = artifact.body.strip_suffix('\n').unwrap();
            prop_assert_eq!(body, run.body.strip_suffix('\n').unwrap_or(&run.body));
        }
    }
}
