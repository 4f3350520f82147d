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

#[test]
fn the_embedded_pipeline_is_a_good_one() {
    let pipeline = Pipeline::embedded().unwrap();
    let names: Vec<_> = pipeline.stages().iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(
        names,
        ["analysis", "architecture", "development", "review", "testing", "deploy-staging", "deploy", "done"]
    );
}

#[test]
fn the_names_that_others_rely_on_are_in_the_embedded_pipeline() {
    let pipeline = Pipeline::embedded().unwrap();
    let work = |name: &str| pipeline.stage(&StageName::new(name).unwrap()).unwrap().work.clone().unwrap();
    assert_eq!(
        (work("testing").gate.name(), work("testing").artifact.as_str()),
        ("check_tests_passed", "13-test-report.md")
    );
    assert_eq!(
        (work("deploy-staging").gate.name(), work("deploy-staging").artifact.as_str()),
        ("check_staging_status", "15-staging-log.md")
    );
}

#[test]
fn review_testing_and_staging_lead_back_to_development_and_creative_stages_to_themselves() {
    let pipeline = Pipeline::embedded().unwrap();
    let back: Vec<_> = pipeline
        .stages()
        .iter()
        .filter(|stage| stage.fail_goes_back())
        .map(|stage| stage.name.as_str())
        .collect();
    assert_eq!(back, ["review", "testing", "deploy-staging"]);
}

#[test]
fn an_unknown_target_is_told_with_its_place_and_the_near_one() {
    let text = TWO.replace("on_pass = \"done\"", "on_pass = \"dome\"");
    assert_eq!(problem(&text), "p.toml:7:11: there is no stage `dome`; did you mean `done`?");
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
fn a_cycle_without_a_budget_is_an_error() {
    assert!(problem(&format!("attempts = 0\n{TWO}")).contains("`attempts` is 0"));
    let text = TWO
        .replace("on_pass = \"done\"", "on_pass = \"testing\"")
        .replace("on_fail = \"testing\"", "on_fail = \"done\"");
    assert!(problem(&text).contains("leads to itself"));
}

#[test]
fn an_unknown_key_and_an_unknown_gate_are_errors_with_their_place() {
    assert!(problem(&TWO.replace("gate =", "gait =")).starts_with("p.toml:5:1: unknown field `gait`"));
    assert!(
        problem(&TWO.replace("check_tests_passed", "check_nothing"))
            .contains("there is no gate `check_nothing`")
    );
}

#[test]
fn an_artifact_can_not_leave_its_folder() {
    for name in ["../x.md", "a/b.md", ".md", "-x.md", "x.txt", ""] {
        assert!(problem(&TWO.replace("13-test-report.md", name)).contains("is no artifact's name"), "{name}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = TWO
        .replace("\"done\"\non_fail", "\"nowhere\"\non_fail")
        .replace("check_tests_passed", "check_nothing");
    assert_eq!(Pipeline::parse("p.toml", &text).unwrap_err().problems.len(), 2);
}

#[test]
fn a_mistyped_stage_has_a_near_one() {
    let pipeline = Pipeline::embedded().unwrap();
    assert_eq!(pipeline.nearest("tesing").map(StageName::as_str), Some("testing"));
    assert_eq!(pipeline.nearest("xyz"), None);
}
