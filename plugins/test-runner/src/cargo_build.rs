//! What cargo says when it does not get as far as a test. cargo test and nextest share it.
//!
//! cargo exits with 101 for everything; its own words on standard error tell a broken build from a missing toolchain.
//! Only lines that are cargo's (`error: …` at a line's start) are looked at: a build's own output is indented or
//! comes from the compiler.

use stagewright_sdk::evidence::Rule;

use crate::ending;

const NO_MANIFEST: Rule = Rule::held(
    "manifest-missing",
    "`could not find Cargo.toml`",
    "there is no Cargo.toml where cargo looks",
    "set `test_runner.framework`, or run cargo where the manifest is (`--manifest-path`)",
);
const MANIFEST_BROKEN: Rule = Rule::fail(
    "manifest-broken",
    "`failed to parse manifest`, or an error with its place in a Cargo.toml",
    "a Cargo.toml can't be read",
);
const LOCK_STALE: Rule = Rule::fail(
    "lock-stale",
    "`--locked`, and the lock file needs to be updated",
    "Cargo.lock does not fit the manifests",
);
const TOOLCHAIN_MISSING: Rule = Rule::held(
    "toolchain-missing",
    "the toolchain is not installed, a linker is not found, the target's standard library is missing",
    "a part of the Rust toolchain is missing",
    "install what the message names",
);
const DEPENDENCIES: Rule = Rule::deferred(
    "dependencies-unavailable",
    "a dependency could not be fetched or found",
    "cargo could not get the dependencies",
    "see whether the registry answers and the dependency exists there; a set-up step with `cargo fetch` tells it apart",
);
const BUILD_SCRIPT: Rule = Rule::held(
    "build-script-failed",
    "the build script of a dependency failed",
    "the build script of a dependency failed; it usually misses a library of the system",
    "install what the build script asks for",
);
const BUILD_FAILED: Rule = Rule::fail(
    "build-failed",
    "`could not compile`, or the build script of the repository's own package failed",
    "the code does not build",
);
const BAD_OPTION: Rule = Rule::held(
    "bad-option",
    "cargo or a test program does not know an argument, a package or a target",
    "an argument of the settings is refused",
    "mend `test_runner.args`",
);

/// The rows that cargo test and nextest share.
pub const TABLE: &[Rule] = &[
    NO_MANIFEST,
    LOCK_STALE,
    TOOLCHAIN_MISSING,
    DEPENDENCIES,
    MANIFEST_BROKEN,
    BUILD_SCRIPT,
    BUILD_FAILED,
    BAD_OPTION,
];

/// What cargo's words say of a build that failed; none if they say nothing of it.
pub fn classify(stderr: &str) -> Option<Rule> {
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error")).collect();
    let says = |words: &[&str]| errors.iter().any(|line| words.iter().any(|word| line.contains(word)));
    let anywhere = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
    if says(&["could not find `Cargo.toml`"]) {
        return Some(NO_MANIFEST);
    }
    if says(&["needs to be updated but --locked", "cannot update the lock file"]) {
        return Some(LOCK_STALE);
    }
    if says(&[
        "is not installed",
        "linker `",
        "error[E0463]: can't find crate for `std`",
        "error[E0463]: can't find crate for `core`",
    ]) {
        return Some(TOOLCHAIN_MISSING);
    }
    let no_answer = [
        "failed to download",
        "failed to get `",
        "failed to fetch",
        "failed to load source for dependency",
        "no matching package",
        "failed to select a version",
        "unable to update",
        "Unable to update",
    ];
    if says(&no_answer) {
        return Some(DEPENDENCIES);
    }
    let in_manifest = |line: &str| line.trim_start().starts_with("-->") && line.contains("Cargo.toml:");
    if says(&["failed to parse manifest", "failed to load manifest", "failed to read `"])
        || stderr.lines().any(in_manifest)
    {
        return Some(MANIFEST_BROKEN);
    }
    if let Some(line) = errors.iter().find(|line| line.contains("failed to run custom build command for")) {
        // A package of the repository is named with its path.
        return Some(if line.contains("(/") { BUILD_FAILED } else { BUILD_SCRIPT });
    }
    if says(&["could not compile"]) {
        // The compiler itself was ended: the machine, not the code. Or it crashed, and then it is its own fault.
        let killed = signal_in(stderr).map(ending::of_signal);
        return Some(match killed {
            Some(_) => ending::UNEXPLAINED,
            None => BUILD_FAILED,
        });
    }
    if says(&[
        "unexpected argument",
        "Unrecognized option",
        "no test target",
        "no bin target",
        "no example target",
        "no library targets found",
        "not found in workspace",
        "did not match any packages",
    ]) || anywhere(&["error: invalid value"])
    {
        return Some(BAD_OPTION);
    }
    None
}

/// The signal that cargo says ended one of its processes: `(signal: 9, SIGKILL: kill)`.
pub fn signal_in(stderr: &str) -> Option<i32> {
    let cargos = |line: &&str| line.trim_start().starts_with("process didn't exit successfully:");
    let line = stderr.lines().rfind(cargos)?;
    let (_, rest) = line.rsplit_once("(signal: ")?;
    rest.split(',').next()?.trim_end_matches(')').parse().ok()
}
