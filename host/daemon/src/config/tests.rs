use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::*;

fn overrides(settings: &[&str]) -> Vec<Override> {
    let split = settings.iter().map(|setting| setting.split_once('=').unwrap());
    split
        .map(|(key, value)| Override { flag: "--set".into(), key: key.into(), value: value.into() })
        .collect()
}

/// A configuration from a file's text and flags.
fn load(toml: &str, settings: &[&str]) -> Result<Config, Error> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stagewright.toml");
    fs::write(&file, toml).unwrap();
    Config::load(&Sources { file: Some(file), overrides: overrides(settings), ..Sources::default() })
}

fn repo(name: &str) -> RepoName {
    RepoName::new(name).unwrap()
}

fn test_runner() -> ProducerName {
    ProducerName::new(TEST_RUNNER).unwrap()
}

#[test]
fn without_any_source_the_defaults_hold() {
    let config = Config::load(&Sources::default()).unwrap();
    assert!(config.test_runner.enabled && config.transition_lease.enabled);
    assert_eq!(config.file, None);
    assert!(config.shown().iter().all(|shown| shown.origin == Place::Default));
}

#[test]
fn a_variable_stands_above_the_file_and_a_flag_above_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stagewright.toml");
    fs::write(&file, "[limits]\njobs = 1\n[jobs]\ndeferral_budget = 1\ngrace_s = 1\n").unwrap();
    let variables = [("ORCH_JOBS_DEFERRAL_BUDGET", "2"), ("ORCH_JOBS_GRACE_S", "2")];
    let config = Config::load(&Sources {
        file: Some(file.clone()),
        variables: variables.map(|(name, value)| (name.into(), value.into())).to_vec(),
        overrides: overrides(&["jobs.grace_s=3"]),
        ..Sources::default()
    })
    .unwrap();
    assert_eq!((config.limits.jobs, config.jobs.deferral_budget, config.jobs.grace_s), (1, 2, Seconds(3)));
    let origin = |section: &str, key| {
        let found =
            config.shown().iter().find(|shown| shown.section.to_string() == section && shown.key == key);
        found.unwrap().origin.clone()
    };
    assert_eq!(origin("limits", "jobs"), Place::Position { file, line: 2, column: 1 });
    assert_eq!(origin("jobs", "deferral_budget"), Place::Variable("ORCH_JOBS_DEFERRAL_BUDGET".into()));
    assert_eq!(origin("jobs", "grace_s"), Place::Flag("--set".into()));
}

#[test]
fn the_file_is_that_of_the_flag_else_of_the_variable_else_the_users() {
    let folder = tempfile::tempdir().unwrap();
    let user = folder.path().join("config/stagewright/stagewright.toml");
    fs::create_dir_all(user.parent().unwrap()).unwrap();
    for (file, jobs) in [("flag.toml", 1), ("variable.toml", 2), ("config/stagewright/stagewright.toml", 3)] {
        fs::write(folder.path().join(file), format!("[limits]\njobs = {jobs}\n")).unwrap();
    }
    let mut sources = Sources {
        file: Some("flag.toml".into()),
        variables: vec![
            ("ORCH_CONFIG".into(), "variable.toml".into()),
            ("XDG_CONFIG_HOME".into(), folder.path().join("config").into()),
        ],
        current_dir: folder.path().to_owned(),
        ..Sources::default()
    };
    assert_eq!(Config::load(&sources).unwrap().limits.jobs, 1);
    sources.file = None;
    assert_eq!(Config::load(&sources).unwrap().limits.jobs, 2);
    sources.variables.remove(0);
    let config = Config::load(&sources).unwrap();
    assert_eq!((config.limits.jobs, config.file), (3, Some(user)));
}

#[test]
fn a_named_file_that_is_missing_is_an_error_and_the_users_own_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let home = vec![("HOME".into(), folder.path().into())];
    assert!(Config::load(&Sources { variables: home.clone(), ..Sources::default() }).is_ok());
    let missing = folder.path().join("no.toml");
    let error = Config::load(&Sources { file: Some(missing.clone()), variables: home, ..Sources::default() });
    assert!(error.unwrap_err().to_string().contains(missing.to_str().unwrap()));
}

#[test]
fn a_file_in_the_current_folder_is_not_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("stagewright.toml"), "[test_runner]\nenabled = false\n").unwrap();
    let config =
        Config::load(&Sources { current_dir: folder.path().to_owned(), ..Sources::default() }).unwrap();
    assert!(config.test_runner.enabled);
}

#[test]
fn a_file_that_is_a_folder_or_no_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let load = |file: &Path| Config::load(&Sources { file: Some(file.to_owned()), ..Sources::default() });
    assert!(load(folder.path()).unwrap_err().to_string().contains("it is not a file"));
    let file = folder.path().join("latin1.toml");
    fs::write(&file, b"[limits]\n# caf\xe9\n").unwrap();
    assert!(load(&file).unwrap_err().to_string().contains("latin1.toml:2:1"));
}

