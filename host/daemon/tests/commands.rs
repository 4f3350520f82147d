//! `config`, `doctor`, `plugin` and `completions`, called as a user calls them.
//!
//! They need the components beside the program: `cargo xtask components` puts them there.

#![allow(clippy::unwrap_used, reason = "in a test, panicking is failing")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A user with a home folder of their own.
struct User(TempDir);

impl User {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn call(&self, args: &[&str]) -> Called {
        self.call_with(args, &[])
    }

    fn call_with(&self, args: &[&str], variables: &[(&str, &Path)]) -> Called {
        let output = Command::new(env!("CARGO_BIN_EXE_stagewright"))
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.0.path())
            .env("ORCH_SANDBOX_CACHE_DIR", compiled())
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        Called(output)
    }

    fn state(&self) -> PathBuf {
        self.0.path().join(".local/state/stagewright")
    }
}

/// One cache of compiled components for all tests, since compiling takes seconds in a debug build.
fn compiled() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("components");
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[derive(Debug)]
struct Called(Output);

impl Called {
    #[track_caller]
    fn ended(self, exit: i32) -> Self {
        assert_eq!(self.0.status.code(), Some(exit), "{self:#?}");
        self
    }

    fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.0.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The state of one of doctor's findings.
    #[track_caller]
    fn finding(&self, check: &str) -> String {
        let json = self.json();
        let found = json["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("nothing about {check}: {json:#}"))["state"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

#[test]
fn config_show_says_where_each_value_comes_from() {
    let user = User::new();
    let file = user.0.path().join(".config/stagewright/stagewright.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "[limits]\njobs = 2\n").unwrap();
    let shown = user.call(&["config", "show", "--origin", "--set", "jobs.grace_s=7"]).ended(0).out();
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert!(line("jobs = 2").ends_with("# stagewright.toml:2"), "{shown}");
    assert!(line("grace_s = 7").ends_with("# --set"), "{shown}");
    assert!(line("deferral_budget = 3").ends_with("# default"), "{shown}");
    let json = user.call(&["config", "show", "--json"]).ended(0).json();
    assert_eq!(json["keys"]["limits.jobs"]["value"], 2);
}

#[test]
fn the_state_dir_flag_stands_above_the_variable_and_below_nothing() {
    let user = User::new();
    let variable = [("ORCH_STATE_DIR", Path::new("/from/variable"))];
    let shown = |args: &[&str]| {
        let json = user.call_with(args, &variable).ended(0).json();
        json["keys"]["state.dir"].clone()
    };
    let by_variable = shown(&["config", "show", "--json"]);
    assert_eq!(
        (&by_variable["value"], &by_variable["origin"]),
        (&"/from/variable".into(), &"ORCH_STATE_DIR".into())
    );
    let by_flag = shown(&["config", "show", "--json", "--state-dir", "/from/flag"]);
    assert_eq!((&by_flag["value"], &by_flag["origin"]), (&"/from/flag".into(), &"--state-dir".into()));
}

#[test]
fn config_check_ends_with_2_and_one_message_when_something_is_wrong() {
    let user = User::new();
    user.call(&["config", "check"]).ended(0);
    let wrong = user.call(&["config", "check", "--set", "limits.job=3"]).ended(2);
    assert!(wrong.err().contains("did you mean `limits.jobs`?"), "{wrong:?}");
    assert_eq!(wrong.out(), "");
    let wrong = user.call(&["config", "check", "--json", "--set", "limits.job=3"]).ended(2);
    assert_eq!(wrong.json()["error"]["exit"], 2);
}

#[test]
fn doctor_finds_this_machine_fit_and_makes_no_state_folder() {
    let user = User::new();
    let told = user.call(&["doctor", "--json"]);
    for check in ["git", "store", "shepherd", "component test-runner", "program python3"] {
        assert_eq!(told.finding(check), "ok", "{told:#?}");
    }
    assert!(!user.state().exists(), "doctor has made {}", user.state().display());
    // What the programs that it starts keep for themselves (rustup does) is theirs.
    let ours = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains("stagewright");
    let left: Vec<_> = fs::read_dir(user.0.path()).unwrap().map(Result::unwrap).filter(ours).collect();
    assert!(left.is_empty(), "doctor has left {left:?}");
}

#[test]
fn doctor_ends_with_1_and_the_way_out_when_something_is_missing() {
    let user = User::new();
    let told = user.call(&["doctor", "--set", "git.program=/no/such/git"]).ended(1).out();
    assert!(told.contains("/no/such/git was not found") && told.contains("git.program"), "{told}");
}

#[test]
fn doctor_tells_a_python_without_pytest() {
    let user = User::new();
    let repo = tempfile::tempdir().unwrap();
    fs::write(repo.path().join("pytest.ini"), "[pytest]\n").unwrap();
    // An interpreter that is one for everything but the import of pytest.
    let python = repo.path().join("python");
    let script = "#!/bin/sh\ncase \"$*\" in *pytest*) echo 'No module named pytest' >&2; exit 1;; esac\necho Python 3\n";
    fs::write(&python, script).unwrap();
    fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let setting = format!("test_runner.python={}", python.display());
    let told =
        user.call(&["doctor", "--json", "--repo", repo.path().to_str().unwrap(), "--set", &setting]).ended(1);
    assert_eq!(told.finding("python"), "ok");
    assert_eq!(told.finding("pytest"), "defect");
}

#[test]
fn doctor_lets_the_component_judge_its_own_settings() {
    let told =
        User::new().call(&["doctor", "--json", "--set", "test_runner.settings={ pyhton = \"x\" }"]).ended(1);
    assert_eq!(told.finding("settings test-runner"), "defect");
}

#[test]
fn doctor_tells_a_store_that_is_none() {
    let user = User::new();
    fs::create_dir_all(user.state()).unwrap();
    fs::write(user.state().join("store.sqlite3"), "no database at all ".repeat(500)).unwrap();
    let told = user.call(&["doctor", "--json"]).ended(1);
    assert_eq!(told.finding("store"), "defect");
}

#[test]
fn plugin_list_tells_what_each_built_in_producer_imports_and_that_it_is_granted() {
    let user = User::new();
    let listed = user.call(&["plugin", "list", "--json"]).ended(0).json();
    let imports = ["files, llm", "process, ssh, files", "process, files, probe"];
    let names = ["llm-fallback", "staging-runner", "test-runner"];
    assert_eq!(listed["producers"].as_array().unwrap().len(), names.len(), "{listed:#}");
    for (producer, (name, imports)) in
        listed["producers"].as_array().unwrap().iter().zip(names.iter().zip(imports))
    {
        let told = |key: &str| -> Vec<String> { serde_json::from_value(producer[key].clone()).unwrap() };
        assert_eq!(
            (producer["name"].as_str().unwrap(), told("imports").join(", ").as_str()),
            (*name, imports)
        );
        assert!(told("imports").iter().all(|import| told("granted").contains(import)), "{listed:#}");
    }
    assert!(!user.state().exists());
}

#[test]
fn a_components_file_can_be_inspected_before_it_is_configured_and_the_proposal_works() {
    let user = User::new();
    let listed = user.call(&["plugin", "inspect", "test-runner", "--json"]).ended(0).json();
    let file = user.0.path().join("checker.wasm");
    fs::copy(listed["file"].as_str().unwrap(), &file).unwrap();
    let told = user.call(&["plugin", "inspect", file.to_str().unwrap()]).ended(0).out();

    // What it proposes is a configuration under which the file is a producer.
    let proposed: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let config = user.0.path().join("proposed.toml");
    fs::write(&config, proposed.join("\n")).unwrap();
    let config = config.to_str().unwrap();
    let found = user.call(&["plugin", "inspect", "checker", "--json", "--config", config]).ended(0).json();
    assert_eq!(found["built_in"], false);
    assert_eq!(found["sha256"], listed["sha256"]);

    // And the pin holds.
    fs::write(&file, [fs::read(&file).unwrap(), b"more".to_vec()].concat()).unwrap();
    let changed = user.call(&["plugin", "inspect", "checker", "--config", config]).ended(2);
    assert!(changed.err().contains("has changed"), "{changed:?}");
}

#[test]
fn a_producer_without_its_grant_is_told_the_key_that_would_allow_it() {
    let user = User::new();
    let built_in = user.call(&["plugin", "inspect", "test-runner", "--json"]).ended(0).json();
    let config = user.0.path().join("c.toml");
    let text =
        format!("[producers.checker]\ncomponent = {}\nsha256 = {}\n", built_in["file"], built_in["sha256"]);
    fs::write(&config, text).unwrap();
    let refused = user.call(&["plugin", "inspect", "checker", "--config", config.to_str().unwrap()]).ended(2);
    assert!(refused.err().contains("producers.checker.grants."), "{refused:?}");
}

#[test]
fn what_is_no_producer_and_no_component_is_told_as_such() {
    let user = User::new();
    let unknown = user.call(&["plugin", "inspect", "test-runer"]).ended(2);
    assert!(unknown.err().contains("test-runner"), "{unknown:?}");
    let file = user.0.path().join("text.wasm");
    fs::write(&file, "this is text").unwrap();
    let refused = user.call(&["plugin", "inspect", file.to_str().unwrap()]).ended(2);
    assert!(refused.err().contains("text.wasm"), "{refused:?}");
    user.call(&["plugin", "inspect", "/no/such/file.wasm"]).ended(2);
}

#[test]
fn completions_are_those_of_every_command() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = user.call(&["completions", shell]).ended(0).out();
        assert!(script.contains("work-item") && script.contains("doctor"), "{shell}");
    }
    user.call(&["completions", "tcsh"]).ended(2);
}
