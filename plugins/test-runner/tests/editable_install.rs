//! A package that the checkout's environment has installed as editable: the clone's code is tested, or nothing is.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod real_host;

use std::path::{Path, PathBuf};
use std::process::Command;

use real_host::python::{python, run};
use real_host::{RealHost, told, write};
use serde_json::json;

/// A checkout with a package of its own, installed as editable into an environment, and the clone of its commit.
fn editable(
    layout: &str,
    clone_says: &str,
    checkout_says: &str,
    in_clone: &str,
) -> (tempfile::TempDir, String) {
    let checkout = tempfile::tempdir().unwrap();
    let root = checkout.path().join("checkout");
    let module = |says: &str| format!("def answer():\n    return {says}\n");
    write(&root.join(layout).join("pkg_of_ours/__init__.py"), &module(checkout_says));
    let venv = root.join(".venv");
    run(Command::new(python()).args(["-m", "venv", "--without-pip"]).arg(&venv));
    let site = glob_site(&venv);
    // What pip's editable install leaves, in its two forms: a path, and a finder with a mapping.
    if in_clone == "finder" {
        let finder = format!(
            "import sys\nfrom importlib.util import spec_from_file_location\nMAPPING = {{'pkg_of_ours': {:?}}}\nNAMESPACES = {{}}\n\
             class _EditableFinder:\n    @classmethod\n    def find_spec(cls, fullname, path=None, target=None):\n        \
             if fullname in MAPPING:\n            return spec_from_file_location(fullname, MAPPING[fullname] + '/__init__.py')\n\
             def install():\n    sys.meta_path.append(_EditableFinder)\n",
            root.join(layout).join("pkg_of_ours").to_str().unwrap()
        );
        write(&site.join("__editable___pkg_1_0_finder.py"), &finder);
        write(
            &site.join("__editable__.pkg.pth"),
            "import __editable___pkg_1_0_finder; __editable___pkg_1_0_finder.install()\n",
        );
    } else {
        write(&site.join("__editable__.pkg.pth"), root.join(layout).to_str().unwrap());
    }
    // pytest itself comes from the environment of these tests.
    let outer =
        Command::new(python()).args(["-c", "import pytest; print(pytest.__file__)"]).output().unwrap();
    let outer = String::from_utf8(outer.stdout).unwrap();
    let outer = Path::new(outer.trim()).parent().unwrap().parent().unwrap().to_str().unwrap().to_owned();
    write(&site.join("outer.pth"), &outer);
    let test = "import subprocess, sys\nfrom pkg_of_ours import answer\ndef test_a():\n    assert answer() == 42\n\
                def test_sub(tmp_path):\n    code = 'import pkg_of_ours; raise SystemExit(pkg_of_ours.answer() != 42)'\n    \
                subprocess.run([sys.executable, '-c', code], cwd=tmp_path, check=True)\n";
    let host = RealHost::with(&[("tests/test_a.py", test)]);
    if in_clone != "absent" {
        write(&host.clone_folder().join(layout).join("pkg_of_ours/__init__.py"), &module(clone_says));
    }
    let outcome = host.produce(json!({
        "framework": "pytest",
        "python": venv.join("bin/python"),
        "timeout_s": 60,
        "source_checkout": root,
    }));
    (checkout, format!("{} {outcome:#?}", told(&outcome)))
}

fn glob_site(venv: &Path) -> PathBuf {
    let lib = std::fs::read_dir(venv.join("lib")).unwrap().next().unwrap().unwrap().path();
    lib.join("site-packages")
}

#[test]
fn an_editable_install_is_turned_to_the_clone() {
    for form in ["path", "finder"] {
        for layout in ["src", "."] {
            let (_keep, good) = editable(layout, "42", "0", form);
            assert!(good.starts_with("pass:all-passed"), "{form}, {layout}: {good}");
            let (_keep, bad) = editable(layout, "0", "42", form);
            assert!(bad.starts_with("fail:tests-failed"), "{form}, {layout}: {bad}");
        }
    }
}

#[test]
fn code_that_comes_from_the_checkout_after_all_is_no_verdict() {
    let (_keep, told) = editable("src", "42", "42", "absent");
    assert!(told.starts_with("held:wrong-tree"), "{told}");
    assert!(told.contains("pkg_of_ours"), "{told}");
}
