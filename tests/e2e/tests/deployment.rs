//! What operators are given in `docs/deploy`: the unit is a good one, the image is what its page says, and the daemon does
//! the duties of a first process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use stagewright_e2e::container::{Engine, dockerfile};
use stagewright_e2e::{Daemon, Host, processes, stagewright};

const LIMIT: Duration = Duration::from_secs(90);

/// The most that `systemd-analyze security` may say of the unit, of 100. What stands against a lower number is in the unit,
/// option by option.
const EXPOSURE: &str = "35";

/// Where the unit says that the program lies.
const INSTALLED: &str = "/opt/stagewright/stagewright";

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deploy/stagewright.service")
}

/// Runs `systemd-analyze` on the unit with the program where it lies here; nothing, and the reason said, where it is missing.
fn analyze(args: &[&str]) -> Option<(bool, String)> {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("SKIPPED: this machine has no `systemd-analyze`");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stagewright.service");
    let text = std::fs::read_to_string(unit()).unwrap();
    assert!(text.contains(&format!("ExecStart={INSTALLED} serve\n")), "{text}");
    std::fs::write(&file, text.replace(INSTALLED, stagewright().to_str().unwrap())).unwrap();
    let out = Command::new("systemd-analyze").args(args).arg(&file).output().unwrap();
    let said = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Some((out.status.success(), said))
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let Some((is_good, said)) = analyze(&["verify", "--man=no", "--recursive-errors=no"]) else { return };
    // Of other units of this machine it may say what it likes.
    assert!(is_good && !said.contains("stagewright"), "{said}");
}

#[test]
fn systemd_finds_the_unit_well_closed() {
    let threshold = format!("--threshold={EXPOSURE}");
    let Some((is_good, said)) = analyze(&["security", "--offline=true", "--no-pager", &threshold]) else {
        return;
    };
    assert!(is_good, "{said}");
}

#[test]
fn the_unit_gives_running_jobs_the_time_that_the_configuration_does() {
    let text = std::fs::read_to_string(unit()).unwrap();
    let of = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.parse::<u64>().ok());
    let shown = Host::bare().call(["config", "show"]).stdout;
    let drain = shown.lines().find_map(|line| line.trim().strip_prefix("drain_s = ")?.parse::<u64>().ok());
    assert!(of("TimeoutStopSec=").unwrap() > drain.unwrap(), "{shown}");
}

#[test]
fn the_image_has_neither_a_docker_client_nor_the_engines_socket() {
    let text = std::fs::read_to_string(dockerfile()).unwrap();
    let said: String = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    for word in ["docker", "podman", "containerd", "nerdctl"] {
        assert!(!said.contains(word), "the Dockerfile installs or mounts something of {word}");
    }
}

#[test]
fn in_its_image_the_daemon_serves_as_a_plain_user_and_clears_away_what_is_left_to_it() {
    let Some(engine) = Engine::find() else { return };
    let container = engine.image().container();
    container.open();
    let daemon = container.start();
    assert_eq!(daemon.serving()["pid"], 1, "{}", daemon.serving());
    assert_eq!(daemon.serving()["state"], "/var/lib/stagewright");
    let status = container.exec(&["cat", "/proc/self/status"]);
    assert!(status.lines().any(|line| line.starts_with("Uid:") && !line.contains("\t0")), "{status}");
    container.add("A-1");
    assert_eq!(daemon.hear_end("A-1", "testing")["judgement"], "pass");
    // What `exec` leaves behind is the first process's, and when it ends nobody else waits for it.
    container.exec(&["sh", "-c", "for i in 1 2 3; do setsid sleep 0.2 & done"]);
    processes::wait_for(LIMIT, "the orphans to be gone from the table", || {
        let all = container.exec(&["sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null || true"]);
        !all.contains("(sleep)")
    });
    container.stop(daemon);
}

#[test]
fn a_process_that_was_left_to_the_daemon_is_cleared_away_when_it_ends() {
    let host = Host::new();
    let inner = host.command(Daemon::args(&[]));
    // The shell becomes the daemon, so that its child is one that the daemon has not started.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "setsid sleep 1 & exec \"$@\"", "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let daemon = Daemon::begin(shell);
    processes::wait_for(LIMIT, "its end", || processes::children_of(daemon.id()).is_empty());
    daemon.stop();
}
