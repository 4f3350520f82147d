//! What every run needs of the machine: git, a clock, and a place for state.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::SystemTime;

use stagewright_capability::process;

use super::finding::Finding;
use super::version::{Answer, ask};
use crate::clock;
use crate::config::Config;
use crate::programs;

/// The oldest git that has all that the host uses of it (`GIT_CONFIG_COUNT`, `safe.directory`).
const OLDEST_GIT: (u32, u32) = (2, 36);
/// Below this, in bytes, a run is likely to fail.
const SPACE_NEEDED: u64 = 256 * 1_024 * 1_024;
/// Below this, in bytes, a few runs may fill the disk.
const SPACE_WISHED: u64 = 2 * 1_024 * 1_024 * 1_024;
/// 2026-01-01T00:00:00Z in milliseconds: this program is younger.
const BUILT_AFTER: i64 = 1_767_225_600_000;

/// The HTTP server's address: who can reach it.
pub(super) fn http(config: &Config) -> Finding {
    let listen = &config.http.listen;
    let address = listen.parse::<std::net::SocketAddr>();
    match address {
        _ if !config.http.enabled => Finding::ok("http", "the daemon listens nowhere"),
        Ok(address) if address.ip().is_loopback() => {
            Finding::ok("http", format!("the daemon listens on {listen}, for this machine"))
        }
        _ => Finding::warning(
            "http",
            format!("the daemon listens on {listen}, where others can reach it, and nothing is encrypted"),
            "let it listen on 127.0.0.1 and put a proxy with TLS before it, or leave it at that in a closed network",
        ),
    }
}

/// git: there, and new enough.
pub(super) async fn git(config: &Config) -> Finding {
    let name = config.git.program.as_path();
    let remedy = "install git, or name it in `git.program`";
    let Some(path) = programs::find(name, std::env::var_os("PATH").as_deref()) else {
        return Finding::defect("git", format!("{} was not found", name.display()), remedy);
    };
    match ask(&path, &["--version"]).await {
        Answer::Said(line) => match git_version(&line) {
            Some(version) if version >= OLDEST_GIT => {
                Finding::ok("git", format!("{line} ({})", path.display()))
            }
            Some(_) => {
                let (major, minor) = OLDEST_GIT;
                Finding::defect(
                    "git",
                    format!("{line} is too old"),
                    format!("install git {major}.{minor} or newer"),
                )
            }
            None => Finding::defect("git", format!("{} is no git: it said `{line}`", path.display()), remedy),
        },
        Answer::Refused(why) | Answer::NotStarted(why) => {
            Finding::defect("git", format!("{} doesn't work: {why}", path.display()), remedy)
        }
        Answer::TimedOut => Finding::defect("git", format!("{} doesn't answer", path.display()), remedy),
    }
}

/// `git version 2.47.3` or `git version 2.39.2 (Apple Git-143)`.
fn git_version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line
        .strip_prefix("git version ")?
        .split('.')
        .map(|part| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>());
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The clock: later than this program, and not before what was written last.
pub(super) fn clock(store: &Path) -> Finding {
    let remedy = "set the clock; in a container, that of its host";
    if clock::now().as_millis() < BUILT_AFTER {
        return Finding::defect("clock", "the clock stands before this program was made", remedy);
    }
    let written = fs::metadata(store).and_then(|facts| facts.modified());
    match written.map(|written| written.duration_since(SystemTime::now())) {
        Ok(Ok(ahead)) if ahead.as_secs() > 60 => Finding::warning(
            "clock",
            format!("the store was written {} s in the future: the clock was set back", ahead.as_secs()),
            remedy,
        ),
        _ => Finding::ok("clock", "plausible"),
    }
}

