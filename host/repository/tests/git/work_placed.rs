//! Putting a run's work onto a branch, and bringing it to the user.

use std::process::{Child, Command};

use stagewright_engine::name::CommitId;
use stagewright_repository::{Delivery, Error, Refusal, removal};

use crate::commits::{PATH, report};
use crate::place::{Place, branch, fingerprint};
use crate::work::{Desk, RUN};

/// Work on `main`, which the user has not checked out.
async fn worked() -> (Desk, CommitId) {
    let desk = Desk::new(Place::new()).await;
    desk.place.user(["checkout", "-q", "-b", "elsewhere"]);
    desk.write("src/shop.py", "PRICE = 6\n");
    let commit = desk.commit().await;
    (desk, commit)
}

fn fsck(desk: &Desk) {
    assert_eq!(desk.place.user_in(desk.bare.path(), ["fsck", "--strict", "--no-dangling"]), "");
}

#[tokio::test]
async fn kept_work_is_known_by_its_run_and_its_base_until_it_is_forgotten() {
    let (desk, work) = worked().await;
    assert_eq!(desk.bare.kept_work(RUN.parse().unwrap()).await.unwrap(), Some(work.clone()));
    assert_eq!(desk.bare.base_of_work(&work).await.unwrap(), Some(desk.base.clone()));
    assert_eq!(desk.bare.base_of_work(&desk.base).await.unwrap(), None, "it is nobody's work");
    desk.bare.forget_work(RUN.parse().unwrap()).await.unwrap();
    assert_eq!(desk.bare.kept_work(RUN.parse().unwrap()).await.unwrap(), None);
    assert_eq!(desk.bare.base_of_work(&work).await.unwrap(), None);
}

#[tokio::test]
async fn work_on_the_head_moves_the_branch_forward_once_and_only_in_the_copy() {
    let (desk, work) = worked().await;
    let main = branch("main");
    assert_eq!(desk.bare.place_work(&main, &desk.base, &work).await.unwrap(), work);
    assert_eq!(desk.bare.head(&main).await.unwrap(), work);
    assert_eq!(desk.bare.place_work(&main, &desk.base, &work).await.unwrap(), work, "asked again");
    assert_eq!(desk.place.user_head("main"), desk.base);
    let again = desk.place.open().await;
    assert_eq!(again.head(&main).await.unwrap(), work, "opened again");
    assert_eq!(again.head_when_opened(&main).await.unwrap(), work);
    // Reports go on top of it.
    let reported = report(&desk.bare, &work).await.unwrap();
    assert_eq!(desk.bare.head(&main).await.unwrap(), reported);
    assert_eq!(desk.bare.place_work(&main, &desk.base, &work).await.unwrap(), reported);
    fsck(&desk);
}

#[tokio::test]
async fn work_whose_base_got_reports_meanwhile_goes_on_top_of_them_as_one_commit_that_is_always_the_same() {
    let (desk, work) = worked().await;
    let main = branch("main");
    let reported = report(&desk.bare, &desk.base).await.unwrap();
    let placed = desk.bare.place_work(&main, &reported, &work).await.unwrap();
    assert_eq!(desk.bare.head(&main).await.unwrap(), placed);
    let log = ["log", "-1", "--format=%P|%an|%at|%B", placed.as_str()];
    assert_eq!(
        desk.place.user_in(desk.bare.path(), log),
        format!("{reported}|developer|1700000000|ORCH-1: development")
    );
    assert_eq!(desk.bare.changed_paths(&reported, &placed).await.unwrap(), [b"src/shop.py".to_vec()]);
    assert!(desk.bare.read_file(&placed, PATH, 1000).await.unwrap().is_some());
    assert_eq!(desk.bare.place_work(&main, &reported, &work).await.unwrap(), placed, "asked again");
    // As after a kill: whoever asks again has seen where the branch is now, and nothing of what was done.
    assert_eq!(desk.bare.place_work(&main, &placed, &work).await.unwrap(), placed, "asked from there");
    assert!(desk.bare.has_work(&work, &placed).await.unwrap());
    assert!(!desk.bare.has_work(&work, &reported).await.unwrap());
    fsck(&desk);
}

#[tokio::test]
async fn work_for_a_branch_that_has_moved_is_refused() {
    let (desk, work) = worked().await;
    let main = branch("main");
    desk.place.write("src/shop.py", "PRICE = 9\n");
    let theirs = desk.place.commit("theirs");
    desk.place.user(["branch", "-f", "main", "elsewhere"]);
    let bare = desk.place.open().await;
    for expected in [&desk.base, &theirs] {
        let error = bare.place_work(&main, expected, &work).await.unwrap_err();
        assert!(
            matches!(&error, Error::HeadMoved { actual: Some(actual), .. } if *actual == theirs),
            "{error}"
        );
    }
    assert_eq!(bare.head(&main).await.unwrap(), theirs);
}

