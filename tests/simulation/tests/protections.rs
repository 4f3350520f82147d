//! Each protection is needed: without it some seed comes to harm. With all of them none does (`seeds`).

use stagewright_simulation::{Options, Protection, run};

/// How many seeds may pass before the harm shows.
const SEEDS: u64 = 2_000;

/// The first harm that is done without a protection.
fn harm_without(protection: Protection) -> String {
    let options = Options { without: Some(protection), ..Options::default() };
    let harmed = (0..SEEDS).map(|seed| run(seed, options)).find_map(|report| Some((report.seed, report.broken?)));
    let (seed, harm) = harmed.unwrap_or_else(|| panic!("{SEEDS} seeds did well without {protection:?}"));
    println!("without {protection:?}, seed {seed}: {harm}");
    harm
}

#[test]
fn without_the_expected_stage_a_task_moves_where_nobody_sent_it() {
    harm_without(Protection::Expectation);
}

#[test]
fn without_epochs_a_former_owner_does_harm() {
    harm_without(Protection::Epoch);
}

#[test]
fn without_the_lease_two_are_in_one_region() {
    harm_without(Protection::Lease);
}

#[test]
fn without_the_journal_an_act_is_done_twice() {
    harm_without(Protection::Journal);
}
