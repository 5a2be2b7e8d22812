//! When a lease may grow.

use super::*;

const fn first(figure: i64) -> Figures {
    [figure, 0, 0, 0]
}

const fn limit(limit: i64) -> [Option<i64>; 4] {
    [Some(limit), None, None, None]
}

/// What a node holds in the first place that asks for `keep`, `want` and `spare` there, where 10 are spent and another
/// node holds 20.
async fn granted(store: &dyn StateStore, [keep, want, spare]: [i64; 3], rule: GrantRule) -> i64 {
    let counter = hourly();
    step(store, "other", charge(&counter, first(10), 1)).await;
    step(store, "other", hold(&counter, first(20))).await;
    let state = step(store, "a", lease(&counter, [first(keep), first(want), first(spare)], rule)).await;
    assert_eq!((state.spent, state.held_by_others), (first(10), first(20)));
    let again = step(store, "b", look(&counter)).await;
    assert_eq!(again.held_by_others[0], 20 + state.held[0], "it holds what it was told");
    state.held[0]
}

pub async fn always_grants_want_and_spare(store: &dyn StateStore) {
    assert_eq!(granted(store, [1, 5, 1_000], GrantRule::Always).await, 1_005);
}

pub async fn within_grants_spare_while_it_fits(store: &dyn StateStore) {
    assert_eq!(granted(store, [1, 5, 15], GrantRule::Within(limit(50))).await, 20);
}

pub async fn within_grants_what_is_wanted_where_spare_does_not_fit(store: &dyn StateStore) {
    assert_eq!(granted(store, [1, 5, 16], GrantRule::Within(limit(50))).await, 5);
}

pub async fn within_keeps_what_is_held_in_any_case(store: &dyn StateStore) {
    assert_eq!(granted(store, [4, 21, 0], GrantRule::Within(limit(50))).await, 4);
    assert_eq!(granted(store, [30, 31, 0], GrantRule::Within(limit(50))).await, 30, "also beyond the limit");
}

pub async fn a_sum_that_is_exactly_the_limit_is_granted(store: &dyn StateStore) {
    assert_eq!(granted(store, [0, 20, 0], GrantRule::Within(limit(50))).await, 20);
    assert_eq!(granted(store, [20, 25, 0], GrantRule::Until(limit(50))).await, 25);
    assert_eq!(granted(store, [0, 0, 0], GrantRule::Within(limit(0))).await, 0);
}

pub async fn every_place_with_a_limit_has_to_fit(store: &dyn StateStore) {
    for place in 0..4 {
        let counter = hourly();
        let mut limits = [Some(10); 4];
        limits[place] = Some(9);
        let wants = lease(&counter, [[1; 4], [10; 4], NOTHING], GrantRule::Within(limits));
        assert_eq!(step(store, "a", wants).await.held, [1; 4], "place {place}");
    }
}

pub async fn a_place_without_a_limit_never_refuses(store: &dyn StateStore) {
    let counter = hourly();
    let huge = 1_000_000_000_000_000_000;
    let limits = [None, Some(10), None, None];
    for rule in [GrantRule::Within(limits), GrantRule::Until(limits), GrantRule::Within([None; 4])] {
        let wants = lease(&counter, [NOTHING, [huge, 10, huge, huge], NOTHING], rule);
        assert_eq!(step(store, "a", wants).await.held, [huge, 10, huge, huge]);
    }
}

pub async fn until_lets_the_last_ones_go_beyond_the_limit(store: &dyn StateStore) {
    assert_eq!(granted(store, [0, 500, 0], GrantRule::Until(limit(31))).await, 500);
    assert_eq!(granted(store, [15, 500, 0], GrantRule::Until(limit(45))).await, 500);
}

pub async fn until_grants_spare_only_where_it_fits(store: &dyn StateStore) {
    assert_eq!(granted(store, [0, 5, 15], GrantRule::Until(limit(50))).await, 20);
    assert_eq!(granted(store, [0, 5, 16], GrantRule::Until(limit(50))).await, 5);
}

pub async fn until_grants_nothing_more_beyond_the_limit(store: &dyn StateStore) {
    assert_eq!(granted(store, [0, 1, 0], GrantRule::Until(limit(29))).await, 0);
    assert_eq!(granted(store, [16, 17, 0], GrantRule::Until(limit(45))).await, 16);
}

pub async fn a_nodes_own_old_lease_does_not_count_against_it(store: &dyn StateStore) {
    let counter = hourly();
    let rule = GrantRule::Within(limit(10));
    step(store, "a", lease(&counter, [NOTHING, first(10), NOTHING], rule)).await;
    let again = lease(&counter, [first(1), first(10), NOTHING], rule);
    assert_eq!(step(store, "a", again).await.held, first(10));
    // What is spent in the same step counts already: 4 are spent, and 6 are left.
    let spent = charge(&counter, first(4), 1).spent;
    let seven = lease(&counter, [first(1), first(7), NOTHING], rule);
    assert_eq!(step(store, "a", Exchange { spent, ..seven }).await.held, first(1));
    let six = lease(&counter, [first(1), first(6), NOTHING], rule);
    assert_eq!(step(store, "a", six).await.held, first(6));
}
