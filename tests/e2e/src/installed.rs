//! Where the built program and the Python with pytest are. `cargo xtask test` makes both.

use std::path::PathBuf;

/// The folder that cargo built this test into, such as `target/debug`.
pub(crate) fn build_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    test.ancestors().nth(2).expect("target/<profile>/deps/<test>").to_owned()
}

/// A folder that no suite can read or write: the build folder, or, for a checkout below `/tmp`, the user's folder for
/// caches.
pub(crate) fn private_folder() -> PathBuf {
    let built = build_folder();
    if !["/tmp", "/var/tmp", "/opt", "/usr"].iter().any(|open| built.starts_with(open)) {
        return built;
    }
    let home =
        std::env::var_os("HOME").expect("a checkout below /tmp needs a HOME outside of it for its tests");
    let folder = PathBuf::from(home).join(".cache/stagewright-tests");
    std::fs::create_dir_all(&folder).expect("the folder for caches can be written");
    folder
}

fn built(name: &str) -> PathBuf {
    let path = build_folder().join(name);
    assert!(path.exists(), "{} is missing: run `cargo xtask build`", path.display());
    path
}

/// The program under test.
pub fn stagewright() -> PathBuf {
    built("stagewright")
}

/// Its shepherd.
pub fn shepherd() -> PathBuf {
    built("stagewright-shepherd")
}

/// A Python interpreter with pytest: `STAGEWRIGHT_TEST_PYTHON`, else the one that `cargo xtask setup` makes.
pub fn python() -> PathBuf {
    let path = std::env::var_os("STAGEWRIGHT_TEST_PYTHON").map_or_else(
        || build_folder().parent().expect("target folder").join("venv/bin/python"),
        PathBuf::from,
    );
    assert!(path.exists(), "{} is missing: run `cargo xtask setup`", path.display());
    path
}

/// A component for tests, such as `bench/returns.wasm`; `cargo xtask components` makes them.
pub fn component(name: &str) -> PathBuf {
    let path = build_folder().parent().expect("target folder").join("components").join(name);
    assert!(path.exists(), "{} is missing: run `cargo xtask components`", path.display());
    path
}
