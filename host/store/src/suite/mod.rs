//! The tests that every store must pass (D3).
//!
//! A store's own tests name it once: `stagewright_store::store_suite!(…)` with a [`Place`] makes a test of
//! each case. The cases know nothing about files or servers; what only one kind of store can do or suffer is
//! tested beside that store.
//!
//! Several [handles](Place::open) of one store stand for several processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "these are tests, though they are compiled as a library so that other stores can run them"
)]
#![allow(missing_docs, reason = "the names of the cases say what they test")]

use std::sync::Arc;

use crate::Store;

pub mod effects;
pub mod jobs;
pub mod leases;
pub mod log;
pub mod models;
pub mod races;
pub mod recovery;
pub mod runs;
pub mod tasks;
pub mod transitions;
pub mod watching;
mod world;

/// One new and empty store, for one case.
pub trait Place: Send + Sync {
    /// Another handle of the same store, as another process would have it.
    fn open(&self) -> Arc<dyn Store>;
}

/// Makes a test of every case, each in a new store from `$place`, an expression that gives a [`Place`].
#[macro_export]
macro_rules! store_suite {
    ($place:expr) => {
        $crate::store_suite! { @cases $place;
            tasks:
                a_task_that_exists_is_answered_as_it_is
                a_task_needs_its_repository
                a_repository_can_move_to_another_path
                tasks_are_listed_page_by_page_and_by_what_is_asked
                a_branch_head_is_kept_apart_from_the_examined_commit
                a_hold_keeps_its_reason_and_stops_the_waiting_job
                a_task_is_held_only_while_it_is_active_and_its_first_reason_stays
                resume_puts_the_held_job_back_with_its_deferrals_forgotten
                a_task_that_is_not_held_can_not_be_resumed;
            jobs:
                a_second_job_for_a_task_is_answered_with_the_live_one
                a_waiting_job_for_an_older_commit_is_superseded
                a_job_for_another_stage_is_not_queued
                a_claim_raises_the_epoch_and_names_its_owner
                a_job_is_claimed_once
                a_claim_for_a_stage_that_has_moved_is_refused
                a_deferred_job_is_not_claimed_before_its_time
            a_deferred_job_that_a_person_asks_for_is_claimed_at_once_and_its_deferrals_stay_counted
                a_held_job_is_not_claimed
                an_instance_that_is_not_registered_claims_nothing
                the_host_limit_counts_the_jobs_of_every_handle
                a_producer_at_its_limit_does_not_hold_up_the_others
                the_oldest_due_job_is_claimed_first
                a_job_that_was_given_back_waits_behind_those_that_were_there_before
                a_queued_job_is_due_though_the_clock_was_set_back
                a_task_in_somebodys_region_is_passed_over
                a_worker_takes_only_jobs_of_the_repositories_of_its_lane;
            runs:
                a_deferral_keeps_the_jobs_id_and_gives_the_next_run_its_own
                a_held_run_holds_its_task
                a_run_that_was_overtaken_can_not_write_its_end
                a_job_is_given_up_even_after_its_epoch_has_passed
                a_run_ends_once
                what_a_run_did_is_kept_with_it
                a_run_of_a_held_task_goes_back_to_the_held_ones
                a_finished_job_is_about_the_commit_of_its_verdict;
            leases:
                a_lease_raises_the_epoch
                a_second_actor_gets_no_lease
                a_lease_is_refused_at_another_stage
                a_lease_is_refused_for_an_epoch_that_has_passed
                a_released_lease_can_be_taken_again
                a_lease_is_released_by_its_owner_only_and_once
                a_forced_release_fences_the_owner_and_leaves_its_effects_unresolved
                nobody_claims_a_job_while_somebody_is_in_the_region
                without_deference_a_claim_fences_whoever_is_in_the_region
                one_task_of_a_repository_is_in_a_region_with_effects
                nobody_enters_the_region_of_a_held_task
                without_deference_a_lease_is_taken_over_and_its_owner_fenced
                a_transition_that_is_put_off_is_found_again_when_it_is_due
                a_held_transition_goes_on_when_the_hold_is_taken_off
                the_region_is_left_for_a_finished_job_of_its_task_only
                a_fenced_task_takes_nothing_from_who_had_it;
            transitions:
                a_verdict_its_artifact_and_the_stage_are_written_together
                a_stage_is_written_only_from_the_expected_one
                a_stage_is_written_only_with_the_current_epoch
                a_run_whose_task_was_entered_by_another_can_not_conclude
                a_stage_is_not_written_past_a_lease_of_another
                without_deference_a_stage_is_written_past_a_lease_and_still_not_past_stage_and_epoch
                a_stage_is_not_written_with_a_lease_that_is_gone
                a_lease_of_an_earlier_epoch_writes_nothing
                a_conclusion_releases_its_lease_and_queues_the_next_job
                a_rollback_spends_an_attempt
                a_move_supersedes_the_job_of_the_old_stage
                a_refused_conclusion_leaves_nothing_behind
                a_finished_job_is_completed_later
                a_held_task_is_moved_by_a_person_only
                an_artifact_that_is_not_its_digest_is_refused;
            effects:
                an_effect_is_intended_under_the_lease_only
                of_a_held_task_nothing_new_is_intended
                the_same_key_is_intended_once
                an_effect_is_settled_once
                an_unresolved_effect_can_be_settled_by_who_looked
                a_fenced_owner_settles_nothing
                an_effect_that_was_not_done_is_intended_again_by_who_holds_the_lease
                an_effect_that_was_done_or_is_unresolved_is_not_intended_again
                what_a_stale_transition_has_done_is_unresolved
                the_effects_of_a_completed_transition_stay_as_they_ended
                what_was_done_or_certainly_not_done_stays_so;
            recovery:
                running_jobs_of_the_dead_are_requeued_and_its_leases_released
                a_dead_owner_that_was_not_dead_writes_nothing
                the_living_keep_what_they_have
                a_lease_is_reclaimed_from_the_dead_only
                an_instance_that_owns_something_is_not_retired;
            log:
                every_change_writes_an_event
                a_refused_change_writes_none
                events_are_read_on_from_where_one_was
                what_becomes_of_a_lease_and_of_its_effects_is_told;
            models:
                what_models_cost_is_asked_by_task_and_by_time
                what_models_cost_is_added_up_by_role
                a_call_for_a_task_that_is_not_there_is_refused;
            watching:
                an_overview_counts_what_is_live_and_every_task
                an_overview_counts_open_and_unresolved_effects
                live_jobs_come_page_by_page_running_ones_first
                jobs_of_a_state_are_paged_by_their_ids
                the_jobs_of_a_task_come_newest_first
                events_are_counted_by_kind_from_where_one_was;
            races:
                of_many_that_want_one_transition_one_wins
                of_many_that_enqueue_one_job_is_made
                of_many_that_claim_one_gets_each_job
                an_advance_and_a_rollback_never_both_happen;
        }
    };
    (@cases $place:expr; $($module:ident: $($case:ident)+;)+) => {
        $(
            mod $module {
                use super::*;
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $case() {
                        let place = $place;
                        $crate::suite::$module::$case(&place).await;
                    }
                )+
            }
        )+
    };
}
