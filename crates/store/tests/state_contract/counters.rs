//! The list of counters.

use super::*;

async fn found(store: &dyn StateStore, node: &str, prefix: &str, most: usize) -> Vec<(String, CounterState)> {
    let mut found = store.counters(node, prefix, most).await.unwrap();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

async fn charged(store: &dyn StateStore, key: String) -> Counter {
    let counter = Counter { key: key.into(), window: HOUR };
    step(store, "a", charge(&counter, [7; 4], 1)).await;
    counter
}

pub async fn counters_are_found_by_their_prefix(store: &dyn StateStore) {
    let prefix = fresh("");
    assert_eq!(found(store, "a", &prefix, 100).await, []);
    for name in ["1", "2", "3"] {
        charged(store, format!("{prefix}{name}")).await;
    }
    charged(store, fresh("elsewhere")).await;
    let other = Counter { key: format!("{prefix}2").into(), window: HOUR };
    step(store, "b", hold(&other, [4; 4])).await;
    let all = found(store, "a", &prefix, 100).await;
    let keys: Vec<_> = all.iter().map(|(key, _)| key.strip_prefix(&prefix).unwrap()).collect();
    assert_eq!(keys, ["1", "2", "3"]);
    assert!(all.iter().all(|(_, state)| state.spent == [7; 4] && state.ends_in_ms.is_some()));
    assert_eq!((all[1].1.held_by_others, all[1].1.held), ([4; 4], NOTHING));
    assert_eq!(found(store, "b", &prefix, 100).await[1].1.held, [4; 4]);
}

pub async fn no_more_counters_are_told_than_asked_for(store: &dyn StateStore) {
    let prefix = fresh("");
    for name in 0..20 {
        charged(store, format!("{prefix}{name}")).await;
    }
    assert_eq!(found(store, "a", &prefix, 7).await.len(), 7);
    assert_eq!(found(store, "a", &prefix, 20).await.len(), 20);
    assert_eq!(found(store, "a", &prefix, 0).await, []);
}

pub async fn signs_of_patterns_in_a_prefix_mean_themselves(store: &dyn StateStore) {
    let prefix = fresh("");
    for name in ["a*[b-c]?%_\\x", "ab", "abcd"] {
        charged(store, format!("{prefix}{name}")).await;
    }
    for (part, expected) in
        [("a*", 1), ("a", 3), ("a*[b-c]?%_\\", 1), ("?", 0), ("%", 0), ("a_", 0), ("A", 0)]
    {
        assert_eq!(found(store, "a", &format!("{prefix}{part}"), 9).await.len(), expected, "{part}");
    }
}

pub async fn counters_that_are_looked_at_do_not_change(store: &dyn StateStore) {
    let counter = charged(store, fresh("looked at")).await;
    let before = found(store, "a", &counter.key, 1).await;
    let after = found(store, "a", &counter.key, 1).await;
    assert_eq!(before[0].1.version, after[0].1.version);
    assert!(step(store, "a", look(&counter)).await.version >= after[0].1.version);
}
