//! Keys of what runs on other hosts: ssh and its targets, and the staging-runner.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::declare::section;
use super::super::value::{Opaque, Program, Seconds, choice};
use super::{DAY, TimeoutIs};

section! {
    /// The system's OpenSSH client.
    Ssh {
        /// Which ssh the host runs. It uses the keys, the agent and the known hosts of the daemon's user.
        program: Program = Program::named("ssh");
    }
}

section! {
    /// A remote host, by the name that producers know it by. Its host key must be known already: `ssh-keyscan`, or a first
    /// connection by hand.
    SshTarget {
        /// Its address, or its name in the ssh configuration.
        host: Option<String>;
        /// The user there. If it is not set: as the ssh configuration says.
        user: Option<String>;
        /// Its port. If it is not set: as the ssh configuration says.
        port: Option<u32>, within 1..=65_535;
        /// The private key. If it is not set: those of the user and of the agent.
        identity: Option<PathBuf>;
        /// The file of known host keys. If it is not set: the user's.
        known_hosts: Option<PathBuf>;
        /// An ssh configuration to use instead of the user's.
        config: Option<PathBuf>;
        /// Further options of the ssh client, such as `["ProxyJump=gate"]`. What the host insists on stands before them: strict
        /// host keys, no questions, no forwarding, no shared connection.
        options: Vec<String> = Vec::new();
        /// How long a connection may take.
        connect_timeout_s: Seconds = Seconds(10), within 1..=600;
    }
}

section! {
    /// Commands on remote hosts.
    SshGrant {
        /// The names of the targets that it may run commands on. To set it, even to `[]`, is to grant `ssh`.
        targets: Option<Vec<String>>;
    }
}

section! {
    /// The built-in staging-runner: which repositories it serves, and what becomes of its own faults.
    StagingRunner {
        /// Off, the pipeline's fallback producer does the stage. A broken tool never leads there.
        enabled: bool = true;
        /// The repositories that it serves: `*` for all. Empty: those with `self_hosting`. A repository that `run` is
        /// pointed at is always served.
        repos: Vec<String> = vec!["*".to_owned()];
        /// How many times a run that did not work is tried again by itself. If it is not set: `jobs.deferral_budget`.
        infra_retry_max: Option<u32>, within 0..=1_000;
        /// The pause before the first of these tries. If it is not set: `jobs.deferral_backoff_s`.
        infra_retry_backoff_s: Option<Seconds>, within 1..=DAY;
        /// Whether its whole channel (ssh, docker, container) is looked at when the daemon starts. What is found is shown in
        /// `/queue` and stops nothing.
        preflight: bool = true;
    }
}

choice! {
    /// Whether the container has a POSIX shell.
    ShellInContainer {
        /// It is tried with one, and without where there is none.
        Auto = "auto",
        /// It has one; where it has none after all, the task is held.
        Yes = "yes",
        /// It has none.
        No = "no",
    }
}

section! {
    /// How staging is checked. These keys stand in `[staging_runner]` for every repository and in
    /// `[repos.<name>.staging_runner]` for one.
    Staging {
        /// Whether the check runs on the host of staging over ssh. Off, it runs by a docker client of this machine, which has
        /// to be granted to the staging-runner. If it is not set: yes.
        exec_host_side: Option<bool>;
        /// The host of staging: a name of `[ssh.targets.<name>]`. If it is not set: `staging`.
        target: Option<String>;
        /// The container in which the check runs. If it is not set: it runs on the host itself.
        container: Option<String>;
        /// The docker client, by its name or path there. If it is not set: `docker`.
        docker: Option<String>;
        /// Whether the container has a POSIX shell, by which the beginning and the end of the check are marked inside. If it is
        /// not set: `auto`.
        shell_in_container: Option<ShellInContainer>;
        /// Program and arguments of the check. If it is not set: `["python3", "-m", "staging_check", "--mode", "stub"]`.
        command: Option<Vec<String>>;
        /// Further arguments.
        args: Option<Vec<String>>;
        /// How long the check may take. If it is not set: 900.
        timeout_s: Option<Seconds>, within 1..=(7 * DAY);
        /// What it means that a check that had begun overran `timeout_s`. If it is not set: `fail`.
        timeout_is: Option<TimeoutIs>;
        /// What the exit codes of the check mean: `pass`, `fail`, `held` or `deferred`. By default 0 is a pass, 126 and 127 say
        /// that it is not there (held), 129, 130, 137 and 143 that something killed it (deferred), and every other code is a
        /// fail.
        exit_codes: Option<BTreeMap<String, String>>;
        /// Further settings, handed to the component as they are.
        settings: Option<Opaque>;
    }
}