/// The state folder: ours, closed, writable, with room.
pub(super) fn state(folder: &Path) -> Vec<Finding> {
    let elsewhere = "use another with --state-dir <folder>";
    // A folder that is not there yet will be made; what counts is where.
    let Some(existing) = folder.ancestors().find(|ancestor| ancestor.exists()) else {
        return vec![Finding::defect("state", format!("{} can't be reached", folder.display()), elsewhere)];
    };
    let facts = match fs::metadata(existing) {
        Ok(facts) if facts.is_dir() => facts,
        Ok(_) => {
            return vec![Finding::defect(
                "state",
                format!("{} is not a folder", existing.display()),
                elsewhere,
            )];
        }
        Err(error) => {
            return vec![Finding::defect("state", format!("{}: {error}", existing.display()), elsewhere)];
        }
    };
    let mut findings = Vec::new();
    let us = rustix::process::geteuid().as_raw();
    let writable = rustix::fs::access(existing, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    findings.push(match (existing == folder, writable) {
        (_, Err(error)) => {
            Finding::defect("state", format!("{} can't be written: {error}", existing.display()), elsewhere)
        }
        (true, Ok(())) if facts.uid() != us => Finding::defect(
            "state",
            format!("{} belongs to uid {}, not to uid {us}", folder.display(), facts.uid()),
            elsewhere,
        ),
        (true, Ok(())) if facts.permissions().mode() & 0o077 != 0 => Finding::warning(
            "state",
            format!("{} is open to other users; the next run will close it", folder.display()),
            format!("chmod 700 {}", folder.display()),
        ),
        (true, Ok(())) => Finding::ok("state", format!("{}", folder.display())),
        (false, Ok(())) => Finding::ok("state", format!("{} (the first run makes it)", folder.display())),
    });
    findings.push(space(existing));
    findings
}

/// The state folder must not lie where every suite may look: an isolation that allows a folder can't except a part of it.
pub(super) fn reach(folder: &Path) -> Option<Finding> {
    // A folder that is not there yet is judged by where it will be.
    let existing = folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(folder);
    let open = process::open_to_all(existing)?;
    Some(Finding::warning(
        "state",
        format!(
            "every suite can look into {}: it lies in {}, which is open to all of them",
            folder.display(),
            open.display()
        ),
        "use another with --state-dir <folder>",
    ))
}

fn space(folder: &Path) -> Finding {
    let free = match rustix::fs::statvfs(folder) {
        Ok(facts) => facts.f_bavail.saturating_mul(facts.f_frsize),
        Err(error) => {
            let message = format!("the free space of {} can't be read: {error}", folder.display());
            return Finding::warning("disk", message, "check the disk");
        }
    };
    let message = format!("{:.1} GiB free for state, clones and logs", free as f64 / f64::from(1 << 30));
    let remedy = "free some space, or use another disk with --state-dir <folder>";
    match free {
        0..SPACE_NEEDED => Finding::defect("disk", message, remedy),
        SPACE_NEEDED..SPACE_WISHED => Finding::warning("disk", message, remedy),
        _ => Finding::ok("disk", message),
    }
}

/// The configuration file: right (it was loaded), and closed if it holds secrets.
pub(super) fn configuration(config: &Config) -> Finding {
    let Some(file) = &config.file else {
        return Finding::ok("configuration", "no file: defaults, variables and flags");
    };
    let secrets = config.producers.values().any(|producer| !producer.process.variables.reveal().is_empty());
    let open = fs::metadata(file).is_ok_and(|facts| facts.permissions().mode() & 0o077 != 0);
    match secrets && open {
        true => Finding::warning(
            "configuration",
            format!("{} has secrets and is open to other users", file.display()),
            format!("chmod 600 {}", file.display()),
        ),
        false => Finding::ok("configuration", file.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn the_version_of_git_is_read_from_its_own_words() {
        assert_eq!(git_version("git version 2.47.3"), Some((2, 47)));
        assert_eq!(git_version("git version 2.39.2 (Apple Git-143)"), Some((2, 39)));
        assert_eq!(git_version("git version 3.0-rc1"), Some((3, 0)));
        assert_eq!(git_version("hg 6.1"), None);
    }

    #[test]
    fn a_state_folder_that_is_not_there_yet_is_judged_by_where_it_will_be() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("not/yet");
        assert!(state(&folder).iter().all(|finding| finding.state != State::Defect));
        assert!(!folder.exists(), "looking has made it");
        fs::write(place.path().join("file"), "").unwrap();
        assert_eq!(state(&place.path().join("file/state"))[0].state, State::Defect);
    }

    #[test]
    fn a_state_folder_where_every_suite_may_look_is_a_warning() {
        let found = reach(Path::new("/tmp/stagewright-not-yet/state")).unwrap();
        assert_eq!(found.state, State::Warning);
        assert!(found.message.contains("/tmp"), "{}", found.message);
        assert!(reach(Path::new("/var/lib/stagewright")).is_none());
    }

    #[test]
    fn an_open_state_folder_is_a_warning() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(state(place.path())[0].state, State::Warning);
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(state(place.path())[0].state, State::Ok);
    }

    #[test]
    fn a_store_from_the_future_shows_that_the_clock_was_set_back() {
        let place = tempfile::tempdir().unwrap();
        let store = place.path().join("store.sqlite3");
        assert_eq!(clock(&store).state, State::Ok);
        let tomorrow = SystemTime::now() + std::time::Duration::from_secs(86_400);
        fs::File::create(&store).unwrap().set_modified(tomorrow).unwrap();
        assert_eq!(clock(&store).state, State::Warning);
    }
}
