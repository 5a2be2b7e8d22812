//! `consistent_hash`.

use super::*;

const KEYS: usize = 20_000;

fn keys() -> impl Iterator<Item = String> {
    numbered(KEYS)
}

fn numbered(keys: usize) -> impl Iterator<Item = String> {
    (0..keys).map(|number| format!("user-{number}"))
}

fn choices(bench: &Bench) -> Vec<usize> {
    keys().map(|key| bench.pool.pick(&hashed(&key), &[]).unwrap()).collect()
}

#[test]
fn unavailable_target_moves_only_its_own_keys() {
    for targets in [5, 10, 50] {
        let bench = Bench::new("consistent_hash", &by_weight(&vec![1.0; targets]));
        let before = choices(&bench);
        for gone in (0..targets).step_by(targets / 5) {
            bench.states[gone].available(false);
            let after = choices(&bench);
            bench.states[gone].available(true);
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            let own = before.iter().filter(|&&target| target == gone).count();
            assert_eq!(moved, own, "{targets} targets without {gone}");
            assert!(moved * targets * 10 <= KEYS * 12, "{moved} of {KEYS} keys moved, {targets} targets");
        }
        assert_eq!(choices(&bench), before);
    }
}

#[test]
fn smaller_or_reordered_pools_choose_the_same_targets() {
    let all = Bench::new("consistent_hash", &by_weight(&[1.0; 5]));
    let mut targets = Bench::new("consistent_hash", &by_weight(&[1.0; 5])).pool.targets;
    targets.reverse();
    targets.pop();
    let other = Pool::new(targets, &config("consistent_hash", HybridWeights::default()));
    all.states[0].available(false);
    for key in keys().take(2_000) {
        let here = all.pool.pick(&hashed(&key), &[]).unwrap();
        let there = other.pick(&hashed(&key), &[]).unwrap();
        assert_eq!(all.pool.targets[here].name, other.targets[there].name);
    }
}

#[test]
#[allow(clippy::cast_precision_loss)]
fn keys_are_distributed_by_weight() {
    // So many that chance alone is far within the 5 %.
    const MANY: usize = 5 * KEYS;
    for weights in [vec![1.0; 10], vec![5.0, 3.0, 2.0], vec![0.1, 0.1, 0.2], vec![1.0, 9.0]] {
        let bench = Bench::new("consistent_hash", &by_weight(&weights));
        let mut counts = vec![0; weights.len()];
        numbered(MANY).for_each(|key| counts[bench.pool.pick(&hashed(&key), &[]).unwrap()] += 1);
        for (count, weight) in counts.iter().zip(&weights) {
            let wanted = weight / weights.iter().sum::<f64>() * MANY as f64;
            assert!((f64::from(*count) / wanted - 1.0).abs() <= 0.05, "{counts:?} for {weights:?}");
        }
    }
}

#[test]
fn target_listed_twice_has_two_shares() {
    let states: Vec<Arc<Hand>> = (0..3).map(|_| Arc::default()).collect();
    let targets = states.iter().zip(["a", "a", "b"]).map(|(state, entry)| Target {
        name: TargetName::new(entry, ""),
        weight: 1.0,
        priority: 0,
        quality: 0.5,
        state: state.clone(),
    });
    let pool = Pool::new(targets.collect(), &config("consistent_hash", HybridWeights::default()));
    let mut counts = vec![0; 3];
    keys().for_each(|key| counts[pool.pick(&hashed(&key), &[]).unwrap()] += 1);
    assert_shares(&counts, &[1.0; 3], 0.02);
}

/// The choice is the same in every process, on every machine and in every version: a change here sends the users of a
/// fleet elsewhere while it is updated.
#[test]
fn choices_are_the_same_in_every_version() {
    let bench = Bench::new("consistent_hash", &by_weight(&[1.0, 2.0, 3.0, 1.0, 1.0]));
    let keys = ["ada", "grace", "user-42", "用户", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"];
    let picked: Vec<_> = keys.iter().filter_map(|key| bench.pool.pick(&hashed(key), &[])).collect();
    assert_eq!(picked, [1, 4, 2, 3, 2]);
}

#[test]
fn second_choices_are_stable() {
    let bench = Bench::new("consistent_hash", &by_weight(&[1.0; 5]));
    let mut seconds = vec![0; 5];
    for key in keys().take(5_000) {
        let input = hashed(&key);
        let first = bench.pool.pick(&input, &[]).unwrap();
        let mut tried = vec![false; 5];
        tried[first] = true;
        let second = bench.pool.pick(&input, &tried).unwrap();
        assert_eq!(bench.pool.pick(&input, &tried), Some(second));
        // The same one takes over while the first is away, and the scores tell the order.
        bench.states[first].available(false);
        assert_eq!(bench.pool.pick(&input, &[]), Some(second));
        bench.states[first].available(true);
        let scores = bench.pool.scores(&input);
        assert!((0..5).all(|other| other == first || scores[first] < scores[other]));
        assert!((0..5).all(|other| [first, second].contains(&other) || scores[second] < scores[other]));
        seconds[second] += 1;
    }
    assert_shares(&seconds, &[1.0; 5], 0.02);
}

#[test]
fn call_without_a_hash_value_is_picked_by_weight() {
    random::seed(5);
    let weights = [3.0, 2.0, 1.0];
    let bench = Bench::new("consistent_hash", &by_weight(&weights));
    assert_shares(&bench.counts(20_000), &weights, 0.01);
    let mut counts = vec![0; 3];
    (0..20_000).for_each(|_| counts[bench.pool.pick(&hashed(""), &[]).unwrap()] += 1);
    assert_shares(&counts, &weights, 0.01);
}
