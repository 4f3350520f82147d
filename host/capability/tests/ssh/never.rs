//! Commands that never start, each with the reason.

use std::net::TcpListener;
use std::time::Duration;

use stagewright_capability::FailureKind::{self, Permanent, Transient};
use stagewright_capability::ssh::{Completed, Exit};

use crate::scene::{Scene, never, text};
use crate::sshd::{Sshd, closed_port, keygen};

fn is(done: &Completed, code: &str, kind: FailureKind) {
    assert_eq!(never(done), code, "{done:?}");
    let Exit::NotStarted(failure) = &done.exit else { return };
    assert!(failure.kind == kind && failure.message.contains("`staging`"), "{failure:?}");
}

#[tokio::test]
async fn a_key_that_is_not_accepted() {
    let mut scene = Scene::new();
    let other = scene.file("other");
    keygen(&other);
    scene.target().identity = Some(other);
    let done = scene.exec(&["true"]).await;
    is(&done, "ssh-key-refused", Permanent);
    assert!(text(&done.stderr.tail).contains("Permission denied"));
    assert_eq!(scene.ssh().check("staging").await.unwrap_err().code, "ssh-key-refused");
}

#[tokio::test]
async fn a_key_that_is_not_there() {
    let mut scene = Scene::new();
    scene.target().identity = Some("/nowhere/key".into());
    is(&scene.exec(&["true"]).await, "ssh-identity-missing", Permanent);
}

#[tokio::test]
async fn a_host_key_that_changed_and_one_that_is_not_known() {
    let scene = Scene::new();
    let other = scene.file("other");
    keygen(&other);
    scene.sshd.know(&other.with_extension("pub"));
    is(&scene.exec(&["true"]).await, "ssh-host-key-changed", Permanent);
    std::fs::write(scene.sshd.known_hosts(), "").unwrap();
    is(&scene.exec(&["true"]).await, "ssh-host-key-unknown", Permanent);
}

#[tokio::test]
async fn a_port_that_is_closed() {
    let mut scene = Scene::new();
    scene.target().port = Some(closed_port());
    is(&scene.exec(&["true"]).await, "ssh-refused", Transient);
}

#[tokio::test]
async fn a_host_that_never_answers() {
    let mut scene = Scene::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    scene.target().port = Some(silent.local_addr().unwrap().port());
    scene.target().connect_timeout = Duration::from_secs(1);
    is(&scene.exec(&["true"]).await, "ssh-timed-out", Transient);
}

#[tokio::test]
async fn a_host_that_hangs_up() {
    let mut scene = Scene::new();
    let rude = TcpListener::bind("127.0.0.1:0").unwrap();
    scene.target().port = Some(rude.local_addr().unwrap().port());
    std::thread::spawn(move || rude.incoming().take(1).for_each(drop));
    is(&scene.exec(&["true"]).await, "ssh-closed", Transient);
}

#[tokio::test]
async fn a_name_that_can_not_be_looked_up() {
    let mut scene = Scene::new();
    scene.target().host = "nobody.invalid".to_owned();
    assert_eq!(never(&scene.exec(&["true"]).await), "ssh-name-unresolved");
}

#[tokio::test]
async fn options_that_the_client_does_not_know() {
    let mut scene = Scene::new();
    scene.target().options = vec!["Nonsense=yes".to_owned()];
    is(&scene.exec(&["true"]).await, "ssh-options", Permanent);
}

#[tokio::test]
async fn a_machine_without_the_client() {
    let mut scene = Scene::new();
    scene.grant.program = "/nowhere/ssh".into();
    assert_eq!(never(&scene.exec(&["true"]).await), "ssh-missing");
}

#[tokio::test]
async fn a_target_with_a_forced_command() {
    let scene = Scene::on(Sshd::with("ForceCommand echo no; exit 3"));
    is(&scene.exec(&["true"]).await, "remote-shell", Permanent);
}
