//! What the reporter saw of a session: its lines, read as they come and added up.
//!
//! A line without the run's nonce, or one that is no event, is not counted. Code under test shares the reporter's process and
//! can write whatever it likes here; this is proof against accident and not against forgery.

use std::collections::BTreeMap;

use serde::Deserialize;
use stagewright_sdk::CheckState;
use stagewright_sdk::evidence::Becomes;

use crate::ending;
use crate::finding::Tests;

/// One line of the reporter. Fields that an event does not have are empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    nonce: String,
    event: String,
    id: String,
    when: String,
    outcome: String,
    detail: String,
    by: String,
    python: String,
    pytest: String,
    modules: Vec<String>,
    count: u64,
    ms: u64,
    status: i32,
    code: Option<i32>,
    xfail: bool,
    subtest: bool,
    crashed: bool,
}

/// A session, as far as it has come.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// The reporter was loaded: the runner was up. It holds the versions of Python and pytest.
    pub loaded: Option<String>,
    /// The session began.
    pub began: bool,
    /// How many tests were collected, once that is known.
    pub collected: Option<u64>,
    /// How many of those found were left out by the command line or the configuration.
    pub deselected: u64,
    /// The single tests.
    pub tests: Tests,
    /// Errors of collection; they are in `tests` too.
    pub collect_errors: u64,
    /// Results that xdist made up for a worker that went away; they are in `tests` as failures.
    pub crashes: u64,
    /// How the workers that crashed ended: a code, or minus a signal's number.
    pub crash_codes: Vec<i32>,
    /// An initial conftest could not be imported.
    pub conftest_error: Option<String>,
    /// A file that the checkout has as the product of a build, and whose import failed in the clone.
    pub unbuilt: Option<String>,
    /// What interrupted the session: the exception's name.
    pub interrupted: Option<String>,
    /// pytest's own fault.
    pub internal_error: Option<String>,
    /// The session finished with this status.
    pub finished: Option<i32>,
    /// Modules that were imported from the user's checkout.
    pub foreign: Vec<String>,
    /// How many tests have ended, and the last that had a result.
    pub done: u64,
    /// The last test that had a result.
    pub last: String,
    /// Lines that are no events of this run.
    pub strange_lines: u64,
    /// Subtests that were skipped. pytest's JUnit file calls the whole test skipped then, the session does not.
    pub skipped_subtests: u64,
    /// Tests that have not ended.
    open: BTreeMap<String, Open>,
}

/// A test that has not ended.
#[derive(Clone, Debug, Default)]
struct Open {
    bad: bool,
    passed: bool,
    skipped: Option<String>,
    ms: u64,
}

impl Session {
    /// Adds one line.
    pub fn take(&mut self, line: &str, nonce: &str) {
        match serde_json::from_str::<Event>(line) {
            Ok(event) if event.nonce == nonce => self.add(event),
            _ => self.strange_lines = self.strange_lines.saturating_add(1),
        }
    }

    fn add(&mut self, event: Event) {
        match event.event.as_str() {
            "loaded" => self.loaded = Some(format!("pytest {}, Python {}", event.pytest, event.python)),
            "began" => self.began = true,
            "collected" => self.collected = Some(event.count),
            "deselected" => self.deselected = self.deselected.saturating_add(event.count),
            "collect-error" => {
                self.collect_errors = self.collect_errors.saturating_add(1);
                let name = if event.id.is_empty() { "collection" } else { &event.id };
                self.tests.add(name, CheckState::Errored, &event.detail, 0);
            }
            "collect-skip" => self.tests.add(&event.id, CheckState::Skipped, "", 0),
            "result" => self.result(event),
            "end" => {
                self.done = self.done.saturating_add(1);
                if let Some(open) = self.open.remove(&event.id) {
                    self.close(&event.id, open);
                }
            }
            "worker-down" if event.crashed => self.crash_codes.extend(event.code),
            "conftest-error" => self.conftest_error = Some(event.detail),
            "unbuilt" => self.unbuilt = Some(event.id),
            "interrupted" => self.interrupted = Some(event.by),
            "internal-error" => self.internal_error = Some(event.detail),
            "finished" => self.finished = Some(event.status),
            "foreign" => {
                for module in event.modules {
                    if !self.foreign.contains(&module) {
                        self.foreign.push(module);
                    }
                }
            }
            _ => {}
        }
    }

    /// One result. What is bad counts at once; otherwise a test counts at its end, once, as in pytest's JUnit file:
    /// skipped if any of its phases was, else passed.
    fn result(&mut self, event: Event) {
        let Event { id, when, outcome, detail, .. } = event;
        let of_subtest = if event.subtest { " (subtest)" } else { "" };
        match outcome.as_str() {
            "failed" => {
                self.open.entry(id.clone()).or_default().bad = true;
                // What xdist makes up for a worker that went away has no phase, and no end.
                self.crashes = self.crashes.saturating_add(u64::from(when == "???"));
                let of_code = when == "call" || when == "???";
                let (state, phase) = if of_code {
                    (CheckState::Failed, String::new())
                } else {
                    (CheckState::Errored, format!(" ({when})"))
                };
                self.tests.add(&format!("{id}{of_subtest}{phase}"), state, &detail, event.ms);
            }
            "skipped" if event.subtest => self.skipped_subtests = self.skipped_subtests.saturating_add(1),
            "skipped" => {
                let open = self.open.entry(id.clone()).or_default();
                open.skipped = Some(if event.xfail { "expected failure".to_owned() } else { detail });
                open.ms = event.ms;
            }
            "passed" if when == "call" && !event.subtest => {
                let open = self.open.entry(id.clone()).or_default();
                open.passed = true;
                open.ms = event.ms;
            }
            // A try that is run again decides nothing, and a part that passed is not yet a test.
            _ => {}
        }
        self.last = id;
    }

    fn close(&mut self, id: &str, open: Open) {
        match open {
            Open { bad: true, .. } => {}
            Open { skipped: Some(why), ms, .. } => self.tests.add(id, CheckState::Skipped, &why, ms),
            Open { passed: true, ms, .. } => self.tests.add(id, CheckState::Passed, "", ms),
            _ => {}
        }
    }

    /// The process is gone: tests whose end was not seen count as far as they came.
    pub fn end(&mut self) {
        for (id, open) in std::mem::take(&mut self.open) {
            self.close(&id, open);
        }
    }

    /// Whether all that failed are tests whose worker somebody killed (and did not crash by itself).
    pub fn only_workers_were_killed(&self) -> bool {
        let tally = &self.tests.tally;
        let deferred = |signal| ending::of_signal(signal).becomes == Becomes::Deferred;
        let by_kill = |&code: &i32| code < 0 && deferred(code.saturating_neg());
        self.crashes > 0
            && tally.failed == self.crashes
            && tally.errored == 0
            && !self.crash_codes.is_empty()
            && self.crash_codes.iter().all(by_kill)
    }
}
