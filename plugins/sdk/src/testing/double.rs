//! A host in memory.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::processes::{Run, ScriptedChild};
use crate::{
    Area, Cause, Command, Completed, Entry, Failure, FailureKind, FileKind, Files, Host, Job, Level, Llm,
    ModelRequest, ModelResponse, Probe, ProbeResponse, Process, RemoteCommand, RemoteCompleted, Ssh,
};

type Program = dyn Fn(&Command, &Double) -> Result<Run, Failure>;
type Remote = dyn Fn(&RemoteCommand, &Double) -> Result<RemoteCompleted, Failure>;
type Model = dyn Fn(&ModelRequest, &Double) -> Result<ModelResponse, Failure>;

/// A host in memory. Build it with the `with_…` functions, hand it to the producer, then look at what was asked.
pub struct Double {
    worktree: RefCell<BTreeMap<String, Vec<u8>>>,
    scratch: RefCell<BTreeMap<String, Vec<u8>>>,
    attached: RefCell<Vec<(String, String)>>,
    program: Box<Program>,
    commands: RefCell<Vec<Command>>,
    remote: Box<Remote>,
    remote_commands: RefCell<Vec<RemoteCommand>>,
    model: Box<Model>,
    asked: RefCell<Vec<ModelRequest>>,
    probes: BTreeMap<(String, String), Result<ProbeResponse, Failure>>,
    log: RefCell<Vec<(Level, String)>>,
    progress: RefCell<Vec<(u64, u64, String)>>,
    now_ms: Cell<u64>,
    limit_ms: u64,
    cancelled: Cell<Option<Cause>>,
    random: Cell<u8>,
}

impl fmt::Debug for Double {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Double")
            .field("commands", &self.commands)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

impl Default for Double {
    fn default() -> Self {
        Self::new()
    }
}

/// A job for `ORCH-1` in the stage `testing`, with empty settings.
#[must_use]
pub fn job() -> Job {
    Job {
        id: "job-1".to_owned(),
        run: "run-1".to_owned(),
        work_item: "ORCH-1".to_owned(),
        repo: "demo".to_owned(),
        stage: "testing".to_owned(),
        branch: "orch-1".to_owned(),
        commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        attempt: 1,
        deferrals: 0,
        worktree: "/run/clone".to_owned(),
        scratch: "/run/scratch".to_owned(),
        artifact: "docs/work-items/ORCH-1/13-test-report.md".to_owned(),
        settings: "{}".to_owned(),
    }
}

impl Double {
    /// An empty worktree, no program, no endpoint, an hour of time.
    #[must_use]
    pub fn new() -> Self {
        Self {
            worktree: RefCell::default(),
            scratch: RefCell::default(),
            attached: RefCell::default(),
            program: Box::new(|command, _| Err(not_found(&format!("no program {}", command.program)))),
            commands: RefCell::default(),
            remote: Box::new(|command, _| Err(not_found(&format!("no target {}", command.target)))),
            remote_commands: RefCell::default(),
            model: Box::new(|request, _| Err(not_found(&format!("no role {}", request.role)))),
            asked: RefCell::default(),
            probes: BTreeMap::new(),
            log: RefCell::default(),
            progress: RefCell::default(),
            now_ms: Cell::new(0),
            limit_ms: 3_600_000,
            cancelled: Cell::new(None),
            random: Cell::new(0),
        }
    }

    /// A file in the worktree.
    #[must_use]
    pub fn with_file(self, path: &str, content: &str) -> Self {
        self.put(path, content);
        self
    }

    /// What every process does. The script sees the command, and may write into this host's scratch folder.
    #[must_use]
    pub fn with_program(
        mut self,
        script: impl Fn(&Command, &Self) -> Result<Run, Failure> + 'static,
    ) -> Self {
        self.program = Box::new(script);
        self
    }

    /// What every remote command comes to.
    #[must_use]
    pub fn with_remote(
        mut self,
        script: impl Fn(&RemoteCommand, &Self) -> Result<RemoteCompleted, Failure> + 'static,
    ) -> Self {
        self.remote = Box::new(script);
        self
    }

    /// What every model answers. The script sees the request, and may leave files in this host's worktree, as an agent does.
    #[must_use]
    pub fn with_model(
        mut self,
        script: impl Fn(&ModelRequest, &Self) -> Result<ModelResponse, Failure> + 'static,
    ) -> Self {
        self.model = Box::new(script);
        self
    }

    /// Writes a file into the worktree, as a process of the run does.
    pub fn put(&self, path: &str, content: &str) {
        self.worktree.borrow_mut().insert(path.to_owned(), content.as_bytes().to_vec());
    }

    /// What an endpoint answers at a path.
    #[must_use]
    pub fn with_answer(mut self, endpoint: &str, path: &str, answer: Result<ProbeResponse, Failure>) -> Self {
        self.probes.insert((endpoint.to_owned(), path.to_owned()), answer);
        self
    }

    /// A run that is cancelled already.
    #[must_use]
    pub fn with_cancellation(self, cause: Cause) -> Self {
        self.cancelled.set(Some(cause));
        self
    }

    /// The commands that were started, in order.
    #[must_use]
    pub fn commands(&self) -> Vec<Command> {
        self.commands.borrow().clone()
    }

