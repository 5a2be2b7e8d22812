//! `weighted`, `priority`, `round_robin`, `cost`.

use std::thread;

use super::*;

const PICKS: usize = 20_000;

#[test]
fn weighted_follows_the_weights() {
    for (seed, weights) in
        [vec![1.0, 1.0], vec![3.0, 2.0, 1.0], vec![0.5, 0.25, 8.0, 1.25], vec![1.0; 10]].iter().enumerate()
    {
        random::seed(seed as u64);
        let bench = Bench::new("weighted", &by_weight(weights));
        assert_shares(&bench.counts(PICKS), weights, 0.01);
    }
}

#[test]
fn weighted_distributes_the_share_of_an_unavailable_target() {
    random::seed(1);
    let bench = Bench::new("weighted", &by_weight(&[3.0, 2.0, 1.0]));
    bench.states[1].available(false);
    assert_shares(&bench.counts(PICKS), &[3.0, 0.0, 1.0], 0.01);
}

#[test]
fn priority_picks_from_the_best_group_by_weight_then_the_next() {
    random::seed(2);
    let spec = |priority, weight| Spec { priority, weight, ..Spec::default() };
    let bench = Bench::new("priority", &[spec(5, 9.0), spec(0, 3.0), spec(1, 1.0), spec(0, 1.0)]);
    assert_shares(&bench.counts(PICKS), &[0.0, 3.0, 0.0, 1.0], 0.01);
    bench.states[1].available(false);
    assert_eq!(bench.counts(100), [0, 0, 0, 100]);
    // A call that has tried the rest of the group goes on to the next one.
    assert_eq!(bench.pool.pick(&free(), &[false, false, false, true]), Some(2));
    assert_eq!(bench.pool.pick(&free(), &[false, false, true, true]), Some(0));
}

#[test]
fn weights_are_clamped() {
    let weights = [0.0, -3.0, f64::NAN, f64::INFINITY, 1.0];
    let bench = Bench::new("weighted", &by_weight(&weights));
    let weights: Vec<f64> = bench.pool.targets.iter().map(|target| target.weight).collect();
    assert_eq!(weights, [1e-9, 1e-9, 1.0, 1e9, 1.0]);
    for absent in 2..5 {
        bench.states[absent].available(false);
    }
    random::seed(3);
    assert_shares(&bench.counts(PICKS), &[1.0, 1.0, 0.0, 0.0, 0.0], 0.01);
}

#[test]
fn round_robin_is_smooth() {
    let bench = Bench::new("round_robin", &by_weight(&[5.0, 1.0, 1.0]));
    let turns: Vec<usize> = (0..14).map(|_| bench.pick().unwrap()).collect();
    assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn round_robin_is_exact() {
    let bench = Bench::new("round_robin", &by_weight(&[5.0, 3.0, 2.0]));
    assert_eq!(bench.counts(PICKS), [10_000, 6_000, 4_000]);
    // Weights that no binary fraction holds do not drift.
    let bench = Bench::new("round_robin", &by_weight(&[0.5, 0.3, 0.2]));
    for (count, wanted) in bench.counts(PICKS).into_iter().zip([10_000, 6_000, 4_000_usize]) {
        assert!(count.abs_diff(wanted) <= 1, "{count} for {wanted}");
    }
}

#[test]
fn round_robin_neither_bursts_nor_starves_after_unavailability() {
    for away in 1..40 {
        let bench = Bench::new("round_robin", &by_weight(&[2.0, 1.0, 1.0]));
        bench.counts(away % 4);
        bench.states[0].available(false);
        let counts = bench.counts(away);
        // One more or less for the turns that were under way on either side.
        assert!(counts[1].abs_diff(counts[2]) <= 2, "{counts:?}");
        bench.states[0].available(true);
        // Each stretch of four has its two turns, one more or less for where the stretch begins.
        let turns: Vec<usize> = (0..40).map(|_| bench.pick().unwrap()).collect();
        for stretch in turns.windows(4) {
            for (target, wanted) in [2_usize, 1, 1].into_iter().enumerate() {
                let count = stretch.iter().filter(|&&turn| turn == target).count();
                assert!(count.abs_diff(wanted) <= 1, "away for {away}: {turns:?}");
            }
        }
    }
}

#[test]
fn round_robin_shares_available_picks_with_a_flapping_target() {
    let bench = Bench::new("round_robin", &by_weight(&[1.0, 1.0]));
    let mut counts = [0; 2];
    for turn in 0..1000 {
        bench.states[0].available(turn % 2 == 0);
        counts[bench.pick().unwrap()] += 1;
    }
    // It is there for half of the picks, and has half of those.
    assert_eq!(counts, [250, 750]);
}

#[test]
fn round_robin_keeps_exact_shares_across_threads() {
    let bench = Bench::new("round_robin", &by_weight(&[5.0, 3.0, 2.0]));
    let counts: Vec<Vec<usize>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| bench.counts(2_500))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let total = |target: usize| counts.iter().map(|counts| counts[target]).sum::<usize>();
    assert_eq!([total(0), total(1), total(2)], [10_000, 6_000, 4_000]);
}

#[test]
fn cost_picks_the_cheapest_and_among_equals_by_weight() {
    random::seed(4);
    let bench = Bench::new("cost", &by_weight(&[1.0, 3.0, 1.0, 1.0]));
    let dollars = [0.02, 0.01, 0.01, f64::NAN];
    let input = PickInput { hash: None, costs: &dollars, ..PickInput::default() };
    let mut counts = vec![0; 4];
    for _ in 0..PICKS {
        counts[bench.pool.pick(&input, &[]).unwrap()] += 1;
    }
    assert_shares(&counts, &[0.0, 3.0, 1.0, 0.0], 0.01);
    // A price that nobody knows is the highest.
    assert_eq!(bench.pool.pick(&input, &[false, true, true, false]), Some(0));
    assert_eq!(bench.pool.pick(&input, &[true, true, true, false]), Some(3));
    assert_eq!(bench.pool.scores(&input), [0.02, 0.01, 0.01, f64::INFINITY]);
}
