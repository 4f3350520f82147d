//! Python environments for tests, made once below the target folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The Python with pytest. It is made by whichever test comes first; the others wait for the lock.
pub fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        if let Ok(python) = std::env::var("STAGEWRIGHT_TEST_PYTHON") {
            return python;
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pytest-environment");
        let python = make_environment(&folder, &["pytest", "pytest-xdist", "pytest-timeout"]);
        python.to_str().unwrap().to_owned()
    })
}

pub fn make_environment(folder: &Path, packages: &[&str]) -> PathBuf {
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    let lock = std::fs::File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let python = folder.join("bin/python");
    if !folder.join("complete").exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder));
        if !packages.is_empty() {
            run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages));
        }
        std::fs::write(folder.join("complete"), "").unwrap();
    }
    python
}

pub fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
