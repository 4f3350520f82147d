//! Agents: what they say last counts before how they exit, what they leave counts before what they say, and whatever is
//! doubtful is never a PASS.

use stagewright_e2e::agent::{Agent, holds};
use stagewright_e2e::{Daemon, Host, Repo, processes, sshd};

const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// A host whose test-runner is switched off, so that this agent does the stage `testing`.
fn host_of(agent: &Agent) -> Host {
    Host::bare().with("test_runner.enabled=false").with(&agent.setting())
}

/// What a run of the stage `testing` by this script comes to.
fn run_of(script: &str) -> (stagewright_e2e::Ran, Host, Agent) {
    let (repo, agent) = (Repo::passing_with(&[]), Agent::that(script));
    let host = host_of(&agent);
    let ran = host.run(&repo, "A-1");
    (ran, host, agent)
}

#[track_caller]
fn deferred(script: &str, fault: &str) {
    run_of(script).0.ended(75, "deferred", fault, "testing");
}

#[test]
fn an_agent_whose_result_says_success_has_worked_though_it_exits_with_1() {
    let (ran, ..) = run_of("draft result PASS; result success false 0.25; exit 1");
    ran.passed();
    let artifact = ran.artifact();
    assert!(
        artifact.contains("producer: llm-fallback") && artifact.contains("x-cost-usd: \"0.250000\""),
        "{artifact}"
    );
    assert!(artifact.contains("Done in testing."), "{artifact}");
}

#[test]
fn a_fail_of_an_agent_leads_back_like_any_other() {
    run_of("draft result FAIL; result success false 0.25").0.failed();
}

#[test]
fn an_agent_whose_result_is_an_error_has_not_worked_though_it_exits_with_0_and_left_a_pass() {
    deferred("draft result PASS; result error_during_execution true 0.25; exit 0", "agent-failed");
}

#[test]
fn an_agent_without_a_result_line_has_not_worked() {
    deferred("draft result PASS; exit 0", "agent-no-result");
}

#[test]
fn half_a_result_line_is_none() {
    deferred(
        r#"draft result PASS; printf '{"type":"result","subtype":"success","is_error":false,"resu'; exit 0"#,
        "agent-no-result",
    );
}

#[test]
fn a_rate_limit_is_waited_for() {
    deferred(
        "result success true 0 'API Error: 429 rate_limit_error: too many requests'; exit 1",
        "llm-rate-limited",
    );
}

#[test]
fn an_agent_that_hangs_is_ended_with_all_that_it_started_and_is_tried_again() {
    let agent =
        Agent::that("trap '' TERM; setsid sh -c 'echo $$ > \"$NOTES/pid\"; exec sleep 600' & sleep 600");
    let (repo, host) = (Repo::passing_with(&[]), host_of(&agent));
    let notes = format!("llm.variables={{ NOTES = \"{}\" }}", agent.notes().display());
    let host = host.with(&agent.writes()).with("llm.timeout_s=3").with(&notes);
    host.run(&repo, "A-1").ended(75, "deferred", "llm-timed-out", "testing");
    let pid = agent.noted("pid").expect("it had begun");
    assert!(!std::path::Path::new("/proc").join(pid.trim()).exists(), "the escapee lives");
}

#[test]
fn an_agent_that_leaves_no_draft_or_a_doubtful_one_has_no_verdict() {
    deferred("result success false 0.1 'result: PASS'", "draft-missing");
    deferred(
        "mkdir -p \"$(dirname \"$artifact\")\"; echo 'all good' > \"$artifact\"; result success false 0.1",
        "draft-malformed",
    );
    deferred("draft result PASS 'status: FAIL'; result success false 0.1", "draft-contradicting");
    deferred("draft result MAYBE; result success false 0.1", "draft-verdict-unknown");
    deferred("draft verdict PASS; result success false 0.1", "draft-without-verdict");
}

