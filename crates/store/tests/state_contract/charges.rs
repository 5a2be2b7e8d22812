//! What is spent: once, exactly, and off the lease.

use super::*;

pub async fn the_same_sequence_counts_once(store: &dyn StateStore) {
    let counter = hourly();
    let once = charge(&counter, [1, 2, 3, 4], 7);
    assert_eq!(step(store, "a", once.clone()).await.spent, [1, 2, 3, 4]);
    assert_eq!(step(store, "a", once).await.spent, [1, 2, 3, 4]);
}

pub async fn a_lower_sequence_counts_nothing(store: &dyn StateStore) {
    let counter = hourly();
    step(store, "a", charge(&counter, [1; 4], 7)).await;
    assert_eq!(step(store, "a", charge(&counter, [1; 4], 6)).await.spent, [1; 4]);
    assert_eq!(step(store, "a", charge(&counter, [1; 4], 8)).await.spent, [2; 4]);
}

pub async fn sequences_are_a_nodes_own_and_a_counters_own(store: &dyn StateStore) {
    let (one, other) = (hourly(), hourly());
    step(store, "a", charge(&one, [1; 4], 7)).await;
    assert_eq!(step(store, "b", charge(&one, [1; 4], 3)).await.spent, [2; 4]);
    assert_eq!(step(store, "a", charge(&other, [1; 4], 3)).await.spent, [1; 4]);
}

pub async fn a_sequence_is_kept_of_a_node_that_holds_nothing(store: &dyn StateStore) {
    let counter = hourly();
    step(store, "a", charge(&counter, [1; 4], 3)).await;
    step(store, "b", look(&counter)).await;
    assert_eq!(step(store, "a", charge(&counter, [1; 4], 3)).await.spent, [1; 4]);
}

pub async fn sequences_are_compared_exactly(store: &dyn StateStore) {
    // Above 2^53 a floating-point number does not know them apart.
    for (at, next) in [(9_007_199_254_740_992, 9_007_199_254_740_993), (9, 10), (u64::MAX - 1, u64::MAX)] {
        let counter = hourly();
        step(store, "a", charge(&counter, [1; 4], at)).await;
        assert_eq!(step(store, "a", charge(&counter, [1; 4], next)).await.spent, [2; 4], "{next}");
        assert_eq!(step(store, "a", charge(&counter, [1; 4], at)).await.spent, [2; 4], "{at}");
    }
}

pub async fn what_is_spent_shrinks_the_lease(store: &dyn StateStore) {
    let counter = hourly();
    step(store, "a", hold(&counter, [10, 20, 30, 40])).await;
    step(store, "b", hold(&counter, [1; 4])).await;
    let state = step(store, "a", charge(&counter, [1, 2, 3, 4], 1)).await;
    assert_eq!(state.held, [9, 18, 27, 36]);
    assert_eq!(state.held_by_others, [1; 4]);
    let large = 900_000_000_000_000_003;
    step(store, "a", hold(&counter, [large; 4])).await;
    let state = step(store, "a", charge(&counter, [1, 2, large - 1, large], 2)).await;
    assert_eq!(state.held, [large - 1, large - 2, 1, 0], "no digit is lost");
}

pub async fn a_lease_never_shrinks_below_nothing(store: &dyn StateStore) {
    let counter = hourly();
    step(store, "a", hold(&counter, [5, 0, 5, 5])).await;
    let state = step(store, "a", charge(&counter, [6, 1, 5, 1], 1)).await;
    assert_eq!(state.held, [0, 0, 0, 4]);
    assert_eq!(state.spent, [6, 1, 5, 1]);
}

pub async fn a_repeated_charge_shrinks_the_lease_once(store: &dyn StateStore) {
    let counter = hourly();
    step(store, "a", hold(&counter, [10; 4])).await;
    for _ in 0..3 {
        assert_eq!(step(store, "a", charge(&counter, [4; 4], 1)).await.held, [6; 4]);
    }
}

pub async fn sums_are_exact_beyond_53_bits(store: &dyn StateStore) {
    let counter = hourly();
    let odd = 9_007_199_254_740_993;
    assert_eq!(step(store, "a", charge(&counter, [odd; 4], 1)).await.spent, [odd; 4]);
    assert_eq!(step(store, "b", charge(&counter, [1; 4], 1)).await.spent, [odd + 1; 4]);
    let large = 1_000_000_000_000_000_001;
    assert_eq!(step(store, "a", charge(&counter, [large; 4], 2)).await.spent, [odd + 1 + large; 4]);
    assert_eq!(step(store, "a", hold(&counter, [large; 4])).await.held, [large; 4]);
    let seen = step(store, "b", hold(&counter, [odd; 4])).await;
    assert_eq!((seen.held_by_others, seen.held), ([large; 4], [odd; 4]));
    let seen = step(store, "c", look(&counter)).await;
    assert_eq!(seen.held_by_others, [large + odd; 4]);
}

/// A count that turned out to be too high is corrected.
pub async fn negative_figures_are_taken_off(store: &dyn StateStore) {
    let counter = hourly();
    step(store, "a", charge(&counter, [10; 4], 1)).await;
    assert_eq!(step(store, "a", charge(&counter, [-3, 0, 2, -12], 2)).await.spent, [7, 10, 12, -2]);
}

pub async fn versions_grow_with_each_change(store: &dyn StateStore) {
    let counter = hourly();
    let steps = [
        charge(&counter, [1; 4], 1),
        charge(&counter, [1; 4], 2),
        hold(&counter, [1; 4]),
        hold(&counter, [2; 4]),
        charge(&counter, [1; 4], 3),
    ];
    let mut last = step(store, "a", look(&counter)).await.version;
    for (at, exchange) in steps.into_iter().enumerate() {
        let node = ["a", "b"][at % 2];
        let version = step(store, node, exchange).await.version;
        assert!(version > last, "step {at}: {version} after {last}");
        last = version;
    }
    assert!(step(store, "c", look(&counter)).await.version >= last);
}

pub async fn steps_are_answered_in_their_order(store: &dyn StateStore) {
    let counters: Vec<_> = (0..600).map(|_| hourly()).collect();
    let steps: Vec<_> =
        counters.iter().zip(1..).map(|(counter, at)| charge(counter, [at, 2 * at, 0, 1], 1)).collect();
    let states = store.exchange("a", &steps).await.unwrap();
    let spent: Vec<_> = states.iter().map(|state| state.spent).collect();
    assert_eq!(spent, (1..=600).map(|at| [at, 2 * at, 0, 1]).collect::<Vec<_>>());
    assert_eq!(store.exchange("a", &[]).await.unwrap(), []);
}
