use proptest::prelude::*;

use super::*;

const TWO: &str = r#"
[[stage]]
name = "testing"
producer = "test-runner"
gate = "check_tests_passed"
artifact = "13-test-report.md"
on_pass = "done"
on_fail = "testing"

[[stage]]
name = "done"
"#;

fn problem(text: &str) -> String {
    let error = Pipeline::parse("p.toml", text).unwrap_err();
    assert_eq!(error.problems.len(), 1, "{error}");
    error.to_string()
}

fn name(text: &str) -> StageName {
    StageName::new(text).unwrap()
}

/// A pipeline of these stages, each given as name, PASS and FAIL; one without both is an end.
fn of(stages: &[(&str, Option<(&str, &str)>)]) -> String {
    let mut text = String::new();
    for (index, (name, targets)) in stages.iter().enumerate() {
        text.push_str(&format!("[[stage]]\nname = \"{name}\"\n"));
        if let Some((on_pass, on_fail)) = targets {
            text.push_str(&format!(
                "producer = \"p\"\ngate = \"check_tests_passed\"\nartifact = \"{index}.md\"\n\
                 on_pass = \"{on_pass}\"\non_fail = \"{on_fail}\"\n"
            ));
        }
    }
    text
}

#[test]
fn the_embedded_pipeline_is_a_good_one() {
    let pipeline = Pipeline::embedded().unwrap();
    let names: Vec<_> = pipeline.stages().iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(
        names,
        ["analysis", "architecture", "development", "review", "testing", "deploy-staging", "deploy", "done"]
    );
    assert_eq!(pipeline.attempts(), 3);
    assert!(pipeline.stage(&name("done")).unwrap().is_end());
}

#[test]
fn the_names_that_others_rely_on_are_in_the_embedded_pipeline() {
    let pipeline = Pipeline::embedded().unwrap();
    for (stage, gate, artifact) in [
        ("testing", "check_tests_passed", "13-test-report.md"),
        ("deploy-staging", "check_staging_status", "15-staging-log.md"),
    ] {
        let work = pipeline.work(&name(stage)).unwrap();
        assert_eq!((work.gate.name(), work.artifact.as_str()), (gate, artifact));
    }
}

#[test]
fn review_testing_and_staging_lead_back_to_development_and_the_others_to_themselves() {
    let pipeline = Pipeline::embedded().unwrap();
    for stage in pipeline.stages() {
        let Some(work) = &stage.work else { continue };
        let expected = match stage.name.as_str() {
            "review" | "testing" | "deploy-staging" => OnFail::BackTo(name("development")),
            _ => OnFail::Repeat { attempts: 3 },
        };
        assert_eq!(work.on_fail, expected, "{}", stage.name);
        assert_eq!(stage.judges_code(), expected == OnFail::BackTo(name("development")));
    }
}

#[test]
fn every_key_is_in_the_reference_page() {
    let page = include_str!("../../../../docs/pipeline.md");
    for key in read::KEYS.into_iter().chain(read::STAGE_KEYS) {
        assert!(page.contains(&format!("`{key}`")), "docs/pipeline.md says nothing of `{key}`");
    }
    for gate in Gate::ALL {
        assert!(page.contains(gate.name()), "docs/pipeline.md says nothing of `{gate}`");
    }
}

#[test]
fn an_unknown_target_is_told_with_its_place_and_the_near_one() {
    let text = TWO.replace("on_pass = \"done\"", "on_pass = \"dome\"");
    assert_eq!(problem(&text), "p.toml:7:11: there is no stage `dome`; did you mean `done`?");
}

#[test]
fn an_unknown_key_and_an_unknown_gate_are_told_with_their_place_and_the_near_one() {
    assert_eq!(
        problem(&TWO.replace("gate =", "gatte =")),
        "p.toml:5:1: there is no key `gatte`; did you mean `gate`?"
    );
    assert!(
        problem(&TWO.replace("check_tests_passed", "check_test_passed")).starts_with(
            "p.toml:5:8: there is no gate `check_test_passed`; did you mean `check_tests_passed`?"
        )
    );
    assert!(
        problem(&TWO.replace("check_tests_passed", "is_good"))
            .contains("there are: check_analysis_complete, ")
    );
    assert_eq!(
        problem(&format!("attemps = 2\n{TWO}")),
        "p.toml:1:1: there is no key `attemps`; did you mean `attempts`?"
    );
}

