//! A running daemon, and what it says.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Host;
use crate::http::{Answer, Request};

/// How long the next line is waited for: a safety net, and no part of what is tested.
const LIMIT: Duration = Duration::from_secs(90);

/// What every daemon of a test is told besides its own settings.
const ARGS: [&str; 4] = ["serve", "--json", "--set", "reconciler.every_s=1"];

/// A daemon, and what it says. It is killed with the value.
pub struct Daemon {
    process: Child,
    lines: Receiver<Value>,
    serving: Value,
}

impl Daemon {
    /// The arguments of a daemon with these further ones.
    pub fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
        ARGS.iter().chain(more).copied().collect()
    }

    /// Starts the daemon of this host and waits until it serves.
    pub fn start(host: &Host, more: &[&str]) -> Self {
        Self::begin(host.command(Self::args(more)))
    }

    /// Starts a command that is a daemon, or that starts one and hands on what it says, and waits until it serves.
    pub fn begin(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let (say, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = say.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        let mut daemon = Self { process, lines, serving: Value::Null };
        daemon.serving = daemon.hear(|line| line["event"] == "serving");
        daemon
    }

    /// What it said when it began to serve.
    pub fn serving(&self) -> &Value {
        &self.serving
    }

    /// The process that was started.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The next line that is like this; what comes before it is passed over.
    pub fn hear(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.recv_timeout(LIMIT).expect("the daemon says nothing more");
            if wanted(&line) {
                return line;
            }
        }
    }

    /// How the next job of this task at this stage ends.
    pub fn hear_end(&self, key: &str, stage: &str) -> Value {
        self.hear(|line| line["event"] == "job-ended" && line["work_item"] == key && line["stage"] == stage)
    }

    /// How the transition of this task from this stage ends.
    pub fn hear_transition(&self, key: &str, stage: &str) -> Value {
        self.hear(|line| {
            line["event"] == "transition-ended" && line["work_item"] == key && line["stage"] == stage
        })
    }

    /// Whether it has said, and nobody has heard yet, that a job of this task ended.
    pub fn has_ended(&self, key: &str) -> bool {
        self.lines.try_iter().any(|line| line["event"] == "job-ended" && line["work_item"] == key)
    }

    /// Where it listens, such as `127.0.0.1:40123`.
    pub fn address(&self) -> &str {
        self.serving["http"].as_str().and_then(|url| url.strip_prefix("http://")).expect("it listens nowhere")
    }

    /// Its API token.
    pub fn token(&self) -> String {
        let state = std::path::Path::new(self.serving["state"].as_str().unwrap());
        std::fs::read_to_string(state.join("token")).unwrap().trim().to_owned()
    }

    /// A request to it, without the token.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.address(), method, path)
    }

    /// Asks it for something that changes nothing.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send()
    }

    /// Asks it for a change, with the token.
    pub fn post(&self, path: &str, body: Option<Value>) -> Answer {
        let request = self.request("POST", path).token(&self.token());
        match body {
            Some(body) => request.json(&body).send(),
            None => request.send(),
        }
    }

    /// Sends a signal to the process that was started.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.process.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Tells it to stop and waits for its end in order.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        self.hear(|line| line["event"] == "stopped");
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
    }

    /// Kills it and waits for its end.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits for the end that something else has brought about.
    pub fn wait(mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended is not hit: its id is kept until it was waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
