//! What every store of state does, as statements about the trait alone. A store's own test file names how it is opened:
//!
//! ```ignore
//! mod state_contract;
//! /// `None`: there is no server to test with.
//! async fn open(lease: Duration) -> Option<Box<dyn StateStore>> { … }
//! state_contract!(open);
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gateway_engine::state::{
    Counter, CounterState, CounterWindow, Exchange, Figures, GrantRule, LeaseRequest, Spent, StateStore,
};

pub mod buckets;
pub mod charges;
pub mod counters;
pub mod interleavings;
pub mod leases;
pub mod rules;
pub mod values;
pub mod windows;

/// Of tests that wait until leases lapse.
pub const SHORT_LEASE: Duration = Duration::from_millis(300);
/// Of all others: none lapses, however slow the machine is.
pub const LONG_LEASE: Duration = Duration::from_secs(600);

/// One test for each statement.
#[macro_export]
macro_rules! state_contract {
    ($open:path) => {
        state_contract! { @$open; LONG_LEASE;
            buckets:
                a_full_bucket_is_there_at_the_start
                a_refused_take_takes_from_no_bucket
                the_longer_wait_is_told_and_the_first_of_equals
                a_bucket_fills_evenly
                what_is_larger_than_a_bucket_waits_for_a_full_one_and_leaves_a_debt
                what_takes_nothing_needs_nothing
                what_is_given_back_can_be_taken_again
                a_bucket_never_holds_more_than_a_minutes_worth
                takes_are_each_for_itself_and_keys_apart
                figures_at_the_ends_of_their_range_are_taken;
            charges:
                the_same_sequence_counts_once
                a_lower_sequence_counts_nothing
                sequences_are_a_nodes_own_and_a_counters_own
                a_sequence_is_kept_of_a_node_that_holds_nothing
                sequences_are_compared_exactly
                what_is_spent_shrinks_the_lease
                a_lease_never_shrinks_below_nothing
                a_repeated_charge_shrinks_the_lease_once
                sums_are_exact_beyond_53_bits
                negative_figures_are_taken_off
                versions_grow_with_each_change
                steps_are_answered_in_their_order;
            counters:
                counters_are_found_by_their_prefix
                no_more_counters_are_told_than_asked_for
                signs_of_patterns_in_a_prefix_mean_themselves
                counters_that_are_looked_at_do_not_change;
            interleavings:
                any_order_of_steps_gives_what_the_rules_say
                strict_nodes_at_once_never_pass_a_limit;
            leases:
                a_lease_that_is_not_asked_for_stays_as_it_is
                a_new_lease_takes_the_place_of_the_old_one
                leases_of_other_nodes_are_seen;
            rules:
                always_grants_want_and_spare
                within_grants_spare_while_it_fits
                within_grants_what_is_wanted_where_spare_does_not_fit
                within_keeps_what_is_held_in_any_case
                a_sum_that_is_exactly_the_limit_is_granted
                every_place_with_a_limit_has_to_fit
                a_place_without_a_limit_never_refuses
                until_lets_the_last_ones_go_beyond_the_limit
                until_grants_spare_only_where_it_fits
                until_grants_nothing_more_beyond_the_limit
                a_nodes_own_old_lease_does_not_count_against_it;
            values:
                a_value_is_there_while_it_lasts
                a_value_takes_the_place_of_the_old_one
                values_are_bytes
                a_notice_is_read_by_all_until_it_is_taken_down
                a_notice_takes_the_place_of_the_one_of_its_name
                a_notice_that_lasts_no_time_is_taken_down
                boards_are_apart;
            windows:
                a_window_begins_with_its_first_use
                a_window_that_is_over_begins_anew_with_the_next_use
                a_charge_from_before_the_window_is_left_out
                a_charge_begins_a_window_at_its_own_time
                a_charge_that_is_older_than_a_window_is_left_out
                a_window_until_a_moment_ends_there_and_has_no_beginning
                what_is_charged_after_the_moment_still_counts
                leases_outlive_the_window;
        }
        state_contract! { @$open; SHORT_LEASE;
            leases:
                a_lease_lapses_after_its_time
                a_lease_that_is_renewed_holds
                what_lapsed_is_free_for_others
                a_sequence_outlasts_its_lease;
        }
    };
    (@$open:path; $lease:ident; $($module:ident: $($statement:ident)*;)*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $statement() {
                let Some(store) = $open(state_contract::$lease).await else { return };
                state_contract::$module::$statement(&*store).await;
                store.close().await;
            }
        )*)*
    };
}

pub const NOTHING: Figures = [0; 4];
pub const HOUR: CounterWindow = CounterWindow::Rolling { length_ms: 3_600_000 };

/// A key that no other test has, in this run or an earlier one.
pub fn fresh(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("test-{:x}-{:x}-{count}:{name}", now_ms(), std::process::id())
}

pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

pub fn counter(window: CounterWindow) -> Counter {
    Counter { key: fresh("counter").into(), window }
}

pub fn hourly() -> Counter {
    counter(HOUR)
}

pub fn look(counter: &Counter) -> Exchange {
    Exchange { counter: counter.clone(), spent: None, lease: None }
}

pub fn charge(counter: &Counter, figures: Figures, sequence: u64) -> Exchange {
    charge_at(counter, figures, sequence, now_ms())
}

pub fn charge_at(counter: &Counter, figures: Figures, sequence: u64, at_ms: i64) -> Exchange {
    Exchange { spent: Some(Spent { figures, at_ms, sequence }), ..look(counter) }
}

pub fn lease(counter: &Counter, [keep, want, spare]: [Figures; 3], rule: GrantRule) -> Exchange {
    Exchange { lease: Some(LeaseRequest { keep, want, spare, rule }), ..look(counter) }
}

/// Holds so much in any case.
pub fn hold(counter: &Counter, keep: Figures) -> Exchange {
    lease(counter, [keep, keep, NOTHING], GrantRule::Always)
}

pub async fn step(store: &dyn StateStore, node: &str, exchange: Exchange) -> CounterState {
    let states = store.exchange(node, &[exchange]).await.unwrap();
    assert_eq!(states.len(), 1);
    states[0]
}

pub async fn passes(time: Duration) {
    tokio::time::sleep(time).await;
}
