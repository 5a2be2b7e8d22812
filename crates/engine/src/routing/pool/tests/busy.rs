//! `least_busy`.

use super::*;

#[test]
fn least_busy_picks_the_fewest_calls_per_weight() {
    let bench = Bench::new("least_busy", &by_weight(&[1.0, 4.0, 1.0]));
    let set = |calls: [usize; 3]| {
        for (state, calls) in bench.states.iter().zip(calls) {
            state.in_flight.store(calls, Ordering::Relaxed);
        }
    };
    set([1, 3, 2]);
    assert_eq!(bench.counts(50), [0, 50, 0]);
    set([1, 5, 2]);
    assert_eq!(bench.counts(50), [50, 0, 0]);
    assert_eq!(bench.pool.scores(&free()), [1.0, 1.25, 2.0]);
    bench.states[0].available(false);
    assert_eq!(bench.counts(50), [0, 50, 0]);
}

#[test]
fn least_busy_picks_among_equals_by_weight() {
    random::seed(6);
    let bench = Bench::new("least_busy", &by_weight(&[1.0, 1.0, 2.0]));
    assert_shares(&bench.counts(20_000), &[1.0, 1.0, 2.0], 0.01);
}

/// Calls that begin at a steady rate and end after their target's time; the picks follow the targets' speed.
#[test]
fn least_busy_keeps_calls_per_weight_level() {
    random::seed(7);
    let times = [10, 30, 30];
    let weights = [1.0, 1.0, 2.0];
    let bench = Bench::new("least_busy", &by_weight(&weights));
    // (end, target)
    let mut running: Vec<(usize, usize)> = Vec::new();
    let mut counts = vec![0; 3];
    for now in 0..10_000 {
        running.retain(|&(end, target)| {
            let goes_on = end > now;
            if !goes_on {
                bench.states[target].end();
            }
            goes_on
        });
        for _ in 0..2 {
            let target = bench.pick().unwrap();
            let before = bench.pool.scores(&free());
            assert!(before.iter().all(|&load| before[target] <= load));
            bench.states[target].begin();
            running.push((now + times[target], target));
            if now >= 100 {
                counts[target] += 1;
            }
        }
    }
    // At a level load, a target ends calls by its weight over its time: 1/10, 1/30, 2/30.
    assert_shares(&counts, &[3.0, 1.0, 2.0], 0.03);
}
