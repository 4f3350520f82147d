//! Where the built program and the Python with pytest are. `cargo xtask test` makes both.

use std::path::PathBuf;

/// The folder that cargo built this test into, such as `target/debug`.
pub(crate) fn build_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    test.ancestors().nth(2).expect("target/<profile>/deps/<test>").to_owned()
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