#[test]
fn a_budget_that_is_spent_holds_the_task_and_names_its_key() {
    let agent = Agent::that("draft result FAIL; result success false 0.30; echo run >> \"$NOTES/runs\"");
    let (repo, host) = (Repo::passing_with(&[]), host_of(&agent));
    let notes = format!("llm.variables={{ NOTES = \"{}\" }}", agent.notes().display());
    let host = host.with(&agent.writes()).with("llm.budget_task_usd=0.50").with(&notes);
    host.run(&repo, "A-1").failed();
    host.run_with(&repo, "A-1", &["--again"]).failed();
    let spent = host.run_with(&repo, "A-1", &["--again"]);
    spent.ended(78, "held", "llm-budget-spent", "testing");
    assert!(spent.stdout.contains("llm.budget_task_usd"), "{spent:#?}");
    assert_eq!(agent.noted("runs").unwrap().lines().count(), 2, "the third was not asked");
    let told = host.call(["llm-map", "--format", "json"]).json();
    let tester = told["spent"].as_array().unwrap().iter().find(|role| role["role"] == "tester").unwrap();
    assert_eq!((&tester["calls"], &tester["micro_usd"]), (&2.into(), &600_000.into()), "{tester}");
}

#[test]
fn a_credential_reaches_the_agent_and_is_in_nothing_that_is_kept() {
    let secret = "sk-very-secret-0123456789";
    let agent = Agent::that(
        "echo \"key $API_KEY\" >&2; printf '{\"type\":\"assistant\",\"text\":\"%s\"}\\n' \"$API_KEY\"; \
         [ \"$API_KEY\" = sk-very-secret-0123456789 ] && draft result PASS; result success false 0.1 \"with $API_KEY\"",
    );
    let repo = Repo::passing_with(&[]);
    let host = host_of(&agent).with(&format!("llm.variables={{ API_KEY = \"{secret}\" }}"));
    let ran = host.run(&repo, "A-1");
    ran.passed();
    assert_eq!(holds(&host.state(), secret.as_bytes()), None);
    assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret));
    assert!(holds(&host.state(), b"[secret API_KEY]").is_some(), "the transcript was not kept");
}

#[test]
fn a_switched_off_test_runner_leads_to_the_agent_and_a_broken_one_never_does() {
    let agent = Agent::that("echo asked > \"$NOTES/asked\"; draft result PASS; result success false 0.1");
    let (repo, host) = (Repo::passing_with(&[]), Host::bare().with(&agent.setting()));
    let notes = format!("llm.variables={{ NOTES = \"{}\" }}", agent.notes().display());
    let host = host.with(&agent.writes()).with(&notes);
    let broken = tempfile::tempdir().unwrap();
    let file = broken.path().join("runner.wasm");
    std::fs::write(&file, "no component").unwrap();
    let component = format!("producers.test-runner.component={}", file.display());
    let pin = format!("producers.test-runner.sha256={}", "0".repeat(64));
    let ran = host.run_with(&repo, "A-1", &["--set", &component, "--set", &pin]);
    ran.ended(78, "held", "component-changed", "testing");
    assert_eq!(agent.noted("asked"), None, "a model was consulted because a tool broke");
    assert_eq!(host.call(["task", "resume", "A-1"]).exit, 0);
    host.run_with(&repo, "A-1", &["--set", "test_runner.enabled=false"]).passed();
    assert!(agent.noted("asked").is_some());
}