#[test]
fn a_variable_that_is_not_ours_is_not_looked_at() {
    let variables = vec![("ORCHESTRA".into(), "1".into()), ("PATH".into(), "/bin".into())];
    assert!(Config::load(&Sources { variables, ..Sources::default() }).is_ok());
}

#[test]
fn what_the_command_line_parser_took_from_a_variable_is_still_the_variables() {
    let config = Config::load(&Sources {
        variables: vec![("ORCH_STATE_DIR".into(), "/state".into())],
        overrides: vec![Override {
            flag: "--state-dir".into(),
            key: "state.dir".into(),
            value: "/state".into(),
        }],
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(config.shown()[0].origin, Place::Variable("ORCH_STATE_DIR".into()));
}

#[test]
fn a_relative_path_of_the_file_starts_at_the_files_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stagewright.toml");
    fs::write(&file, "[state]\ndir = \"state\"\n[git]\nprogram = \"git\"\n").unwrap();
    let sources = Sources {
        file: Some(file),
        overrides: overrides(&["pipeline.file=own.toml"]),
        current_dir: "/current".into(),
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.state.dir, Some(folder.path().join("state")));
    assert_eq!(config.pipeline.file, Some("/current/own.toml".into()));
    assert!(config.git.program.is_name(), "a bare name is looked up on the path");
}

#[test]
fn every_declared_key_is_read_and_has_a_variable_of_its_own() {
    let sections = sections::all();
    let named = "[repos.shop]\n[effects.merge]\ndoes = \"merge\"\n[ssh.targets.staging]\nhost = \"s\"\n[llm.roles.tester]\n";
    let config = load(named, &[]).unwrap();
    let read: BTreeSet<String> =
        config.shown().iter().map(|shown| shown.section.then(shown.key).to_string()).collect();
    let mut variables = BTreeSet::new();
    for section in &sections {
        let name = match section.path.split('.').next() {
            Some("repos") => "shop",
            Some("effects") => "merge",
            Some("ssh") => "staging",
            Some("llm") => "tester",
            _ => TEST_RUNNER,
        };
        for key in &section.keys {
            let path = declare::KeyPath::of(section.path, Some(name)).then(key.name);
            assert!(read.contains(&path.to_string()), "{path} is declared and not read");
            assert!(variables.insert(path.variable()), "{} is the variable of two keys", path.variable());
            assert!(!key.meaning.is_empty(), "{path} is not explained");
        }
    }
    // The sections of producers are there for each that is built in.
    let others = [STAGING_RUNNER, LLM_FALLBACK].map(|name| format!("producers.{name}."));
    let once = read.iter().filter(|path| !others.iter().any(|other| path.starts_with(other)));
    assert_eq!(once.count(), variables.len());
}

#[test]
fn the_shown_configuration_reads_back_as_the_same() {
    let text = "[test_runner]\nargs = [\"a,b\"]\nsmoke = [{ endpoint = \"s\", path = \"/\" }]\n\
                [producers.test-runner.grants.probe]\nendpoints = { s = \"http://127.0.0.1:1\" }\n[repos.\"a.b\"]\n";
    let first = load(text, &[]).unwrap();
    let again = load(&first.to_toml(Style::default()), &[]).unwrap();
    assert_eq!(
        (&first.suite, &first.repos, &first.producers),
        (&again.suite, &again.repos, &again.producers)
    );
}

#[test]
fn a_secret_is_in_nothing_that_is_shown() {
    let secret = "producers.test-runner.grants.process.variables={ PASSWORD = \"hunter2\" }";
    let config = load("", &[secret]).unwrap();
    let shown = format!("{config:?} {} {}", config.to_toml(Style { origin: true }), config.to_json());
    assert!(shown.contains("PASSWORD") && !shown.contains("hunter2"), "{shown}");
    assert_eq!(config.producers[&test_runner()].process.variables.reveal()["PASSWORD"], "hunter2");
}

#[test]
fn a_list_of_repositories_covers_all_or_those_named_or_those_that_host_themselves() {
    let config = load("[repos.own]\nself_hosting = true\n[repos.other]\n", &[]).unwrap();
    let covered = |scope: &[&str], name: &str| {
        let scope: Vec<String> = scope.iter().map(|&name| name.to_owned()).collect();
        config.covers(&scope, &repo(name))
    };
    assert!(covered(&["*"], "anything"));
    assert!(covered(&["other"], "other") && !covered(&["other"], "own"));
    assert!(covered(&[], "own") && !covered(&[], "other") && !covered(&[], "unnamed"));
}

#[test]
fn a_repository_is_recognised_by_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
    let config = load(&format!("[repos.shop]\npath = \"{}\"\n", folder.path().display()), &[]).unwrap();
    assert_eq!(config.repo_at(&folder.path().join("link/.")), Some(&repo("shop")));
    assert_eq!(config.repo_at(folder.path().parent().unwrap()), None);
}

