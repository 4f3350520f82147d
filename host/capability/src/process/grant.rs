//! What the operator grants: programs, variables, folders, limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::roots::{self, Roots};

use crate::{Failure, FailureKind, Place};

/// The grant of local processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The programs, by the name under which a component knows them.
    pub programs: BTreeMap<String, Program>,
    /// Variables that a component may set: a name, or a beginning followed by `*`. `*` allows every name
    /// but those that belong to the host.
    pub env_names: Vec<String>,
    /// Variables that every process gets, such as the folders of tools' caches.
    pub env: BTreeMap<String, String>,
    /// Whether and how strictly the file system is confined.
    pub confinement: Confinement,
    /// Folders that may be read, beside the system's and the programs' own.
    pub read: Vec<PathBuf>,
    /// Folders that may be written, beside the clone, scratch, home, `/tmp` and `/dev/shm`.
    pub write: Vec<PathBuf>,
    /// What must stay out of reach though it lies below a readable folder, such as a configuration file in `/etc`.
    /// The folder's other entries are then allowed one by one, so that what is new in it stays hidden, too. It
    /// does nothing for what lies below a *writable* folder.
    pub hidden: Vec<PathBuf>,
    /// Whether its processes are marked as a test run (G2, G5). Only what the operator wants done outside is not.
    pub test_run: bool,
    /// How many commands may run at once.
    pub max_at_once: usize,
    /// The kernel's limit on processes of the user while the command runs. Root is not limited by it.
    pub max_processes: Option<u64>,
    /// How many processes one command may have. It is counted from time to time, so that for a moment there may
    /// be more; a command that has more is ended.
    pub max_tree: u64,
    /// The longest time of one command.
    pub max_time: Duration,
    /// How much of each output stream goes to the log, in bytes; what is beyond is counted only.
    pub output_log_bytes: u64,
    /// How much of the end of each output stream is kept for the component, in bytes.
    pub tail_bytes: usize,
    /// How much a command may print altogether before it is ended, in bytes.
    pub output_bytes: u64,
}

/// A program that may be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// What is executed: an absolute path.
    pub path: PathBuf,
    /// Patterns of which every argument must match one; `*` stands for any text. `None` allows any argument.
    pub args: Option<Vec<String>>,
}

impl Program {
    /// The program at this path, with any arguments.
    pub fn new(path: PathBuf) -> Self {
        Self { path, args: None }
    }

    /// Refuses an argument that matches no pattern.
    pub(super) fn check_args(&self, name: &str, args: &[String]) -> Result<(), Failure> {
        let Some(patterns) = &self.args else { return Ok(()) };
        match args.iter().find(|arg| !patterns.iter().any(|pattern| matches(pattern, arg))) {
            None => Ok(()),
            Some(arg) => {
                let message = format!(
                    "the argument {arg:?} of `{name}` is not granted; the operator can add a pattern for it to the \
                     producer's grants.process.args"
                );
                Err(Failure::new(FailureKind::Denied, "argument-not-granted", message))
            }
        }
    }
}

/// Whether `text` is what `pattern` describes; `*` stands for any text, also for none.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// How strictly processes are confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Confinement {
    /// Without it, nothing is started.
    Required,
    /// As far as the kernel can; the artifact says what was had.
    BestEffort,
    /// Not at all.
    Off,
}

impl Default for Grant {
    /// No program at all, and limits that suit a test suite.
    fn default() -> Self {
        Self {
            programs: BTreeMap::new(),
            env_names: vec!["*".to_owned()],
            env: BTreeMap::new(),
            confinement: Confinement::BestEffort,
            read: Vec::new(),
            write: Vec::new(),
            hidden: Vec::new(),
            test_run: true,
            max_at_once: 16,
            max_processes: None,
            max_tree: 4_096,
            max_time: Duration::from_secs(3_600),
            output_log_bytes: 64 << 20,
            tail_bytes: 64 << 10,
            output_bytes: 16 << 30,
        }
    }
}

impl Grant {
    pub(super) fn program(&self, name: &str) -> Result<&Program, Failure> {
        self.programs.get(name).ok_or_else(|| {
            let way_out = "add it to the producer's grants.process.programs";
            Failure::not_granted("program-not-granted", "program", name, self.programs.keys(), way_out)
        })
    }

    /// What may be read and what may be written by the commands of the run at `place`.
    pub(super) fn roots(&self, place: &Place) -> Roots {
        let mut read = roots::system();
        for program in self.programs.values() {
            read.extend(roots::of_program(&program.path));
        }
        read.extend(roots::borrowed_objects(&place.clone));
        read.extend(self.read.iter().cloned());
        let mut write = roots::writable();
        write.extend([place.clone.clone(), place.scratch.clone(), place.home.clone(), place.tmp.clone()]);
        write.extend(self.write.iter().cloned());
        Roots { read: roots::without(read, &self.hidden), write }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_arguments_only() {
        for (pattern, text) in
            [("check", "check"), ("-j*", "-j8"), ("*", ""), ("a*b*c", "aXbYc"), ("a*", "a")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("check", "checks"), ("-j*", "x-j8"), ("a*b*c", "ac"), ("a*a", "a"), ("", "x")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
