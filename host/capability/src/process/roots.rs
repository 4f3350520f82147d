//! Which folders a good program needs, so that a protection never turns a good suite into a failing one.
//!
//! Landlock allows and can't except, so these are lists of what is allowed. The user's home is on none of
//! them: of it only the prefixes of granted programs are readable.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The system's own folders. What is secret in them is closed by their modes. Of `/run` and `/var`, where
/// services keep state and secrets, only what programs look up.
const SYSTEM: [&str; 24] = [
    "/bin",
    "/etc",
    "/gnu/store",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/opt",
    "/proc",
    "/run/current-system",
    "/run/nscd",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/sbin",
    "/snap",
    "/sys",
    "/usr",
    "/var/cache/fontconfig",
    "/var/lib/dbus/machine-id",
    "/var/lib/dpkg",
    "/var/lib/gems",
    "/var/lib/rpm",
    "/var/lib/texmf",
];
/// What is written by everyone.
const WRITABLE: [&str; 13] = [
    "/tmp",
    "/var/tmp",
    "/dev/shm",
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/fd",
    "/dev/mqueue",
];
/// Prefixes that would open everything.
const TOO_WIDE: [&str; 5] = ["/", "/home", "/root", "/usr", "/var"];

/// What may be read and what may be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Roots {
    pub(super) read: Vec<PathBuf>,
    pub(super) write: Vec<PathBuf>,
}

/// The folder below which `path` lies and that every command may read or write, if there is one. A state folder
/// or a secret below it is in reach for every suite: say so to the operator.
pub fn open_to_all(path: &Path) -> Option<&'static Path> {
    let real = path.canonicalize();
    let path = real.as_deref().unwrap_or(path);
    SYSTEM.iter().chain(&WRITABLE).map(Path::new).find(|root| path.starts_with(root))
}

/// The system's folders that may be read.
pub fn system() -> Vec<PathBuf> {
    SYSTEM.iter().map(PathBuf::from).collect()
}

/// The places that may be written.
pub(super) fn writable() -> Vec<PathBuf> {
    WRITABLE.iter().map(PathBuf::from).collect()
}

/// What a program needs of its own: itself, its installation prefix, a virtual environment and the
/// installation below that, a Rust toolchain's home.
pub fn of_program(program: &Path) -> Vec<PathBuf> {
    let mut roots = BTreeSet::new();
    // Each link of a chain may be in another installation (a venv's python, rustup's cargo).
    let mut next = Some(program.to_owned());
    for _ in 0..8 {
        let Some(path) = next else { break };
        roots.insert(path.clone());
        if let Some(prefix) = prefix(&path) {
            roots.extend(base_of_environment(&prefix));
            roots.insert(prefix);
        }
        next = fs::read_link(&path).ok().map(|target| path.parent().unwrap_or(Path::new("/")).join(target));
    }
    if let Ok(real) = program.canonicalize() {
        roots.extend(prefix(&real));
        roots.insert(real);
    }
    if program.file_name().is_some_and(|name| name == "cargo" || name == "cargo-nextest") {
        roots.extend(rust_toolchains());
    }
    roots.into_iter().collect()
}

/// `<prefix>` of `<prefix>/bin/<program>` (or `shims`), unless that is a folder of everything.
fn prefix(program: &Path) -> Option<PathBuf> {
    let bin = program.parent()?;
    // The small scripts of pyenv and its like look for the real program below the folder above theirs.
    let is_bin = bin.file_name().is_some_and(|name| name == "bin" || name == "shims");
    let prefix = if is_bin { bin.parent()? } else { return None };
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let wide = TOO_WIDE.iter().any(|wide| prefix == Path::new(wide)) || home.as_deref() == Some(prefix);
    // `~/.local/bin/x` and `~/bin/x`: the prefix holds the user's data, so only the folder of programs.
    let personal = prefix.file_name().is_some_and(|name| name == ".local");
    if wide || personal { Some(bin.to_owned()) } else { Some(prefix.to_owned()) }
}

/// The installation that a virtual environment stands on, as its `pyvenv.cfg` tells.
fn base_of_environment(prefix: &Path) -> Vec<PathBuf> {
    let Ok(text) = fs::read_to_string(prefix.join("pyvenv.cfg")) else { return Vec::new() };
    let homes = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "home").then(|| PathBuf::from(value.trim()))
    });
    homes
        .flat_map(|bin| [prefix_of_bin(&bin), bin.canonicalize().ok().and_then(|real| prefix_of_bin(&real))])
        .flatten()
        .collect()
}

fn prefix_of_bin(bin: &Path) -> Option<PathBuf> {
    prefix(&bin.join("python3"))
}

fn rust_toolchains() -> Vec<PathBuf> {
    let home = |variable: &str, folder: &str| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(folder)))
    };
    let cargo = home("CARGO_HOME", ".cargo");
    // Of cargo's home only programs and downloaded sources: not its credentials.
    let cargo = cargo.iter().flat_map(|home| [home.join("bin"), home.join("registry"), home.join("git")]);
    cargo.chain(home("RUSTUP_HOME", ".rustup")).collect()
}