#[test]
fn what_a_developer_leaves_in_its_clone_becomes_a_commit_of_the_branch_and_its_edits_of_reports_do_not() {
    let agent = Agent::that(
        "case $stage in development) \
           printf 'def test_new():\\n    assert True\\n' > test_new.py; echo junk > built.log; \
           mkdir -p docs/work-items/A-1; echo forged > docs/work-items/A-1/01-analysis.md;; \
         esac; draft result PASS; result success false 0.1",
    );
    let repo = Repo::passing_with(&[(".gitignore", "*.log\n")]);
    repo.git(&["checkout", "--quiet", "-b", "elsewhere"]);
    let host = Host::new().with(&agent.setting());
    let path = repo.path();
    let added =
        ["task", "add", "A-1", "--repo", path.to_str().unwrap(), "--branch", "main", "--stage", "analysis"];
    assert_eq!(host.call(added).exit, 0);
    let daemon = Daemon::start(&host, &[]);
    for stage in ["analysis", "architecture", "development"] {
        assert_eq!(daemon.hear_end("A-1", stage)["judgement"], "pass");
    }
    assert_eq!(daemon.hear_transition("A-1", "development")["to_stage"], "review");
    // The reviewer's gate reads another key: this agent's draft is none for it.
    assert_eq!(daemon.hear_end("A-1", "review")["fault"]["code"], "draft-without-verdict");
    daemon.stop();
    let files = repo.git(&["ls-tree", "-r", "--name-only", "main"]);
    assert!(files.contains("test_new.py") && !files.contains("built.log"), "{files}");
    let analysis = repo.git(&["show", "main:docs/work-items/A-1/01-analysis.md"]);
    assert!(analysis.contains("result: PASS") && !analysis.contains("forged"), "{analysis}");
    let development = repo.git(&["show", "main:docs/work-items/A-1/10-development.md"]);
    let work = repo.git(&["log", "-1", "--format=%H", "main", "--", "test_new.py"]);
    assert!(
        development.replace('"', "").contains(&format!("commit: {work}")),
        "the verdict is about what was made: {development}"
    );
}

#[test]
fn a_comment_on_a_fail_is_a_file_of_its_own_and_changes_nothing() {
    let agent =
        Agent::that("draft result PASS; result success false 0.1 'result: PASS, it should have passed'");
    let repo = Repo::with(&[("test_bad.py", "def test_bad():\n    assert False\n")]);
    let host = Host::new().with(&agent.setting()).with("llm.comment=true");
    let ran = host.run(&repo, "A-1");
    ran.failed();
    let report = std::path::PathBuf::from(ran.json()["artifact"].as_str().unwrap());
    let comment = std::fs::read_to_string(report.with_file_name("comment.md")).unwrap();
    assert!(comment.starts_with("<!--") && comment.contains("it should have passed"), "{comment}");
    assert_eq!(host.task("A-1")["stage"], "development");
}

#[test]
fn a_report_that_is_edited_after_its_gate_is_noticed_and_its_verdict_stands() {
    // Nobody listens on staging, so that the task stays on its way.
    let target = format!("[ssh.targets.staging]\nhost = \"127.0.0.1\"\nport = {}\n", sshd::free_port());
    let (repo, host) = (Repo::passing_with(&[]), Host::new().with_file(&target));
    repo.git(&["checkout", "--quiet", "-b", "elsewhere"]);
    let path = repo.path();
    let added =
        ["task", "add", "A-1", "--repo", path.to_str().unwrap(), "--branch", "main", "--stage", "testing"];
    assert_eq!(host.call(added).exit, 0);
    let daemon = Daemon::start(&host, &["--set", "reconciler.every_s=1"]);
    assert_eq!(daemon.hear_transition("A-1", "testing")["to_stage"], "deploy-staging");
    assert_eq!(daemon.hear_end("A-1", "deploy-staging")["outcome"], "deferred");
    let mut events = daemon.request("GET", "/events").listen();
    let report = "docs/work-items/A-1/13-test-report.md";
    repo.git(&["checkout", "--quiet", "main"]);
    let text = std::fs::read_to_string(path.join(report)).unwrap();
    repo.write(report, text.replace("PASS", "FAIL"));
    repo.commit("It did not pass at all");
    let seen = events.hear_like(|event| {
        event.data["kind"] == "head-observed" && !event.data["detail"]["changed_reports"].is_null()
    });
    assert_eq!(seen.data["detail"]["changed_reports"], serde_json::json!(["testing"]));
    let task = host.task("A-1");
    assert_eq!(
        (&task["stage"], &task["verdicts"]["testing"]["judgement"]),
        (&"deploy-staging".into(), &"pass".into())
    );
    daemon.stop();
}

