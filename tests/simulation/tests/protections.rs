//! Each protection is needed: without it some seed comes to harm. With all of them none does (`seeds`).

use stagewright_simulation::{Options, Protection, run};

/// How many seeds may pass before the harm shows.
const SEEDS: u64 = 2_000;

/// Looks for a seed to which, without a protection, such a harm is done.
fn harm_without(protection: Protection, such: &str) {
    let options = Options { without: Some(protection), ..Options::default() };
    let harm = |seed| run(seed, options).broken.filter(|harm| harm.contains(such));
    let found = (0..SEEDS).find_map(|seed| Some((seed, harm(seed)?)));
    let (seed, harm) = found.unwrap_or_else(|| panic!("{SEEDS} seeds did well without {protection:?}"));
    println!("without {protection:?}, seed {seed}: {harm}");
}

#[test]
fn without_the_expected_stage_a_task_moves_where_nobody_sent_it() {
    harm_without(Protection::Expectation, " went from ");
}

#[test]
fn without_epochs_a_former_owner_does_harm() {
    harm_without(Protection::Epoch, "an unresolved effect was settled by somebody else");
}

#[test]
fn without_the_lease_two_are_in_one_region() {
    harm_without(Protection::Lease, "two tasks of one repository are in a region");
}

#[test]
fn without_the_journal_an_act_is_done_twice() {
    harm_without(Protection::Journal, "was done twice");
}