#[tokio::test]
async fn a_user_who_moves_the_branch_is_followed_and_not_the_work() {
    let (desk, work) = worked().await;
    let main = branch("main");
    desk.bare.place_work(&main, &desk.base, &work).await.unwrap();
    // The user takes the work, and then takes it back.
    desk.place.user(["fetch", "-q", desk.bare.path().to_str().unwrap(), "refs/host/heads/main:main"]);
    assert_eq!(desk.place.open().await.head(&main).await.unwrap(), work);
    desk.place.user(["branch", "-f", "main", desk.base.as_str()]);
    assert_eq!(desk.place.open().await.head(&main).await.unwrap(), desk.base);
    // The work is still kept, and can be placed once more.
    let bare = desk.place.open().await;
    assert_eq!(bare.place_work(&main, &desk.base, &work).await.unwrap(), work);
    assert_eq!(bare.head(&main).await.unwrap(), work);
}

#[tokio::test]
async fn the_hosts_branch_of_a_user_who_went_back_does_not_begin_to_count_again() {
    let desk = Desk::new(Place::new()).await;
    let main = branch("main");
    desk.place.write("src/shop.py", "PRICE = 9\n");
    let newer = desk.place.commit("newer");
    let bare = desk.place.open().await;
    report(&bare, &newer).await.unwrap();
    desk.place.user(["reset", "-q", "--hard", desk.base.as_str()]);
    desk.write("new", "new\n");
    let work = desk.commit().await;
    let bare = desk.place.open().await;
    assert_eq!(bare.head(&main).await.unwrap(), desk.base);
    assert_eq!(bare.place_work(&main, &desk.base, &work).await.unwrap(), work);
    assert_eq!(bare.head(&main).await.unwrap(), work);
}

#[tokio::test]
async fn work_is_delivered_once_it_was_placed_and_not_before() {
    let (desk, work) = worked().await;
    let main = branch("main");
    assert_eq!(
        desk.bare.deliver(&main, &work, &desk.base).await.unwrap(),
        Delivery::Refused(Refusal::NotTheHosts),
        "it was not placed"
    );
    assert_eq!(desk.place.user_head("main"), desk.base);
    desk.bare.place_work(&main, &desk.base, &work).await.unwrap();
    let head = report(&desk.bare, &work).await.unwrap();
    assert_eq!(desk.bare.deliver(&main, &head, &desk.base).await.unwrap(), Delivery::Delivered);
    assert_eq!(desk.place.user_head("main"), head);
    assert_eq!(desk.place.user(["fsck", "--full", "--strict"]), "");
    assert_eq!(desk.place.user(["status", "--porcelain"]), "");
    assert!(desk.place.user(["reflog", "main"]).contains("stagewright: work"));
    assert_eq!(desk.bare.head(&main).await.unwrap(), head);
    assert_eq!(desk.bare.deliver(&main, &head, &desk.base).await.unwrap(), Delivery::AlreadyThere);

    // Somebody else's code is not delivered by this way either, and who takes the work back is followed.
    desk.place.user(["branch", "-f", "main", desk.base.as_str()]);
    let bare = desk.place.open().await;
    assert_eq!(bare.head(&main).await.unwrap(), desk.base);
    assert_eq!(
        bare.deliver(&main, &head, &desk.base).await.unwrap(),
        Delivery::Refused(Refusal::NotTheHosts)
    );
}

