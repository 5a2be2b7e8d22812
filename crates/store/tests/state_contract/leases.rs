//! Leases: how they are held, renewed and lost.

use super::*;

pub async fn a_lease_that_is_not_asked_for_stays_as_it_is(store: &dyn StateStore) {
    let counter = hourly();
    step(store, "a", hold(&counter, [1, 2, 3, 4])).await;
    assert_eq!(step(store, "a", look(&counter)).await.held, [1, 2, 3, 4]);
}

pub async fn a_new_lease_takes_the_place_of_the_old_one(store: &dyn StateStore) {
    let counter = hourly();
    step(store, "a", hold(&counter, [9; 4])).await;
    assert_eq!(step(store, "a", hold(&counter, [1, 20, 0, 9])).await.held, [1, 20, 0, 9]);
    // Sent again, as after a reply that was lost, it means the same.
    assert_eq!(step(store, "a", hold(&counter, [1, 20, 0, 9])).await.held, [1, 20, 0, 9]);
    assert_eq!(step(store, "a", hold(&counter, NOTHING)).await.held, NOTHING);
}

pub async fn leases_of_other_nodes_are_seen(store: &dyn StateStore) {
    let counter = hourly();
    let first = step(store, "a", hold(&counter, [1, 2, 3, 4])).await;
    assert_eq!(first.held_by_others, NOTHING);
    step(store, "b", hold(&counter, [10; 4])).await;
    // Names of nodes are any text.
    step(store, "c 1:2|é", hold(&counter, [100; 4])).await;
    let state = step(store, "a", look(&counter)).await;
    assert_eq!((state.held, state.held_by_others), ([1, 2, 3, 4], [110; 4]));
    let state = step(store, "d", look(&counter)).await;
    assert_eq!((state.held, state.held_by_others), (NOTHING, [111, 112, 113, 114]));
}

pub async fn a_lease_lapses_after_its_time(store: &dyn StateStore) {
    let counter = hourly();
    step(store, "a", hold(&counter, [5; 4])).await;
    passes(SHORT_LEASE + Duration::from_millis(50)).await;
    assert_eq!(step(store, "b", look(&counter)).await.held_by_others, NOTHING);
    assert_eq!(step(store, "a", look(&counter)).await.held, NOTHING);
    // A charge shrinks what is there, which is nothing, and counts.
    let state = step(store, "a", charge(&counter, [2; 4], 1)).await;
    assert_eq!((state.spent, state.held), ([2; 4], NOTHING));
    assert_eq!(step(store, "a", hold(&counter, [5; 4])).await.held, [5; 4]);
}

pub async fn a_lease_that_is_renewed_holds(store: &dyn StateStore) {
    let counter = hourly();
    step(store, "a", hold(&counter, [5; 4])).await;
    // Longer than one lease in all.
    for _ in 0..10 {
        passes(SHORT_LEASE / 6).await;
        step(store, "a", hold(&counter, [5; 4])).await;
    }
    assert_eq!(step(store, "b", look(&counter)).await.held_by_others, [5; 4]);
}

pub async fn what_lapsed_is_free_for_others(store: &dyn StateStore) {
    let counter = hourly();
    let rule = GrantRule::Within([Some(10), None, None, None]);
    let wants = |want| lease(&counter, [NOTHING, [want, 0, 0, 0], NOTHING], rule);
    assert_eq!(step(store, "a", wants(8)).await.held[0], 8);
    assert_eq!(step(store, "b", wants(8)).await.held[0], 0);
    passes(SHORT_LEASE + Duration::from_millis(50)).await;
    assert_eq!(step(store, "b", wants(8)).await.held[0], 8);
}

pub async fn a_sequence_outlasts_its_lease(store: &dyn StateStore) {
    let counter = hourly();
    let mut both = hold(&counter, [5; 4]);
    both.spent = charge(&counter, [1; 4], 3).spent;
    step(store, "a", both).await;
    passes(SHORT_LEASE + Duration::from_millis(50)).await;
    step(store, "b", hold(&counter, [5; 4])).await;
    assert_eq!(step(store, "a", charge(&counter, [1; 4], 3)).await.spent, [1; 4]);
}
