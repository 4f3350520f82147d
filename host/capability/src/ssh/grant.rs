//! What the operator grants: targets by name, the client that reaches them, limits.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use stagewright_engine::identity::JobId;

use crate::{Failure, FailureKind};

/// The grant of remote commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Where commands may run, by the name under which a component knows the place.
    pub targets: BTreeMap<String, Target>,
    /// The OpenSSH client.
    pub program: PathBuf,
    /// The job. What an earlier run of the same job left on a target is found by it.
    pub job: JobId,
    /// The longest time of one command.
    pub max_time: Duration,
    /// How much of each output stream goes to the log, in bytes; what is beyond is counted only.
    pub output_log_bytes: u64,
    /// How much of the end of each output stream is kept for the component, in bytes.
    pub tail_bytes: usize,
    /// How much a command may print altogether before it is ended, in bytes.
    pub output_bytes: u64,
}

impl Grant {
    /// No target at all, and limits that suit a test suite.
    pub fn new(job: JobId) -> Self {
        Self {
            targets: BTreeMap::new(),
            program: PathBuf::from("/usr/bin/ssh"),
            job,
            max_time: Duration::from_secs(3_600),
            output_log_bytes: 64 << 20,
            tail_bytes: 64 << 10,
            output_bytes: 1 << 30,
        }
    }

    pub(super) fn target(&self, name: &str) -> Result<&Target, Failure> {
        self.targets.get(name).ok_or_else(|| {
            let way_out =
                format!("set up [ssh.targets.{name}], and name it in the producer's grants.ssh.targets");
            Failure::not_granted("target-not-granted", "target", name, self.targets.keys(), &way_out)
        })
    }
}

/// A place where commands may run. All of it is the operator's; nothing here comes from a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The host's name or address, or a name in the client's configuration.
    pub host: String,
    /// The user there; the client's own choice if absent.
    pub user: Option<String>,
    /// The port; the client's own choice if absent.
    pub port: Option<u16>,
    /// The private key's file. With it, no other key is offered.
    pub identity: Option<PathBuf>,
    /// The file with the host's keys. With it, no other file counts.
    pub known_hosts: Option<PathBuf>,
    /// The client's configuration file, in place of the user's and the system's.
    pub config: Option<PathBuf>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// More of the client's options, such as `ProxyJump=gate`. What the host sets itself can't be changed by them.
    pub options: Vec<String>,
}

/// What the host insists on, whatever a configuration file says: nobody is asked anything, the host's key must be known,
/// no connection is shared, and nothing of the daemon's machine is offered to the target.
const INSISTED: [&str; 20] = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "ConnectionAttempts=1",
    // A connection without life in it is given up after 45 seconds.
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "TCPKeepAlive=yes",
    "ControlMaster=no",
    "ControlPath=none",
    "ControlPersist=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "Tunnel=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "EscapeChar=none",
    // Errors are needed to tell one failure from another; a banner is not.
    "LogLevel=ERROR",
    "GSSAPIDelegateCredentials=no",
];

impl Target {
    /// The target at this host, with the client's own settings.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            user: None,
            port: None,
            identity: None,
            known_hosts: None,
            config: None,
            connect_timeout: Duration::from_secs(10),
            options: Vec::new(),
        }
    }

    /// The client's arguments up to the remote command.
    pub(super) fn arguments(&self, name: &str) -> Result<Vec<OsString>, Failure> {
        self.check(name)?;
        let mut arguments: Vec<OsString> = vec!["-T".into()];
        if let Some(config) = &self.config {
            arguments.extend(["-F".into(), config.into()]);
        }
        let mut option = |text: OsString| arguments.extend(["-o".into(), text]);
        INSISTED.iter().for_each(|text| option((*text).into()));
        option(format!("ConnectTimeout={}", self.connect_timeout.as_secs().max(1)).into());
        if let Some(known) = &self.known_hosts {
            option(named("UserKnownHostsFile", known));
            option("GlobalKnownHostsFile=none".into());
        }
        if let Some(identity) = &self.identity {
            option("IdentitiesOnly=yes".into());
            arguments.extend(["-i".into(), identity.into()]);
        }
        for own in &self.options {
            arguments.extend(["-o".into(), own.into()]);
        }
        if let Some(port) = self.port {
            arguments.extend(["-p".into(), port.to_string().into()]);
        }
        if let Some(user) = &self.user {
            arguments.extend(["-l".into(), user.into()]);
        }
        arguments.extend(["--".into(), self.host.clone().into()]);
        Ok(arguments)
    }

    /// Refuses what the client would take for something else, and files that are not there: the client only warns of
    /// those and then fails for another reason.
    fn check(&self, name: &str) -> Result<(), Failure> {
        let odd = |text: &str| text.is_empty() || text.starts_with('-') || text.contains(['\0', '\n']);
        let wrong = |what: &str| {
            let message =
                format!("the {what} of the target `{name}` is not one; mend it in the configuration");
            Err(Failure::new(FailureKind::Permanent, "ssh-options", message))
        };
        if odd(&self.host) {
            return wrong("host");
        }
        if self.user.as_deref().is_some_and(odd) {
            return wrong("user");
        }
        if self.options.iter().any(|option| odd(option)) {
            return wrong("list of options");
        }
        let files = [
            (&self.identity, "identity", "ssh-identity-missing"),
            (&self.known_hosts, "known_hosts", "ssh-known-hosts-missing"),
            (&self.config, "config", "ssh-options"),
        ];
        for (path, what, code) in files {
            if let Some(path) = path
                && !path.is_file()
            {
                let message = format!(
                    "the file that {what} of the target `{name}` names is not there: {}; create it, or name another",
                    path.display()
                );
                return Err(Failure::new(FailureKind::Permanent, code, message));
            }
        }
        Ok(())
    }
}

/// An option whose value is a path, in the quotes that the client's own parser takes off.
fn named(option: &str, path: &std::path::Path) -> OsString {
    let mut text = OsString::from(format!("{option}=\""));
    text.push(path);
    text.push("\"");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_or_a_user_that_looks_like_an_option_is_refused() {
        let mut target = Target::new("-oProxyCommand=id");
        assert_eq!(target.arguments("staging").unwrap_err().code, "ssh-options");
        target.host = "host".into();
        target.user = Some("-x".into());
        assert_eq!(target.arguments("staging").unwrap_err().code, "ssh-options");
    }

    #[test]
    fn the_hosts_own_options_come_before_those_of_the_configuration() {
        let mut target = Target::new("host");
        target.options = vec!["BatchMode=no".into()];
        let arguments = target.arguments("staging").unwrap();
        let at = |text: &str| arguments.iter().position(|argument| argument == text).unwrap();
        assert!(at("BatchMode=yes") < at("BatchMode=no"));
        assert_eq!(arguments.last().unwrap(), "host");
    }

    #[test]
    fn a_key_that_is_not_there_is_named() {
        let mut target = Target::new("host");
        target.identity = Some("/nowhere/key".into());
        assert_eq!(target.arguments("staging").unwrap_err().code, "ssh-identity-missing");
    }
}
