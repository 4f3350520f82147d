//! Which files decide how a suite runs, apart from the code under test.
//!
//! A commit that touches one of them can change what a green suite means, so the artifact says so. The list
//! is about names only: nothing is read, and a suite can still be changed in ways that no list of names sees.

/// A file that decides how a suite runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuiteFile {
    /// Its path in the repository, as git has it, with bytes that are not UTF-8 replaced.
    pub path: String,
    /// In what way it decides.
    pub kind: SuiteFileKind,
}

/// In what way a file decides how a suite runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SuiteFileKind {
    /// pytest's `conftest.py`, which can rewrite outcomes.
    Conftest,
    /// The configuration of a test runner, or a file that may hold it, such as `pyproject.toml`.
    RunnerConfiguration,
    /// The pinned versions of dependencies.
    Lock,
    /// The configuration of a CI system.
    Ci,
}

/// The kind of the file at `path`, or `None` where it decides nothing that is known.
pub(crate) fn kind_of(path: &str) -> Option<SuiteFileKind> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if name == "conftest.py" {
        return Some(SuiteFileKind::Conftest);
    }
    if is_ci(path, name) {
        return Some(SuiteFileKind::Ci);
    }
    if is_lock(name) {
        return Some(SuiteFileKind::Lock);
    }
    is_runner_configuration(path, name).then_some(SuiteFileKind::RunnerConfiguration)
}

fn is_ci(path: &str, name: &str) -> bool {
    const FOLDERS: [&str; 8] = [
        ".github/workflows/",
        ".github/actions/",
        ".gitea/workflows/",
        ".forgejo/workflows/",
        ".circleci/",
        ".buildkite/",
        ".woodpecker/",
        ".ci/",
    ];
    const FILES: [&str; 8] = [
        ".gitlab-ci.yml",
        ".travis.yml",
        ".drone.yml",
        ".woodpecker.yml",
        ".cirrus.yml",
        "azure-pipelines.yml",
        "bitbucket-pipelines.yml",
        "Jenkinsfile",
    ];
    FOLDERS.iter().any(|folder| path.starts_with(folder)) || FILES.contains(&name)
}

fn is_lock(name: &str) -> bool {
    const FILES: [&str; 7] = [
        "package-lock.json",
        "npm-shrinkwrap.json",
        "pnpm-lock.yaml",
        "bun.lockb",
        "go.sum",
        "go.work.sum",
        "constraints.txt",
    ];
    let is_requirements = name.starts_with("requirements")
        && (name.ends_with(".txt") || name.ends_with(".in") || name.ends_with(".lock"));
    // `uv.lock`, `poetry.lock`, `pdm.lock`, `Pipfile.lock`, `Cargo.lock`, `yarn.lock`, `bun.lock`, …
    name.ends_with(".lock") || is_requirements || FILES.contains(&name)
}

fn is_runner_configuration(path: &str, name: &str) -> bool {
    const FILES: [&str; 14] = [
        "pytest.ini",
        ".pytest.ini",
        "pytest.toml",
        ".pytest.toml",
        "pyproject.toml",
        "setup.cfg",
        "tox.ini",
        "noxfile.py",
        "nextest.toml",
        "package.json",
        ".npmrc",
        ".mocharc.json",
        ".mocharc.js",
        "sitecustomize.py",
    ];
    const STEMS: [&str; 3] = ["jest.config.", "vitest.config.", "vitest.workspace."];
    FILES.contains(&name)
        || STEMS.iter().any(|stem| name.starts_with(stem))
        || path == ".cargo/config.toml"
        || path.ends_with("/.cargo/config.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_change_what_a_green_suite_means_are_named_with_their_kind() {
        for (path, kind) in [
            ("conftest.py", SuiteFileKind::Conftest),
            ("tests/unit/conftest.py", SuiteFileKind::Conftest),
            ("pytest.ini", SuiteFileKind::RunnerConfiguration),
            ("services/a/pyproject.toml", SuiteFileKind::RunnerConfiguration),
            (".config/nextest.toml", SuiteFileKind::RunnerConfiguration),
            ("web/vitest.config.ts", SuiteFileKind::RunnerConfiguration),
            ("uv.lock", SuiteFileKind::Lock),
            ("requirements-dev.txt", SuiteFileKind::Lock),
            ("Cargo.lock", SuiteFileKind::Lock),
            (".github/workflows/test.yml", SuiteFileKind::Ci),
            (".gitlab-ci.yml", SuiteFileKind::Ci),
        ] {
            assert_eq!(kind_of(path), Some(kind), "{path}");
        }
    }

    #[test]
    fn ordinary_code_and_look_alikes_are_not_named() {
        for path in
            ["src/lock.py", "tests/test_conftest.py", "docs/pytest.ini.md", "a/.github.md", "README.md"]
        {
            assert_eq!(kind_of(path), None, "{path}");
        }
    }
}
