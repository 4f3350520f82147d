//! The demo's project: a small real Python package with a suite, in a git repository of its own, with a virtual
//! environment in the checkout as a user would have it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::error::Error;
use crate::setup::python;

const GOOD: &str = "\
def total(prices, coupon=0):
    \"\"\"The sum of the prices in cents, less a coupon, and never less than nothing.\"\"\"
    return max(sum(prices) - coupon, 0)


def free_delivery(prices):
    \"\"\"From 50.00 on the delivery costs nothing.\"\"\"
    return total(prices) >= 5000
";

/// What the second commit does to it: one character, and 50.00 exactly is no longer enough.
const FLIP: (&str, &str) = (">= 5000", "> 5000");

const SUITE: &str = "\
import pytest

from cart import free_delivery, total


def test_prices_are_added_up():
    assert total([1250, 399]) == 1649


def test_an_empty_cart_costs_nothing():
    assert total([]) == 0


def test_a_coupon_never_makes_the_total_negative():
    assert total([300], coupon=500) == 0


@pytest.mark.parametrize(\"prices, free\", [([4999], False), ([5000], True), ([2500, 2501], True)])
def test_delivery_is_free_from_fifty(prices, free):
    assert free_delivery(prices) is free
";

const README: &str = "# cart\n\nA project that `cargo xtask demo` made.\n";
const PYPROJECT: &str =
    "[project]\nname = \"cart\"\nversion = \"1.0.0\"\n\n[tool.pytest.ini_options]\npythonpath = [\".\"]\n";

/// The project in its folder.
pub(super) struct Project {
    folder: PathBuf,
}

impl Project {
    /// Makes it anew; only its virtual environment is kept from one demo to the next.
    pub(super) fn make(folder: &Path) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::file(folder))?;
        for entry in folder.read_dir().map_err(Error::file(folder))?.flatten() {
            let path = entry.path();
            if entry.file_name() == ".venv" {
                continue;
            }
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
                .map_err(Error::file(&path))?;
        }
        python::environment(&folder.join(".venv"))?;
        let project = Self { folder: folder.to_owned() };
        project.git(&["init", "--quiet", "--initial-branch=main"])?;
        project.write("README.md", README)?;
        project.write("pyproject.toml", PYPROJECT)?;
        project.write(".gitignore", "/.venv/\n__pycache__/\n.pytest_cache/\n")?;
        project.write("cart.py", GOOD)?;
        project.write("tests/test_cart.py", SUITE)?;
        project.commit("Add up the cart")?;
        Ok(project)
    }

    /// Commits the fault.
    pub(super) fn break_it(&self) -> Result<(), Error> {
        self.write("cart.py", &GOOD.replace(FLIP.0, FLIP.1))?;
        self.commit("Tidy the rule for free delivery")
    }

    /// What the last commit changed.
    pub(super) fn last_change(&self) -> Result<String, Error> {
        let mut show = self.git_command(&["show", "--format=%h %s", "--unified=0", "--no-color"]);
        let text = command::read("showing the last commit", &mut show)?;
        let is_header = |line: &&str| {
            !["diff ", "index ", "--- ", "+++ ", "@@ "].iter().any(|word| line.starts_with(word))
        };
        Ok(text.lines().filter(is_header).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n"))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::file(parent))?;
        }
        fs::write(&path, text).map_err(Error::file(&path))
    }

    fn commit(&self, message: &str) -> Result<(), Error> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])
    }

    fn git(&self, args: &[&str]) -> Result<(), Error> {
        command::watch("making the demo's repository", &mut self.git_command(args))
    }

    /// Git without anybody's configuration: no signing, no hooks, no template.
    fn git_command(&self, args: &[&str]) -> Command {
        let mut git = Command::new("git");
        git.current_dir(&self.folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .args(["-c", "user.name=Demo", "-c", "user.email=demo@localhost"])
            .args(args);
        git
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fault_is_one_that_the_code_has_room_for() {
        assert_eq!(GOOD.matches(FLIP.0).count(), 1);
    }
}
