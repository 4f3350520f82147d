//! Debian's packages: installed where that needs nobody's password, named where it does.

use std::path::Path;
use std::process::Command;

use crate::command;
use crate::error::Error;
use crate::step::say;

/// The command that a person would type to install `packages`.
pub(crate) fn by_hand(packages: &[&str]) -> String {
    format!("sudo apt-get install --no-install-recommends {}", packages.join(" "))
}

/// The error that names that command.
pub(crate) fn missing(what: &str, packages: &[&str]) -> Error {
    Error::Missing { what: what.to_owned(), remedy: format!("Install it with: {}", by_hand(packages)) }
}

/// Whether packages can be installed here without asking anybody.
pub(crate) fn may_install() -> bool {
    Path::new("/usr/bin/apt-get").exists() && (is_root() || has_passwordless_sudo())
}

/// Installs `packages` with their output shown. `what` is what they are for.
pub(crate) fn install(what: &str, packages: &[&str]) -> Result<(), Error> {
    if !may_install() {
        return Err(missing(what, packages));
    }
    say(format!("{what} is missing; installing {}", packages.join(" ")));
    // The lists of a fresh image are empty or old. If they can't be had, the installation itself says what is wrong.
    let _ = command::watch("apt-get update", apt_get().args(["update", "--quiet=2"]));
    let mut install = apt_get();
    install.args(["install", "--yes", "--quiet=2", "--no-install-recommends"]).args(packages);
    command::watch(&format!("installing {what}"), &mut install)
}

fn apt_get() -> Command {
    let mut command = if is_root() { Command::new("apt-get") } else { Command::new("sudo") };
    if !is_root() {
        command.args(["--non-interactive", "apt-get"]);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    command::ask(Command::new("id").arg("-u")).as_deref() == Some("0")
}

fn has_passwordless_sudo() -> bool {
    command::ask(Command::new("sudo").args(["--non-interactive", "true"])).is_some()
}