#[test]
fn the_kill_switch_and_the_scope_of_the_lease_hold() {
    assert!(Config::load(&Sources::default()).unwrap().lease_holds(&repo("any")));
    assert!(!load("", &["transition_lease.enabled=false"]).unwrap().lease_holds(&repo("any")));
    let scoped = load("", &["transition_lease.repos=one"]).unwrap();
    assert!(scoped.lease_holds(&repo("one")) && !scoped.lease_holds(&repo("two")));
}

#[test]
fn a_repositorys_own_settings_stand_above_the_general_ones() {
    let text = "[test_runner]\nframework = \"pytest\"\nargs = [\"-x\"]\ntimeout_s = 60\n\
                [test_runner.settings]\nnew = 1\n[test_runner.setup]\nprogram = \"make\"\nargs = [\"deps\"]\n\
                [repos.go.test_runner]\nframework = \"go-test\"\ntimeout_s = 90\n\
                [repos.go.test_runner.setup]\nprogram = \"go\"\n";
    let config = load(text, &[]).unwrap();
    let settings = |name| Value::Object(config.settings(&test_runner(), &repo(name)));
    assert_eq!(
        settings("any"),
        json!({
            "new": 1, "framework": "pytest", "args": ["-x"], "timeout_s": 60,
            "setup": {"program": "make", "args": ["deps"], "timeout_s": 600},
        })
    );
    assert_eq!(
        settings("go"),
        json!({
            "new": 1, "framework": "go-test", "args": ["-x"], "timeout_s": 90,
            "setup": {"program": "go", "timeout_s": 600},
        })
    );
}

#[test]
fn the_test_runner_may_start_what_its_settings_name_and_other_producers_what_is_granted() {
    let text = "[test_runner]\nprogram = \"/opt/suite\"\n[producers.linter]\ncomponent = \"l.wasm\"\n\
                sha256 = \"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\"\n";
    let config = load(text, &[]).unwrap();
    let programs = config.programs(&test_runner(), &repo("any")).unwrap();
    assert!(programs.contains_key("/opt/suite") && programs.contains_key("python3"));
    let linter = ProducerName::new("linter").unwrap();
    assert_eq!(config.programs(&linter, &repo("any")), None);
    assert!(!config.files_granted(&linter) && config.files_granted(&test_runner()));
    assert_eq!(config.endpoints(&linter), None);
    assert_eq!(config.endpoints(&test_runner()), Some(BTreeMap::new()));
}

#[test]
fn a_run_is_given_the_time_of_its_setup_step_its_suite_and_a_margin() {
    let config = load("[repos.slow.test_runner]\ntimeout_s = 7200\n", &["sandbox.margin_s=100"]).unwrap();
    assert_eq!(config.run_limit(&test_runner(), &repo("any")), Span::from_secs(1_900));
    assert_eq!(config.run_limit(&test_runner(), &repo("slow")), Span::from_secs(7_300));
    let config = load("", &["test_runner.setup.program=make"]).unwrap();
    assert_eq!(config.run_limit(&test_runner(), &repo("any")), Span::from_secs(600 + 1_800 + 300));
}

#[test]
fn the_maximum_age_follows_the_time_outs_and_is_refused_when_it_hits_live_jobs() {
    for timeout in [60, 100_000] {
        let config = load("", &[&format!("test_runner.timeout_s={timeout}")]).unwrap();
        assert!(config.max_age() > config.least_age());
    }
    let least = Config::load(&Sources::default()).unwrap().least_age().as_millis() / 1_000;
    assert!(load("", &[&format!("jobs.max_age_s={}", least + 1)]).is_ok());
    let error = load("", &[&format!("jobs.max_age_s={least}")]).unwrap_err();
    assert!(error.to_string().contains("max_age_s"), "{error}");
}

#[test]
fn retries_are_the_test_runners_own_else_those_of_all_jobs() {
    let config = load("", &["jobs.deferral_budget=5", "test_runner.infra_retry_backoff_s=7"]).unwrap();
    let own = config.deferrals_of(&test_runner());
    assert_eq!((own.max, own.first), (5, Span::from_secs(7)));
    let other = config.deferrals_of(&ProducerName::new("other").unwrap());
    assert_eq!((other.max, other.first, other.longest), (5, Span::from_secs(30), Span::from_secs(600)));
    assert_eq!(config.deferrals(), other);
}