/// Where a clone borrows its objects from: git in a suite reads them there. To be asked before foreign code runs in
/// the clone, for that could write any folder's name into the file.
pub(super) fn borrowed_objects(clone: &Path) -> Vec<PathBuf> {
    let text = fs::read(clone.join(".git/objects/info/alternates")).unwrap_or_default();
    let lines = text.split(|&byte| byte == b'\n').map(|line| PathBuf::from(OsStr::from_bytes(line)));
    // A quoted or relative line is none of the host's own, and is left out.
    lines.filter(|path| path.is_absolute()).collect()
}

/// `roots` without what is `hidden`: a folder that it lies below is replaced by the folder's other entries.
pub(super) fn without(roots: Vec<PathBuf>, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let hidden: Vec<PathBuf> = hidden.iter().filter_map(|path| path.canonicalize().ok()).collect();
    if hidden.is_empty() {
        return roots;
    }
    let mut kept = Vec::new();
    let mut next = roots;
    while let Some(root) = next.pop() {
        let Ok(real) = root.canonicalize() else { continue };
        if hidden.iter().any(|hidden| real.starts_with(hidden)) {
            continue;
        }
        if !hidden.iter().any(|hidden| hidden.starts_with(&real)) {
            kept.push(root);
        } else {
            // Links need no rule: what counts is where the file lies that they lead to.
            let entries = fs::read_dir(&real).into_iter().flatten().flatten();
            let own = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
            next.extend(own.map(|entry| entry.path()));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_hidden_is_left_out_and_its_neighbours_stay() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("etc/app/secrets")).unwrap();
        fs::create_dir_all(root.join("usr")).unwrap();
        for file in ["etc/passwd", "etc/app/plain", "etc/app/secrets/token"] {
            fs::write(root.join(file), "").unwrap();
        }
        symlink("app/secrets", root.join("etc/link")).unwrap();
        symlink("..", root.join("etc/up")).unwrap();
        let all = vec![root.join("etc"), root.join("usr")];
        let mut kept = without(all.clone(), &[root.join("etc/app/secrets")]);
        kept.sort();
        assert_eq!(kept, [root.join("etc/app/plain"), root.join("etc/passwd"), root.join("usr")]);
        assert_eq!(without(all.clone(), &[root.join("elsewhere")]), all);
    }

    #[test]
    fn the_prefix_of_a_program_is_readable_but_never_a_home() {
        let home = std::env::var("HOME").unwrap();
        assert_eq!(prefix(Path::new("/opt/tool/bin/tool")), Some("/opt/tool".into()));
        assert_eq!(prefix(Path::new("/x/.pyenv/shims/python3")), Some("/x/.pyenv".into()));
        assert_eq!(prefix(Path::new("/x/.local/bin/tool")), Some("/x/.local/bin".into()));
        assert_eq!(prefix(&Path::new(&home).join("bin/tool")), Some(Path::new(&home).join("bin")));
        assert_eq!(prefix(Path::new("/x/checkout/tool")), None);
    }

    #[test]
    fn a_virtual_environment_brings_the_installation_that_it_stands_on() {
        let folder = tempfile::tempdir().unwrap();
        let (base, venv) = (folder.path().join("base"), folder.path().join("venv"));
        for prefix in [&base, &venv] {
            fs::create_dir_all(prefix.join("bin")).unwrap();
        }
        fs::write(base.join("bin/python3"), "").unwrap();
        fs::write(venv.join("pyvenv.cfg"), format!("home = {}\n", base.join("bin").display())).unwrap();
        symlink(base.join("bin/python3"), venv.join("bin/python")).unwrap();
        let roots = of_program(&venv.join("bin/python"));
        assert!(roots.contains(&venv) && roots.contains(&base), "{roots:?}");
        assert!(!roots.contains(&folder.path().to_owned()), "{roots:?}");
    }

    #[test]
    fn borrowed_objects_are_the_folders_that_the_clone_names() {
        let clone = tempfile::tempdir().unwrap();
        fs::create_dir_all(clone.path().join(".git/objects/info")).unwrap();
        fs::write(clone.path().join(".git/objects/info/alternates"), "/bare/objects\n# x\nrelative\n")
            .unwrap();
        assert_eq!(borrowed_objects(clone.path()), [PathBuf::from("/bare/objects")]);
        assert_eq!(borrowed_objects(Path::new("/nowhere")), Vec::<PathBuf>::new());
    }

    #[test]
    fn what_lies_in_an_open_folder_is_told() {
        assert_eq!(open_to_all(Path::new("/opt/state")), Some(Path::new("/opt")));
        assert_eq!(open_to_all(Path::new("/tmp/state")), Some(Path::new("/tmp")));
        assert_eq!(open_to_all(Path::new("/var/lib/stagewright")), None);
        assert_eq!(open_to_all(Path::new("/run/secrets/token")), None);
    }
}
