//! A daemon whose store is in trouble: a clear error, no half transition, and everything goes on when it is mended.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use stagewright_e2e::{Daemon, Host, Locker, Repo, SlowSuite, processes};

const LIMIT: Duration = Duration::from_secs(90);

fn store(host: &Host) -> PathBuf {
    host.state().join("store.sqlite3")
}

/// A host that has done something once, so that its store is there.
fn used(repo: &Repo) -> Host {
    let host = Host::new();
    host.add(repo, "A-1");
    host
}

/// Calls `serve` and expects that it does not even begin.
fn refused(host: &Host, words: &[&str]) {
    let ran = host.call(["serve"]);
    assert_ne!(ran.exit, 0, "{ran:#?}");
    for word in words {
        assert!(ran.stderr.contains(word), "no `{word}` in: {}", ran.stderr);
    }
}

#[test]
fn a_damaged_store_is_told_and_left_as_it_is() {
    let host = used(&Repo::passing_with(&[]));
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(host.state().join(format!("store.sqlite3{suffix}")));
    }
    let mut bytes = fs::read(store(&host)).unwrap();
    let middle = 4_096.min(bytes.len() / 2);
    bytes[..middle].fill(b'x');
    fs::write(store(&host), &bytes).unwrap();
    refused(&host, &["store.sqlite3"]);
    assert_eq!(fs::read(store(&host)).unwrap(), bytes, "it was written to");
}

#[test]
fn a_store_that_may_not_be_written_is_told() {
    let repo = Repo::passing_with(&[]);
    let host = used(&repo);
    fs::set_permissions(store(&host), Permissions::from_mode(0o444)).unwrap();
    refused(&host, &["store.sqlite3"]);
    fs::set_permissions(store(&host), Permissions::from_mode(0o600)).unwrap();
    let daemon = Daemon::start(&host, &[]);
    assert_eq!(daemon.hear_end("A-1", "testing")["judgement"], "pass");
    daemon.stop();
}

#[test]
fn a_store_that_another_process_keeps_locked_is_waited_for_and_nothing_is_lost() {
    let suite = SlowSuite::new();
    let (repo, host) = (suite.repo(), Host::new());
    host.add(&repo, "A-1");
    let daemon = Daemon::start(&host, &[]);
    suite.wait_until_begun();
    // Longer than the daemon waits for its turn.
    let locker = Locker::of(&store(&host), 12);
    suite.open();
    locker.wait();
    wait_until_tested(&host);
    daemon.stop();
}

/// The task is tested in the end, by whichever run.
fn wait_until_tested(host: &Host) {
    processes::wait_for(LIMIT, "the task to be tested", || {
        let task = host.task("A-1");
        task["verdicts"]["testing"]["judgement"] == "pass" && task["stage"] == "deploy-staging"
    });
}

/// A file system of its own for a state folder, unmounted when it is dropped.
struct Small(PathBuf);

impl Small {
    fn mount(folder: &Path) -> Result<Self, String> {
        fs::create_dir_all(folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=48m,mode=700", "tmpfs"])
            .arg(folder)
            .output()
            .map_err(|error| error.to_string())?;
        match mounted.status.success() {
            true => Ok(Self(folder.to_owned())),
            false => Err(String::from_utf8_lossy(&mounted.stderr).trim().to_owned()),
        }
    }

    /// Fills it to the last byte.
    fn fill(&self) -> PathBuf {
        let ballast = self.0.join("ballast");
        let mut file = fs::File::create(&ballast).unwrap();
        let mut size = 1 << 20;
        while size > 0 {
            if std::io::Write::write_all(&mut file, &vec![0; size]).is_err() {
                size /= 2;
            }
        }
        ballast
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_loses_nothing_and_the_task_goes_on_when_there_is_room_again() {
    let suite = SlowSuite::new();
    let (repo, host) = (suite.repo(), Host::new());
    let disk = match Small::mount(&host.state()) {
        Ok(disk) => disk,
        Err(why) => {
            println!("SKIPPED: no small file system can be mounted here: {why}");
            return;
        }
    };
    host.add(&repo, "A-1");
    let log = host.home().join("daemon.log");
    let mut command = host.command(Daemon::args(&[]));
    command.stderr(fs::File::create(&log).unwrap());
    let daemon = Daemon::begin(command);
    suite.wait_until_begun();
    let ballast = disk.fill();
    let refused = host.call(["task", "hold", "A-1", "--reason", "x".repeat(100_000).as_str()]);
    assert_ne!(refused.exit, 0, "{refused:#?}");
    assert!(refused.stderr.contains("full"), "{}", refused.stderr);
    suite.open();
    processes::wait_for(LIMIT, "the daemon to notice", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("could not be kept"))
    });
    assert_eq!(host.task("A-1")["stage"], "testing", "a half transition");
    fs::remove_file(ballast).unwrap();
    wait_until_tested(&host);
    // The hold that was refused left nothing: the task is taken on, to where a producer is missing.
    processes::wait_for(LIMIT, "the next stage to be tried", || {
        let hold = &host.task("A-1")["hold"];
        hold["stage"] == "deploy-staging" && hold["fault"]["code"] == "target-not-granted"
    });
    daemon.stop();
}
