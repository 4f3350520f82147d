//! What a suite can't get at: the host's token, its state, its memory, the user's keys.

use stagewright_e2e::{Host, Repo};

/// A suite that looks for a token in every place that issue and requirements name, and fails if it finds it.
fn snooping(secret: &str, host: &Host) -> Repo {
    let text = format!(
        r#"
import os, pathlib

SECRET = {secret:?}.replace("|", "").encode()

def holds(path):
    try:
        return SECRET in pathlib.Path(path).read_bytes()
    except OSError:
        return False

def below(folder):
    for root, folders, files in os.walk(folder):
        for name in files:
            path = os.path.join(root, name)
            if os.path.isfile(path) and os.path.getsize(path) < 1 << 24:
                yield path

def test_environment_of_this_process():
    assert not any(SECRET in value.encode(errors="surrogateescape") for value in os.environ.values())
    assert not any(name.startswith("ORCH_") for name in os.environ)

def test_other_processes():
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            for part in ("environ", "cmdline"):
                assert not holds(entry / part), entry / part

def test_state_folder():
    found = [path for path in below({state:?}) if "/runs/" not in path and holds(path)]
    assert not found
    try:
        names = os.listdir({state:?})
    except OSError:
        names = []
    assert "token" not in names and "store.sqlite3" not in names

def test_keys_and_configuration_of_the_user():
    assert not [path for path in below({home:?}) if holds(path)]
"#,
        secret = {
            let (a, b) = secret.split_at(secret.len() / 2);
            format!("{a}|{b}")
        },
        state = host.state(),
        home = host.home(),
    );
    Repo::with(&[("test_snoop.py", &text)])
}

#[test]
fn a_suite_that_looks_for_our_token_finds_it_nowhere() {
    let secret = format!("s3cr3t-{}-{}", std::process::id(), "0f1e2d3c4b5a");
    let host = Host::new();
    std::fs::create_dir_all(host.home().join(".ssh")).unwrap();
    std::fs::write(host.home().join(".ssh/id_ed25519"), &secret).unwrap();
    std::fs::create_dir_all(host.home().join(".config/stagewright")).unwrap();
    std::fs::write(host.home().join(".config/stagewright/secrets"), &secret).unwrap();
    std::fs::create_dir_all(host.state()).unwrap();
    std::fs::write(host.state().join("token"), &secret).unwrap();
    let repo = snooping(&secret, &host);
    let out = host
        .command(["run", "--json", "--work-item", "A-1", "--repo"])
        .arg(repo.path())
        .env("SOME_API_TOKEN", &secret)
        .output()
        .unwrap();
    let ran = stagewright_e2e::Ran::new(out);
    let artifact = ran.artifact();
    if artifact.contains("isolation: landlock") {
        ran.passed();
        assert_eq!(ran.json()["tally"]["passed"], 4);
    } else {
        // No Landlock on this kernel: the artifact has to say so, and nothing more is promised.
        eprintln!("SKIPPED: this kernel has no Landlock; only the artifact's word is looked at");
        assert!(artifact.contains("isolation: none"), "{artifact}");
    }
}

#[test]
fn what_good_suites_need_stays_usable() {
    let text = r#"
import multiprocessing, os, pathlib, socket, sqlite3, ssl, subprocess, sys, tempfile, threading

def square(n):
    return n * n

def test_temporary_files_and_home():
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")
    home = pathlib.Path.home()
    (home / "written").write_text("x")
    assert os.access("/tmp", os.W_OK) and os.access("/dev/shm", os.W_OK)

def test_processes_and_semaphores():
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(square, [1, 2, 3]) == [1, 4, 9]
    assert subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True).stdout == b"1\n"
    assert subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True).returncode == 0

def test_loopback():
    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: server.accept()[0].sendall(b"hello"))
    thread.start()
    with socket.create_connection(server.getsockname()) as client:
        assert client.recv(5) == b"hello"
    thread.join()
    server.close()

def test_system_files():
    assert pathlib.Path("/etc/passwd").read_text()
    assert ssl.create_default_context()
    sqlite3.connect("file.db").execute("create table t (x)")
    assert os.urandom(4)
    assert pathlib.Path("/proc/self/status").read_text()

def test_it_can_see_that_it_is_a_test_run():
    assert os.environ["STAGEWRIGHT_TEST_RUN"] == "1"
"#;
    let ran = Host::new().run(&Repo::with(&[("test_a.py", text)]), "A-1");
    ran.passed();
    assert_eq!(ran.json()["tally"]["passed"], 5);
}
