//! Why the client did not get as far as running anything, told by the words on its stderr.
//!
//! It is asked only where the client ended with 255 and no mark was seen, so that no suite's words are ever read here.
//! What the table does not know is taken for something that passes.

use crate::{Failure, FailureKind};

/// How many of the last lines are shown, and how long each may be.
const LINES: usize = 4;
const LINE: usize = 200;

struct Row {
    /// One of these, in lower case.
    words: &'static [&'static str],
    kind: FailureKind,
    code: &'static str,
    /// What happened and the way out, after "the target `x`".
    text: &'static str,
}

const fn passes(code: &'static str, words: &'static [&'static str], text: &'static str) -> Row {
    Row { words, kind: FailureKind::Transient, code, text }
}

const fn stays(code: &'static str, words: &'static [&'static str], text: &'static str) -> Row {
    Row { words, kind: FailureKind::Permanent, code, text }
}

/// The first row that fits counts: what is more exact stands before what also occurs beside it.
const TABLE: [Row; 14] = [
    stays(
        "ssh-options",
        &[
            "bad configuration option",
            "bad owner or permissions on",
            "terminating, ",
            "can't open user config file",
            "unsupported option",
            "missing argument",
            "no argument after keyword",
            "keyword ",
            "command-line line ",
        ],
        "can't be reached with these options of the client; mend them in the configuration",
    ),
    stays(
        "ssh-host-key-changed",
        &["remote host identification has changed", "host key for "],
        "shows another host key than the known one; find out why, then mend the known_hosts file",
    ),
    stays(
        "ssh-host-key-unknown",
        &["host key is known for", "host key verification failed"],
        "shows a host key that is not known; compare it on the host, then add it to the known_hosts file",
    ),
    stays(
        "ssh-identity-missing",
        &["no such identity", "not accessible: no such file"],
        "has no private key here; create it, or name another file in the configuration",
    ),
    stays(
        "ssh-identity-unusable",
        &["unprotected private key file", "load key ", "bad permissions"],
        "can't be reached with this private key; see that only its owner can read it, and that it has no passphrase",
    ),
    stays(
        "ssh-key-refused",
        &["permission denied (", "too many authentication failures", "no more authentication methods"],
        "refused the key; add its public half to authorized_keys there, or name another key or user",
    ),
    stays(
        "ssh-no-agreement",
        &["unable to negotiate", "no matching "],
        "and the client have no algorithm in common; update the older of the two",
    ),
    passes(
        "ssh-name-unresolved",
        &["temporary failure in name resolution"],
        "has a name that can't be looked up at the moment; look at the resolver of this machine",
    ),
    stays(
        "ssh-name-unresolved",
        &["could not resolve hostname", "name or service not known"],
        "has a name that nobody knows; mend the host in the configuration",
    ),
    passes("ssh-refused", &["connection refused"], "refused the connection; see that sshd listens there"),
    passes(
        "ssh-timed-out",
        &["timed out", "timeout, server", "not responding"],
        "did not answer in time; see that the host is up, and that no firewall stands between",
    ),
    passes(
        "ssh-unreachable",
        &["no route to host", "network is unreachable", "host is down"],
        "can't be reached over the network; look at the route to it",
    ),
    passes(
        "ssh-closed",
        &[
            "connection closed",
            "connection reset",
            "closed by remote host",
            "broken pipe",
            "banner exchange",
            "kex_exchange_identification",
        ],
        "closed the connection; look at the log of its sshd",
    ),
    // A shell or a proxy command that is missing says so on the same stream.
    stays(
        "ssh-options",
        &["proxycommand", "unknown user", "no user exists"],
        "can't be reached as the client is set up; mend its configuration",
    ),
];

/// What the client's last words mean.
pub(super) fn classify(target: &str, stderr: &[u8]) -> Failure {
    let lower = String::from_utf8_lossy(stderr).to_lowercase();
    let row = TABLE.iter().find(|row| row.words.iter().any(|word| lower.contains(word)));
    let (kind, code, text) = row.map_or(
        (FailureKind::Transient, "ssh-failed", "could not be reached, for a reason that is not known"),
        |row| (row.kind, row.code, row.text),
    );
    told(kind, code, &format!("the target `{target}` {text}"), stderr)
}

/// A failure that shows the last lines of what was printed.
pub(super) fn told(kind: FailureKind, code: &'static str, what: &str, printed: &[u8]) -> Failure {
    let evidence = last_lines(printed);
    let message = if evidence.is_empty() { what.to_owned() } else { format!("{what}: {evidence}") };
    Failure::new(kind, code, message)
}

/// The last lines, in one, without what a terminal would obey.
fn last_lines(printed: &[u8]) -> String {
    let text = String::from_utf8_lossy(printed);
    let plain = |line: &str| -> String {
        line.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(LINE)
            .collect::<String>()
            .trim()
            .to_owned()
    };
    let lines: Vec<String> = text.lines().map(plain).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts of OpenSSH 8 to 10, as they come.
    const SEEN: [(&str, &str, FailureKind); 22] = [
        (
            "ssh: connect to host 127.0.0.1 port 1: Connection refused\r\n",
            "ssh-refused",
            FailureKind::Transient,
        ),
        (
            "ssh: connect to host 10.0.0.1 port 22: Connection timed out\r\n",
            "ssh-timed-out",
            FailureKind::Transient,
        ),
        (
            "ssh: connect to host 10.0.0.1 port 22: Operation timed out",
            "ssh-timed-out",
            FailureKind::Transient,
        ),
        (
            "Connection timed out during banner exchange\r\nConnection to 127.0.0.1 port 2 timed out",
            "ssh-timed-out",
            FailureKind::Transient,
        ),
        ("ssh: connect to host x port 22: No route to host", "ssh-unreachable", FailureKind::Transient),
        ("ssh: connect to host x port 22: Network is unreachable", "ssh-unreachable", FailureKind::Transient),
        (
            "kex_exchange_identification: Connection closed by remote host\r\nConnection closed by 127.0.0.1 port 2",
            "ssh-closed",
            FailureKind::Transient,
        ),
        (
            "kex_exchange_identification: read: Connection reset by peer\r\nConnection reset by 127.0.0.1 port 2",
            "ssh-closed",
            FailureKind::Transient,
        ),
        (
            "ssh: Could not resolve hostname x: Temporary failure in name resolution",
            "ssh-name-unresolved",
            FailureKind::Transient,
        ),
        (
            "ssh: Could not resolve hostname x: Name or service not known",
            "ssh-name-unresolved",
            FailureKind::Permanent,
        ),
        (
            "ssh: Could not resolve hostname x: nodename nor servname provided, or not known",
            "ssh-name-unresolved",
            FailureKind::Permanent,
        ),
        ("a@127.0.0.1: Permission denied (publickey).\r\n", "ssh-key-refused", FailureKind::Permanent),
        (
            "a@h: Permission denied (publickey,password,keyboard-interactive).",
            "ssh-key-refused",
            FailureKind::Permanent,
        ),
        (
            "Received disconnect from 127.0.0.1 port 2:2: Too many authentication failures\r\nDisconnected",
            "ssh-key-refused",
            FailureKind::Permanent,
        ),
        (
            "@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.",
            "ssh-host-key-changed",
            FailureKind::Permanent,
        ),
        (
            "No ED25519 host key is known for [127.0.0.1]:2 and you have requested strict checking.\r\nHost key verification failed.",
            "ssh-host-key-unknown",
            FailureKind::Permanent,
        ),
        (
            "no such identity: /k: No such file or directory\r\na@h: Permission denied (publickey).",
            "ssh-identity-missing",
            FailureKind::Permanent,
        ),
        (
            "Warning: Identity file /k not accessible: No such file or directory.\na@h: Permission denied (publickey).",
            "ssh-identity-missing",
            FailureKind::Permanent,
        ),
        (
            "@  WARNING: UNPROTECTED PRIVATE KEY FILE!  @\nPermissions 0644 for '/k' are too open.\nLoad key \"/k\": bad permissions\na@h: Permission denied (publickey).",
            "ssh-identity-unusable",
            FailureKind::Permanent,
        ),
        (
            "command-line: line 0: Bad configuration option: nonsense\r\n",
            "ssh-options",
            FailureKind::Permanent,
        ),
        (
            "Unable to negotiate with 127.0.0.1 port 2: no matching host key type found. Their offer: ssh-rsa",
            "ssh-no-agreement",
            FailureKind::Permanent,
        ),
        ("something that nobody has seen before", "ssh-failed", FailureKind::Transient),
    ];

    #[test]
    fn every_text_that_was_seen_has_its_code() {
        for (text, code, kind) in SEEN {
            let failure = classify("staging", text.as_bytes());
            assert_eq!((failure.code, failure.kind), (code, kind), "{text}");
            assert!(failure.message.contains("`staging`"), "{failure}");
        }
    }

    #[test]
    fn the_evidence_is_short_and_plain() {
        let noisy = format!("first\n{}\n\x1b[31mlast\r\n", "x".repeat(10_000));
        let failure = classify("staging", noisy.as_bytes());
        assert!(failure.message.ends_with("[31mlast") && !failure.message.contains('\x1b'), "{failure}");
        assert!(failure.message.len() < 600, "{failure}");
    }
}