    /// The commands that were sent to targets, in order.
    #[must_use]
    pub fn remote_commands(&self) -> Vec<RemoteCommand> {
        self.remote_commands.borrow().clone()
    }

    /// What models were asked, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<ModelRequest> {
        self.asked.borrow().clone()
    }

    /// The lines that were logged.
    #[must_use]
    pub fn logged(&self) -> Vec<(Level, String)> {
        self.log.borrow().clone()
    }

    /// The steps of progress.
    #[must_use]
    pub fn progressed(&self) -> Vec<(u64, u64, String)> {
        self.progress.borrow().clone()
    }

    /// What was kept beside the artifact: scratch path and name.
    #[must_use]
    pub fn attached(&self) -> Vec<(String, String)> {
        self.attached.borrow().clone()
    }

    fn run_script(&self, command: &Command) -> Result<Run, Failure> {
        self.commands.borrow_mut().push(command.clone());
        (self.program)(command, self)
    }

    fn in_area<T>(&self, area: Area, look: impl FnOnce(&BTreeMap<String, Vec<u8>>) -> T) -> T {
        match area {
            Area::Worktree => look(&self.worktree.borrow()),
            Area::Scratch => look(&self.scratch.borrow()),
        }
    }
}

fn not_found(message: &str) -> Failure {
    Failure { kind: FailureKind::NotFound, code: "not-found".to_owned(), message: message.to_owned() }
}

impl Host for Double {
    fn log(&self, level: Level, message: &str) {
        self.log.borrow_mut().push((level, message.to_owned()));
    }

    fn progress(&self, done: u64, total: u64, message: &str) {
        self.progress.borrow_mut().push((done, total, message.to_owned()));
    }

    fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    fn remaining_ms(&self) -> u64 {
        self.limit_ms.saturating_sub(self.now_ms.get())
    }

    fn cancelled(&self) -> Option<Cause> {
        self.cancelled.get()
    }

    fn sleep_ms(&self, duration: u64) -> bool {
        self.now_ms.set(self.now_ms.get().saturating_add(duration));
        self.cancelled.get().is_none()
    }

    fn random(&self, len: u32) -> Vec<u8> {
        let next = || {
            self.random.set(self.random.get().wrapping_add(1));
            self.random.get()
        };
        (0..len).map(|_| next()).collect()
    }
}

impl Process for Double {
    type Child = ScriptedChild;

    fn spawn(&self, command: &Command) -> Result<Self::Child, Failure> {
        Ok(ScriptedChild(RefCell::new(self.run_script(command)?)))
    }

    fn run(&self, command: &Command) -> Result<Completed, Failure> {
        Ok(self.run_script(command)?.completed())
    }
}

impl Files for Double {
    fn read(&self, area: Area, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, Failure> {
        self.in_area(area, |files| {
            let content = files.get(path).ok_or_else(|| not_found(path))?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
            let end = start.saturating_add(max as usize).min(content.len());
            Ok(content[start..end].to_vec())
        })
    }

    fn entries(&self, area: Area, path: &str, after: Option<&str>, max: u32) -> Result<Vec<Entry>, Failure> {
        let inside = if path.is_empty() || path == "." { String::new() } else { format!("{path}/") };
        self.in_area(area, |files| {
            let rest: Vec<_> =
                files.iter().filter_map(|(p, c)| Some((p.strip_prefix(&inside)?, c))).collect();
            if rest.is_empty() && !inside.is_empty() {
                return Err(not_found(path));
            }
            let folders: BTreeSet<_> =
                rest.iter().filter_map(|(p, _)| p.split_once('/')).map(|(name, _)| name).collect();
            let mut entries: Vec<_> = folders
                .into_iter()
                .map(|name| Entry { name: name.to_owned(), kind: FileKind::Directory, size: 0 })
                .chain(rest.iter().filter(|(p, _)| !p.contains('/')).map(|(p, content)| Entry {
                    name: (*p).to_owned(),
                    kind: FileKind::File,
                    size: content.len() as u64,
                }))
                .filter(|entry| after.is_none_or(|after| entry.name.as_str() > after))
                .collect();
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            entries.truncate(max as usize);
            Ok(entries)
        })
    }

    fn write(&self, path: &str, content: &[u8]) -> Result<(), Failure> {
        self.scratch.borrow_mut().insert(path.to_owned(), content.to_vec());
        Ok(())
    }

    fn attach(&self, path: &str, name: &str) -> Result<(), Failure> {
        self.attached.borrow_mut().push((path.to_owned(), name.to_owned()));
        Ok(())
    }
}

impl Probe for Double {
    fn get(&self, endpoint: &str, path: &str, _: u32, _: u64) -> Result<ProbeResponse, Failure> {
        let key = (endpoint.to_owned(), path.to_owned());
        self.probes.get(&key).cloned().unwrap_or_else(|| Err(not_found(endpoint)))
    }
}

impl Ssh for Double {
    fn exec(&self, command: &RemoteCommand) -> Result<RemoteCompleted, Failure> {
        self.remote_commands.borrow_mut().push(command.clone());
        (self.remote)(command, self)
    }
}

impl Llm for Double {
    fn ask(&self, request: &ModelRequest) -> Result<ModelResponse, Failure> {
        self.asked.borrow_mut().push(request.clone());
        (self.model)(request, self)
    }
}
