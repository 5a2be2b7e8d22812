//! Token buckets: the arithmetic of `limits::rate`, over all nodes.

use gateway_engine::state::{Take, Taken};

use super::*;

fn take(key: &str, buckets: &[(u64, i64)]) -> Take {
    Take { key: key.into(), buckets: buckets.to_vec() }
}

async fn taken(store: &dyn StateStore, key: &str, buckets: &[(u64, i64)]) -> Taken {
    let taken = store.take(&[take(key, buckets)]).await.unwrap();
    assert_eq!(taken.len(), 1);
    taken[0]
}

async fn assert_taken(store: &dyn StateStore, key: &str, buckets: &[(u64, i64)]) {
    assert_eq!(taken(store, key, buckets).await, Taken::All, "{buckets:?}");
}

/// Refused by `bucket`, with a wait of `expected` milliseconds less those that have passed.
async fn assert_refused(
    store: &dyn StateStore,
    key: &str,
    buckets: &[(u64, i64)],
    bucket: usize,
    expected: u64,
) {
    match taken(store, key, buckets).await {
        Taken::Nothing { bucket: refused, wait_ms } => {
            assert_eq!(refused, bucket, "{buckets:?}");
            let least = expected.saturating_sub(2_000);
            assert!((least..=expected).contains(&wait_ms), "{buckets:?}: {wait_ms} ms, not {expected}");
        }
        Taken::All => panic!("{buckets:?} were taken"),
    }
}

pub async fn a_full_bucket_is_there_at_the_start(store: &dyn StateStore) {
    let key = &fresh("bucket");
    assert_taken(store, key, &[(100, 100)]).await;
    assert_refused(store, key, &[(100, 10)], 0, 6_000).await;
    assert_refused(store, key, &[(100, 100)], 0, 60_000).await;
}

pub async fn a_refused_take_takes_from_no_bucket(store: &dyn StateStore) {
    let key = &fresh("bucket");
    assert_taken(store, key, &[(10, 1), (100, 90)]).await;
    for _ in 0..20 {
        assert_refused(store, key, &[(10, 1), (100, 50)], 1, 24_000).await;
    }
    // Nine requests are left: refused takes did not count.
    for _ in 0..9 {
        assert_taken(store, key, &[(10, 1), (100, 0)]).await;
    }
    for _ in 0..20 {
        assert_refused(store, key, &[(10, 1), (100, 5)], 0, 6_000).await;
    }
    assert_taken(store, key, &[(10, 0), (100, 10)]).await;
}

pub async fn the_longer_wait_is_told_and_the_first_of_equals(store: &dyn StateStore) {
    let key = &fresh("bucket");
    assert_taken(store, key, &[(2, 2), (60, 60)]).await;
    assert_refused(store, key, &[(2, 1), (60, 10)], 0, 30_000).await;
    assert_refused(store, key, &[(2, 1), (60, 40)], 1, 40_000).await;
    let key = &fresh("bucket");
    assert_taken(store, key, &[(60, 60), (60, 60)]).await;
    assert_refused(store, key, &[(60, 7), (60, 7)], 0, 7_000).await;
}

pub async fn a_bucket_fills_evenly(store: &dyn StateStore) {
    let key = &fresh("bucket");
    // One each 100 ms.
    assert_taken(store, key, &[(600, 600)]).await;
    let Taken::Nothing { wait_ms, .. } = taken(store, key, &[(600, 3)]).await else { panic!("it is empty") };
    assert!((1..=300).contains(&wait_ms), "{wait_ms}");
    passes(Duration::from_millis(wait_ms)).await;
    assert_taken(store, key, &[(600, 3)]).await;
}

pub async fn what_is_larger_than_a_bucket_waits_for_a_full_one_and_leaves_a_debt(store: &dyn StateStore) {
    let key = &fresh("bucket");
    assert_taken(store, key, &[(60_000, 100)]).await;
    let Taken::Nothing { wait_ms, .. } = taken(store, key, &[(60_000, 150_000)]).await else {
        panic!("it is not full")
    };
    assert!((1..=100).contains(&wait_ms), "{wait_ms}");
    passes(Duration::from_millis(wait_ms)).await;
    assert_taken(store, key, &[(60_000, 150_000)]).await;
    // 90,000 above the bucket: after 90 s it is empty, and 6,000 more take 6 s.
    assert_refused(store, key, &[(60_000, 6_000)], 0, 96_000).await;
}

pub async fn what_takes_nothing_needs_nothing(store: &dyn StateStore) {
    let key = &fresh("bucket");
    assert_taken(store, key, &[(1, 50)]).await;
    assert_taken(store, key, &[(1, 0)]).await;
    assert_taken(store, key, &[]).await;
}

pub async fn what_is_given_back_can_be_taken_again(store: &dyn StateStore) {
    let key = &fresh("bucket");
    assert_taken(store, key, &[(1, 1), (100, 100)]).await;
    assert_refused(store, key, &[(1, 1), (100, 50)], 0, 60_000).await;
    assert_taken(store, key, &[(1, -1), (100, -60)]).await;
    assert_taken(store, key, &[(1, 1), (100, 60)]).await;
    assert_refused(store, key, &[(1, 0), (100, 10)], 1, 6_000).await;
}

pub async fn a_bucket_never_holds_more_than_a_minutes_worth(store: &dyn StateStore) {
    let key = &fresh("bucket");
    assert_taken(store, key, &[(10, -1_000)]).await;
    assert_taken(store, key, &[(10, 10)]).await;
    assert_refused(store, key, &[(10, 1)], 0, 6_000).await;
}

pub async fn takes_are_each_for_itself_and_keys_apart(store: &dyn StateStore) {
    let keys = [fresh("bucket"), fresh("bucket"), fresh("bucket")];
    assert_taken(store, &keys[1], &[(10, 10)]).await;
    let takes: Vec<_> = keys.iter().map(|key| take(key, &[(10, 10)])).collect();
    let taken = store.take(&takes).await.unwrap();
    assert_eq!((taken[0], taken[2]), (Taken::All, Taken::All));
    assert!(matches!(taken[1], Taken::Nothing { bucket: 0, .. }));
    assert_eq!(store.take(&[]).await.unwrap(), []);
}

pub async fn figures_at_the_ends_of_their_range_are_taken(store: &dyn StateStore) {
    let key = &fresh("bucket");
    assert_taken(store, key, &[(u64::MAX, i64::MAX)]).await;
    assert_taken(store, key, &[(u64::MAX, i64::MIN)]).await;
    let key = &fresh("bucket");
    assert_taken(store, key, &[(1, i64::MAX)]).await;
    let Taken::Nothing { wait_ms, .. } = taken(store, key, &[(1, 1)]).await else { panic!("it is in debt") };
    assert!(wait_ms > 1_000_000_000_000);
    let key = &fresh("bucket");
    assert_taken(store, key, &[(0, 1)]).await;
    assert_refused(store, key, &[(0, 1)], 0, 60_000).await;
}