#[test]
fn a_branch_that_goes_on_without_the_work_of_its_own_task_is_noticed_and_the_work_is_kept() {
    let agent = Agent::that(
        "case $stage in development) echo 'def test_new(): pass' > test_new.py;; esac; draft result PASS; result success false 0.1",
    );
    // The branch is checked out, so that the host leaves it alone and keeps the work in its own copy.
    let (repo, host) = (Repo::passing_with(&[]), Host::new().with(&agent.setting()));
    let path = repo.path();
    let added = ["task", "add", "A-1", "--repo", path.to_str().unwrap(), "--stage", "development"];
    assert_eq!(host.call(added).exit, 0);
    let daemon = Daemon::start(&host, &["--set", "reconciler.every_s=1"]);
    assert_eq!(daemon.hear_transition("A-1", "development")["to_stage"], "review");
    daemon.hear_end("A-1", "review");
    assert!(!path.join("test_new.py").exists(), "a checkout was touched");
    // The user goes on without taking it.
    repo.write("other.py", "x = 1\n");
    repo.commit("Something else");
    processes::wait_for(LIMIT, "it is noticed", || host.task("A-1")["state"] == "held");
    let hold = host.task("A-1")["hold"].clone();
    assert_eq!(hold["fault"]["code"], "work-not-on-branch", "{hold:#}");
    // The user takes it by the command that is told, and the task goes on.
    let remedy = hold["fault"]["remedy"].as_str().unwrap();
    let take: Vec<&str> = remedy.split('`').nth(1).unwrap().split(' ').skip(1).collect();
    repo.git(&[&take[..], &["--no-edit"]].concat());
    assert!(path.join("test_new.py").exists(), "{remedy}");
    assert_eq!(host.call(["task", "resume", "A-1"]).exit, 0);
    daemon.hear_end("A-1", "review");
    assert_eq!(host.task("A-1")["state"], "active");
    daemon.stop();
}

#[test]
fn work_that_went_on_top_of_a_report_before_a_kill_is_there_once_and_its_task_goes_on() {
    let agent = Agent::that(
        "case $stage in \
           analysis) draft result PASS;; \
           development) echo x > \"$NOTES/begun\"; until [ -e \"$NOTES/go\" ]; do sleep 0.1; done; \
             echo 'def test_new(): pass' > test_new.py; draft result PASS;; \
         esac; result success false 0.1",
    );
    let notes = format!("llm.variables={{ NOTES = \"{}\" }}", agent.notes().display());
    let host = Host::new().with(&agent.setting()).with(&agent.writes()).with(&notes);
    let repo = Repo::passing_with(&[]);
    repo.git(&["checkout", "--quiet", "-b", "elsewhere"]);
    let path = repo.path();
    let add = |item, stage| {
        let args = ["task", "add", item, "--branch", "main", "--stage", stage, "--repo"];
        assert_eq!(host.call(args.into_iter().chain([path.to_str().unwrap()])).exit, 0);
    };
    add("A-1", "development");
    // The first act is the other task's report, the second the work that goes on top of it.
    let mut killed = host.command(Daemon::args(&[]));
    killed.env("STAGEWRIGHT_CRASH_AT", "after-act:2");
    let daemon = Daemon::begin(killed);
    processes::wait_for(LIMIT, "the developer works", || agent.noted("begun").is_some());
    add("A-2", "analysis");
    processes::wait_for(LIMIT, "a report lands", || host.task("A-2")["stage"] == "architecture");
    std::fs::write(agent.notes().join("go"), "").unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&daemon.wait()), Some(9), "it was not killed");
    let made = || repo.git(&["log", "--format=%H", "main", "--", "test_new.py"]);
    let placed = made();
    assert_eq!((host.task("A-1")["stage"].as_str(), placed.lines().count()), (Some("development"), 1));

    let daemon = Daemon::start(&host, &[]);
    assert_eq!(daemon.hear_transition("A-1", "development")["to_stage"], "review");
    daemon.stop();
    assert_eq!(made(), placed, "done twice");
}