#[test]
fn a_stage_that_nothing_leads_to_is_an_error() {
    let text = format!("{TWO}\n[[stage]]\nname = \"island\"\n");
    assert_eq!(problem(&text), "p.toml:14:8: the stage `island` can't be reached from `testing`");
}

#[test]
fn a_missing_gate_is_an_error() {
    let text = TWO.replace("gate = \"check_tests_passed\"\n", "");
    assert_eq!(problem(&text), "p.toml:3:8: the stage `testing` has a producer but no `gate`");
}

#[test]
fn a_stage_without_a_producer_can_have_nothing_else() {
    let text = format!("{TWO}gate = \"check_tests_passed\"\n");
    assert_eq!(problem(&text), "p.toml:12:8: the stage `done` has `gate` but no `producer`");
}

#[test]
fn a_cycle_without_a_budget_is_an_error() {
    for none in ["0", "-1", "1_000_000", "\"3\"", "3.5"] {
        assert!(
            problem(&format!("attempts = {none}\n{TWO}")).starts_with("p.toml:1:12: `attempts`"),
            "{none}"
        );
    }
    let in_a_ring = of(&[("a", Some(("b", "a"))), ("b", Some(("a", "b"))), ("c", None)]);
    assert!(problem(&in_a_ring).contains("PASS of `b` leads to `a`, which does not come after it"));
    let to_itself = of(&[("a", Some(("a", "a"))), ("b", None)]);
    assert!(problem(&to_itself).contains("PASS of `a` leads to `a`"));
}

#[test]
fn a_fail_can_not_lead_on() {
    let text = of(&[("a", Some(("b", "b"))), ("b", None)]);
    assert!(problem(&text).contains("FAIL of `a` leads on to `b`"));
}

#[test]
fn a_fail_can_not_lead_to_where_passes_get_round_the_stage() {
    let text = of(&[
        ("build", Some(("test", "build"))),
        ("triage", Some(("done", "triage"))),
        ("test", Some(("done", "triage"))),
        ("done", None),
    ]);
    assert!(problem(&text).contains("PASSes lead past `test`"));
}

#[test]
fn attempts_of_its_own_are_for_a_stage_that_repeats_itself() {
    let text = TWO.replace("on_fail = \"testing\"", "on_fail = \"testing\"\nattempts = 7");
    let pipeline = Pipeline::parse("p.toml", &text).unwrap();
    assert_eq!(pipeline.work(&name("testing")).unwrap().on_fail, OnFail::Repeat { attempts: 7 });

    let back = of(&[("a", Some(("b", "a"))), ("b", Some(("c", "a"))), ("c", None)]);
    let back = back.replace("on_pass = \"c\"", "attempts = 7\non_pass = \"c\"");
    assert!(problem(&back).contains("above the first stage"));
}

#[test]
fn an_artifact_can_not_leave_its_folder() {
    for name in ["../x.md", "a/b.md", ".md", "-x.md", "x.txt", ""] {
        assert!(problem(&TWO.replace("13-test-report.md", name)).contains("is no artifact's name"), "{name}");
    }
}

#[test]
fn values_of_the_wrong_type_are_told() {
    assert!(problem(&TWO.replace("\"test-runner\"", "7")).ends_with("write a text in quotes"));
    assert!(problem(&format!("{TWO}producer = true\n")).ends_with("write a text in quotes"));
    assert!(problem(&TWO.replace("on_pass", "evidence = \"no\"\non_pass")).ends_with("write true or false"));
    assert!(
        problem(&TWO.replace("on_pass", "effects = \"merge\"\non_pass")).ends_with("write a list of texts")
    );
    assert!(problem("stage = 3\n").contains("[[stage]]"));
}