#[tokio::test]
async fn a_checked_out_branch_is_left_alone_and_the_work_goes_on_in_the_copy() {
    let desk = Desk::new(Place::new()).await;
    let main = branch("main");
    desk.write("src/shop.py", "PRICE = 6\n");
    let work = desk.commit().await;
    desk.bare.place_work(&main, &desk.base, &work).await.unwrap();
    let before = fingerprint(&desk.place.shop());
    let delivered = desk.bare.deliver(&main, &work, &desk.base).await.unwrap();
    let Delivery::Refused(Refusal::CheckedOut { command, .. }) = delivered else { panic!("{delivered:?}") };
    assert_eq!(fingerprint(&desk.place.shop()), before);
    let head = report(&desk.bare, &work).await.unwrap();
    // A second round, on top of the first and its report.
    let second = desk.place.path("second");
    desk.bare.clone_at(&head, Some(&main), &second).await.unwrap();
    removal::remove(&desk.clone()).await.unwrap();
    std::fs::rename(&second, desk.clone()).unwrap();
    let desk = Desk { base: head.clone(), ..desk };
    desk.write("src/shop.py", "PRICE = 7\n");
    let again = desk.commit().await;
    assert_eq!(desk.bare.place_work(&main, &head, &again).await.unwrap(), again);
    assert_eq!(desk.place.open().await.head(&main).await.unwrap(), again);

    assert!(
        Command::new("sh")
            .arg("-c")
            .arg(&command)
            .env("HOME", desk.place.path(""))
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(desk.place.user_head("main"), again);
    assert_eq!(std::fs::read_to_string(desk.place.shop().join("src/shop.py")).unwrap(), "PRICE = 7\n");
}

#[tokio::test]
async fn a_users_commit_meanwhile_stops_the_delivery() {
    let (desk, work) = worked().await;
    let main = branch("main");
    desk.bare.place_work(&main, &desk.base, &work).await.unwrap();
    let theirs = desk.place.commit("theirs");
    desk.place.user(["branch", "-f", "main", "elsewhere"]);
    let refused = Delivery::Refused(Refusal::Moved { actual: Some(theirs.clone()) });
    assert_eq!(desk.bare.deliver(&main, &work, &desk.base).await.unwrap(), refused);
    assert_eq!(desk.place.user_head("main"), theirs);
}

#[tokio::test]
async fn forgotten_work_has_no_name_any_more_and_forgetting_twice_is_no_error() {
    let (desk, work) = worked().await;
    desk.bare.forget_work(RUN.parse().unwrap()).await.unwrap();
    desk.bare.forget_work(RUN.parse().unwrap()).await.unwrap();
    assert_eq!(desk.place.user_in(desk.bare.path(), ["for-each-ref", "refs/stagewright"]), "");
    // Its objects stay, as all objects of the copy do.
    assert_eq!(desk.place.user_in(desk.bare.path(), ["cat-file", "-t", work.as_str()]), "commit");
}

/// Starts this test program again to keep and place the work of `place`, as a process of its own that can be killed.
fn start_again(place: &Place) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "work_placed::a_host_that_keeps_and_places"])
        .env("STAGEWRIGHT_TEST_PLACE", place.path(""))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "the part of the test below that gets killed"]
async fn a_host_that_keeps_and_places() {
    let Some(folder) = std::env::var_os("STAGEWRIGHT_TEST_PLACE") else { return };
    let desk = Desk::at(Place::at(folder.into())).await;
    let work = desk.commit().await;
    desk.bare.place_work(&branch("main"), &desk.base, &work).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_killed_at_any_moment_leaves_a_copy_in_which_the_same_work_is_kept_and_placed() {
    let desk = Desk::new(Place::new()).await;
    for number in 0..200 {
        desk.write(format!("data/{number}"), format!("{number}").repeat(5_000));
    }
    let main = branch("main");
    // Spread over the time that an undisturbed one takes; the waiting is the variable, not a wait for anything.
    let began = std::time::Instant::now();
    assert!(start_again(&desk.place).wait().unwrap().success());
    let whole = began.elapsed();
    let work = desk.bare.head(&main).await.unwrap();
    assert_ne!(work, desk.base);
    for step in 1..12 {
        let copy = desk.bare.path();
        for name in [
            format!("refs/stagewright/work/{RUN}"),
            "refs/host/heads/main".to_owned(),
            "refs/host/placed-on/main".to_owned(),
        ] {
            desk.place.user_in(copy, ["update-ref", "-d", &name]);
        }
        desk.place.user_in(copy, ["prune", "--expire=now"]);
        let mut host = start_again(&desk.place);
        std::thread::sleep(whole * step / 12);
        host.kill().unwrap();
        host.wait().unwrap();
        // Whoever opens the copy next waits for the killed host's git and clears up behind it.
        let bare = desk.place.open().await;
        assert_eq!(
            desk.place.user_in(bare.path(), ["fsck", "--strict", "--no-dangling"]),
            "",
            "killed at {step}/12"
        );
        let head = bare.head(&main).await.unwrap();
        assert!(head == desk.base || head == work, "killed at {step}/12");
        assert_eq!(desk.commit().await, work, "killed at {step}/12");
        assert_eq!(
            desk.bare.place_work(&main, &desk.base, &work).await.unwrap(),
            work,
            "killed at {step}/12"
        );
    }
}
