//! A run with a role in it, a purse that remembers, and the result lines of agents.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stagewright_capability::llm::{
    Agent, Answered, Call, Grant, Later, Llm, Output, Purse, Request, Role, Secret, Server, Way,
};
use stagewright_capability::process::Program;
use stagewright_capability::{Failure, process};

use crate::run::{LONG, Run, shepherd};

/// What the scripted agents hold as their credential.
pub(crate) const KEY: &str = "sk-test/0123456789\"abcdef";

/// Remembers what it was told, and says what it was given.
#[derive(Default)]
pub(crate) struct TestPurse {
    pub(crate) calls: Mutex<Vec<Call>>,
    pub(crate) left: Option<u64>,
    pub(crate) refusal: Option<Failure>,
    pub(crate) told: tokio::sync::Notify,
}

impl Purse for TestPurse {
    fn left(&self) -> Later<'_, Result<Option<u64>, Failure>> {
        Box::pin(async { self.refusal.clone().map_or(Ok(self.left), Err) })
    }

    fn spent<'a>(&'a self, call: &'a Call) -> Later<'a, ()> {
        Box::pin(async {
            self.calls.lock().unwrap().push(call.clone());
            self.told.notify_one();
        })
    }
}

/// A run, what it is granted, and who pays.
pub(crate) struct Setting {
    pub(crate) run: Run,
    pub(crate) grant: Grant,
    pub(crate) purse: Arc<TestPurse>,
}

impl Setting {
    /// The role `tester` is played by this Python program.
    pub(crate) fn agent(script: &str) -> Self {
        Self::with(|run| Way::Agent(Box::new(agent(run, script))))
    }

    /// The role `tester` is played by the server at this address.
    pub(crate) fn server(url: &str) -> Self {
        let server = Server {
            url: url.into(),
            model: "m1".into(),
            key: Some(Secret::new(KEY)),
            prices: None,
            max_bytes: 10_000,
        };
        Self::with(|_| Way::Server(server))
    }

    fn with(way: impl FnOnce(&Run) -> Way) -> Self {
        let run = Run::new();
        let role = Role { way: way(&run), max_time: LONG };
        let grant = Grant { roles: BTreeMap::from([("tester".to_owned(), role)]), ..Grant::default() };
        Self { run, grant, purse: Arc::default() }
    }

    pub(crate) fn role(&mut self) -> &mut Role {
        self.grant.roles.get_mut("tester").unwrap()
    }

    pub(crate) fn change_agent(&mut self, change: impl FnOnce(&mut Agent)) {
        match &mut self.role().way {
            Way::Agent(agent) => change(agent),
            Way::Server(_) => panic!("it is a server"),
        }
    }

    pub(crate) fn llm(&self) -> Llm {
        let (run, purse) = (&self.run, Arc::clone(&self.purse));
        Llm::new(self.grant.clone(), run.place.clone(), &shepherd(), run.cancel.clone(), purse).unwrap()
    }

    pub(crate) async fn ask(&self) -> Answered {
        self.llm().ask(request()).await
    }

    /// The text of a kept file.
    pub(crate) fn kept(&self, name: &str) -> String {
        std::fs::read_to_string(self.run.place.logs.join("attachments").join(name)).unwrap()
    }

    pub(crate) fn told(&self) -> Vec<Call> {
        self.purse.calls.lock().unwrap().clone()
    }
}

/// An agent in a program that is in no folder of the run's.
fn agent(run: &Run, script: &str) -> Agent {
    let folder = run.folder.path().join("agent");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("claude");
    let python = run.grant.programs["python3"].path.display();
    std::fs::write(&path, format!("#!{python}\nimport json, os, signal, subprocess, sys, time\n{script}\n"))
        .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut programs = run.grant.programs.clone();
    programs.insert("claude".into(), Program::new(path));
    Agent {
        process: process::Grant { programs, ..process::Grant::default() },
        program: "claude".into(),
        args: stagewright_capability::llm::claude_args(),
        model: Some("m1".into()),
        credentials: BTreeMap::from([("MODEL_KEY".to_owned(), Secret::new(KEY))]),
        output: Output::ResultLine,
    }
}

pub(crate) fn request() -> Request {
    Request { role: "tester".into(), prompt: "look at it".into(), timeout: None }
}

pub(crate) fn within(timeout: Duration) -> Request {
    Request { timeout: Some(timeout), ..request() }
}

/// Python that prints a result line.
pub(crate) fn result(fields: &str) -> String {
    let usage = "'usage': {'input_tokens': 3, 'output_tokens': 4}, 'total_cost_usd': 0.29";
    format!("print(json.dumps({{'type': 'result', 'result': 'done', {usage}, {fields}}}), flush=True)")
}

pub(crate) fn success() -> String {
    result("'subtype': 'success', 'is_error': False")
}

pub(crate) fn code(answered: &Answered) -> &'static str {
    answered.result.as_ref().map_or_else(|failure| failure.code, |_| "ok")
}
