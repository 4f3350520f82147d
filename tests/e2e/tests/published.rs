//! Suites of real published packages, judged as published and with one operator flipped.
//!
//! The source archives come from the package index by pip, as a user's would. One package has a `src` layout
//! and an editable install in the checkout's own `.venv`, which is how clones get the wrong code.

use std::path::{Path, PathBuf};
use std::process::Command;

use stagewright_e2e::{Host, Repo, python};

/// A published package, and one operator in it that its suite covers.
struct Package {
    name: &'static str,
    version: &'static str,
    file: &'static str,
    good: &'static str,
    flipped: &'static str,
}

const TOOLZ: Package = Package {
    name: "toolz",
    version: "1.0.0",
    file: "toolz/itertoolz.py",
    good: "if len(seqs) == 0:",
    flipped: "if len(seqs) != 0:",
};

const ITSDANGEROUS: Package = Package {
    name: "itsdangerous",
    version: "2.2.0",
    file: "src/itsdangerous/timed.py",
    good: "if age > max_age:",
    flipped: "if age < max_age:",
};

impl Package {
    /// The source archive's folder, fetched once into a folder of the test's own.
    fn sources(&self, into: &Path) -> PathBuf {
        let pin = format!("{}=={}", self.name, self.version);
        run(Command::new(python())
            .args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", &pin, "--dest"])
            .arg(into));
        let folder = format!("{}-{}", self.name, self.version);
        run(Command::new("tar")
            .args(["--no-same-owner", "-xzf"])
            .arg(into.join(format!("{folder}.tar.gz")))
            .arg("-C")
            .arg(into));
        into.join(folder)
    }

    /// A repository whose one commit is the package as published.
    fn repo(&self) -> Repo {
        let place = tempfile::tempdir().unwrap();
        let sources = self.sources(place.path());
        let repo = Repo::named(self.name);
        run(Command::new("cp").arg("-r").arg(format!("{}/.", sources.display())).arg(repo.path()));
        repo.write(".gitignore", "/.venv/\n__pycache__/\n*.egg-info/\n");
        repo.commit("As published");
        repo
    }

    fn set(&self, repo: &Repo, from: &str, to: &str) {
        let path = repo.path().join(self.file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(from).count(), 1, "the operator is where it was");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// As published; flipped in the commit while the dirty checkout is good; flipped only in the checkout.
    fn is_judged_right(&self, host: &Host, repo: &Repo) {
        let published = host.run(repo, "AS-PUBLISHED");
        published.passed();
        assert!(published.json()["tally"]["passed"].as_u64().unwrap() > 20);

        self.set(repo, self.good, self.flipped);
        host.run(repo, "FLIPPED-IN-CHECKOUT").passed();

        repo.commit("Flip one operator");
        self.set(repo, self.flipped, self.good);
        host.run(repo, "FLIPPED-IN-COMMIT").failed();
    }
}

fn run(command: &mut Command) {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_published_package_with_a_flat_layout_is_judged_right() {
    TOOLZ.is_judged_right(&Host::new(), &TOOLZ.repo());
}

#[test]
fn a_published_package_with_a_src_layout_and_an_editable_install_is_judged_right() {
    let repo = ITSDANGEROUS.repo();
    let venv = repo.path().join(".venv");
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    run(Command::new(venv.join("bin/pip"))
        .args(["install", "--quiet", "pytest", "freezegun", "--editable"])
        .arg(repo.path()));
    // No interpreter is configured: the checkout's own `.venv` is found.
    ITSDANGEROUS.is_judged_right(&Host::bare(), &repo);
}