#[test]
fn only_a_stage_that_repeats_itself_leaves_work() {
    let pipeline = Pipeline::embedded().unwrap();
    let takes: Vec<&str> = pipeline
        .stages()
        .iter()
        .filter(|stage| stage.work.as_ref().is_some_and(|work| work.takes_work))
        .map(|stage| stage.name.as_str())
        .collect();
    assert_eq!(takes, ["development"]);
    let judge = DEFAULT.replace("gate = \"check_review", "takes_work = true\ngate = \"check_review");
    assert!(problem(&judge).contains("only a stage that repeats itself has `takes_work`"));
}

#[test]
fn what_is_not_toml_and_what_is_empty_are_errors() {
    assert!(problem("[[stage\n").starts_with("p.toml:1:"));
    assert!(problem("").contains("has no work"));
    assert!(problem("[[stage]]\nname = \"done\"\n").contains("has no work"));
    assert!(problem("[[stage]]\n").contains("no `name`"));
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_in_the_order_of_the_text() {
    let text = TWO
        .replace("name = \"done\"", "name = \"Done\"")
        .replace("check_tests_passed", "check_nothing")
        .replace("artifact =", "artefact =");
    let error = Pipeline::parse("p.toml", &text).unwrap_err();
    let lines: Vec<_> = error.problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(lines, ["p.toml:5:8", "p.toml:6:1", "p.toml:7:11", "p.toml:11:8"], "{error}");
}

#[test]
fn a_mistyped_stage_has_a_near_one() {
    let pipeline = Pipeline::embedded().unwrap();
    assert_eq!(pipeline.nearest("tesing").map(StageName::as_str), Some("testing"));
    assert_eq!(pipeline.nearest("xyz"), None);
}

proptest! {
    /// Whatever stages lead where: a pipeline that is taken comes to its end by PASSes alone, visits the
    /// failed stage again after every FAIL, and has no stage that nothing leads to.
    #[test]
    fn a_pipeline_that_is_taken_ends_and_can_not_be_got_round(
        // How far PASS leads on and FAIL back, for each stage but the last, which is an end.
        steps in prop::collection::vec(
            (prop_oneof![9 => 1_usize..3, 1 => Just(0)], prop_oneof![9 => 1_usize..4, 1 => Just(0)]),
            1..5,
        ),
    ) {
        let names = ["a", "b", "c", "d", "e", "f"];
        let last = steps.len();
        let mut stages: Vec<_> = steps
            .iter()
            .enumerate()
            .map(|(at, (on, back))| {
                let (pass, fail) = ((at + on).min(last), (at + 1).saturating_sub(*back));
                (names[at], Some((names[pass], names[fail])))
            })
            .collect();
        stages.push((names[last], None));
        let parsed = Pipeline::parse("p.toml", &of(&stages));
        prop_assume!(parsed.is_ok());
        let pipeline = parsed.unwrap();
        let passes = |from: &StageName| {
            let next = |name: &StageName| pipeline.work(name).map(|work| work.on_pass.clone());
            std::iter::successors(Some(from.clone()), next).take(10).collect::<Vec<_>>()
        };
        let mut entered = vec![pipeline.stages()[0].name.clone()];
        for stage in pipeline.stages() {
            let row = passes(&stage.name);
            prop_assert!(pipeline.stage(row.last().unwrap()).unwrap().is_end());
            if let Some(work) = &stage.work {
                entered.push(work.on_pass.clone());
                if let OnFail::BackTo(to) = &work.on_fail {
                    prop_assert!(passes(to).contains(&stage.name));
                    entered.push(to.clone());
                }
            }
        }
        for stage in pipeline.stages() {
            prop_assert!(entered.contains(&stage.name));
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>(), cut in 0_usize..2_000) {
        let _ = Pipeline::parse("p.toml", &text);
        let _ = Pipeline::parse("p.toml", &DEFAULT.chars().take(cut).collect::<String>());
        let _ = Pipeline::parse("p.toml", &DEFAULT.replace("testing", &text));
    }
}
