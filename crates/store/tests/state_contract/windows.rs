//! Windows: when they begin and end, and what counts in them.

use super::*;

fn rolling(length_ms: u64) -> Counter {
    counter(CounterWindow::Rolling { length_ms })
}

/// Milliseconds that a step may take on a busy machine.
const SLACK: i64 = 2_000;

fn assert_ends_in(state: CounterState, expected: i64) {
    let ends = state.ends_in_ms.expect("no window runs");
    assert!((expected - SLACK..=expected).contains(&ends), "it ends in {ends} ms, not in {expected}");
}

pub async fn a_window_begins_with_its_first_use(store: &dyn StateStore) {
    let counter = rolling(60_000);
    assert_ends_in(step(store, "a", look(&counter)).await, 60_000);
    passes(Duration::from_millis(30)).await;
    let later = step(store, "b", charge(&counter, [1; 4], 1)).await;
    assert!(later.ends_in_ms.unwrap() <= 60_000 - 30, "another use does not lengthen it");
}

pub async fn a_window_that_is_over_begins_anew_with_the_next_use(store: &dyn StateStore) {
    let counter = rolling(200);
    step(store, "a", charge(&counter, [5; 4], 1)).await;
    passes(Duration::from_millis(250)).await;
    let found = store.counters("a", &counter.key, 10).await.unwrap();
    for (_, state) in found {
        assert_eq!((state.spent, state.ends_in_ms), (NOTHING, None), "it does not begin by being looked at");
    }
    let anew = step(store, "a", look(&counter)).await;
    assert_eq!(anew.spent, NOTHING);
    assert!((1..=200).contains(&anew.ends_in_ms.unwrap()));
}

pub async fn a_charge_from_before_the_window_is_left_out(store: &dyn StateStore) {
    let counter = rolling(2_000);
    step(store, "a", charge(&counter, [1; 4], 1)).await;
    let at = now_ms();
    passes(Duration::from_millis(2_100)).await;
    let state = step(store, "a", hold(&counter, [8; 4])).await;
    assert_eq!((state.spent, state.held), (NOTHING, [8; 4]));
    let state = step(store, "a", charge_at(&counter, [5; 4], 2, at + 1_500)).await;
    assert_eq!(state.spent, NOTHING);
    assert_eq!(state.held, [3; 4], "what it was held for has ended all the same");
    let state = step(store, "a", charge_at(&counter, [5; 4], 2, now_ms())).await;
    assert_eq!(state.spent, NOTHING, "its sequence number is used up");
    assert_eq!(step(store, "a", charge(&counter, [2; 4], 3)).await.spent, [2; 4]);
}

pub async fn a_charge_begins_a_window_at_its_own_time(store: &dyn StateStore) {
    let counter = rolling(60_000);
    let state = step(store, "a", charge_at(&counter, [5; 4], 1, now_ms() - 10_000)).await;
    assert_eq!(state.spent, [5; 4]);
    assert_ends_in(state, 50_000);
    // One that was made before it, and comes later, was there first: neither is lost.
    let state = step(store, "b", charge_at(&counter, [5; 4], 1, now_ms() - 20_000)).await;
    assert_eq!(state.spent, [10; 4]);
    assert_ends_in(state, 40_000);
    let state = step(store, "c", charge_at(&counter, [5; 4], 1, now_ms() - 61_000)).await;
    assert_eq!(state.spent, [10; 4], "with this one it would be over");
    assert_ends_in(state, 40_000);
    let state = step(store, "b", charge_at(&counter, [5; 4], 1, now_ms() - 30_000)).await;
    assert_eq!(state.spent, [10; 4], "one that was counted before");
    assert_ends_in(state, 40_000);
    // A window that is over is followed by one that begins with the charge.
    let counter = rolling(2_000);
    step(store, "a", charge_at(&counter, [7; 4], 1, now_ms() - 1_900)).await;
    passes(Duration::from_millis(600)).await;
    let at = now_ms() - 300;
    let state = step(store, "a", charge_at(&counter, [1; 4], 2, at)).await;
    assert_eq!(state.spent, [1; 4]);
    assert!(state.ends_in_ms.unwrap() <= 1_700);
}

pub async fn a_charge_that_is_older_than_a_window_is_left_out(store: &dyn StateStore) {
    let counter = rolling(60_000);
    let state = step(store, "a", charge_at(&counter, [5; 4], 1, now_ms() - 61_000)).await;
    assert_eq!(state.spent, NOTHING);
    assert_ends_in(state, 60_000);
}

pub async fn a_window_until_a_moment_ends_there_and_has_no_beginning(store: &dyn StateStore) {
    let counter = counter(CounterWindow::Until { at_ms: now_ms() + 60_000 });
    let state = step(store, "a", charge_at(&counter, [5; 4], 1, now_ms() - 86_400_000)).await;
    assert_eq!(state.spent, [5; 4]);
    assert_ends_in(state, 60_000);
    passes(Duration::from_millis(20)).await;
    let state = step(store, "a", charge(&counter, [1; 4], 2)).await;
    assert_eq!(state.spent, [6; 4]);
    assert!(state.ends_in_ms.unwrap() <= 60_000 - 20);
}

/// The next window has another key: there is nothing that it could be added to by mistake.
pub async fn what_is_charged_after_the_moment_still_counts(store: &dyn StateStore) {
    let counter = counter(CounterWindow::Until { at_ms: now_ms() + 100 });
    step(store, "a", charge(&counter, [5; 4], 1)).await;
    passes(Duration::from_millis(150)).await;
    let state = step(store, "a", charge(&counter, [1; 4], 2)).await;
    assert_eq!((state.spent, state.ends_in_ms), ([6; 4], None));
}

pub async fn leases_outlive_the_window(store: &dyn StateStore) {
    let counter = rolling(200);
    step(store, "a", hold(&counter, [3; 4])).await;
    step(store, "b", hold(&counter, [4; 4])).await;
    passes(Duration::from_millis(250)).await;
    let state = step(store, "a", look(&counter)).await;
    assert_eq!((state.held, state.held_by_others), ([3; 4], [4; 4]));
}
