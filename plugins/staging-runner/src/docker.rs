//! What docker's own words mean, once it is known that the suite never began.
//!
//! A failing suite may print any of these words. So they are looked at only where the host's marks show that nothing began
//! in the container, or, without marks, on lines that bear docker's own prefix. The engine's words of a program that it could
//! not start come over *standard output*, with code 126 or 127; those of the client come over standard error.

use stagewright_sdk::evidence::Rule;

const DENIED: Rule = Rule::held(
    "docker-denied",
    "\"permission denied while trying to connect\"",
    "the docker client may not reach its engine",
    "let the user of the connection use docker, such as by the group `docker`",
);
const UNKNOWN: Rule = Rule::held(
    "container-unknown",
    "\"No such container\"",
    "the container is not there",
    "deploy staging, or mend `container` in the settings",
);
pub(crate) const NOT_RUNNING: Rule = Rule::deferred(
    "container-not-running",
    "\"is not running\", \"is restarting\", \"is paused\", \"cannot exec in a stopped\"",
    "the container does not run",
    "start the container, or look at why it does not stay up",
);
const NO_ENGINE: Rule = Rule::deferred(
    "docker-no-engine",
    "\"Cannot connect to the Docker daemon\", \"failed to connect to the docker API at\", \"error during connect\"",
    "the docker engine can't be reached",
    "look at whether the engine runs, and at DOCKER_HOST",
);
const CONTEXT: Rule = Rule::held(
    "docker-configuration",
    "\"Failed to initialize\", \"unable to resolve docker endpoint\"",
    "the docker client is not configured as it has to be",
    "mend the client's context or DOCKER_HOST",
);
const USAGE: Rule = Rule::held(
    "docker-usage",
    "code 125, \"unknown flag\", \"unknown shorthand flag\", \"unknown command\", \"requires at least\"",
    "the docker client did not understand its arguments",
    "look at which docker client it is; `docker exec` has to be served",
);
/// The incident: it was taken for broken code.
pub const MISSING: Rule = Rule::held(
    "docker-missing",
    "code 126 or 127 without a word of docker's own, or a shell's or a starter's word that the client was not found",
    "there is no docker client that can be run",
    "install the docker client there, or name it in `docker`",
);
/// No shell to carry the host's marks, and the settings say that there is one.
pub const NO_SHELL: Rule = Rule::held(
    "container-no-shell",
    "\"executable file not found\" or another word of the engine that it can't start `sh`, with `shell_in_container = \"yes\"`",
    "the container has no POSIX shell",
    "put one into the image, or set `shell_in_container` to `auto`",
);
const UNEXPLAINED: Rule = Rule::deferred(
    "docker-unexplained",
    "any other word or code",
    "docker ended in a way that no rule explains, before the suite began",
    "read what docker says",
);

/// Docker's rows.
pub const TABLE: &[Rule] =
    &[DENIED, UNKNOWN, NOT_RUNNING, NO_ENGINE, NO_SHELL, CONTEXT, USAGE, MISSING, UNEXPLAINED];

/// The beginnings of lines that docker writes and nobody else is likely to.
const PREFIXES: [&str; 13] = [
    "Error response from daemon: ",
    "Error: No such container",
    "Cannot connect to the Docker daemon",
    "failed to connect to the docker API at",
    "error during connect: ",
    "permission denied while trying to connect to the ",
    "Got permission denied while trying to connect to the ",
    ENGINE,
    "Failed to initialize: ",
    "docker: ",
    "unknown flag: ",
    "unknown shorthand flag: ",
    "invalid container name",
];

/// How the engine says that it could not start a program in a container.
const ENGINE: &str = "OCI runtime exec failed: ";

/// What docker wrote, and the code that it ended with.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// The client's name or path.
    pub client: &'a str,
    /// The code.
    pub code: i32,
    /// Standard output; the engine's words come here.
    pub stdout: &'a str,
    /// Standard error; the client's words come here.
    pub stderr: &'a str,
}

impl Said<'_> {
    fn any(&self, words: &[&str]) -> bool {
        [self.stdout, self.stderr].iter().any(|text| words.iter().any(|word| text.contains(word)))
    }

    /// Whether the engine says that it can't start a program, or that there is none.
    pub(crate) fn not_in_container(&self) -> bool {
        let engine = self.stdout.lines().chain(self.stderr.lines()).filter(|line| line.contains(ENGINE));
        self.any(&["executable file not found"]) || engine.into_iter().any(|line| line.contains("exec: \""))
    }

    /// Whether somebody who was to start the client says that it is not there.
    fn client_not_found(&self) -> bool {
        let name = self.client.rsplit('/').next().unwrap_or(self.client);
        let not_there = ["not found", "No such file or directory", "Permission denied"];
        self.stderr
            .lines()
            .filter(|line| !has_prefix(line) || line.contains("command not found"))
            .any(|line| line.contains(name) && not_there.iter().any(|word| line.contains(word)))
    }
}

/// What docker's end becomes, if the suite never began. `absent` is the rule for a program that is not in the container.
pub fn classify(said: Said<'_>, absent: Rule) -> Rule {
    if said.any(&["permission denied while trying to connect"]) {
        DENIED
    } else if said.any(&["No such container", "no such container"]) {
        UNKNOWN
    } else if said.any(&["is not running", "is restarting", "is paused", "cannot exec in a stopped"]) {
        NOT_RUNNING
    } else if said.any(&[
        "Cannot connect to the Docker daemon",
        "failed to connect to the docker API at",
        "error during connect",
    ]) {
        NO_ENGINE
    } else if said.not_in_container() {
        absent
    } else if said.any(&["Failed to initialize", "unable to resolve docker endpoint"]) {
        CONTEXT
    } else if said.code == 125
        || said.any(&["unknown flag", "unknown shorthand flag", "unknown command", "requires at least"])
    {
        USAGE
    } else if matches!(said.code, 126 | 127) && said.stdout.is_empty() || said.client_not_found() {
        MISSING
    } else {
        UNEXPLAINED
    }
}

/// Whether the whole output can be docker's own: nothing on standard output but the engine's one line, and on standard error a
/// line with docker's prefix, or what somebody says who did not find the client.
pub(crate) fn speaks_alone(said: Said<'_>) -> bool {
    let stdout = said.stdout.trim_end();
    if stdout.starts_with(ENGINE) && !stdout.contains('\n') {
        return matches!(said.code, 126 | 127);
    }
    let prefixed = said.stderr.lines().any(has_prefix);
    stdout.is_empty() && (prefixed || matches!(said.code, 126 | 127) && said.client_not_found())
}

fn has_prefix(line: &str) -> bool {
    PREFIXES.iter().any(|prefix| line.starts_with(prefix))
}
