//! The prompts that are installed, for every stage of the default pipeline.

use std::path::Path;

use stagewright_engine::pipeline::Pipeline;
use stagewright_llm_fallback::{prompt, role};
use stagewright_sdk::Job;
use stagewright_sdk::front_matter::Verdict;

use crate::scene::{PLACE, agent, job_with, run, told};

fn prompt_of(role: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts").join(role).with_extension("md");
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn every_stage_that_may_fall_to_a_model_has_its_role_and_its_gates_key() {
    let pipeline = Pipeline::embedded().unwrap();
    let mut met = 0;
    for stage in pipeline.stages() {
        let Some(work) = &stage.work else { continue };
        let producers = [Some(&work.producer), work.fallback.as_ref()];
        if producers.iter().flatten().all(|producer| producer.as_str() != "llm-fallback") {
            continue;
        }
        let row = role::of(stage.name.as_str()).unwrap_or_else(|| panic!("no role for {}", stage.name));
        assert_eq!(row.key, work.gate.key(), "{}", stage.name);
        met += 1;
    }
    assert_eq!(met, role::TABLE.len(), "a row of a stage that is not there");
}

#[test]
fn every_roles_prompt_is_filled_to_the_last_placeholder() {
    for row in role::TABLE {
        for reports in ["[]", r#"["docs/work-items/ORCH-1/12-review.md"]"#] {
            let text = serde_json::to_string(&prompt_of(row.role)).unwrap();
            let settings = format!(r#"{{"prompt": {text}, "reports": {reports}}}"#);
            let job = Job { stage: row.stage.to_owned(), ..job_with(&settings) };
            let draft = format!("---\n{}: {}\n---\nno\n", row.key.name(), row.key.word(Verdict::Fail));
            let host = agent(Some(&draft), "");
            assert_eq!(told(&run(&job, &host)), "fail", "{}", row.stage);
            let asked = &host.asked()[0].prompt;
            for name in prompt::PLACEHOLDERS {
                assert!(!asked.contains(&format!("{{{name}}}")), "{name} is left in {}", row.role);
            }
            assert!(!asked.contains(['{', '}']), "an unknown placeholder in {}", row.role);
            for word in [Verdict::Pass, Verdict::Fail] {
                let line = format!("`{}: {}`", row.key.name(), row.key.word(word));
                assert!(asked.contains(&line), "{} does not say what {line} means", row.role);
            }
            assert!(asked.contains(&format!("`{PLACE}`")), "{} does not say where the draft goes", row.role);
            assert!(asked.contains("ORCH-1 ") && asked.contains("`demo`"), "{}", row.role);
            assert_eq!(asked.contains("12-review.md"), reports != "[]", "{}", row.role);
        }
    }
}

#[test]
fn what_a_prompt_shows_as_front_matter_is_a_verdict_for_the_reader() {
    for row in role::TABLE {
        let text = serde_json::to_string(&prompt_of(row.role)).unwrap();
        let host = agent(None, "");
        run(&Job { stage: row.stage.to_owned(), ..job_with(&format!(r#"{{"prompt": {text}}}"#)) }, &host);
        let asked = &host.asked()[0].prompt;
        let shown: String =
            asked.lines().skip_while(|line| *line != "---").take(4).flat_map(|line| [line, "\n"]).collect();
        let job = Job { stage: row.stage.to_owned(), ..job_with(r#"{"prompt": "x"}"#) };
        assert_eq!(
            told(&run(&job, &agent(Some(&format!("{shown}\n# It is done\n")), ""))),
            "pass",
            "{shown}"
        );
    }
}

#[test]
fn a_prompt_is_short_enough_to_be_read_and_the_commentator_has_no_verdict_to_give() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts");
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "analyst.md",
            "architect.md",
            "commentator.md",
            "deployer.md",
            "developer.md",
            "reviewer.md",
            "tester.md"
        ]
    );
    for name in &names {
        let name = name.to_str().unwrap();
        let text = prompt_of(name.trim_end_matches(".md"));
        assert!(text.lines().count() <= 60, "{name}");
        let judges = text.contains("{verdict_key}") || text.contains("{pass_word}");
        assert_eq!(judges, name != "commentator.md", "{name}");
    }
}
