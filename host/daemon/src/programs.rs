//! Finds the programs that the configuration names.
//!
//! A bare name is looked up on this process's search path, as a shell would do it; a path is taken as it is. What
//! comes out is an absolute path of a file that may be executed, so that what is granted is what is started. The
//! current folder is never searched.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The file that `program` stands for, `None` if there is none that may be executed.
pub fn find(program: &Path, search_path: Option<&OsStr>) -> Option<PathBuf> {
    if program.components().count() > 1 || program.is_absolute() {
        return executable(program).then(|| std::path::absolute(program).ok()).flatten();
    }
    std::env::split_paths(search_path?)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|file| executable(file))
}

/// The Python of a checkout's suite: the one that is configured, else that of the checkout's own virtual
/// environment, else the one on the path. Links are kept: an environment is recognised by the path of its Python.
pub fn python(configured: Option<&Path>, checkout: &Path, search_path: Option<&OsStr>) -> Option<PathBuf> {
    if let Some(configured) = configured {
        return find(configured, search_path);
    }
    let own = checkout.join(".venv/bin/python");
    if executable(&own) {
        return std::path::absolute(own).ok();
    }
    find(Path::new("python3"), search_path)
}

fn executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn make(file: &Path, mode: u32) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_name_is_the_first_file_on_the_path_that_may_be_executed() {
        let place = tempfile::tempdir().unwrap();
        let (first, second) = (place.path().join("a"), place.path().join("b"));
        make(&first.join("tool"), 0o644);
        make(&second.join("tool"), 0o755);
        let path = std::env::join_paths([&first, &second]).unwrap();
        assert_eq!(find(Path::new("tool"), Some(&path)), Some(second.join("tool")));
        assert_eq!(find(Path::new("other"), Some(&path)), None);
        assert_eq!(find(&first.join("tool"), Some(&path)), None, "it may not be executed");
    }

    #[test]
    fn the_current_folder_is_not_searched() {
        let path = std::env::join_paths(["", "."]).unwrap();
        assert_eq!(find(Path::new("Cargo.toml"), Some(&path)), None);
    }

    #[test]
    fn the_checkouts_own_environment_stands_between_the_setting_and_the_path() {
        let place = tempfile::tempdir().unwrap();
        let bin = place.path().join("bin");
        make(&bin.join("python3"), 0o755);
        make(&bin.join("python3.99"), 0o755);
        let path = Some(bin.as_os_str());
        assert_eq!(python(None, place.path(), path), Some(bin.join("python3")));
        let own = place.path().join(".venv/bin/python");
        make(&own, 0o755);
        assert_eq!(python(None, place.path(), path), Some(own));
        assert_eq!(python(Some(Path::new("python3.99")), place.path(), path), Some(bin.join("python3.99")));
    }
}
