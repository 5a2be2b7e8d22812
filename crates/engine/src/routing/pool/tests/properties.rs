//! What holds for every strategy, whatever its targets are like.

use proptest::prelude::*;
use proptest::strategy::Strategy;

use super::{PickInput, *};

/// A target in any state: its spec, available or not, calls under way, milliseconds, dollars.
type Any = (Spec, bool, usize, Option<f64>, f64);

fn any_target() -> impl Strategy<Value = Any> {
    let spec = (prop_oneof![0.0..4.0, Just(1.0)], 0_u64..3, 0.0..1.0)
        .prop_map(|(weight, priority, quality)| Spec { weight, priority, quality });
    let dollars = prop_oneof![0.0..1.0, Just(0.0), Just(f64::NAN), Just(f64::INFINITY)];
    (spec, any::<bool>(), 0_usize..4, proptest::option::of(0.0..1000.0), dollars)
}

fn bench(strategy: &str, targets: &[Any]) -> Bench {
    let specs: Vec<Spec> = targets.iter().map(|target| target.0).collect();
    let bench = Bench::new(strategy, &specs);
    for (state, (_, available, in_flight, ms, _)) in bench.states.iter().zip(targets) {
        state.available(*available);
        state.in_flight.store(*in_flight, Ordering::Relaxed);
        ms.iter().for_each(|&ms| state.measured(ms));
    }
    bench
}

fn dollars(targets: &[Any]) -> Vec<f64> {
    targets.iter().map(|target| target.4).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn each_available_target_is_offered_once_and_no_other(
        targets in proptest::collection::vec(any_target(), 0..12),
        hash in proptest::option::of("[a-z]{0,8}"),
    ) {
        for strategy in strategy_names() {
            let bench = bench(strategy, &targets);
            let costs = dollars(&targets);
            let input = PickInput { hash: hash.as_deref(), costs: &costs, ..PickInput::default() };
            let mut tried = vec![false; targets.len()];
            while let Some(target) = bench.pool.pick(&input, &tried) {
                prop_assert!(!tried[target], "{strategy:?} offers {target} again");
                prop_assert!(targets[target].1, "{strategy:?} offers {target}, which is away");
                tried[target] = true;
            }
            for (target, tried) in tried.iter().enumerate() {
                prop_assert_eq!(*tried, targets[target].1, "{:?}, target {}", strategy, target);
            }
        }
    }

    #[test]
    fn scores_predict_the_next_pick_and_change_nothing(
        targets in proptest::collection::vec(any_target(), 1..12),
        key in "[a-z]{1,8}",
    ) {
        // Where neither chance nor exploring has a say.
        for strategy in [
            "round_robin",
            "least_busy",
            "consistent_hash",
            "cost",
        ] {
            let bench = bench(strategy, &targets);
            let costs = dollars(&targets);
            let input = PickInput { hash: Some(&key), costs: &costs, ..PickInput::default() };
            for _ in 0..20 {
                let scores = bench.pool.scores(&input);
                prop_assert_eq!(scores.len(), targets.len());
                prop_assert_eq!(&bench.pool.scores(&input), &scores);
                prop_assert!(scores.iter().all(|score| !score.is_nan()));
                match bench.pool.pick(&input, &[]) {
                    Some(picked) => prop_assert!(scores.iter().all(|&score| scores[picked] <= score)),
                    None => prop_assert!(scores.iter().all(|&score| score == f64::INFINITY)),
                }
            }
        }
    }
}

#[test]
fn scores_are_lower_for_greater_chances() {
    let spec = |priority, weight| Spec { priority, weight, ..Spec::default() };
    let specs = [spec(1, 1.0), spec(0, 1.0), spec(0, 3.0), spec(2, 4.0)];
    let scores = |strategy| {
        let bench = Bench::new(strategy, &specs);
        bench.states[3].available(false);
        bench.pool.scores(&free())
    };
    assert_eq!(scores("priority"), [1.0, 0.75, 0.25, f64::INFINITY]);
    assert_eq!(scores("weighted"), [0.8, 0.8, 0.4, f64::INFINITY]);
    assert_eq!(scores("consistent_hash"), [0.8, 0.8, 0.4, f64::INFINITY]);
}

#[test]
fn pool_without_candidates_picks_none() {
    for strategy in strategy_names() {
        assert_eq!(Bench::new(strategy, &[]).pick(), None);
        let bench = Bench::new(strategy, &[Spec::default(); 2]);
        assert_eq!(bench.pool.pick(&free(), &[true, true]), None);
        bench.states.iter().for_each(|state| state.available(false));
        assert_eq!(bench.pick(), None);
        assert_eq!(bench.pool.scores(&hashed("key")), [f64::INFINITY; 2]);
    }
}

#[test]
fn threads_may_pick_concurrently() {
    for strategy in strategy_names() {
        let bench = Bench::new(strategy, &by_weight(&[3.0, 2.0, 1.0]));
        bench.states[2].available(false);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(bench.counts(500)[2], 0));
            }
        });
    }
}
